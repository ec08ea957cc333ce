//! When a fence is proven: the rules over confirmed parts, and the only makers of authorities.

use super::{Authority, FenceProof, NeverPlaced, SameHolder, human, outlets, volumes};
use crate::plan::Kind;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Task, Work};
use std::collections::BTreeSet;
use vocabulary::estate::ProofChoice;
use vocabulary::{Instant, MachineId};

/// Parts of one machine's fence that stand now, with the age of the oldest.
struct Parts {
    power: Option<Instant>,
    power_is_strong: bool,
    outlets: Option<Instant>,
    human: Option<Instant>,
    network: Option<Instant>,
    permits: Option<Instant>,
}

/// Earns the authority of a first start or a failover, if what is confirmed now suffices. Nothing confirmed longer ago than
/// `fresh_for` is counted. The storage law: every exclusive volume needs S, whatever else stands.
pub fn judge(state: &State, work: &Work, now: Instant) -> Option<Authority> {
    let server = work.plan.server()?;
    let fresh = |task: &Task| fresh(state, task, now);
    let volumes = volumes(state, work);
    if volumes.is_empty() {
        // no volume is not every volume: S is unavailable
        return None;
    }
    let mut storage = Some(now);
    for volume in volumes {
        let at = work.tasks.get(&Key::Volume(volume)).and_then(fresh);
        storage = storage.zip(at).map(|(a, b)| a.min(b));
    }
    let storage = storage?;
    if work.plan.body().kind == Kind::FirstStart {
        // nobody ever held it; once this very plan owns it, nobody else did
        let never = state.ledger.servers.get(server).is_none_or(|row| match &row.placement {
            None => row.past.is_empty(),
            Some(placement) => placement.epoch == work.plan.epoch() && row.past.iter().all(|held| held == work.plan.target()),
        });
        let permits = oldest(work, now, |key| matches!(key, Key::Permit(..)), fresh)?;
        return never.then(|| Authority::NeverPlaced(NeverPlaced { plan: work.plan.id(), confirmed: storage.min(permits) }));
    }
    let machines = &work.plan.body().fence;
    if machines.is_empty() {
        // an empty list proves nothing
        return None;
    }
    let mut confirmed = storage;
    let mut sets = BTreeSet::new();
    for machine in machines {
        let (set, at) = sufficient(state, work, machine, now)?;
        sets.extend(set);
        confirmed = confirmed.min(at);
    }
    Some(Authority::Fenced(FenceProof {
        plan: work.plan.id(),
        machines: machines.clone(),
        sets: sets.into_iter().map(str::to_owned).chain(["S".to_owned()]).collect::<BTreeSet<_>>().into_iter().collect(),
        confirmed,
    }))
}

/// An answer of the server that was asked for after a machine's first Off makes that Off a lie, and P is begun anew. Only before the
/// ownership transaction: until then no machine but those that are fenced could answer. A wrong answer is one too.
pub(super) fn answered(state: &State, work: &mut Work, now: Instant) {
    let owned = state.ledger.plans.get(&work.plan.id()).is_none_or(|row| row.owned);
    if work.phase != Phase::Fence || owned || work.plan.body().kind != Kind::Failover {
        return;
    }
    let Some((server, watch)) = work.plan.server().and_then(|id| state.watch.servers.get_key_value(id)) else { return };
    let answers = watch.vantages.iter().filter(|(_, seen)| seen.outcome.answered());
    let Some((asked, vantage)) = answers.filter_map(|(id, seen)| Some((seen.asked_after?, id))).max() else { return };
    let sign = format!("{server} was answered for at {vantage}");
    outlets::served(state, work, (asked, now), &sign);
    human::answered(state, work, (asked, now), &sign);
    for (key, task) in &mut work.tasks {
        let Key::Power(machine) = key else { continue };
        if task.window.as_ref().is_none_or(|window| asked < window.first_off) {
            continue;
        }
        let sign = format!("{server} was answered for at {vantage} although the BMC of {machine} says Off");
        task.window = None;
        task.acted_at = None;
        task.evidence = None;
        task.veto = Some(sign.clone());
        task.retry(now, sign);
    }
}

/// The first sufficient set of one machine: N beside S, P (weak P counts since S stands), O, or H. S was judged before.
fn sufficient(state: &State, work: &Work, machine: &MachineId, now: Instant) -> Option<(Vec<&'static str>, Instant)> {
    let parts = parts(state, work, machine, now);
    let choice = state.estate.settings.fencing.proof;
    let by_power = parts.power.filter(|_| choice != ProofChoice::StorageAndNetworkOnly);
    let by_network = parts.network.filter(|_| network_counts(state, machine));
    let power = if parts.power_is_strong { "P" } else { "P (weak)" };
    let sets = [("N", by_network), (power, by_power), ("O", parts.outlets), ("H", parts.human)];
    let (set, at) = sets.into_iter().find_map(|(set, at)| Some((vec![set], at?)))?;
    // old permits: revocation confirmed everywhere, or N stands
    match (parts.permits, parts.network) {
        (Some(permits), _) => Some((set, at.min(permits))),
        (None, Some(network)) => Some((set, at.min(network))),
        (None, None) => None,
    }
}

/// True if N may be a part of this machine's proof.
fn network_counts(state: &State, machine: &MachineId) -> bool {
    let Some(document) = state.estate.machines.get(machine) else { return false };
    let reach = vocabulary::lack::proof_reach(machine, document, &state.estate);
    state.estate.settings.fencing.proof != ProofChoice::PowerOnly && reach.storage_and_network.is_empty()
}

/// True if the proof of this machine needs no P, since N stands.
pub(super) fn stands_by_network(state: &State, work: &Work, machine: &MachineId, now: Instant) -> bool {
    network_counts(state, machine) && parts(state, work, machine, now).network.is_some()
}

fn parts(state: &State, work: &Work, machine: &MachineId, now: Instant) -> Parts {
    let fresh = |task: &Task| fresh(state, task, now);
    let power_task = work.tasks.get(&Key::Power(machine.clone()));
    let ports = state.estate.machines.get(machine).map(|m| m.ports()).unwrap_or_default();
    // an empty list makes the set unavailable, never true
    let network =
        if ports.is_empty() { None } else { oldest(work, now, |key| matches!(key, Key::Port(of, _) if of == machine), fresh) };
    let services = state.estate.boot_services_of(machine);
    let permits = if services.is_empty() {
        None
    } else {
        oldest(work, now, |key| matches!(key, Key::Permit(of, _) if of == machine), fresh)
    };
    let outlets = outlets::proven(state, work, machine, fresh);
    let power_is_strong = power_task.is_some_and(|task| task.strong);
    let human = human::proven(state, work, machine, now);
    Parts { power: power_task.and_then(fresh), power_is_strong, outlets, human, network, permits }
}

/// The oldest confirmation among the tasks of a kind; `None` if one of them is not confirmed freshly, or there is none.
fn oldest(work: &Work, now: Instant, kind: impl Fn(&Key) -> bool, fresh: impl Fn(&Task) -> Option<Instant>) -> Option<Instant> {
    let mut found = work.tasks.iter().filter(|(key, _)| kind(key)).peekable();
    found.peek()?;
    found.try_fold(now, |oldest, (_, task)| fresh(task).map(|at| oldest.min(at)))
}

fn fresh(state: &State, task: &Task, now: Instant) -> Option<Instant> {
    match task.progress {
        Progress::Confirmed(at) if now.since(at) <= state.estate.settings.fencing.fresh_for => Some(at),
        _ => None,
    }
}

/// The authority of a restart in place: the ledger says that the target owns the server.
pub fn same_holder(state: &State, work: &Work) -> Option<Authority> {
    let placement = state.ledger.placement(work.plan.server()?)?;
    let stays = placement.machine == *work.plan.target() && work.plan.body().kind == Kind::Restart;
    stays.then(|| Authority::SameHolder(SameHolder { plan: work.plan.id() }))
}

/// Parts of the fence that are not confirmed: machine, what, why. They become standing orders when the plan closes.
pub fn uncut(work: &Work) -> Vec<(MachineId, String, String)> {
    work.tasks
        .iter()
        .filter(|(_, task)| !task.is_confirmed() && task.progress != Progress::Unavailable)
        // one that is off by its outlets needs no BMC to be off
        .filter(|(key, _)| !matches!(key, Key::Power(machine) if outlets::are_cut(work, machine)))
        .filter_map(|(key, task)| {
            let (machine, what) = order(key)?;
            Some((machine, what, task.reason.clone().unwrap_or_else(|| "not answered yet".to_owned())))
        })
        .collect()
}

/// What of a fence is not confirmed, volumes included, each with its reason; what every proof needs comes first.
pub fn missing(work: &Work) -> Vec<String> {
    let open = work.tasks.iter().filter(|(_, task)| !task.is_confirmed() && task.progress != Progress::Unavailable);
    let named = open.filter_map(|(key, task)| {
        // what nothing else can stand for comes first
        let (rank, what) = match key {
            Key::Volume(volume) => (0, format!("revoke {volume}")),
            Key::Permit(..) => (1, order(key).map(|(machine, what)| format!("{machine}: {what}"))?),
            _ => (2, order(key).map(|(machine, what)| format!("{machine}: {what}"))?),
        };
        Some((rank, format!("{what} ({})", task.reason.as_deref().unwrap_or("no answer yet"))))
    });
    let mut named: Vec<(u8, String)> = named.collect();
    named.sort();
    named.into_iter().map(|(_, text)| text).collect()
}

/// A fencing task as a standing order: machine and what.
pub(crate) fn order(key: &Key) -> Option<(MachineId, String)> {
    match key {
        Key::Power(machine) => Some((machine.clone(), "power off".to_owned())),
        Key::Port(machine, port) => Some((machine.clone(), format!("bar {port}"))),
        Key::Permit(machine, service) => Some((machine.clone(), format!("revoke permit at {service}"))),
        Key::Cut(machine, outlet) => Some((machine.clone(), format!("cut outlet {outlet}"))),
        _ => None,
    }
}
