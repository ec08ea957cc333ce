//! Sensors as a driver asks for them: the repository once as long as it does not change, then the readings that are wanted.
//! Must never be part of a poll, nor take a number for evidence: what it tells is for people.

use std::sync::PoisonError;

use super::fault::Fault;
use super::sensors::{self, Sensor, Stamp, Walk};
use super::states::Severity;
use super::{Ipmi, Trouble, commands};
use crate::driver::Fact;
use crate::limits;

/// The sensors of a repository in one of its states.
pub type Cached = Option<(Stamp, Vec<Sensor>)>;

impl Ipmi {
    /// The wanted sensors; the repository is walked through only where it changed since.
    async fn sensors(&self, on: u64) -> Result<Vec<Sensor>, Trouble> {
        let told = self.need("the sensor repository", sensors::repository_info(), Some(on)).await?;
        let stamp = sensors::read_stamp(&told.reply.data).ok_or(Fault::Nonsense("a sensor repository that tells no state"))?;
        if let Some((known, sensors)) = &*self.sensors.lock().unwrap_or_else(PoisonError::into_inner)
            && *known == stamp
        {
            return Ok(sensors.clone());
        }
        let mut walk = Walk::default();
        for _ in 0..limits::SENSOR_QUESTIONS_MAX {
            let Some(question) = walk.ask() else {
                let sensors = walk.sensors();
                *self.sensors.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, sensors.clone()));
                return Ok(sensors);
            };
            walk.take(&self.line.ask(question, Some(on)).await?.reply)?;
        }
        Err(Fault::Nonsense("a sensor repository without an end").into())
    }

    /// The readings, and what they come to.
    pub(super) async fn sensor_facts(&self, on: u64) -> Result<Vec<Fact>, Trouble> {
        let sensors = self.sensors(on).await?;
        let mut facts = Vec::new();
        let mut worst: Option<(Severity, String)> = None;
        for sensor in sensors.iter().filter(|sensor| sensor.ours).take(limits::SENSORS_READ_MAX) {
            let reply = self.line.ask(sensor.ask(), Some(on)).await?.reply;
            let value = match commands::good(&reply) {
                Ok(data) => {
                    let shown = sensor.read(data);
                    if shown.severity > worst.as_ref().map_or(Severity::Fine, |(severity, _)| *severity) {
                        worst = Some((shown.severity, format!("{} {}", sensor.name, shown.value)));
                    }
                    shown.value
                }
                Err(code) => format!("not told: {}", commands::explained(code)),
            };
            facts.push(Fact::new(format!("sensor {}", sensor.name), value));
        }
        let foreign = sensors.iter().filter(|sensor| !sensor.ours).count();
        if foreign > 0 {
            facts.push(Fact::new("sensors of others", format!("{foreign}, behind other controllers, are not read")));
        }
        let health =
            worst.map_or_else(|| Severity::Fine.word().to_owned(), |(severity, what)| format!("{}: {what}", severity.word()));
        if !facts.is_empty() {
            facts.push(Fact::new("health by sensors", health));
        }
        Ok(facts)
    }

    /// The power drawn now, where the BMC measures it.
    pub(super) async fn power_facts(&self, on: u64) -> Result<Vec<Fact>, Trouble> {
        let told = self.need("the power reading", sensors::power(), Some(on)).await?;
        let watts = sensors::read_power(&told.reply.data);
        Ok(vec![Fact::new("power drawn", watts.map_or_else(|| "not measured now".to_owned(), |watts| format!("{watts} W")))])
    }
}
