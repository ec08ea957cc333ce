//! A survey over Redfish: all that a BMC tells beyond its readings, asked part by part when somebody wants to know it.
//! Must never be part of a poll, and never change anything.

use serde_json::Value;

use super::facts::Part;
use super::trouble::Trouble;
use super::walk::Walk;
use super::{Redfish, Seen, facts, log, view};
use crate::driver::{Fact, Scope, Survey};
use crate::limits;

impl Redfish {
    /// Everything of the scope, on one session. A part that the BMC lacks is told with the reason; what was told before the time was over,
    /// or before the BMC fell silent, is told all the same.
    pub(super) async fn survey_all(&self, scope: Scope) -> Result<Survey, Trouble> {
        let deadline = tokio::time::Instant::now() + self.patience.survey;
        let late = || format!("not all was told within {:?}", self.patience.survey);
        let seen = tokio::time::timeout_at(deadline, self.see()).await.unwrap_or_else(|_| Err(Trouble::Silent(late())))?;
        let walk = Walk::new(&self.http, &seen.link.session.credential, limits::SURVEY_REQUESTS_MAX);
        let mut survey = Survey { at: Some(seen.reading.read_at), ..Survey::default() };
        let told = tokio::time::timeout_at(deadline, parts(&walk, &seen, scope, &mut survey)).await;
        let broken = match walk.ended() {
            Some(trouble @ (Trouble::Silent(_) | Trouble::Unsupported(_))) => {
                let why = trouble.to_string();
                // who is silent has no unbroken session; the rest is for `noted` to know
                drop(self.noted(&seen.link, Err::<(), _>(trouble)).await);
                Some(why)
            }
            Some(trouble) => return self.noted(&seen.link, Err(trouble)).await,
            None => told.is_err().then(late),
        };
        survey.facts.extend(broken.map(|why| Fact::new("survey", format!("broken off: {why}"))));
        Ok(survey)
    }
}

/// Asks for part after part.
async fn parts(walk: &Walk<'_>, seen: &Seen, scope: Scope, survey: &mut Survey) {
    let manager = walk.get(seen.link.layout.manager.as_deref()).await;
    let chassis = walk.all(view::chassis(&seen.system)).await;
    if scope == Scope::FactsAndLog {
        let owners: Vec<_> = [&seen.system, &manager].into_iter().chain(&chassis).collect();
        match log::read(walk, &owners).await {
            Ok(told) => {
                survey.log = told.entries;
                survey.facts.push(Fact::new("event log", told.remark));
            }
            Err(why) => survey.facts.push(Fact::new("event log", format!("not told: {why}"))),
        }
    }
    survey.facts.extend(facts::machine(&seen.system, &manager, &chassis).iter().map(Part::fact));
    sensed(walk, &chassis, &mut survey.facts).await;
}

/// Temperatures, fans, power supplies and power drawn of all chassis, and what they come to.
async fn sensed(walk: &Walk<'_>, chassis: &[Value], told: &mut Vec<Fact>) {
    let mut all = Vec::new();
    let mut missing: [(&str, bool, Option<String>); 4] =
        ["temperatures", "fans", "power supplies", "power drawn"].map(|what| (what, true, None));
    for one in chassis {
        let (temperatures, fans) = warmth(walk, one).await;
        let why_warmth = walk.take_refusal();
        let (supplies, drawn) = power(walk, one).await;
        let why_power = walk.take_refusal();
        let name = view::text(one, "Id").filter(|_| chassis.len() > 1);
        let groups = [(temperatures, &why_warmth), (fans, &why_warmth), (supplies, &why_power), (drawn, &why_power)];
        for ((parts, why), (_, none, reason)) in groups.into_iter().zip(&mut missing) {
            *none &= parts.is_empty();
            *reason = reason.take().or_else(|| why.clone());
            for mut part in parts {
                if let Some(name) = &name {
                    part.name = format!("{} of {name}", part.name);
                }
                told.push(part.fact());
                all.push(part);
            }
        }
    }
    let missing = missing.into_iter().filter(|(_, none, _)| *none);
    told.extend(missing.map(|(what, _, why)| {
        Fact::new(what, format!("not told: {}", why.unwrap_or_else(|| "no chassis of it tells any".to_owned())))
    }));
    if !all.is_empty() {
        told.push(facts::health(&all));
    }
}

/// Temperatures and fans of a chassis. The older resource is asked first: one answer tells all of them, with their names and states.
async fn warmth(walk: &Walk<'_>, chassis: &Value) -> (Vec<Part>, Vec<Part>) {
    let at = |of: &Value, key: &str| of.get(key).and_then(view::link);
    let older = walk.get(at(chassis, "Thermal").as_deref()).await;
    let (mut temperatures, mut fans) = (facts::temperatures(&older), facts::fans(&older));
    let mut redundancy = facts::redundancy("fan", &older, "Redundancy");
    if temperatures.is_empty() || fans.is_empty() {
        let newer = walk.get(at(chassis, "ThermalSubsystem").as_deref()).await;
        if temperatures.is_empty() {
            temperatures = facts::metrics(&walk.get(at(&newer, "ThermalMetrics").as_deref()).await);
        }
        if fans.is_empty() {
            let told = walk.members(&newer, "Fans", limits::SENSORS_READ_MAX).await.unwrap_or_default();
            fans = told.iter().filter_map(facts::fan).collect();
            redundancy = facts::redundancy("fan", &newer, "FanRedundancy");
        }
    }
    if temperatures.is_empty() {
        let sensors = walk.members(chassis, "Sensors", limits::SENSORS_READ_MAX).await.unwrap_or_default();
        temperatures = sensors.iter().filter_map(facts::sensor).collect();
    }
    fans.extend(redundancy);
    (temperatures, fans)
}

/// Power supplies of a chassis with their redundancy, and what it draws.
async fn power(walk: &Walk<'_>, chassis: &Value) -> (Vec<Part>, Vec<Part>) {
    let told = walk.power(chassis).await;
    let mut supplies = Vec::new();
    let mut drawn = None;
    if let Some(told) = &told {
        supplies.extend(told.supplies.iter().filter_map(facts::supply));
        supplies.extend(facts::redundancy("power", &told.whole, "PowerSupplyRedundancy"));
        supplies.extend(facts::redundancy("power", &told.whole, "Redundancy"));
        drawn = facts::consumed(&told.whole);
    }
    for (key, read) in [("EnvironmentMetrics", facts::drawn as fn(&Value) -> Option<Part>), ("Power", facts::consumed)] {
        if let (None, Some(path)) = (&drawn, chassis.get(key).and_then(view::link)) {
            drawn = read(&walk.get(Some(&path)).await);
        }
    }
    (supplies, drawn.into_iter().collect())
}
