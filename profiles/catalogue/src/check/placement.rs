//! Every server has a machine that fits and a spare that could take over, every machine can be fenced, and no machine is promised
//! twice (F0018-F0021, F0026, F0027, F0031, F0038). It compares; who gets which spare is decided elsewhere, when it is needed.

use super::{Desk, field};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::{Estate, Pool, ProofChoice, Server};
use vocabulary::lack::{Lack, PROVISIONING, ProofGap, lacks, proof_reach_among};
use vocabulary::{MachineId, PoolId, ServerId};

/// Most machines whose reasons one message lists; a pool of hundreds usually lacks one thing for all.
const REASONS_MAX: usize = 8;

pub fn check(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    homes(desk);
    pools(desk);
    for (name, server) in &estate.servers {
        fit(desk, name, server);
    }
    proofs(desk);
    idle(desk);
}

fn homes(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut homes: BTreeMap<&MachineId, &ServerId> = BTreeMap::new();
    for (name, server) in &estate.servers {
        if let Some(other) = homes.insert(&server.home, name) {
            let at = desk.line_of(Kind::Server, other.as_str(), &[field("home")]);
            let message = format!("{} is {other}'s home already ({at})", server.home);
            let word = Word::error(codes::HOME_TWICE, message, "give each server a home of its own: a machine bears one server");
            desk.tell(Kind::Server, name.as_str(), &[field("home")], word);
        }
    }
    for (pool, index, machine) in members(desk.estate.pools.iter()) {
        if let Some(server) = homes.get(machine) {
            let message = format!("{machine} is a spare here, and {server}'s home");
            let word = Word::error(codes::SPARE_TWICE, message, "take it out of the pool, or give the server another home");
            desk.tell(Kind::Pool, pool.as_str(), &[field("machines"), Step::Item(index)], word);
        }
    }
}

fn members<'a>(pools: impl Iterator<Item = (&'a PoolId, &'a Pool)>) -> Vec<(&'a PoolId, usize, &'a MachineId)> {
    pools.flat_map(|(name, pool)| pool.machines.iter().enumerate().map(move |(index, machine)| (name, index, machine))).collect()
}

fn pools(desk: &mut Desk<'_>) {
    let mut seen = BTreeMap::new();
    for (pool, index, machine) in members(desk.estate.pools.iter()) {
        if let Some(other) = seen.insert(machine, pool) {
            let message = if other == pool {
                format!("{machine} stands twice in this pool")
            } else {
                format!("{machine} is a spare of pool {other} already")
            };
            let word =
                Word::error(codes::SPARE_TWICE, message, "leave it in one pool, once: a spare can be promised to one only");
            desk.tell(Kind::Pool, pool.as_str(), &[field("machines"), Step::Item(index)], word);
        }
    }
}

/// True if a server and all that its fit depends on were read as a whole and exist: else its fit would be judged by halves.
fn whole(desk: &Desk<'_>, name: &ServerId, server: &Server) -> bool {
    // an image that does not boot as the server asks is told of the profile
    let bootable = desk.estate.images.get(&server.boot.image).is_some_and(|image| {
        !image.firmware.is_empty() && server.requires.firmware.is_none_or(|mode| image.firmware.contains(&mode))
    });
    let candidates: Vec<_> = std::iter::once(&server.home).chain(spares_of(desk, server)).collect();
    let mut nics = candidates.iter().filter_map(|machine| desk.estate.machines.get(*machine)).flat_map(|machine| &machine.nics);
    bootable
        && !desk.places.holes
        && desk.sound(Kind::Server, name.as_str())
        && desk.sound(Kind::Pool, server.pool.as_str())
        && desk.sound(Kind::Image, server.boot.image.as_str())
        && server.volumes.iter().all(|volume| desk.sound(Kind::Storage, volume.storage.as_str()))
        && desk.places.documents.iter().all(|((kind, _), written)| *kind != Kind::Boot || !written.broken)
        && candidates.iter().all(|machine| desk.sound(Kind::Machine, machine.as_str()))
        && nics.all(|nic| desk.sound(Kind::Switch, nic.switch.as_str()))
}

/// The machines of a server's pool, except its home.
fn spares_of<'a>(desk: &Desk<'a>, server: &'a Server) -> impl Iterator<Item = &'a MachineId> {
    let spares = desk.estate.pools.get(&server.pool).map(|pool| pool.machines.as_slice()).unwrap_or_default();
    spares.iter().filter(|machine| **machine != server.home)
}

fn fit(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let estate = desk.estate;
    let judge = |id: &MachineId| estate.machines.get(id).map(|machine| lacks(machine, server, estate));
    let fits = |id: &MachineId| judge(id).is_some_and(|lacks| lacks.is_empty());
    // the usual case needs no reasons: the home and some spare fit
    if (fits(&server.home) && spares_of(desk, server).any(fits)) || !whole(desk, name, server) {
        return;
    }
    let home = judge(&server.home).unwrap_or_default();
    let spares: Vec<(&MachineId, Vec<Lack>)> = spares_of(desk, server).filter_map(|id| Some((id, judge(id)?))).collect();
    let spare_fits = spares.iter().any(|(_, lacks)| lacks.is_empty());
    let remedy = "correct what the server requires, or what the machine is said to be; else bring a machine that fits";
    if !home.is_empty() && !spare_fits {
        let all = std::iter::once(&(&server.home, home.clone())).chain(&spares).cloned().collect::<Vec<_>>();
        let message = format!("no machine fits {name}: {}", reasons(&all));
        return desk.tell(Kind::Server, name.as_str(), &[], Word::error(codes::NO_FIT, message, remedy));
    }
    if !home.is_empty() {
        let message = format!("{name} does not fit its home {}: {}", server.home, listed(&home));
        desk.tell(Kind::Server, name.as_str(), &[field("home")], Word::error(codes::HOME_UNFIT, message, remedy));
    }
    if spares.is_empty() {
        let message = format!("pool {} holds no spare for {name}: if its machine dies, it stays down", server.pool);
        let word = Word::warning(codes::NO_SPARE, message, "add a machine to the pool");
        desk.tell(Kind::Server, name.as_str(), &[field("pool")], word);
    } else if !spare_fits {
        let message = format!("no spare of pool {} fits {name}: {}", server.pool, reasons(&spares));
        desk.tell(Kind::Server, name.as_str(), &[field("pool")], Word::warning(codes::NO_SPARE, message, remedy));
    }
}

fn listed(lacks: &[Lack]) -> String {
    lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join(", ")
}

fn reasons(judged: &[(&MachineId, Vec<Lack>)]) -> String {
    let mut text =
        judged.iter().take(REASONS_MAX).map(|(id, lacks)| format!("{id} ({})", listed(lacks))).collect::<Vec<_>>().join("; ");
    let more = judged.len().saturating_sub(REASONS_MAX);
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Who may run where, so that thousands of machines need not each look at thousands of servers.
struct Bearing<'a> {
    homes: BTreeMap<&'a MachineId, Vec<(&'a ServerId, &'a Server)>>,
    pools: BTreeMap<&'a MachineId, Vec<&'a PoolId>>,
    servers: BTreeMap<&'a PoolId, Vec<(&'a ServerId, &'a Server)>>,
}

impl<'a> Bearing<'a> {
    fn of(estate: &'a Estate) -> Bearing<'a> {
        let mut bearing = Bearing { homes: BTreeMap::new(), pools: BTreeMap::new(), servers: BTreeMap::new() };
        for (name, server) in &estate.servers {
            bearing.homes.entry(&server.home).or_default().push((name, server));
            bearing.servers.entry(&server.pool).or_default().push((name, server));
        }
        for (pool, _, machine) in members(estate.pools.iter()) {
            bearing.pools.entry(machine).or_default().push(pool);
        }
        bearing
    }

    fn on(&self, machine: &MachineId) -> impl Iterator<Item = (&'a ServerId, &'a Server)> {
        let pools = self.pools.get(machine).into_iter().flatten();
        let spare_for = pools.filter_map(|pool| self.servers.get(pool)).flatten();
        self.homes.get(machine).into_iter().flatten().chain(spare_for).copied()
    }
}

fn proofs(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let bearing = Bearing::of(estate);
    let mut addresses = BTreeMap::new();
    for machine in estate.machines.values() {
        *addresses.entry(machine.bmc.address).or_insert(0) += 1;
    }
    for (id, machine) in &estate.machines {
        let reach = proof_reach_among(machine, None, bearing.on(id), estate);
        let dangling =
            |gap: &ProofGap| matches!(gap, ProofGap::Unswitched { .. } | ProofGap::Unpowered { .. } | ProofGap::Volume { .. });
        // what dangles, is shared or could not be read is told where it stands; half an inventory is not judged
        let told = reach.storage_and_network.iter().chain(&reach.outlets).any(dangling)
            || addresses.get(&machine.bmc.address) != Some(&1);
        if told || !desk.sound(Kind::Machine, id.as_str()) || !desk.settings_sound() {
            continue;
        }
        let gaps = |gaps: &[ProofGap]| gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (power, rest) = (gaps(&reach.power), gaps(&reach.storage_and_network));
        if !reach.any() {
            let message = format!("{id} could never be proven dead: not by power ({power}), not by storage and network ({rest})");
            let remedy = "enter its BMC, the outlets of its power supplies, or all its NICs with switches that have an agent, so that one proof set can be reached";
            // what no server is on, and none may be placed on, may well be only watched
            let bears = bearing.on(id).next().is_some();
            let word = if bears { Word::error } else { Word::warning };
            desk.tell(Kind::Machine, id.as_str(), &[], word(codes::NO_PROOF, message, remedy));
            continue;
        }
        let left_out = estate.settings.fencing.proof != ProofChoice::Any;
        if reach.outlets.is_empty() && (power.is_empty() || rest.is_empty()) {
            continue;
        }
        let (set, why) = if reach.outlets.is_empty() {
            ("its outlets alone", &power)
        } else if power.is_empty() {
            ("power alone", &rest)
        } else {
            ("storage and network alone", &power)
        };
        if !left_out && !why.is_empty() {
            let message = format!("{id} can be proven dead by {set}: {why}");
            let remedy = "close the gap: with one proof set, one unreachable device keeps a failover waiting";
            desk.tell(Kind::Machine, id.as_str(), &[], Word::warning(codes::ONE_PROOF, message, remedy));
        }
    }
}

fn idle(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let all_read =
        desk.places.documents.iter().all(|((kind, _), written)| !matches!(kind, Kind::Server | Kind::Pool) || !written.broken);
    if !all_read || desk.places.holes {
        return;
    }
    let homes = estate.servers.values().map(|server| &server.home);
    if !homes.clone().all(|home| desk.exists(Kind::Machine, home.as_str())) {
        return; // a home that dangles may have meant any of these
    }
    let spares = estate.pools.values().flat_map(|pool| &pool.machines);
    let used: BTreeSet<&MachineId> = homes.chain(spares).collect();
    for id in estate.machines.keys().filter(|id| !used.contains(id)) {
        let message = format!("{id} is neither a server's home nor a spare");
        let word = Word::warning(codes::IDLE, message, "add it to a pool, or make it a server's home");
        desk.tell(Kind::Machine, id.as_str(), &[], word);
    }
    // a boot service that serves nobody is a slip of a VLAN number
    let served: BTreeSet<_> = estate
        .servers
        .values()
        .flat_map(|server| &server.networks)
        .filter(|network| network.role.as_str() == PROVISIONING)
        .map(|network| network.vlan)
        .collect();
    for (name, service) in &estate.boot_services {
        if !served.is_empty() && service.vlans.is_disjoint(&served) {
            let message = format!("boot service {name} serves no server's {PROVISIONING} VLAN");
            let word = Word::warning(codes::IDLE, message, "correct its `vlans:`");
            desk.tell(Kind::Boot, name.as_str(), &[field("vlans")], word);
        }
    }
}
