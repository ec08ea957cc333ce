//! Plays the worlds of seeds, each in a runtime of its own whose time stands still between two events, and tells how they ended. Must never
//! let one world's end touch another's: a panic in it is a finding like any other.

mod shrink;

use crate::coverage::Coverage;
use crate::fate::Told;
use crate::hall::Hall;
use crate::play::{Breach, Play};
use contract::wire::enrol::Authority;
use journal::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

pub use shrink::shrunk;

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// It.
    pub told: Told,
    /// What must not be, and was.
    pub breaches: Vec<Breach>,
    /// What was met.
    pub coverage: Coverage,
    /// What happened.
    pub story: Vec<(Duration, String)>,
    /// The controller's records.
    pub records: Vec<Entry>,
    /// What befell the machines, one line each.
    pub machines: Vec<String>,
    /// How old the world became.
    pub age: Duration,
}

impl Outcome {
    /// Everything that happened, one line each: the same on every machine.
    pub fn trace(&self) -> Vec<String> {
        let story = self.story.iter().map(|(at, line)| format!("{:.3} s {line}", at.as_secs_f64()));
        let breaches = self.breaches.iter().map(|breach| format!("breach: {breach}"));
        let records = self.records.iter().map(|entry| format!("record {} {:?}", entry.number, entry.record.fact));
        story.chain(self.machines.iter().cloned()).chain(records).chain(breaches).collect()
    }

    /// Failovers that took ownership.
    pub fn failovers(&self) -> u64 {
        self.coverage.of("failover")
    }
}

/// Plays a world.
pub fn play(told: &Told, authority: &Arc<Authority>) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(whole(told, authority.clone())).map_err(|fault| fault.to_string())
    }));
    match played {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(fault)) => broken(told, fault),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            broken(told, format!("panicked: {}", text.unwrap_or("without words")))
        }
    }
}

fn broken(told: &Told, why: String) -> Outcome {
    let breach = Breach { law: "world".to_owned(), at: Duration::ZERO, sentence: why };
    let coverage = Coverage::default();
    Outcome {
        told: told.clone(),
        breaches: vec![breach],
        coverage,
        story: Vec::new(),
        records: Vec::new(),
        machines: Vec::new(),
        age: Duration::ZERO,
    }
}

async fn whole(told: &Told, authority: Arc<Authority>) -> Result<Outcome, crate::agents::Fault> {
    let mut play = Play::raise(told.seed, Hall::from(&told.hall), authority).await?;
    play.begin().await?;
    play.befall(&told.fate).await;
    play.calm().await;
    let mut breaches = play.rest().await;
    breaches.extend(play.judged());
    // what was broken first is what the world is told by
    breaches.sort_by_key(|breach| breach.at);
    let records = play.site.store.entries();
    play.coverage.read(records.iter().map(|entry| &entry.record.fact));
    let machines = play.machines();
    let age = play.age();
    let Play { coverage, story, .. } = play;
    Ok(Outcome { told: told.clone(), breaches, coverage, story, records, machines, age })
}
