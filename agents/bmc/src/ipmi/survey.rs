//! A survey: all that a BMC tells beyond its readings, asked part by part when somebody wants to know it.
//! Must never be part of a poll, and never change anything.

use std::sync::PoisonError;

use vocabulary::WallTime;

use super::fault::Fault;
use super::log::Gap;
use super::{Ipmi, Trouble, identity, watchdog};
use crate::driver::{Fact, LogEntry, Scope, Survey};
use crate::limits;

impl Ipmi {
    /// Everything of the scope, on one session. A part that the BMC lacks is told with the reason.
    pub(super) async fn survey_all(&self, scope: Scope) -> Result<Survey, Trouble> {
        let seen = self.see().await?;
        let on = seen.session;
        let mut survey = Survey { at: Some(seen.read_at), ..Survey::default() };
        add(&mut survey, "inventory", self.inventory_facts(on).await)?;
        add(&mut survey, "sensors", self.sensor_facts(on).await)?;
        add(&mut survey, "power drawn", self.power_facts(on).await)?;
        add(&mut survey, "watchdog", self.watchdog_facts(on).await)?;
        if scope == Scope::FactsAndLog {
            let mut log = Vec::new();
            add(&mut survey, "event log", self.log_facts(on, &mut log).await)?;
            survey.log = log;
        }
        Ok(survey)
    }

    async fn watchdog_facts(&self, on: u64) -> Result<Vec<Fact>, Trouble> {
        let told = self.need("the watchdog", watchdog::ask(), Some(on)).await?;
        let timer = watchdog::read(&told.reply.data).ok_or(Fault::Nonsense("a watchdog that is cut short"))?;
        Ok(vec![Fact::new("watchdog", timer.shown())])
    }

    /// The end of the event log; only what is new since the last look is read.
    async fn log_facts(&self, on: u64, entries: &mut Vec<LogEntry>) -> Result<Vec<Fact>, Trouble> {
        let known = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut look = known.look();
        for _ in 0..limits::LOG_QUESTIONS_MAX {
            let Some(question) = look.ask() else { break };
            look.take(&self.line.ask(question, Some(on)).await?.reply)?;
        }
        let (known, gap) = look.done();
        entries.extend(known.entries().map(|entry| LogEntry {
            id: entry.id.to_string(),
            at: entry.at.map(|seconds| WallTime(u64::from(seconds) * 1000)),
            kind: entry.kind.clone(),
            what: entry.what.clone(),
            severity: entry.severity.word().to_owned(),
        }));
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let lost = "cleared or wrapped since it was last read: entries may be missing";
        Ok((gap == Gap::Lost).then(|| Fact::new("event log", lost)).into_iter().collect())
    }

    /// The serial number for people, who may also see one that is no mark of a machine.
    pub(super) async fn serial_if_told(&self, on: u64) -> Result<String, Trouble> {
        match self.serial(on).await {
            Ok(serial) => Ok(identity::serial(&serial)),
            Err(trouble) if is_only_this(&trouble) => Ok(String::new()),
            Err(trouble) => Err(trouble),
        }
    }
}

/// True if the trouble is with one part, and the session lives.
fn is_only_this(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Answer(_) | Trouble::Rights(_) | Trouble::Fault(Fault::Nonsense(_)))
}

/// Takes what a part tells into the survey; a part that fails by itself is told as such.
fn add(survey: &mut Survey, part: &'static str, told: Result<Vec<Fact>, Trouble>) -> Result<(), Trouble> {
    match told {
        Ok(facts) => survey.facts.extend(facts),
        Err(trouble) if is_only_this(&trouble) => survey.facts.push(Fact::new(part, format!("not told: {trouble}"))),
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}
