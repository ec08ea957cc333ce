//! Which documents may come into force. Those that would move something in use are refused, never followed: a fence that looks at other
//! ports than those that were opened proves nothing.

use crate::basis::{MachineBasis, ServerBasis};
use crate::ledger::{Ledger, Standing};
use crate::reseed;
use vocabulary::estate::Estate;
use vocabulary::{Fault, MachineId, ServerId};

/// Changes that one refusal names; the rest is counted.
const NAMED: usize = 8;

/// What has changed of a machine since it was enrolled: until it is enrolled anew, it is not what was taken in.
pub fn since_enrolment(ledger: &Ledger, estate: &Estate, machine: &MachineId) -> Vec<String> {
    let enrolled = ledger.machines.get(machine).and_then(|row| row.enrolled.as_ref()).and_then(|row| row.basis.as_ref());
    enrolled.zip(MachineBasis::of(estate, machine)).map(|(was, is)| was.moved(&is)).unwrap_or_default()
}

/// Whether these documents may come into force. Refused with document, field, old and new value, if they move a machine or a server that
/// an open plan works on, that is in quarantine, or that holds a grant. Whatever is not in use may change freely; so may checks,
/// contacts and credentials of all.
pub fn accept(ledger: &Ledger, estate: &Estate) -> Result<(), Fault> {
    if ledger.restored.is_some() {
        // what is in use is what the agents say when it is adopted, and not what an old store says
        return Ok(());
    }
    let mut changes = Vec::new();
    for (id, row) in &ledger.machines {
        let Some(role) = machine_in_use(ledger, id) else { continue };
        let cut_off = reseed::bearing(ledger, id).1.is_some();
        let barred = cut_off || !matches!(row.standing, Standing::Bearing(_)) || ledger.open_plan_on(id).is_some();
        let moved = match (MachineBasis::of(estate, id), &row.basis) {
            (None, _) => vec!["its document is gone".to_owned()],
            (Some(_), None) => Vec::new(),
            (Some(is), Some(was)) => was.moved_in_use(&is, barred),
        };
        changes.extend(moved.into_iter().map(|change| format!("machine {id}, which {role}: {change}")));
    }
    for (id, row) in &ledger.servers {
        let Some(role) = server_in_use(ledger, id) else { continue };
        let moved = match (ServerBasis::of(estate, id), &row.basis) {
            (None, _) => vec!["its document is gone".to_owned()],
            (Some(_), None) => Vec::new(),
            (Some(is), Some(was)) => was.moved(&is),
        };
        changes.extend(moved.into_iter().map(|change| format!("server {id}, which {role}: {change}")));
    }
    refuse(&changes)
}

fn refuse(changes: &[String]) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let more = changes.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let named: Vec<&str> = changes.iter().take(NAMED).map(String::as_str).collect();
    Err(Fault::new(
        72,
        format!("the documents move what is in use: {}{more}", named.join("; ")),
        "put it back as it was and start again; a machine may change when it bears nothing and is released, a server while it is on no machine",
    ))
}

fn machine_in_use(ledger: &Ledger, machine: &MachineId) -> Option<String> {
    if let Some(row) = ledger.open_plan_on(machine) {
        return Some(format!("plan {} works on", row.plan.id()));
    }
    match ledger.standing(machine) {
        Standing::Free => None,
        Standing::Reserved(plan) => Some(format!("plan {plan} works on")),
        Standing::Bearing(server) => Some(format!("bears {server}")),
        Standing::Quarantined { .. } => Some("is in quarantine".to_owned()),
    }
}

fn server_in_use(ledger: &Ledger, server: &ServerId) -> Option<String> {
    if let Some(row) = ledger.open_plan_of(server) {
        return Some(format!("plan {} works on", row.plan.id()));
    }
    ledger.placement(server).map(|placement| format!("is on {}", placement.machine))
}
