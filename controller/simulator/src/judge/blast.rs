//! The bound of the blast (I11), by the records: while another machine of the same rack is suspect, and became so together with this one, no failover
//! is begun by itself unless a person has let the rack go. Must never use the guard's own counting.

use journal::Entry;
use pipeline::plan::Kind;
use pipeline::record::{Consent, Fact, Subject};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{MachineId, RackId, ServerId, WallTime};

/// What fails within this time of each other fails together: the guard's window, less what a record may come late.
const TOGETHER_MS: u64 = 100_000;
/// Symptoms that say a machine may be gone.
const GONE: [&str; 4] = ["unexpected-off", "hung", "power-suspected", "spare-failed"];
/// So often may a server's suspicion begin or end before its records may be told late.
const FLAPS: usize = 6;

/// A suspicion that stands.
struct Suspect {
    machine: MachineId,
    since: WallTime,
}

#[derive(Default)]
struct Reader {
    suspects: BTreeMap<ServerId, Suspect>,
    told: BTreeMap<ServerId, usize>,
    works: BTreeSet<MachineId>,
    let_go: bool,
    asked: bool,
}

/// Failovers that began beyond it.
pub(super) fn beyond(entries: &[Entry], lives: &[usize], racks: &BTreeMap<MachineId, RackId>) -> Vec<String> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if lives.contains(&place) {
            // windows begin empty
            reader.suspects.clear();
        }
        found.extend(reader.take(&entry.record.fact, entry.record.at, racks));
    }
    found
}

impl Reader {
    fn take(&mut self, fact: &Fact, at: WallTime, racks: &BTreeMap<MachineId, RackId>) -> Option<String> {
        let by_hand = std::mem::take(&mut self.asked);
        match fact {
            Fact::Suspected { server, machine, symptom, .. } => {
                *self.told.entry(server.clone()).or_default() += 1;
                let before = self.suspects.remove(server).filter(|before| before.machine == *machine);
                if GONE.contains(&symptom.as_str()) {
                    let since = before.map_or(at, |before| before.since);
                    self.suspects.insert(server.clone(), Suspect { machine: machine.clone(), since });
                }
            }
            Fact::Cleared { server } => {
                *self.told.entry(server.clone()).or_default() += 1;
                self.suspects.remove(server);
            }
            Fact::Maintenance { subject: Subject::Machine(machine), .. } => drop(self.works.insert(machine.clone())),
            Fact::Consented { to: Consent::LetGo { .. }, .. } => self.let_go = true,
            Fact::Intended { .. } => self.asked = true,
            Fact::Sealed { plan, .. } => {
                let own = self.suspects.remove(plan.server()?)?;
                let by_itself = plan.body().kind == Kind::Failover && !by_hand && !self.let_go;
                if by_itself && !self.works.contains(&own.machine) {
                    let (server, other) = self.beside(&own, racks)?;
                    return Some(format!(
                        "{} of {} began by itself while {} with {server} in the same rack was suspect as well, since {} ms",
                        plan.id(),
                        own.machine,
                        other.machine,
                        at.0.saturating_sub(other.since.0)
                    ));
                }
            }
            _ => {}
        }
        None
    }

    /// Another suspect of the same rack, since about the same time.
    fn beside(&self, own: &Suspect, racks: &BTreeMap<MachineId, RackId>) -> Option<(&ServerId, &Suspect)> {
        let rack = racks.get(&own.machine)?;
        self.suspects.iter().find(|(server, other)| {
            let near = other.since.0.abs_diff(own.since.0) <= TOGETHER_MS;
            let shared = racks.get(&other.machine) == Some(rack) && other.machine != own.machine;
            let steady = self.told.get(*server).is_none_or(|told| *told <= FLAPS);
            near && shared && steady && !self.works.contains(&other.machine)
        })
    }
}
