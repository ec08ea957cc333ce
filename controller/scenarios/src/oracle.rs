//! The judge's process beside the data centre, and its judgement. It sees facts of switch, storage, machines and consoles; nothing of the
//! controller goes to it, and what it says is believed without exception.

use std::path::Path;

use lab::client::Client;

use crate::rig::Places;
use crate::script::Setup;
use crate::trouble::{Done, Trouble};

/// What the oracle found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The most machines ever effective at once for one server.
    pub effective: u32,
    /// Records acknowledged before the fault.
    pub acknowledged: u64,
    /// Of those, records found again in order.
    pub recovered: u64,
    /// Everything that must not be, in sentences.
    pub violations: Vec<String>,
}

/// The judge.
pub struct Oracle {}

impl Oracle {
    /// Starts it, before the first machine runs.
    pub fn start(_client: &mut Client, _places: &Places, _run: &Path, _setup: &Setup) -> Done<Oracle> {
        Ok(Oracle {})
    }

    /// Asks for its judgement so far.
    pub fn judge(&self, _client: &mut Client, _before: Option<(&str, u64)>) -> Done<Verdict> {
        Err(Trouble::Oracle("it is not there yet".to_owned()))
    }
}
