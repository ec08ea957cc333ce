//! The plans that fence no other machine: enrolment, orderly stop, restart in place, release.

use super::{enter, give_up};
use crate::effect::Agent;
use crate::intents::pool_for;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::Fact;
use crate::s3_fence;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Work, limits};
use crate::{s9_return, watch};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::power::RestorePolicy;
use vocabulary::request::{Action, Resource};
use vocabulary::{MachineId, PortId};

pub(super) fn begin(state: &mut State, work: &mut Work, out: &mut Out) {
    match work.plan.body().kind {
        Kind::Enrol => {
            work.want(Key::Identity, out.now);
            enter(state, work, out, Phase::Clear, &[Stage::Verify]);
        }
        Kind::Stop => {
            work.want(Key::ShutDown, out.now);
            enter(state, work, out, Phase::Clear, &[Stage::Boot]);
        }
        Kind::Restart => {
            let off = power_off_now(state, work.plan.target());
            if !off {
                work.want(Key::ShutDown, out.now);
            }
            enter(state, work, out, Phase::Clear, &[Stage::Boot]);
        }
        Kind::Release => enter(state, work, out, Phase::Clear, &[Stage::Fence]),
        Kind::Failover | Kind::FirstStart => {}
    }
}

fn power_off_now(state: &State, machine: &MachineId) -> bool {
    let watch = state.watch.machines.get(machine);
    watch.is_some_and(|w: &watch::MachineWatch| w.failing_since.is_none() && w.last.as_ref().is_some_and(|(_, r)| r.all_off()))
}

pub(super) fn drive(state: &mut State, work: &mut Work, out: &mut Out) {
    match work.plan.body().kind {
        Kind::Enrol => enrol(state, work, out),
        Kind::Stop | Kind::Restart => stop(state, work, out),
        Kind::Release => release(state, work, out),
        Kind::Failover | Kind::FirstStart => {}
    }
}

fn ports(state: &State, machine: &MachineId) -> Vec<PortId> {
    state.estate.machines.get(machine).map(|document| document.ports()).unwrap_or_default()
}

/// Sends the own steps that are due, each once its resource's agent has advanced.
fn send(state: &mut State, work: &mut Work, out: &mut Out) {
    s3_fence::drive_advance(state, work, out);
    let machine = work.plan.target().clone();
    let parking = state.estate.settings.vlans.parking;
    for key in work.due(out.now) {
        let of_machine = Resource::Machine(machine.clone());
        let (agent, resource, stage, action) = match &key {
            Key::Identity | Key::WaitOff => {
                (Agent::Bmc, of_machine, Stage::Verify, Action::ReadMachine { machine: machine.clone() })
            }
            Key::RestorePolicy => {
                (Agent::Bmc, of_machine, Stage::Verify, Action::SetRestorePolicyOff { machine: machine.clone() })
            }
            Key::ShutDown => (Agent::Bmc, of_machine, Stage::Boot, Action::ShutDown { machine: machine.clone() }),
            Key::Park(port) => {
                let action = Action::ParkPort { port: port.clone(), parking };
                (Agent::Switch(port.switch.clone()), Resource::Port(port.clone()), Stage::Return, action)
            }
            Key::Unbar(agent) => {
                let resources = barred_at(state, &machine).remove(agent).unwrap_or_default();
                let Some(first) = resources.first().cloned() else { continue };
                (agent.clone(), first, Stage::Return, Action::LiftBar { resources })
            }
            _ => continue,
        };
        if work.advanced.contains(&resource) {
            work.send(&mut state.ledger, out, key, agent, stage, action);
        }
    }
}

/// What a release lifts, by agent.
fn barred_at(state: &State, machine: &MachineId) -> BTreeMap<Agent, Vec<Resource>> {
    let mut barred: BTreeMap<Agent, Vec<Resource>> = BTreeMap::new();
    barred.entry(Agent::Bmc).or_default().push(Resource::Machine(machine.clone()));
    for port in ports(state, machine) {
        barred.entry(Agent::Switch(port.switch.clone())).or_default().push(Resource::Port(port));
    }
    for service in state.estate.boot_services_of(machine) {
        barred.entry(Agent::Boot(service.clone())).or_default().push(Resource::Permit(machine.clone()));
    }
    barred
}

fn enrol(state: &mut State, work: &mut Work, out: &mut Out) {
    send(state, work, out);
    if let Some(task) = work.tasks.get(&Key::Identity).filter(|task| !task.is_confirmed()) {
        if task.tries >= limits::ENROL_TRIES {
            let reason = task.reason.clone().unwrap_or_default();
            give_up(state, work, out, "F0105", format!("{} could not be enrolled: {reason}", work.plan.target()), false);
        }
        return;
    }
    // what was sealed is what is done: of a machine that is only observed, the plan has no step but the reading
    if work.plan.body().steps.len() <= 1 {
        let returns = work.identity.as_ref().is_none_or(|reading| reading.restore_policy != RestorePolicy::AlwaysOff);
        return enrolled(state, work, out, returns);
    }
    work.want(Key::RestorePolicy, out.now);
    let ports = ports(state, work.plan.target());
    for port in &ports {
        work.want(Key::Park(port.clone()), out.now);
    }
    send(state, work, out);
    let policy = work.tasks.get(&Key::RestorePolicy).map(|task| task.progress.clone());
    let policy_done = matches!(policy, Some(Progress::Confirmed(_) | Progress::Unavailable));
    if policy_done && ports.iter().all(|port| work.confirmed(&Key::Park(port.clone()))) {
        return enrolled(state, work, out, policy == Some(Progress::Unavailable));
    }
    expire(state, work, out, "F0105", "the machine could not be enrolled");
}

fn enrolled(state: &mut State, work: &mut Work, out: &mut Out, returns_by_itself: bool) {
    let Some(reading) = work.identity.clone() else { return };
    let machine = work.plan.target().clone();
    let text = format!("{machine} is enrolled");
    let fact = Fact::Enrolled { machine, identity: reading.identity, certificate: reading.certificate, returns_by_itself };
    out.record(&mut state.ledger, fact);
    s9_return::close(state, work, out, Ok(text));
}

fn expire(state: &mut State, work: &mut Work, out: &mut Out, code: &str, what: &str) {
    if out.now.since(work.since) <= limits::SHUT_DOWN {
        return out.wake(work.since + limits::SHUT_DOWN + vocabulary::Span::ms(1));
    }
    let why: BTreeSet<String> =
        work.tasks.values().filter(|task| !task.is_confirmed()).filter_map(|task| task.reason.clone()).collect();
    let reason = format!("{what} within {}: {}", limits::SHUT_DOWN, why.into_iter().collect::<Vec<_>>().join("; "));
    give_up(state, work, out, code, reason, false);
}

fn stop(state: &mut State, work: &mut Work, out: &mut Out) {
    if work.confirmed(&Key::ShutDown) {
        work.want(Key::WaitOff, out.now);
    }
    send(state, work, out);
    let asked = work.tasks.contains_key(&Key::ShutDown);
    if asked && !work.confirmed(&Key::WaitOff) {
        return expire(state, work, out, "F0702", "the operating system did not stop");
    }
    if work.plan.body().kind == Kind::Restart {
        // the boot phase reads the target before it powers it on, and rests on the placement that stays
        if advanced(work) {
            enter(state, work, out, Phase::Boot, &[]);
        }
        return;
    }
    let Some(server) = work.plan.server().cloned() else { return };
    out.record(&mut state.ledger, Fact::Desired { server: server.clone(), running: false });
    s9_return::close(state, work, out, Ok(format!("{server} is stopped")));
}

fn advanced(work: &Work) -> bool {
    let of_target = |resource: &Resource| matches!(resource, Resource::Machine(machine) if machine == work.plan.target());
    work.advanced.iter().any(of_target)
}

fn release(state: &mut State, work: &mut Work, out: &mut Out) {
    let machine = work.plan.target().clone();
    // a release carries no verdict, so this cannot fail
    let _ = s3_fence::drive(state, work, out);
    send(state, work, out);
    let proven = work.confirmed(&Key::Power(machine.clone()))
        && work.tasks.iter().all(|(key, task)| !matches!(key, Key::Permit(..) | Key::Port(..)) || task.is_confirmed());
    if !proven {
        // what is proven anew is barred anew: bars that were lifted are lifted again, and ports parked again
        let of_release = |key: &Key| matches!(key, Key::Unbar(_) | Key::Park(_));
        work.tasks.retain(|key, task| !of_release(key) || matches!(task.progress, Progress::InFlight(..)));
        return expire(state, work, out, "F0904", "the machine is not proven off and cut off");
    }
    let barred = barred_at(state, &machine);
    for agent in barred.keys() {
        work.want(Key::Unbar(agent.clone()), out.now);
    }
    let lifted = barred.keys().all(|agent| work.confirmed(&Key::Unbar(agent.clone())));
    let ports = ports(state, &machine);
    if lifted {
        for port in &ports {
            work.want(Key::Park(port.clone()), out.now);
        }
    }
    send(state, work, out);
    if lifted && ports.iter().all(|port| work.confirmed(&Key::Park(port.clone()))) {
        match pool_for(state, &machine) {
            Ok(pool) => {
                let plan = work.plan.id();
                let text = format!("{machine} is released into pool {pool}");
                out.record(&mut state.ledger, Fact::Released { machine, pool, plan });
                s9_return::close(state, work, out, Ok(text));
            }
            Err(fault) => give_up(state, work, out, "F0903", fault.message, false),
        }
        return;
    }
    expire(state, work, out, "F0904", "the machine could not be parked");
}
