//! What is known of agents' memories, and how it is folded: what they have confirmed, and what they were found to have forgotten or to know
//! better. Total, and decides nothing.

use super::Ledger;
use crate::record::{Fact, Raised};
use serde::{Deserialize, Serialize};
use vocabulary::{ControllerLife, Epoch, OpId};

/// What an agent's gate knows more than this store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overruled {
    /// The highest epoch that was ours there.
    pub drawn: Epoch,
    /// The store it obeys, where that is the cause.
    pub store: Option<String>,
    /// The process on a copy of this store that it obeys, where it does.
    pub rival: Option<ControllerLife>,
    /// What it said.
    pub evidence: String,
    /// True if nothing that it says later ends this, but its being seeded.
    pub until_seeded: bool,
}

impl Ledger {
    /// What agents were found to remember.
    pub(super) fn apply_memory(&mut self, fact: &Fact) {
        match fact {
            Fact::OlderMemory { agent, evidence } => {
                self.older.insert(agent.clone(), evidence.clone());
            }
            Fact::Readopted { agent, .. } => {
                self.older.remove(agent);
                self.overruled.remove(agent);
                self.seeded.insert(agent.clone(), self.epoch);
            }
            Fact::Overruled { agent, drawn, store, rival, evidence } => {
                let until_seeded = self.overruled.get(agent).is_some_and(|row| row.until_seeded);
                let (drawn, store, rival, evidence) = (*drawn, store.clone(), rival.clone(), evidence.clone());
                self.overruled.insert(agent.clone(), Overruled { drawn, store, rival, evidence, until_seeded });
            }
            Fact::OverruledNoMore { agent } => {
                self.overruled.remove(agent);
            }
            _ => {}
        }
    }

    /// What an outcome has confirmed.
    pub(super) fn apply_raised(&mut self, op: OpId, raised: Option<&Raised>) {
        let Some(raised) = raised else { return };
        for resource in &raised.resources {
            let known = self.confirmed.entry((raised.agent.clone(), resource.clone())).or_default();
            *known = raised.mark(op).max(*known);
        }
    }
}
