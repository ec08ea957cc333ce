//! Brakes that a person pulls. A hold stops every new effect at the next step; maintenance stops every action on a machine or server that
//! somebody works on, and always ends. Neither stops watching, nor what keeps or restores an existing bar. It must never be the reason why
//! something is done.

use crate::ledger::{Hold, Ledger, Maintenance, Standing};
use crate::plan::Plan;
use crate::record::Subject;
use vocabulary::{MachineId, ServerId};

/// The hold that stops what would be done for a server, or for nobody's machine: the estate's own comes first.
pub fn held<'a>(ledger: &'a Ledger, server: Option<&ServerId>) -> Option<(&'a Hold, String)> {
    if let Some(hold) = ledger.holds.get(&None) {
        return Some((hold, "understudy resume".to_owned()));
    }
    let server = server?;
    let hold = ledger.holds.get(&Some(server.clone()))?;
    Some((hold, format!("understudy resume {server}")))
}

/// Why a plan may send no new command now, if it may not.
pub fn stops(ledger: &Ledger, plan: &Plan) -> Option<String> {
    let (hold, _) = held(ledger, plan.server())?;
    Some(format!("held by {}: {}", hold.principal, hold.reason))
}

/// The maintenance that a machine is in, be it its own or that of the server it bears.
pub fn worked_on<'a>(ledger: &'a Ledger, machine: &MachineId) -> Option<(Subject, &'a Maintenance)> {
    let of = |subject: Subject| Some((subject.clone(), ledger.maintenance.get(&subject)?));
    of(Subject::Machine(machine.clone())).or_else(|| match ledger.standing(machine) {
        Standing::Bearing(server) => of(Subject::Server(server)),
        Standing::Free | Standing::Reserved(_) | Standing::Quarantined { .. } => None,
    })
}
