//! Which machine may bear which server. Hard fit is law, soft fit is order; every machine passed over has its reason.

use crate::ledger::Standing;
use crate::overrule;
use crate::plan::{Kind, PassedOver};
use crate::record::Subject;
use crate::reload;
use crate::state::State;
use crate::work::limits;
use std::collections::BTreeSet;
use vocabulary::estate::{Machine, Server};
use vocabulary::{Instant, MachineId, ServerId};

/// Every machine that could be asked to bear the server: its pool's, and those released into its pool.
pub fn candidates(state: &State, server: &ServerId) -> BTreeSet<MachineId> {
    let Some(profile) = state.estate.servers.get(server) else { return BTreeSet::new() };
    let listed = state.estate.pools.get(&profile.pool).map(|pool| pool.machines.clone()).unwrap_or_default();
    let released =
        state.ledger.machines.iter().filter(|(_, row)| row.pool.as_ref() == Some(&profile.pool)).map(|(id, _)| id.clone());
    listed.into_iter().chain(released).collect()
}

/// Why a machine cannot bear the server now; empty if it can.
pub fn obstacles(state: &State, server: &ServerId, machine: &MachineId, now: Instant) -> Vec<String> {
    let (Some(profile), Some(document)) = (state.estate.servers.get(server), state.estate.machines.get(machine)) else {
        return vec!["it is not in the estate".to_owned()];
    };
    let mut reasons = Vec::new();
    match state.ledger.standing(machine) {
        Standing::Free => {}
        Standing::Reserved(plan) => reasons.push(format!("it is reserved by plan {plan}")),
        Standing::Bearing(other) => reasons.push(format!("it bears {other}")),
        Standing::Quarantined { plan, .. } => {
            reasons.push(format!("it is in quarantine since plan {plan}; `understudy machine release {machine}` lifts it"));
        }
    }
    if let Some(other) = state.ledger.may_bear(machine) {
        reasons.push(format!("it may bear {other}: nobody could say when this store was adopted"));
    }
    if let Some(row) = state.ledger.open_plan_on(machine) {
        reasons.push(format!("plan {} works on it", row.plan.id()));
    }
    if state.ledger.machines.get(machine).is_none_or(|row| row.enrolled.is_none()) {
        reasons.push(format!("it is not enrolled; `understudy machine enroll {machine}` takes it in"));
    }
    if let Some(maintenance) = state.ledger.maintenance.get(&Subject::Machine(machine.clone())) {
        reasons.push(format!("{} works on it: {}", maintenance.principal, maintenance.reason));
    }
    let changes = reload::since_enrolment(&state.ledger, &state.estate, machine);
    if !changes.is_empty() {
        let changes = changes.join("; ");
        reasons.push(format!(
            "it changed since it was enrolled ({changes}); `understudy machine enroll {machine}` takes it in anew"
        ));
    }
    if let Some((agent, _)) = overrule::overruler(state, [machine], None) {
        reasons.push(format!("agent {agent} knows more than this store, and is only observed"));
    }
    reasons.extend(forgetful(state, profile, machine, document));
    reasons.extend(seen_off(state, machine, now));
    reasons.extend(vocabulary::lack::lacks(document, profile, &state.estate).into_iter().map(|lack| lack.to_string()));
    for other in &profile.requires.apart_from {
        let beside = state.ledger.placement(other).and_then(|p| state.estate.machines.get(&p.machine));
        if beside.is_some_and(|beside| beside.rack == document.rack) {
            reasons.push(format!("it is in one rack with {other}"));
        }
    }
    reasons
}

/// Agents that the machine needs and whose memory is not believed: they give nothing. One boot service is enough.
fn forgetful(state: &State, profile: &Server, machine: &MachineId, document: &Machine) -> Vec<String> {
    let ports = profile.networks.iter().filter_map(|network| document.port(&network.role));
    let switches: BTreeSet<String> = ports.map(|port| port.switch.to_string()).collect();
    let services: BTreeSet<String> = state.estate.boot_services_of(machine).into_iter().map(ToString::to_string).collect();
    let older = |agent: &String| state.ledger.older.contains_key(agent);
    let no_service = services.iter().all(older);
    let named = switches.into_iter().filter(older).chain(services.into_iter().filter(|_| no_service));
    named
        .map(|agent| format!("the memory of agent {agent} is an older copy; `understudy agent readopt {agent}` mends it"))
        .collect()
}

/// Targets that were given up before anything was given to them, since the server moved last.
pub fn given_up<'a>(state: &'a State, server: &'a ServerId) -> impl Iterator<Item = &'a MachineId> {
    let plans = state.ledger.plans.values().rev();
    let failovers = plans.filter(move |row| row.plan.server() == Some(server) && row.plan.body().kind == Kind::Failover);
    let since = failovers.take_while(|row| !row.owned);
    since.filter(|row| matches!(&row.closed, Some(Err(ended)) if ended.code == "F0406")).map(|row| row.plan.target())
}

/// Until patrols exist, a spare is proven by this: identity checked and Off within the last minutes. The reason stands in the plan, so
/// it holds no age: the same lack is the same text at every look.
fn seen_off(state: &State, machine: &MachineId, now: Instant) -> Option<String> {
    let Some((at, reading)) = state.watch.machines.get(machine).and_then(|watch| watch.last.as_ref()) else {
        return Some("its BMC was not read yet since the controller started".to_owned());
    };
    if now.since(*at) > limits::SPARE_SEEN {
        return Some(format!("its BMC was not read within the last {}", limits::SPARE_SEEN));
    }
    (!reading.all_off()).then(|| format!("it is not off but {:?}", reading.system_power))
}

/// The best fitting machine and why each other one was passed over.
pub fn choose(state: &State, server: &ServerId, now: Instant) -> (Option<MachineId>, Vec<PassedOver>) {
    choose_like(state, server, None, now)
}

/// The same; the one that persons were shown before stays the best as long as it fits.
pub fn choose_like(
    state: &State,
    server: &ServerId,
    shown: Option<&MachineId>,
    now: Instant,
) -> (Option<MachineId>, Vec<PassedOver>) {
    let mut passed_over = Vec::new();
    let mut fitting = Vec::new();
    for machine in candidates(state, server) {
        let reasons = obstacles(state, server, &machine, now);
        if reasons.is_empty() {
            // one that was given up is tried again after those that were not
            let tried = given_up(state, server).filter(|target| **target == machine).count();
            let foretells = state.ledger.foretold.contains_key(&machine);
            fitting.push((tried, Some(&machine) != shown, foretells, waste(state, server, &machine), machine));
        } else {
            passed_over.push(PassedOver { machine, reason: reasons.join("; ") });
        }
    }
    fitting.sort();
    let mut fitting = fitting.into_iter().map(|(.., machine)| machine);
    let best = fitting.next();
    if let Some(best) = &best {
        passed_over.extend(fitting.map(|machine| PassedOver { machine, reason: format!("{best} fits better") }));
    }
    (best, passed_over)
}

/// Soft fit: memory above need, in MiB. Ties go by name.
fn waste(state: &State, server: &ServerId, machine: &MachineId) -> u64 {
    let need = state.estate.servers.get(server).map_or(0, |profile| profile.requires.memory.0);
    state.estate.machines.get(machine).map_or(0, |document| document.hardware.memory.0.saturating_sub(need) >> 20)
}
