//! The core's whole state.

use crate::ledger::Ledger;
use crate::watch::Watch;
use crate::work::Work;
use std::collections::BTreeMap;
use std::sync::Arc;
use vocabulary::estate::Estate;
use vocabulary::{ControllerLife, Lineage, PlanId, Secret};

/// Estate, ledger (durable), watch and works (volatile).
#[derive(Debug)]
pub struct State {
    /// The documents in force.
    pub estate: Arc<Estate>,
    /// What the journal yields.
    pub ledger: Ledger,
    /// What is being seen; empty after a restart.
    pub watch: Watch,
    /// What is being done, per open plan and per plan with standing orders; re-made after a restart.
    pub works: BTreeMap<PlanId, Work>,
    /// The first number that no command of a dropped work has borne, readings included.
    pub spent: BTreeMap<PlanId, u64>,
    /// Set by `Started`.
    pub life: Option<Life>,
}

/// What the shell said at start.
#[derive(Clone, Debug)]
pub struct Life {
    /// Key from which placements' secrets are derived.
    pub key: Secret,
    /// True in a lab estate.
    pub lab: bool,
    /// This process.
    pub controller: ControllerLife,
    /// The store's.
    pub lineage: Lineage,
}

impl State {
    /// Nothing known yet.
    pub fn new() -> State {
        State {
            estate: Arc::new(Estate::default()),
            ledger: Ledger::default(),
            watch: Watch::default(),
            works: BTreeMap::new(),
            spent: BTreeMap::new(),
            life: None,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}
