//! An agent's answer, folded into the task that waits for it.

use crate::out::Out;
use crate::record::Ended;
use crate::s3_fence::{self, initiator};
use crate::state::State;
use crate::work::{Key, Task, Work, limits};
use crate::{s5_rewire_network, s6_rewire_storage, s8_verify, s9_return};
use vocabulary::network::PortSetting;
use vocabulary::power::{MachineReading, PowerState};
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Instant, OpId, Span};

/// How often Off is looked for after an orderly stop.
const WAIT_OFF_EVERY: Span = Span::ms(500);
/// Pause before a power-on is looked at again.
const LOOK_AGAIN: Span = Span::ms(200);

/// Takes an answer in. An answer to a question that nobody asks any more is dropped.
pub fn complete(state: &mut State, work: &mut Work, out: &mut Out, op: OpId, outcome: &Result<Answer, AgentError>) {
    let Some((key, asked)) = work.take(&mut state.ledger, out, op, outcome) else { return };
    match &key {
        Key::Advance(_) | Key::Power(_) | Key::Port(..) | Key::Volume(_) | Key::Permit(..) | Key::TargetPower => {
            if let Err(reason) = s3_fence::complete(state, work, out.now, &key, asked, outcome) {
                let ended = Ended { code: "F0302".to_owned(), reason, target_failed: false };
                s9_return::close(state, work, out, Err(ended));
            }
        }
        Key::PowerOn => power_on(state, work, out.now, outcome),
        Key::Grant(_) | Key::Join(_) | Key::Allow(_) => granted(state, work, out.now, &key, outcome),
        _ => own(state, work, out.now, &key, outcome),
    }
}

fn granted(state: &State, work: &mut Work, now: Instant, key: &Key, outcome: &Result<Answer, AgentError>) {
    let Some(server) = work.plan.server().cloned() else { return };
    let expected = initiator(&server, &work.plan);
    let wanted = s5_rewire_network::wanted(state, &server, work);
    let placement = state.ledger.placement(&server).map(|placement| (server.clone(), placement.epoch));
    let Some(task) = work.tasks.get_mut(key) else { return };
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
    let Some(task) = work.tasks.get_mut(key) else { return };
    match (key, outcome) {
        (Key::Check(..), outcome) => s8_verify::complete(task, now, outcome),
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
