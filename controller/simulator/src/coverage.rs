//! What a search has reached: how often each stage, reason, proof set, fault and crash point was met. A search that never met something has
//! shown nothing of it, however many worlds it played. Must never count what was only drawn: what counts is what happened.

mod floors;

use pipeline::record::{Consent, Fact};
use std::collections::BTreeMap;

/// How often each thing was met.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// Met once more.
    pub fn met(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// What the records of a world tell.
    pub fn read<'a>(&mut self, facts: impl Iterator<Item = &'a Fact>) {
        let mut pruned = false;
        for fact in facts {
            match fact {
                Fact::Pruned { .. } => {
                    self.met("old records removed");
                    pruned = true;
                }
                Fact::Began { .. } if pruned => self.met("began without old records"),
                Fact::Entered { stage, .. } => self.met(format!("stage {stage}")),
                Fact::Suspected { symptom, .. } => self.met(format!("symptom {symptom}")),
                Fact::Verdict { symptom, .. } => self.met(format!("verdict {symptom}")),
                Fact::Held { code, .. } => self.met(format!("held {code}")),
                Fact::Proven { sets, .. } => self.met(format!("proof {}", sets.join("+"))),
                Fact::Closed { result: Ok(_), .. } => self.met("plan done"),
                Fact::Closed { result: Err(ended), .. } => self.met(format!("plan ended {}", ended.code)),
                Fact::Owned(ownership) if ownership.from.is_some() => self.met("failover"),
                Fact::StandingOrder { what, .. } => self.met(format!("standing order {}", first(what))),
                Fact::Proposed { .. } => self.met("proposed"),
                Fact::Consented { to: Consent::Plan { .. }, .. } => self.met("approved"),
                Fact::ColdStart { .. } => self.met("site started"),
                Fact::ServiceDown { .. } => self.met("restarted in place"),
                Fact::Consented { to: Consent::LetGo { .. }, .. } => self.met("let go"),
                Fact::Consented { to: Consent::Off { .. }, .. } => self.met("said to be off"),
                Fact::OlderMemory { .. } => self.met("older memory"),
                Fact::Overruled { .. } => self.met("overruled"),
                Fact::Readopted { .. } => self.met("readopted"),
                Fact::Released { .. } => self.met("released"),
                Fact::Outcome { ok: false, .. } => self.met("command failed"),
                Fact::Alarm { code, .. } => self.met(format!("alarm {code}")),
                _ => {}
            }
        }
    }

    /// How often this was met.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Adds what another met.
    pub fn add(&mut self, other: &Coverage) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    /// Everything, by name.
    pub fn all(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// What was met less often than it has to be in so many worlds: what, how often, and how often at least. Fewer worlds than the
    /// floors are told for are held to nothing.
    pub fn scarce(&self, worlds: u64) -> Vec<(String, u64, u64)> {
        if worlds < PER {
            return Vec::new();
        }
        let floors = floors::FLOORS.iter().map(|(what, least)| (*what, least.saturating_mul(worlds) / PER));
        let lacking = floors.filter(|(what, least)| self.of(what) < *least);
        lacking.map(|(what, least)| (what.to_owned(), self.of(what), least)).collect()
    }
}

/// Floors are told for so many worlds.
const PER: u64 = 2_000;

fn first(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_met_is_told_and_few_worlds_are_held_to_nothing() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.scarce(PER - 1), []);
        let all = coverage.scarce(PER);
        assert_eq!(all.len(), floors::FLOORS.len());
        for (what, _, least) in &all {
            (0..*least).for_each(|_| coverage.met(what.clone()));
        }
        assert_eq!(coverage.scarce(PER), []);
        assert_eq!(coverage.scarce(10 * PER).len(), floors::FLOORS.len());
    }
}
