//! The plans that fence no other machine: enrolment, orderly stop, restart in place, release.

use super::{enter, give_up, trial};
use crate::effect::Agent;
use crate::intents::pool_for;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::Fact;
use crate::s1_detect::FRESH_POLLS;
use crate::s3_fence;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Work, limits};
use crate::{s2_decide, s9_return};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::power::{MachineReading, RestorePolicy};
use vocabulary::request::{Action, Resource};
use vocabulary::{Instant, MachineId, OutletId, PortId, Span};

pub(super) fn begin(state: &mut State, work: &mut Work, out: &mut Out) {
    match work.plan.body().kind {
        Kind::Enrol => {
            enter(state, work, out, Phase::Clear, &[Stage::Verify]);
        }
        Kind::Stop => {
            work.want(Key::ShutDown, out.now);
            enter(state, work, out, Phase::Clear, &[Stage::Boot]);
        }
        Kind::Restart => enter(state, work, out, Phase::Clear, &[Stage::Boot]),
        Kind::Release => enter(state, work, out, Phase::Clear, &[Stage::Fence]),
        Kind::Failover | Kind::FirstStart => {}
    }
}

/// What the machine's BMC told just now, in this life.
fn power_now<'a>(state: &'a State, machine: &MachineId, now: Instant) -> Option<&'a MachineReading> {
    let watch = state.watch.machines.get(machine).filter(|watch| watch.failing_since.is_none())?;
    let fresh = FRESH_POLLS * state.estate.settings.detection.power_every.0.max(1000);
    watch.last.as_ref().filter(|(at, _)| now.since(*at).0 <= fresh).map(|(_, reading)| reading)
}

pub(super) fn drive(state: &mut State, work: &mut Work, out: &mut Out) {
    match work.plan.body().kind {
        Kind::Enrol => enrol(state, work, out),
        Kind::Stop => stop(state, work, out),
        Kind::Restart => restart(state, work, out),
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
            Key::Identity | Key::WaitOff | Key::Dark | Key::Back => (
                Agent::of_bmc(&state.estate, &machine),
                of_machine,
                Stage::Verify,
                Action::ReadMachine { machine: machine.clone() },
            ),
            Key::RestorePolicy => (
                Agent::of_bmc(&state.estate, &machine),
                of_machine,
                Stage::Verify,
                Action::SetRestorePolicyOff { machine: machine.clone() },
            ),
            Key::ShutDown => {
                (Agent::of_bmc(&state.estate, &machine), of_machine, Stage::Boot, Action::ShutDown { machine: machine.clone() })
            }
            Key::Park(port) => {
                let action = Action::ParkPort { port: port.clone(), parking };
                (Agent::Switch(port.switch.clone()), Resource::Port(port.clone()), Stage::Return, action)
            }
            Key::Supplies => (
                Agent::of_bmc(&state.estate, &machine),
                of_machine,
                Stage::Verify,
                Action::CountSupplies { machine: machine.clone() },
            ),
            Key::Load(outlet) => at_outlet(outlet, Action::ReadOutlet { outlet: outlet.clone() }),
            Key::Feed(outlet) => at_outlet(outlet, Action::FeedOutlet { outlet: outlet.clone() }),
            Key::Cut(_, outlet) => {
                let seen_off = work.tasks.get(&key).is_some_and(|task| task.window.is_some());
                let outlet = outlet.clone();
                let action = if seen_off {
                    Action::ReadOutlet { outlet: outlet.clone() }
                } else {
                    Action::CutOutlet { outlet: outlet.clone() }
                };
                at_outlet(&outlet, action)
            }
            Key::Unbar(agent) => {
                let resources = barred_at(state, work).remove(agent).unwrap_or_default();
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

fn at_outlet(outlet: &OutletId, action: Action) -> (Agent, Resource, Stage, Action) {
    (Agent::Outlets(outlet.pdu.clone()), Resource::Outlet(outlet.clone()), Stage::Verify, action)
}

/// True if a plan has begun to cut the machine's outlets, and nobody has fed them since.
fn outlets_cut(state: &State, machine: &MachineId) -> bool {
    state.ledger.machines.get(machine).is_some_and(|row| row.outlets_cut.is_some())
}

/// What a release lifts, and an enrolment of outlets, by agent.
fn barred_at(state: &State, work: &Work) -> BTreeMap<Agent, Vec<Resource>> {
    let machine = work.plan.target();
    let mut barred: BTreeMap<Agent, Vec<Resource>> = BTreeMap::new();
    if work.plan.body().kind == Kind::Enrol || outlets_cut(state, machine) {
        for outlet in trial::entered(state, machine) {
            barred.entry(Agent::Outlets(outlet.pdu.clone())).or_default().push(Resource::Outlet(outlet));
        }
    }
    barred.entry(Agent::of_bmc(&state.estate, machine)).or_default().push(Resource::Machine(machine.clone()));
    for port in ports(state, machine) {
        barred.entry(Agent::Switch(port.switch.clone())).or_default().push(Resource::Port(port));
    }
    for service in state.estate.boot_services_of(machine) {
        barred.entry(Agent::Boot(service.clone())).or_default().push(Resource::Permit(machine.clone()));
    }
    barred
}

fn enrol(state: &mut State, work: &mut Work, out: &mut Out) {
    // what was sealed is what is done: of a machine that is only observed, the plan has no step but the reading
    let only_read = work.plan.body().steps.len() <= 1;
    if !only_read && !trial::begin(state, work, out) {
        return send(state, work, out);
    }
    work.want(Key::Identity, out.now);
    send(state, work, out);
    if let Some(task) = work.tasks.get(&Key::Identity).filter(|task| !task.is_confirmed()) {
        // one whose outlets were left off by an earlier trial takes its time to answer again
        let returning = outlets_cut(state, work.plan.target()) && out.now.since(work.since) < limits::BMC_RETURN;
        if task.tries >= limits::ENROL_TRIES && !returning {
            let reason = task.reason.clone().unwrap_or_default();
            give_up(state, work, out, "F0105", format!("{} could not be enrolled: {reason}", work.plan.target()), false);
        }
        return;
    }
    if only_read {
        let returns = work.identity.as_ref().is_none_or(|reading| reading.restore_policy != RestorePolicy::AlwaysOff);
        return enrolled(state, work, out, returns, &Err("it is only observed".to_owned()));
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
        let tried = trial::drive(state, work, out);
        send(state, work, out);
        return match (tried, trial::waits_since(work)) {
            (Some(tried), _) => enrolled(state, work, out, policy == Some(Progress::Unavailable), &tried),
            (None, Some(since)) if out.now.since(since) > limits::BMC_RETURN => {
                let reason = format!("the BMC of {} has not answered since its outlets were fed again", work.plan.target());
                give_up(state, work, out, "F0105", reason, false);
            }
            (None, _) => {}
        };
    }
    expire(state, work, out, limits::SHUT_DOWN, ("F0105", "the machine could not be enrolled"));
}

fn enrolled(state: &mut State, work: &mut Work, out: &mut Out, returns_by_itself: bool, tried: &Result<(), String>) {
    let Some(reading) = work.identity.clone() else { return };
    let machine = work.plan.target().clone();
    let entered: BTreeSet<OutletId> = trial::entered(state, &machine).into_iter().collect();
    let text = match tried {
        _ if entered.is_empty() => format!("{machine} is enrolled"),
        Ok(()) => format!("{machine} is enrolled, and goes dark by its outlets"),
        Err(why) => format!("{machine} is enrolled; its outlets prove nothing: {why}"),
    };
    let outlets = if tried.is_ok() { entered } else { BTreeSet::new() };
    let (identity, certificate) = (reading.identity, reading.certificate);
    let fact = Fact::Enrolled { machine, identity, certificate, returns_by_itself, outlets };
    out.record(&mut state.ledger, fact);
    s9_return::close(state, work, out, Ok(text));
}

fn expire(state: &mut State, work: &mut Work, out: &mut Out, patience: Span, (code, what): (&str, &str)) {
    if out.now.since(work.since) <= patience {
        return out.wake(work.since + patience + Span::ms(1));
    }
    let why: BTreeSet<String> =
        work.tasks.values().filter(|task| !task.is_confirmed()).filter_map(|task| task.reason.clone()).collect();
    let reason = format!("{what} within {patience}: {}", why.into_iter().collect::<Vec<_>>().join("; "));
    give_up(state, work, out, code, reason, false);
}

fn stop(state: &mut State, work: &mut Work, out: &mut Out) {
    if work.confirmed(&Key::ShutDown) {
        work.want(Key::WaitOff, out.now);
    }
    send(state, work, out);
    if !work.confirmed(&Key::WaitOff) {
        return expire(state, work, out, limits::SHUT_DOWN, ("F0702", "the operating system did not stop"));
    }
    let Some(server) = work.plan.server().cloned() else { return };
    out.record(&mut state.ledger, Fact::Desired { server: server.clone(), running: false });
    s9_return::close(state, work, out, Ok(format!("{server} is stopped")));
}

/// A machine that is off is powered on. One that is on is asked to stop first, by the life of the controller that opened the plan and by no later one:
/// what came of it meanwhile nobody knows. A verdict's restart is decided upon anew whenever it is about to ask.
fn restart(state: &mut State, work: &mut Work, out: &mut Out) {
    let target = work.plan.target().clone();
    let row = state.ledger.plans.get(&work.plan.id());
    let (begun, powered) = row.map_or((false, false), |row| (row.begun, row.power_on_sent));
    let off = power_now(state, &target, out.now).map(MachineReading::all_off);
    let asked = work.tasks.get(&Key::ShutDown).map(|task| task.progress.clone());
    let may_ask = !matches!(asked, Some(Progress::Confirmed(_) | Progress::InFlight(..)));
    if let (true, true, Some(server)) = (work.by_verdict, may_ask, work.plan.server())
        && let Err(why) = s2_decide::restart::stands(state, server, out.now)
    {
        return give_up(state, work, out, "F0303", why, false);
    }
    match off {
        _ if powered || asked.is_some() => {}
        Some(false) if work.resumed && !begun => {
            let reason = format!("the controller restarted before it was asked to stop, and {target} is on");
            return give_up(state, work, out, "F0301", reason, false);
        }
        Some(false) if work.resumed => work.want(Key::WaitOff, out.now),
        // it is not stopped before something is there that lets it boot again
        Some(false) if work.advanced.contains(&Resource::Permit(target.clone())) => work.want(Key::ShutDown, out.now),
        Some(_) | None => {}
    }
    if work.confirmed(&Key::ShutDown) {
        work.want(Key::WaitOff, out.now);
    }
    send(state, work, out);
    let is_off = work.confirmed(&Key::WaitOff) || (asked.is_none() && off == Some(true));
    if (powered || is_off) && advanced(work) {
        // the boot phase reads the target before it powers it on, and rests on the placement that stays
        return enter(state, work, out, Phase::Boot, &[]);
    }
    let what = if asked.is_some() { "the operating system did not stop" } else { "it could not be begun" };
    expire(state, work, out, limits::STOP_FOR_RESTART, ("F0702", what));
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
    let walled = work.tasks.iter().all(|(key, task)| !matches!(key, Key::Permit(..) | Key::Port(..)) || task.is_confirmed());
    let dark = outlets_cut(state, &machine);
    if dark && walled {
        // its BMC needs mains, and whatever starts with it is walled in
        trial::feed(state, work, out.now);
        send(state, work, out);
    }
    let proven = walled && work.confirmed(&Key::Power(machine.clone()));
    let patience = if dark { limits::BMC_RETURN } else { limits::SHUT_DOWN };
    if !proven {
        // what is proven anew is barred anew: bars that were lifted are lifted again, and ports parked again
        let of_release = |key: &Key| match key {
            Key::Unbar(agent) => !matches!(agent, Agent::Outlets(_)),
            other => matches!(other, Key::Park(_)),
        };
        work.tasks.retain(|key, task| !of_release(key) || matches!(task.progress, Progress::InFlight(..)));
        return expire(state, work, out, patience, ("F0904", "the machine is not proven off and cut off"));
    }
    let barred = barred_at(state, work);
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
    expire(state, work, out, patience, ("F0904", "the machine could not be parked"));
}
