//! The blast-radius guard: a mass of suspicions is an outage of something that the machines share, and no death of machines. It counts them by
//! failure domain, holds what hangs on one that is dark, and lets go only what persons have looked at. It must never say that anything failed.

use super::Hold;
use crate::brake;
use crate::consent;
use crate::ledger::Standing;
use crate::s1_detect::{Symptom, is_suspicion};
use crate::state::State;
use crate::watch::Suspicion;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vocabulary::estate::Machine;
use vocabulary::{FeedId, Instant, MachineId, RackId, SiteId, Span, StorageId, SwitchId};

/// A rack or feed is held from this many suspects on, if they are also this share of its machines.
const RACK_COUNT: usize = 2;
/// See `RACK_COUNT`; also the share of a switch or storage target.
const DOMAIN_PERCENT: usize = 20;
/// A switch or storage target is held above this many suspects.
const SWITCH_COUNT: usize = 3;
/// A suspicion that pauses for less is one: a dead machine whose BMC misses a reading has not died anew.
const SAME_SUSPICION: Span = Span::seconds(30);

/// What machines share, and lose together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shared {
    /// A power feed.
    Feed(FeedId),
    /// A rack.
    Rack(RackId),
    /// A storage target on which their servers have volumes.
    Storage(StorageId),
    /// A switch.
    Switch(SwitchId),
    /// A site.
    Site(SiteId),
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shared::Feed(feed) => write!(f, "feed {feed}"),
            Shared::Rack(rack) => write!(f, "rack {rack}"),
            Shared::Storage(storage) => write!(f, "storage {storage}"),
            Shared::Switch(switch) => write!(f, "switch {switch}"),
            Shared::Site(site) => write!(f, "site {site}"),
        }
    }
}

/// How a failure domain of a machine stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// What it is.
    pub shared: Shared,
    /// Machines of it that fail together with this one, itself included.
    pub suspects: BTreeSet<MachineId>,
    /// Those of them that persons have let go. They count all the same: what fails after them was looked at by nobody.
    pub let_go: BTreeSet<MachineId>,
    /// How many machines it has.
    pub machines: usize,
    /// With so many suspects it is held.
    pub held_from: usize,
    /// Within this time.
    pub window: Span,
}

impl Domain {
    /// True if this machine is held by it.
    pub fn holds(&self, machine: &MachineId) -> bool {
        self.suspects.len() >= self.held_from && !self.let_go.contains(machine)
    }

    /// True if it holds any of its suspects.
    pub fn is_held(&self) -> bool {
        self.suspects.iter().any(|machine| self.holds(machine))
    }
}

/// Every failure domain of a suspect machine, the smallest first.
pub fn domains(state: &State, machine: &MachineId, now: Instant) -> Vec<Domain> {
    shared_by(state, machine).into_iter().map(|shared| domain(state, machine, shared, now)).collect()
}

fn domain(state: &State, machine: &MachineId, shared: Shared, now: Instant) -> Domain {
    let settings = &state.estate.settings.guard;
    let members = members(state, &shared);
    let machines = members.len();
    let (held_from, window) = match shared {
        Shared::Feed(_) | Shared::Rack(_) => (RACK_COUNT.max((machines * DOMAIN_PERCENT).div_ceil(100)), settings.window),
        Shared::Storage(_) | Shared::Switch(_) => (SWITCH_COUNT.max(machines * DOMAIN_PERCENT / 100) + 1, settings.window),
        Shared::Site(_) => {
            let count = (settings.site_count as usize).max(machines * settings.site_percent as usize / 100);
            (count + 1, settings.site_window)
        }
    };
    let name = shared.to_string();
    let suspects: BTreeSet<MachineId> = together(state, machine, &members, window, now).into_iter().cloned().collect();
    let goes = |of: Option<&str>, suspect: &MachineId| consent::lets_go(state, of, suspect, now);
    // whoever has looked at every suspect of a rack has looked at all that its feed is held for
    let let_go = if suspects.iter().all(|suspect| goes(None, suspect)) {
        suspects.clone()
    } else {
        suspects.iter().filter(|suspect| goes(Some(&name), suspect)).cloned().collect()
    };
    Domain { shared, suspects, let_go, machines, held_from, window }
}

/// The guard. `None` lets pass.
pub fn guard(state: &State, machine: &MachineId, now: Instant) -> Option<Hold> {
    let held = domains(state, machine, now).into_iter().find(|domain| domain.holds(machine))?;
    let Domain { shared, suspects, machines, window, .. } = held;
    let text = format!("{} of {machines} machines of {shared} are suspects within {window}: it is held", suspects.len());
    let ends = format!("by itself, when fewer are suspects, or `understudy guard resume {shared} --reason TEXT`");
    Some(Hold::new("F0202", text, ends))
}

/// Every domain with suspects: once each, with the most that it has together.
pub fn troubled(state: &State, now: Instant) -> Vec<Domain> {
    let mut found: BTreeMap<Shared, Domain> = BTreeMap::new();
    for machine in state.watch.suspicions.keys() {
        for shared in shared_by(state, machine) {
            let known = found.get(&shared);
            if known.is_some_and(|known| known.suspects.contains(machine)) {
                continue;
            }
            let fresh = domain(state, machine, shared.clone(), now);
            if known.is_none_or(|known| fresh.suspects.len() > known.suspects.len()) {
                found.insert(shared, fresh);
            }
        }
    }
    found.into_values().collect()
}

/// The machines of a domain that fail together with this one, itself included: suspect within the window, and each since within the
/// window of when another of them began. One that has been dead for weeks is no part of what happens now.
fn together<'a>(
    state: &'a State,
    machine: &'a MachineId,
    members: &BTreeSet<&'a MachineId>,
    window: Span,
    now: Instant,
) -> BTreeSet<&'a MachineId> {
    // one that paused is over: what is suspected now began now
    let own = state.watch.suspicions.get(machine).filter(|suspicion| now.since(suspicion.last) <= SAME_SUSPICION);
    let own = own.map_or(now, |suspicion| suspicion.first);
    let others = state.watch.suspicions.iter().filter(|(id, _)| *id != machine && members.contains(id));
    let lately = others.filter(|(_, suspicion)| now.since(suspicion.last) <= window);
    let mut begun: Vec<(Instant, &MachineId)> = lately.map(|(id, suspicion)| (suspicion.first, id)).collect();
    begun.sort();
    let at = begun.partition_point(|(first, _)| *first < own);
    let (earlier, later) = begun.split_at(at);
    let mut found = BTreeSet::from([machine]);
    let mut edge = own;
    for (first, id) in earlier.iter().rev() {
        if edge.since(*first) > window {
            break;
        }
        (edge, _) = (*first, found.insert(id));
    }
    edge = own;
    for (first, id) in later {
        if first.since(edge) > window {
            break;
        }
        (edge, _) = (*first, found.insert(id));
    }
    found
}

/// What a machine shares with others: feeds, rack, the storage targets of its server, switches, site.
fn shared_by(state: &State, machine: &MachineId) -> Vec<Shared> {
    let Some(own) = state.estate.machines.get(machine) else { return Vec::new() };
    let feeds: BTreeSet<Shared> = own.feeds.iter().cloned().map(Shared::Feed).collect();
    let borne = match state.ledger.standing(machine) {
        Standing::Bearing(server) => state.estate.servers.get(&server),
        Standing::Free | Standing::Reserved(_) | Standing::Quarantined { .. } => None,
    };
    let volumes = borne.into_iter().flat_map(|profile| &profile.volumes);
    let storages: BTreeSet<Shared> = volumes.map(|volume| Shared::Storage(volume.storage.clone())).collect();
    let switches: BTreeSet<Shared> = own.nics.iter().map(|nic| Shared::Switch(nic.switch.clone())).collect();
    let place = [Shared::Rack(own.rack.clone())];
    feeds.into_iter().chain(place).chain(storages).chain(switches).chain([Shared::Site(own.site.clone())]).collect()
}

/// All machines that share it.
fn members<'a>(state: &'a State, shared: &Shared) -> BTreeSet<&'a MachineId> {
    let all = |shares: &dyn Fn(&Machine) -> bool| -> BTreeSet<&'a MachineId> {
        state.estate.machines.iter().filter(|(_, machine)| shares(machine)).map(|(id, _)| id).collect()
    };
    match shared {
        Shared::Feed(feed) => all(&|machine| machine.feeds.contains(feed)),
        Shared::Rack(rack) => all(&|machine| machine.rack == *rack),
        Shared::Switch(switch) => all(&|machine| machine.nics.iter().any(|nic| nic.switch == *switch)),
        Shared::Site(site) => all(&|machine| machine.site == *site),
        Shared::Storage(storage) => {
            let bearer = |(server, row): (&vocabulary::ServerId, &'a crate::ledger::ServerRow)| {
                let volumes = &state.estate.servers.get(server)?.volumes;
                let here = volumes.iter().any(|volume| volume.storage == *storage);
                row.placement.as_ref().filter(|_| here).map(|placement| &placement.machine)
            };
            let known = |machine: &&MachineId| state.estate.machines.contains_key(*machine);
            state.ledger.servers.iter().filter_map(bearer).filter(known).collect()
        }
    }
}

/// Keeps the guard's memory: who is suspect since when, and was last. A suspicion is renewed as long as the symptom lasts, so that a hold
/// of a dark domain does not end by itself; it is forgotten the longest window after its end.
pub fn remember(state: &mut State, found: Option<&Symptom>, now: Instant) {
    let longest = state.estate.settings.guard.window.max(state.estate.settings.guard.site_window);
    state.watch.suspicions.retain(|_, suspicion| now.since(suspicion.last) <= longest);
    // what somebody works on falls silent for that reason
    let counts = |symptom: &&Symptom| is_suspicion(symptom.kind) && brake::worked_on(&state.ledger, &symptom.machine).is_none();
    if let Some(symptom) = found.filter(counts) {
        let before = state.watch.suspicions.get(&symptom.machine).filter(|before| now.since(before.last) <= SAME_SUSPICION);
        let first = before.map_or(now, |before| before.first);
        state.watch.suspicions.insert(symptom.machine.clone(), Suspicion { first, last: now });
    }
}
