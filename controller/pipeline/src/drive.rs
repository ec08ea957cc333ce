//! One plan's way through its phases. Called after every event that may have moved it; never waits, only looks at what is confirmed.

mod answers;
mod clear;
mod trial;

pub use answers::complete;

use crate::effect::Agent;
use crate::fit;
use crate::out::Out;
use crate::overrule;
use crate::plan::Kind;
use crate::record::{Ended, Fact, Ownership};
use crate::s3_fence::{self, Authority};
use crate::s8_verify::{self, Verification};
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Phase, Task, Work, limits};
use crate::{s2_decide, s5_rewire_network, s6_rewire_storage, s7_boot, s9_return};
use vocabulary::check::CheckOutcome;
use vocabulary::power::BootTarget;
use vocabulary::request::{Action, Resource};
use vocabulary::{MachineId, ServerId};

/// Moves one plan as far as it goes now.
pub fn advance(state: &mut State, work: &mut Work, out: &mut Out) {
    let begun = state.ledger.plans.get(&work.plan.id()).is_some_and(|row| row.begun);
    if work.phase == Phase::Fence && !begun && out.now.since(work.since) > limits::PLAN_EXPIRES {
        let reason = format!("no fencing effect within {}", limits::PLAN_EXPIRES);
        return give_up(state, work, out, "F0304", reason, true);
    }
    if work.phase != Phase::Orders {
        let machines = work.plan.body().fence.iter().chain([work.plan.target()]);
        let rivalled = || overrule::rivalled(state).filter(|_| work.phase == Phase::Fence && !begun);
        if let Some((agent, evidence)) = overrule::overruler(state, machines, work.plan.server()).or_else(rivalled) {
            let reason = format!("agent {agent} knows more than this store: {evidence}");
            return give_up(state, work, out, "F0302", reason, false);
        }
    }
    if let Some(hold) = work.stopped(&state.ledger) {
        stand_still(work, out);
        if work.phase == Phase::Fence && !begun && work.by_verdict {
            // nothing was touched: it is decided anew when the hold has ended
            return give_up(state, work, out, "F0303", hold, true);
        }
    }
    // each phase can be entered once, so this ends
    loop {
        let before = work.phase;
        match work.phase {
            Phase::Fence => fence(state, work, out),
            Phase::Wire => wire(state, work, out),
            Phase::Boot => boot(state, work, out),
            Phase::Verify => verify(state, work, out),
            Phase::Clear => clear::drive(state, work, out),
            Phase::Orders => {
                s9_return::tend(state, work, out);
                // standing orders have begun, so no verdict is asked for and this cannot fail
                let _ = s3_fence::drive(state, work, out);
                s9_return::settle(state, work, out);
            }
        }
        if work.phase == before {
            break;
        }
    }
    if let Some(at) = work.next_due(out.now) {
        out.wake(at);
    }
}

/// A person's hold is no fault of the target: its patience begins anew when the hold has ended.
fn stand_still(work: &mut Work, out: &mut Out) {
    if matches!(work.phase, Phase::Wire | Phase::Boot | Phase::Clear) {
        work.since = out.now;
    }
    if work.proven_at.is_some() {
        work.proven_at = Some(out.now);
    }
    out.wake(out.now + limits::HELD_LOOK);
}

fn enter(state: &mut State, work: &mut Work, out: &mut Out, phase: Phase, stages: &[Stage]) {
    work.enter(phase, out.now);
    for stage in stages {
        out.record(&mut state.ledger, Fact::Entered { plan: work.plan.id(), stage: *stage });
    }
}

fn entered(state: &State, work: &Work, stage: Stage) -> bool {
    state.ledger.plans.get(&work.plan.id()).is_some_and(|row| row.entered.iter().any(|(of, _)| *of == stage))
}

fn owned(state: &State, work: &Work) -> bool {
    state.ledger.plans.get(&work.plan.id()).is_some_and(|row| row.owned)
}

fn give_up(state: &mut State, work: &mut Work, out: &mut Out, code: &str, reason: String, target_failed: bool) {
    s9_return::close(state, work, out, Err(Ended { code: code.to_owned(), reason, target_failed }));
}

fn fence(state: &mut State, work: &mut Work, out: &mut Out) {
    if matches!(work.plan.body().kind, Kind::Enrol | Kind::Stop | Kind::Release | Kind::Restart) {
        return clear::begin(state, work, out);
    }
    if !entered(state, work, Stage::Fence) {
        out.record(&mut state.ledger, Fact::Entered { plan: work.plan.id(), stage: Stage::Fence });
    }
    s3_fence::refresh(state, work, out.now);
    if let Err(reason) = s3_fence::drive(state, work, out) {
        return give_up(state, work, out, "F0303", reason, true);
    }
    let Some(authority) = s3_fence::judge(state, work, out.now) else { return unproven(state, work, out) };
    if work.proven_at.is_none() {
        prove(state, work, out, &authority);
    }
    let powered_by_us = state.ledger.plans.get(&work.plan.id()).is_some_and(|row| row.power_on_sent && row.owned);
    if !work.confirmed(&Key::TargetPower) && !powered_by_us {
        let waited = work.proven_at.map_or(0, |at| out.now.since(at).0);
        // one that was off, and is only being asked anew, is off until it answers
        let asked_anew = |task: &Task| task.evidence.is_some() && task.reason.is_none();
        if work.tasks.get(&Key::TargetPower).is_some_and(asked_anew) {
            return;
        }
        if waited > limits::TARGET_OFF_PATIENCE.0 {
            let told = work.tasks.get(&Key::TargetPower).and_then(|task| task.reason.clone());
            let why = told.unwrap_or_else(|| "its BMC has told nothing since it was asked".to_owned());
            give_up(state, work, out, "F0406", format!("the target {} is not proven off: {why}", work.plan.target()), true);
        } else if let Some(at) = work.proven_at {
            out.wake(at + limits::TARGET_OFF_PATIENCE + vocabulary::Span::ms(1));
        }
        return;
    }
    if work.stopped(&state.ledger).is_some() {
        // nothing is lost yet by waiting, and after this there is only forward
        return;
    }
    let lacking = unready(state, work);
    if !lacking.is_empty() && !owned(state, work) {
        return wait_for_agents(state, work, out, &lacking);
    }
    own(state, work, out);
    enter(state, work, out, Phase::Wire, &[Stage::Network, Stage::Storage]);
}

/// What of the target no agent has answered for: ports that the server needs, and its permit if no boot service has. Nothing could be
/// given there.
fn unready(state: &State, work: &Work) -> Vec<String> {
    let Some(server) = work.plan.server() else { return Vec::new() };
    let ports = s5_rewire_network::wanted(state, server, work).into_iter().map(|(port, _)| Resource::Port(port));
    let needed = ports.chain([Resource::Permit(work.plan.target().clone())]);
    needed.filter(|resource| !work.advanced.contains(resource)).map(|resource| resource.to_string()).collect()
}

/// Before ownership nothing is lost by another spare. Each one is waited for longer than the one before, and the last one there is until
/// its agents answer.
fn wait_for_agents(state: &mut State, work: &mut Work, out: &mut Out, lacking: &[String]) {
    let (Some(since), Some(server)) = (work.proven_at, work.plan.server().cloned()) else { return };
    let doublings = fit::given_up(state, &server).count().min(limits::TARGET_DOUBLINGS);
    let patience = vocabulary::Span(limits::TARGET_OFF_PATIENCE.0 << doublings);
    if out.now.since(since) <= patience {
        return out.wake(since + patience + vocabulary::Span::ms(1));
    }
    let target = work.plan.target().clone();
    let why = work.tasks.iter().filter(|(key, _)| matches!(key, Key::Advance(Agent::Switch(_) | Agent::Boot(_))));
    let why = why.filter_map(|(key, task)| match key {
        Key::Advance(agent) => Some(format!("{agent}: {}", task.reason.clone()?)),
        _ => None,
    });
    let why: Vec<String> = why.collect();
    let reason = format!("no agent answered for {} of the target {target}: {}", lacking.join(", "), why.join("; "));
    if work.plan.body().kind != Kind::Failover || fit::choose(state, &server, out.now).0.is_some() {
        return give_up(state, work, out, "F0406", reason, true);
    }
    if state.watch.alarms.insert(format!("unready {}", work.plan.id())) {
        let text = format!("{reason}; no other spare fits {server}, so it is waited for");
        out.record(&mut state.ledger, Fact::Alarm { subject: target.to_string(), code: "F0406".to_owned(), text });
    }
}

/// So many missing parts of a proof are named.
const MISSING_NAMED: usize = 6;

/// A failover that waits for its proof for long is told, with what is missing: a person may be able to give it.
fn unproven(state: &mut State, work: &Work, out: &mut Out) {
    if work.plan.body().kind != Kind::Failover || work.proven_at.is_some() || work.stopped(&state.ledger).is_some() {
        return;
    }
    let patience = work.since + limits::PROOF_PATIENCE;
    if out.now < patience {
        return out.wake(patience);
    }
    let plan = work.plan.id();
    if !state.watch.alarms.insert(format!("unproven {plan}")) {
        return;
    }
    let machines: Vec<String> = work.plan.body().fence.iter().map(ToString::to_string).collect();
    let missing: Vec<String> = s3_fence::missing(work).into_iter().take(MISSING_NAMED).collect();
    let text = format!(
        "{plan} waits for a proof that {} cannot touch {} any more: {}",
        machines.join(" and "),
        work.plan.server().map_or_else(String::new, ToString::to_string),
        missing.join("; ")
    );
    out.record(&mut state.ledger, Fact::Alarm { subject: machines.join(" "), code: "F0313".to_owned(), text });
}

fn prove(state: &mut State, work: &mut Work, out: &mut Out, authority: &Authority) {
    work.proven_at = Some(out.now);
    let of_tasks = work.tasks.values().filter_map(|task| task.evidence.clone());
    let evidence = of_tasks.chain(s3_fence::evidence_by_word(state, work, out.now)).collect();
    let fact = Fact::Proven { plan: work.plan.id(), machines: authority.machines().to_vec(), sets: authority.sets(), evidence };
    out.record(&mut state.ledger, fact);
}

/// The one ownership transaction. Before it everything can be undone; after it there is only forward.
fn own(state: &mut State, work: &Work, out: &mut Out) {
    let Some(server) = work.plan.server().cloned() else { return };
    if owned(state, work) {
        return;
    }
    let from = state.ledger.placement(&server).map(|placement| (placement.machine.clone(), placement.epoch));
    let volumes =
        state.estate.servers.get(&server).map(|profile| profile.volumes.iter().map(|v| v.id()).collect()).unwrap_or_default();
    let ownership = Ownership {
        plan: work.plan.id(),
        server: server.clone(),
        from,
        to: work.plan.target().clone(),
        epoch: work.plan.epoch(),
        volumes,
    };
    out.record(&mut state.ledger, Fact::Owned(ownership));
    if let Some(watch) = state.watch.servers.get_mut(&server) {
        watch.forget();
    }
}

/// The authority as it stands now, judged from what is confirmed now; `None` while a part of it is being confirmed. It is never kept.
fn authority(state: &mut State, work: &mut Work, out: &mut Out) -> Option<Authority> {
    s3_fence::refresh(state, work, out.now);
    // after the ownership transaction the plan is carried through whatever the guard says, so this cannot fail
    let _ = s3_fence::drive(state, work, out);
    s3_fence::judge(state, work, out.now).or_else(|| s3_fence::same_holder(state, work))
}

fn wire(state: &mut State, work: &mut Work, out: &mut Out) {
    let Some(server) = work.plan.server().cloned() else { return };
    let ports = s5_rewire_network::wanted(state, &server, work);
    let volumes: Vec<_> =
        state.estate.servers.get(&server).map(|p| p.volumes.iter().map(|v| v.id()).collect()).unwrap_or_default();
    for (port, _) in &ports {
        work.want(Key::Join(port.clone()), out.now);
    }
    for volume in &volumes {
        work.want(Key::Grant(volume.clone()), out.now);
    }
    if let Some(authority) = authority(state, work, out) {
        send_wiring(state, work, out, &server, &authority);
    }
    let done = ports.iter().all(|(port, _)| work.confirmed(&Key::Join(port.clone())))
        && volumes.iter().all(|volume| work.confirmed(&Key::Grant(volume.clone())));
    if done {
        enter(state, work, out, Phase::Boot, &[Stage::Boot]);
    } else {
        out_of_patience(state, work, out, "F0501");
    }
}

fn send_wiring(state: &mut State, work: &mut Work, out: &mut Out, server: &ServerId, authority: &Authority) {
    let fresh_for = state.estate.settings.fencing.fresh_for;
    let Some(life) = state.life.clone() else { return };
    let ports = s5_rewire_network::wanted(state, server, work);
    for key in work.due(out.now) {
        let made = match &key {
            Key::Join(port) => {
                let Some((_, setting)) = ports.iter().find(|(id, _)| id == port) else { continue };
                let agent = Agent::Switch(port.switch.clone());
                s5_rewire_network::join(&work.plan, authority, out.now, fresh_for, server, port.clone(), setting.clone())
                    .map(|action| (agent, Stage::Network, action))
            }
            Key::Grant(volume) => {
                let agent = Agent::Storage(volume.storage.clone());
                s6_rewire_storage::grant(&work.plan, authority, out.now, fresh_for, server, volume.clone(), &life.key)
                    .map(|action| (agent, Stage::Storage, action))
            }
            _ => continue,
        };
        match made {
            Ok((agent, stage, action)) => {
                work.send(&mut state.ledger, out, key, agent, stage, action);
            }
            Err(lapsed) => {
                if let Some(task) = work.tasks.get_mut(&key) {
                    task.retry(out.now, lapsed.to_string());
                }
            }
        }
    }
}

/// A target that is not wired and powered in time has failed.
fn out_of_patience(state: &mut State, work: &mut Work, out: &mut Out, code: &str) {
    if out.now.since(work.since) <= limits::TARGET_PATIENCE {
        return out.wake(work.since + limits::TARGET_PATIENCE + vocabulary::Span::ms(1));
    }
    let why = work
        .tasks
        .iter()
        .filter(|(key, task)| {
            !task.is_confirmed() && !matches!(key, Key::Power(_) | Key::Port(..) | Key::Permit(..) | Key::Cut(..))
        })
        .find_map(|(_, task)| task.reason.clone())
        .unwrap_or_else(|| "no answer".to_owned());
    let target = work.plan.target().clone();
    let reason = format!("{target} could not be made ready within {}: {why}", limits::TARGET_PATIENCE);
    // one that was not powered yet lost nothing but time; where no other could take its place, and nobody has said no, it is waited for
    let mut wiring = work.tasks.iter().filter(|(key, task)| matches!(key, Key::Join(_) | Key::Grant(_)) && !task.is_confirmed());
    let unreached = wiring.all(|(_, task)| task.told_nothing);
    let waits = unreached && work.plan.body().kind == Kind::Failover && work.phase == Phase::Wire;
    let server = work.plan.server().filter(|_| waits);
    if let Some(server) = server
        && fit::choose(state, server, out.now).0.is_none()
    {
        let text = format!("{reason}; no other spare fits {server}, so it is waited for");
        if state.watch.alarms.insert(format!("unready {}", work.plan.id())) {
            out.record(&mut state.ledger, Fact::Alarm { subject: target.to_string(), code: code.to_owned(), text });
        }
        return;
    }
    give_up(state, work, out, code, reason, true);
}

fn boot(state: &mut State, work: &mut Work, out: &mut Out) {
    let Some(server) = work.plan.server().cloned() else { return };
    let services: Vec<_> = state.estate.boot_services_of(work.plan.target()).into_iter().cloned().collect();
    for service in &services {
        work.want(Key::Allow(service.clone()), out.now);
    }
    work.want(Key::BootTarget, out.now);
    if let Some(authority) = authority(state, work, out) {
        send_boot(state, work, out, &server, &authority);
    }
    if work.confirmed(&Key::PowerOn) {
        work.powered_on.get_or_insert(out.now);
        s8_verify::begin(state, &server, work, out.now);
        return enter(state, work, out, Phase::Verify, &[Stage::Verify]);
    }
    out_of_patience(state, work, out, "F0701");
}

fn boot_target_done(work: &Work) -> bool {
    work.tasks.get(&Key::BootTarget).is_some_and(|task| task.is_confirmed() || task.tries >= limits::BOOT_TARGET_TRIES)
}

fn send_boot(state: &mut State, work: &mut Work, out: &mut Out, server: &ServerId, authority: &Authority) {
    let fresh_for = state.estate.settings.fencing.fresh_for;
    let Some(life) = state.life.clone() else { return };
    let Some(epoch) = state.ledger.placement(server).map(|placement| placement.epoch) else { return };
    let allowed = work.tasks.iter().any(|(key, task)| matches!(key, Key::Allow(_)) && task.is_confirmed());
    if allowed && boot_target_done(work) {
        work.want(Key::PowerOn, out.now);
    }
    let target: MachineId = work.plan.target().clone();
    let estate = state.estate.clone();
    let bmc = || Agent::of_bmc(&estate, &target);
    for key in work.due(out.now) {
        let made = match &key {
            Key::Allow(service) => {
                let Some(permit) = s7_boot::placement_permit(state, server, &work.plan, epoch, &life.key) else { continue };
                s7_boot::permit(&work.plan, authority, out.now, fresh_for, permit)
                    .map(|action| (Agent::Boot(service.clone()), action))
            }
            Key::BootTarget if !boot_target_done(work) => {
                s7_boot::boot_target(&work.plan, authority, out.now, fresh_for, BootTarget::Pxe).map(|action| (bmc(), action))
            }
            // never sent blindly: unless the target was read Off in this life, it is read first
            Key::PowerOn if !work.confirmed(&Key::TargetPower) => Ok((bmc(), Action::ReadMachine { machine: target.clone() })),
            Key::PowerOn => s7_boot::power_on(&work.plan, authority, out.now, fresh_for).map(|action| (bmc(), action)),
            _ => continue,
        };
        match made {
            Ok((agent, action)) => {
                let powers_on = matches!(action, Action::PowerOn { .. });
                let sent = work.send(&mut state.ledger, out, key.clone(), agent, Stage::Boot, action);
                if let Some(task) = work.tasks.get_mut(&key).filter(|_| powers_on && sent) {
                    task.acted_at = Some(out.now);
                }
            }
            Err(lapsed) => {
                if let Some(task) = work.tasks.get_mut(&key) {
                    task.retry(out.now, lapsed.to_string());
                }
            }
        }
    }
}

fn verify(state: &mut State, work: &mut Work, out: &mut Out) {
    let Some(server) = work.plan.server().cloned() else { return };
    // the rest of the fence is pursued all the same
    let _ = s3_fence::drive(state, work, out);
    s8_verify::drive(state, &server, work, out);
    match s8_verify::judge(state, &server, work, out.now) {
        Verification::Serves(vantages) => {
            let machine = work.plan.target().clone();
            let last_reset =
                state.watch.machines.get(&machine).and_then(|w| w.last.as_ref()).and_then(|(_, r)| r.last_reset.clone());
            // what verify saw is the first observation on the new machine
            let watch = state.watch.servers.entry(server.clone()).or_default();
            for vantage in &vantages {
                watch.observe(out.now, vantage.clone(), CheckOutcome::Healthy);
            }
            let took = s8_verify::took(state, work, out.now);
            let text = format!("{server} serves on {machine}");
            let [boot_ms, post_ms, stop_ms] = [took.whole, took.post, took.stop].map(|span| span.map(|span| span.0));
            out.record(&mut state.ledger, Fact::Heard { server, machine, last_reset, vantages, boot_ms, post_ms, stop_ms });
            s9_return::close(state, work, out, Ok(text));
        }
        Verification::Waiting(_) => {
            let since = work.powered_on.unwrap_or(work.since);
            out.wake(since + s8_verify::patience(state, work) + vocabulary::Span::ms(1));
        }
        Verification::Failed(reason) => give_up(state, work, out, s2_decide::NO_SERVICE, reason, true),
        Verification::Unseen(reason) => give_up(state, work, out, s2_decide::NO_SERVICE, reason, false),
    }
}
