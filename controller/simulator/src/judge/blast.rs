//! The bound of the blast (I11), by the records: while another machine of the same rack is suspect, and became so together with this one, no failover
//! is begun by itself unless a person has let the rack go; and none where a person has to agree, or to begin it. Must never use the guard's own
//! counting, nor what the core takes for agreed.

use journal::Entry;
use pipeline::plan::Kind;
use pipeline::record::{Consent, Fact, Subject};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::Mode;
use vocabulary::{MachineId, PlanId, RackId, ServerId, WallTime};

/// What fails within this time of each other fails together: the guard's window, less what a record may come late.
const TOGETHER_MS: u64 = 100_000;
/// Symptoms that say a machine may be gone.
const GONE: [&str; 4] = ["unexpected-off", "hung", "power-suspected", "spare-failed"];
/// As what a failover ends whose verdict, or whose leave, fell before its first fencing effect.
const NOT_BEGUN: &str = "F0303";
/// So often may a server's suspicion begin or end before its records may be told late.
const FLAPS: usize = 6;

/// A suspicion that stands.
#[derive(Clone)]
struct Suspect {
    machine: MachineId,
    /// When anything was suspected of it first.
    first: WallTime,
    /// When that became a symptom of a machine that may be gone, the last time; `None` while it is none.
    gone: Option<WallTime>,
    /// It is a spare that failed: one more spare is the same failover.
    spare: bool,
}

#[derive(Default)]
struct Reader {
    suspects: BTreeMap<ServerId, Suspect>,
    /// Those whose failover has begun: if it comes to nothing, what is suspected of the machine then is what was suspected before, and no new death.
    carried: BTreeMap<ServerId, Suspect>,
    told: BTreeMap<ServerId, usize>,
    works: BTreeSet<MachineId>,
    let_go: bool,
    asked: bool,
    /// How far the tiers may go. All of a hall are set together.
    mode: Option<Mode>,
    /// Hashes that somebody has agreed to.
    agreed: BTreeSet<String>,
}

/// Failovers that began beyond it.
pub(super) fn beyond(entries: &[Entry], lives: &[usize], racks: &BTreeMap<MachineId, RackId>) -> Vec<String> {
    let mut reader = Reader::default();
    let mut found = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if lives.contains(&place) {
            // windows begin empty
            reader.suspects.clear();
            reader.carried.clear();
        }
        if let Fact::Closed { plan, result: Err(ended) } = &entry.record.fact
            && ended.code == NOT_BEGUN
        {
            // it was thought better of before anything was touched
            found.remove(plan);
        }
        if let Some((plan, sentence)) = reader.take(&entry.record.fact, entry.record.at, racks) {
            found.insert(plan, sentence);
        }
    }
    found.into_values().collect()
}

impl Reader {
    fn take(&mut self, fact: &Fact, at: WallTime, racks: &BTreeMap<MachineId, RackId>) -> Option<(PlanId, String)> {
        let by_hand = std::mem::take(&mut self.asked);
        match fact {
            Fact::Suspected { server, machine, symptom, .. } => {
                *self.told.entry(server.clone()).or_default() += 1;
                let carried = self.carried.remove(server);
                let before = self.suspects.remove(server).or(carried).filter(|before| before.machine == *machine);
                let first = before.as_ref().map_or(at, |before| before.first);
                let since = before.and_then(|before| before.gone).unwrap_or(at);
                let gone = GONE.contains(&symptom.as_str()).then_some(since);
                let spare = symptom == "spare-failed";
                self.suspects.insert(server.clone(), Suspect { machine: machine.clone(), first, gone, spare });
            }
            Fact::Cleared { server } => {
                *self.told.entry(server.clone()).or_default() += 1;
                self.suspects.remove(server);
                self.carried.remove(server);
            }
            Fact::Owned(ownership) => drop(self.carried.remove(&ownership.server)),
            Fact::Maintenance { subject: Subject::Machine(machine), .. } => drop(self.works.insert(machine.clone())),
            Fact::Consented { to: Consent::LetGo { .. }, .. } => self.let_go = true,
            Fact::Consented { to: Consent::Plan { hash, .. }, .. } => drop(self.agreed.insert(hash.clone())),
            Fact::Ceiling { mode, .. } => self.mode = Some(*mode),
            Fact::Intended { .. } => self.asked = true,
            Fact::Sealed { plan, .. } => {
                let server = plan.server()?;
                let own = self.suspects.remove(server)?;
                if plan.body().kind == Kind::Failover {
                    self.carried.insert(server.clone(), own.clone());
                }
                let by_itself = plan.body().kind == Kind::Failover && !by_hand;
                let agreed = self.agreed.remove(plan.hash());
                match self.mode {
                    Some(Mode::Auto) | None => {}
                    Some(Mode::Approve) if agreed => {}
                    Some(mode) if by_itself && !own.spare => {
                        let text = format!("{} of {} began by itself in mode `{}`", plan.id(), own.machine, mode.word());
                        return Some((plan.id(), text));
                    }
                    Some(_) => {}
                }
                if by_itself && !self.let_go && !self.works.contains(&own.machine) {
                    let (server, other) = self.beside(&own, racks)?;
                    let text = format!(
                        "{} of {} began by itself while {} with {server} in the same rack was suspect as well, since {} ms",
                        plan.id(),
                        own.machine,
                        other.machine,
                        at.0.saturating_sub(other.first.0)
                    );
                    return Some((plan.id(), text));
                }
            }
            _ => {}
        }
        None
    }

    /// Another suspect of the same rack, since about the same time, whichever of a suspicion's beginnings counts.
    fn beside(&self, own: &Suspect, racks: &BTreeMap<MachineId, RackId>) -> Option<(&ServerId, &Suspect)> {
        let rack = racks.get(&own.machine)?;
        self.suspects.iter().find(|(server, other)| {
            let Some((one, two)) = own.gone.zip(other.gone) else { return false };
            let near = one.max(two).0.saturating_sub(own.first.min(other.first).0) <= TOGETHER_MS;
            let shared = racks.get(&other.machine) == Some(rack) && other.machine != own.machine;
            let steady = self.told.get(*server).is_none_or(|told| *told <= FLAPS);
            near && shared && steady && !self.works.contains(&other.machine)
        })
    }
}
