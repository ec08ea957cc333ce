//! An agent's answer, folded into the task that waits for it.

use super::trial;
use crate::effect::Agent;
use crate::memory;
use crate::out::Out;
use crate::overrule;
use crate::plan::Kind;
use crate::record::Ended;
use crate::s3_fence::{self, initiator};
use crate::state::State;
use crate::work::{Answered, Key, Phase, Taken, Task, Work, limits};
use crate::{s5_rewire_network, s6_rewire_storage, s8_verify, s9_return};
use vocabulary::network::PortSetting;
use vocabulary::power::{MachineReading, PowerState};
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Instant, OpId, PlanId, Span};

/// How often Off is looked for after an orderly stop.
const WAIT_OFF_EVERY: Span = Span::ms(500);
/// Pause before a power-on is looked at again.
const LOOK_AGAIN: Span = Span::ms(200);

/// Takes an answer in. An answer to a question that nobody asks any more is dropped.
pub fn complete(state: &mut State, work: &mut Work, out: &mut Out, op: OpId, answered: Answered<'_>) {
    let Some(Taken { key, agent, asked, outcome, rose }) = work.take((&mut state.ledger, &state.watch), out, op, answered) else {
        return;
    };
    memory::note(&mut state.watch, out.now, rose);
    let outcome = &outcome;
    if let Err(error @ (AgentError::LowerEpoch { reason, .. } | AgentError::Foreign { reason })) = outcome {
        return overruled(state, work, out, (&agent, &key), error, reason);
    }
    match &key {
        Key::Advance(_)
        | Key::Power(_)
        | Key::Port(..)
        | Key::Life(..)
        | Key::Volume(_)
        | Key::Permit(..)
        | Key::Cut(..)
        | Key::TargetPower => {
            s3_fence::complete(state, work, out.now, &key, asked, outcome);
        }
        Key::Feed(_) | Key::Load(_) | Key::Supplies | Key::Dark | Key::Back => {
            trial::complete(state, work, out.now, &key, asked, outcome);
        }
        Key::PowerOn => power_on(state, work, out.now, outcome),
        Key::Grant(_) | Key::Join(_) | Key::Allow(_) => granted(state, work, out.now, &key, outcome),
        _ => own(state, work, out.now, &key, outcome),
    }
}

/// A gate said no for good. Another controller's epoch ends the plan and is never overtaken; one of our own later plans takes standing
/// orders over, and ends a plan that is begun anew with a new epoch.
fn overruled(state: &mut State, work: &mut Work, out: &mut Out, of: (&Agent, &Key), error: &AgentError, reason: &str) {
    let (agent, key) = of;
    let ours = overrule::overruled_by(state, out, agent, &work.plan, error);
    if let Some(task) = work.tasks.get_mut(key) {
        task.retry(out.now, error.to_string());
    }
    match error {
        AgentError::LowerEpoch { highest, .. } if ours && work.phase == Phase::Orders => {
            s9_return::overtaken(state, work, out, agent, key, PlanId(*highest));
        }
        _ => {
            let reason = format!("agent {agent} refused the plan's epoch: {reason}");
            let target_failed = ours && work.plan.body().kind == Kind::Failover;
            s9_return::close(state, work, out, Err(Ended { code: "F0302".to_owned(), reason, target_failed }));
        }
    }
}

fn granted(state: &State, work: &mut Work, now: Instant, key: &Key, outcome: &Result<Answer, AgentError>) {
    let Some(server) = work.plan.server().cloned() else { return };
    let expected = initiator(&server, &work.plan);
    let wanted = s5_rewire_network::wanted(state, &server, work);
    let placement = state.ledger.placement(&server).map(|placement| (server.clone(), placement.epoch));
    let Some(task) = work.tasks.get_mut(key) else { return };
    task.told_nothing = matches!(outcome, Err(AgentError::Unreachable { .. }));
    let judged = match (key, outcome) {
        (Key::Join(port), Ok(Answer::Port(reading))) => match wanted.iter().find(|(id, _)| id == port) {
            Some((_, setting)) => s5_rewire_network::joined(reading, setting),
            None => Err(format!("{port} is no longer in the profile")),
        },
        (Key::Grant(_), Ok(Answer::Volume(reading))) => s6_rewire_storage::granted(reading, &expected),
        (Key::Allow(service), Ok(Answer::Permit(reading))) => {
            if reading.standing == placement {
                Ok(format!("{service} serves it"))
            } else {
                Err(format!("{service} read back another permit"))
            }
        }
        (_, Ok(_)) => Err("the agent answered something else".to_owned()),
        (_, Err(error)) => Err(error.to_string()),
    };
    settle(task, now, judged);
}

fn settle(task: &mut Task, now: Instant, judged: Result<String, String>) {
    match judged {
        Ok(evidence) => task.confirm(now, evidence),
        Err(reason) => task.retry(now, reason),
    }
}

fn power_on(state: &State, work: &mut Work, now: Instant, outcome: &Result<Answer, AgentError>) {
    let machine = work.plan.target().clone();
    let checked = match outcome {
        Ok(Answer::Machine(reading)) => same_box(state, work, reading).map(|()| reading.clone()),
        Ok(_) => Err("the agent answered something else".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let sent = work.tasks.get(&Key::PowerOn).and_then(|task| task.acted_at);
    let lately = sent.is_some_and(|at| now.since(at) < limits::POWER_ON_AGAIN);
    // a machine that was just told to power on may read Off for a while: it is read again, not told again
    let may_send = matches!(&checked, Ok(reading) if reading.all_off()) && !lately;
    if let Some(task) = work.tasks.get_mut(&Key::PowerOn) {
        match checked {
            Ok(reading) if matches!(reading.system_power, PowerState::On | PowerState::PoweringOn) => {
                task.confirm(now, format!("{machine} is on"));
                work.powered_on.get_or_insert(now);
            }
            Ok(_) => task.again_at(now + LOOK_AGAIN),
            Err(reason) => task.retry(now, reason),
        }
    }
    // what is known of the target's power is now this reading: read Off, the next try may send; anything else, it reads first
    let target = work.tasks.entry(Key::TargetPower).or_insert_with(|| Task::due(now));
    if may_send {
        target.confirm(now, "the target is off".to_owned());
    } else {
        target.again_at(now + Span::seconds(3600));
    }
}

fn same_box(state: &State, work: &Work, reading: &MachineReading) -> Result<(), String> {
    s3_fence::is_target(state, work.plan.target(), reading)
}

/// Before a check is run again.
fn pause(state: &State, work: &Work, key: &Key) -> Span {
    let profile = work.plan.server().and_then(|server| state.estate.servers.get(server));
    let check = if let Key::Check(_, index) = key { profile.and_then(|profile| profile.checks.get(*index)) } else { None };
    check.map_or(limits::VERIFY_EVERY, s8_verify::pause)
}

fn own(state: &State, work: &mut Work, now: Instant, key: &Key, outcome: &Result<Answer, AgentError>) {
    let target = work.plan.target().clone();
    let enrolling = work.plan.body().kind == crate::plan::Kind::Enrol;
    let identity = match (key, outcome) {
        (Key::Identity, Ok(Answer::Machine(reading))) => {
            work.identity = Some(reading.clone());
            Some(s3_fence::is_target(state, &target, reading))
        }
        _ => None,
    };
    let pause = pause(state, work, key);
    let Some(task) = work.tasks.get_mut(key) else { return };
    match (key, outcome) {
        (Key::Check(..), outcome) => s8_verify::complete(task, now, outcome, pause),
        (Key::BootTarget, Ok(Answer::Machine(_))) => task.confirm(now, "boot target read back".to_owned()),
        (Key::Identity, Ok(Answer::Machine(_))) => match identity {
            Some(Ok(())) => task.confirm(now, "identity read".to_owned()),
            Some(Err(reason)) => task.retry(now, reason),
            None => task.retry(now, "no identity".to_owned()),
        },
        (Key::RestorePolicy, Ok(Answer::Machine(_))) => task.confirm(now, "always-off read back".to_owned()),
        (Key::RestorePolicy, Err(error)) if enrolling && task.tries + 1 >= limits::ENROL_TRIES => {
            task.reason = Some(error.to_string());
            task.progress = crate::work::Progress::Unavailable;
        }
        (Key::Park(port), Ok(Answer::Port(reading))) => {
            let parking = PortSetting::access(state.estate.settings.vlans.parking);
            let judged = s5_rewire_network::joined(reading, &parking).map_err(|why| format!("{port}: {why}"));
            settle(task, now, judged);
        }
        (Key::Unbar(agent), Ok(Answer::Done)) => task.confirm(now, format!("{agent} lifted its bars")),
        (Key::ShutDown, Ok(_)) => task.confirm(now, "the operating system was asked to stop".to_owned()),
        (Key::WaitOff, Ok(Answer::Machine(reading))) => {
            if reading.all_off() {
                task.confirm(now, "off".to_owned());
            } else {
                task.reason = Some(format!("its BMC says {:?}", reading.system_power));
                task.again_at(now + WAIT_OFF_EVERY);
            }
        }
        (_, Ok(_)) => task.retry(now, "the agent answered something else".to_owned()),
        (_, Err(error)) => task.retry(now, error.to_string()),
    }
}
