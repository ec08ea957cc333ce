//! A survey over Redfish: all that a BMC tells beyond its readings, asked part by part when somebody wants to know it.
//! Must never be part of a poll, and never change anything.

use super::trouble::Trouble;
use super::walk::Walk;
use super::{Redfish, Seen, log, view};
use crate::driver::{Fact, Scope, Survey};
use crate::limits;

impl Redfish {
    /// Everything of the scope, on one session. A part that the BMC lacks is told with the reason; what was told before the time was over,
    /// or before the BMC fell silent, is told all the same.
    pub(super) async fn survey_all(&self, scope: Scope) -> Result<Survey, Trouble> {
        let deadline = tokio::time::Instant::now() + limits::SURVEY;
        let late = || format!("not all was told within {:?}", limits::SURVEY);
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
}
