//! The trial of a machine's outlets, part of its enrolment: all are cut, its BMC falls silent, they are fed, it answers again. Only what was
//! seen so may prove the machine dead later. Must never cut what carries more than a machine draws that is off, and never end without
//! having fed what it cut.

use crate::effect::Agent;
use crate::out::Out;
use crate::record::Fact;
use crate::s3_fence;
use crate::state::State;
use crate::work::{Key, Progress, Task, Trial, Work, limits};
use std::collections::BTreeSet;
use vocabulary::outlet::{OutletReading, Relay};
use vocabulary::power::{MachineReading, PowerState};
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Instant, MachineId, OutletId, Span};

/// Pause between two looks at a BMC that should fall silent, or answer again.
const LOOK_AGAIN: Span = Span::seconds(1);
/// How often is looked whether another machine's trial is over.
const ANOTHERS: Span = Span::seconds(1);

/// The outlets of a machine, as its document has them.
pub(super) fn entered(state: &State, machine: &MachineId) -> Vec<OutletId> {
    state.estate.machines.get(machine).map(|document| document.outlets.clone()).unwrap_or_default()
}

/// Adds the tasks that feed a machine's outlets. True once all are confirmed.
pub(super) fn feed(state: &State, work: &mut Work, now: Instant) -> bool {
    let outlets = entered(state, &work.plan.target().clone());
    let agents: BTreeSet<Agent> = outlets.iter().map(|outlet| Agent::Outlets(outlet.pdu.clone())).collect();
    for agent in &agents {
        work.want(Key::Unbar(agent.clone()), now);
    }
    if agents.into_iter().any(|agent| !work.confirmed(&Key::Unbar(agent))) {
        return false;
    }
    for outlet in &outlets {
        work.want(Key::Feed(outlet.clone()), now);
    }
    outlets.into_iter().all(|outlet| work.confirmed(&Key::Feed(outlet)))
}

/// Has the outlets on before anything else is asked of the machine: an earlier trial may have left them off. False while that is under way.
pub(super) fn begin(state: &State, work: &mut Work, out: &mut Out) -> bool {
    match work.trial {
        Trial::NotBegun | Trial::Feeding if entered(state, work.plan.target()).is_empty() => {
            work.trial = Trial::Done(Err("no outlet is entered".to_owned()));
            true
        }
        Trial::NotBegun | Trial::Feeding => {
            work.trial = Trial::Feeding;
            if feed(state, work, out.now) {
                work.trial = Trial::Fed;
                return true;
            }
            let why = reason(work, |key| matches!(key, Key::Unbar(_) | Key::Feed(_)));
            if out_of(out, work.since, limits::TRIAL_PATIENCE) {
                work.trial = Trial::Done(Err(format!("they could not be switched on: {why}")));
                forget(work);
                return true;
            }
            false
        }
        _ => true,
    }
}

/// Goes on with the trial as far as it goes now. `None` while it is under way.
pub(super) fn drive(state: &mut State, work: &mut Work, out: &mut Out) -> Option<Result<(), String>> {
    let machine = work.plan.target().clone();
    match work.trial.clone() {
        Trial::NotBegun | Trial::Feeding | Trial::Fed => {
            let off = work.identity.as_ref().is_some_and(|reading| reading.all_off());
            if !off {
                return done(work, Err(format!("{machine} is not off")));
            }
            if state.works.values().any(is_at_it) {
                out.wake(out.now + ANOTHERS);
                return None;
            }
            work.trial = Trial::Weighing(out.now);
            weigh(state, work, out, &machine, out.now)
        }
        Trial::Weighing(since) => weigh(state, work, out, &machine, since),
        Trial::Cutting(since) => {
            if s3_fence::are_cut(work, &machine) {
                work.trial = Trial::Dark(out.now);
                work.want(Key::Dark, out.now);
            } else if out_of(out, since, limits::TRIAL_PATIENCE) {
                let why = reason(work, |key| matches!(key, Key::Cut(..)));
                turn_back(work, out, Err(format!("they could not be cut: {why}")));
            }
            None
        }
        Trial::Dark(since) => {
            if work.confirmed(&Key::Dark) {
                turn_back(work, out, Ok(()));
            } else if let Some(task) = work.tasks.get(&Key::Dark).filter(|task| task.progress == Progress::Unavailable) {
                let why = task.reason.clone().unwrap_or_default();
                turn_back(work, out, Err(why));
            } else if out_of(out, since, limits::DARK_PATIENCE) {
                turn_back(work, out, Err(format!("the BMC of {machine} was neither heard nor silent while they were cut")));
            }
            None
        }
        Trial::Returning(since, result) => {
            // a cut that is still under way must not come after what feeds the outlet
            work.tasks.retain(|key, task| !matches!(key, Key::Cut(..)) || in_flight(task));
            if work.tasks.keys().any(|key| matches!(key, Key::Cut(..))) {
                return None;
            }
            if feed(state, work, out.now) {
                work.want(Key::Back, out.now);
            }
            // who enrols it may start a server on it next: that is refused while nobody knows its power
            if work.confirmed(&Key::Back) && is_watched(state, &machine) {
                return done(work, result);
            }
            // the plan ends then, whatever the trial has shown
            out_of(out, since, limits::BMC_RETURN);
            None
        }
        Trial::Done(result) => Some(result),
    }
}

/// How long the enrolment waits for the machine to come back, from when; `None` unless it waits for that.
pub(super) fn waits_since(work: &Work) -> Option<Instant> {
    match work.trial {
        Trial::Weighing(since) | Trial::Cutting(since) | Trial::Dark(since) | Trial::Returning(since, _) => Some(since),
        Trial::NotBegun | Trial::Feeding | Trial::Fed | Trial::Done(_) => None,
    }
}

/// Two machines whose outlets are taken for each other's would both go dark if both were tried at once: one is tried at a time, until its
/// darkness was seen.
fn is_at_it(work: &Work) -> bool {
    matches!(work.trial, Trial::Weighing(_) | Trial::Cutting(_) | Trial::Dark(_))
}

/// True if its power is known again by routine looks as well: for some time after its start a BMC is not believed.
fn is_watched(state: &State, machine: &MachineId) -> bool {
    let Some(watch) = state.watch.machines.get(machine) else { return true };
    let known = |(_, reading): &(Instant, MachineReading)| reading.system_power != PowerState::Unknown;
    watch.failing_since.is_none() && watch.last.as_ref().is_some_and(known)
}

fn done(work: &mut Work, result: Result<(), String>) -> Option<Result<(), String>> {
    work.trial = Trial::Done(result.clone());
    forget(work);
    Some(result)
}

/// Drops what only the trial has asked for.
fn forget(work: &mut Work) {
    let of_trial = |key: &Key| matches!(key, Key::Unbar(_) | Key::Feed(_) | Key::Load(_) | Key::Cut(..) | Key::Supplies);
    work.tasks.retain(|key, _| !of_trial(key) && !matches!(key, Key::Dark | Key::Back));
}

/// Looks at what hangs at the outlets before any is cut: each must carry what a machine draws that is off, and there must be as many as its
/// BMC counts power supplies.
fn weigh(state: &mut State, work: &mut Work, out: &mut Out, machine: &MachineId, since: Instant) -> Option<Result<(), String>> {
    let outlets = entered(state, machine);
    work.want(Key::Supplies, out.now);
    for outlet in &outlets {
        work.want(Key::Load(outlet.clone()), out.now);
    }
    let of_weighing = |key: &Key| matches!(key, Key::Supplies | Key::Load(_));
    let odd = work.tasks.iter().find(|(key, task)| of_weighing(key) && task.progress == Progress::Unavailable);
    if let Some(why) = odd.map(|(_, task)| task.reason.clone().unwrap_or_default()) {
        return done(work, Err(why));
    }
    if work.tasks.iter().any(|(key, task)| of_weighing(key) && !task.is_confirmed()) {
        let why = reason(work, of_weighing);
        return if out_of(out, since, limits::TRIAL_PATIENCE) { done(work, Err(why)) } else { None };
    }
    work.tasks.retain(|key, _| !matches!(key, Key::Unbar(_) | Key::Feed(_)));
    out.record(&mut state.ledger, Fact::OutletsCut { plan: work.plan.id(), machine: machine.clone() });
    for outlet in outlets {
        work.want(Key::Cut(machine.clone(), outlet), out.now);
    }
    work.trial = Trial::Cutting(out.now);
    None
}

fn turn_back(work: &mut Work, out: &mut Out, result: Result<(), String>) {
    work.tasks.retain(|key, task| match key {
        Key::Cut(..) => in_flight(task),
        other => *other != Key::Dark,
    });
    work.trial = Trial::Returning(out.now, result);
    out.wake(out.now + limits::RETRY_FIRST);
}

fn in_flight(task: &Task) -> bool {
    matches!(task.progress, Progress::InFlight(..))
}

/// True if the time is over; until then the plan is woken for it.
fn out_of(out: &mut Out, since: Instant, patience: Span) -> bool {
    let over = out.now.since(since) > patience;
    if !over {
        out.wake(since + patience + Span::ms(1));
    }
    over
}

fn reason(work: &Work, of: impl Fn(&Key) -> bool) -> String {
    let why: BTreeSet<String> = work
        .tasks
        .iter()
        .filter(|(key, task)| of(key) && !task.is_confirmed())
        .filter_map(|(_, task)| task.reason.clone())
        .collect();
    if why.is_empty() { "no answer".to_owned() } else { why.into_iter().collect::<Vec<_>>().join("; ") }
}

/// Folds an answer in.
pub(super) fn complete(
    state: &State,
    work: &mut Work,
    now: Instant,
    key: &Key,
    asked: Instant,
    outcome: &Result<Answer, AgentError>,
) {
    let machine = work.plan.target().clone();
    let outlets = entered(state, &machine).len();
    let back = match outcome {
        Ok(Answer::Machine(reading)) => Some(s3_fence::is_target(state, &machine, reading)),
        _ => None,
    };
    let dark_since = if let Trial::Dark(since) = work.trial { since } else { now };
    let Some(task) = work.tasks.get_mut(key) else { return };
    match (key, outcome) {
        (Key::Feed(outlet), Ok(Answer::Outlet(reading))) if reading.relay == Relay::On => {
            task.confirm(now, format!("outlet {outlet} is on"));
        }
        (Key::Load(_), Ok(Answer::Outlet(reading))) => weighed(task, now, reading, &machine),
        (Key::Supplies, Ok(Answer::Supplies { count })) => match count {
            Some(count) if usize::try_from(*count) != Ok(outlets) => {
                task.reason =
                    Some(format!("the BMC of {machine} counts {count} power supplies, and {outlets} outlets are entered"));
                task.progress = Progress::Unavailable;
            }
            Some(count) => task.confirm(now, format!("{count} power supplies, and as many outlets")),
            // says nothing against the list: whether the machine goes dark will tell
            None => task.confirm(now, "its BMC counts no power supplies".to_owned()),
        },
        (Key::Dark, outcome) => dark(task, (now, dark_since, asked), back, outcome, &machine),
        (Key::Back, Ok(_)) => match back {
            Some(Ok(())) => task.confirm(now, format!("the BMC of {machine} answers again")),
            Some(Err(why)) => wait(task, now, why),
            None => wait(task, now, "the agent answered something else".to_owned()),
        },
        (Key::Back, Err(error)) => wait(task, now, error.to_string()),
        (_, Ok(_)) => task.retry(now, "the agent answered something else".to_owned()),
        (_, Err(error)) => task.retry(now, error.to_string()),
    }
}

fn wait(task: &mut Task, now: Instant, why: String) {
    task.reason = Some(why);
    task.again_at(now + LOOK_AGAIN);
}

fn weighed(task: &mut Task, now: Instant, reading: &OutletReading, machine: &MachineId) {
    let outlet = &reading.outlet;
    match reading.watts {
        Some(0) => wait(task, now, format!("nothing hangs at outlet {outlet}: it carries 0 W")),
        Some(watts) if watts > limits::STANDBY_WATTS_MAX => {
            task.reason = Some(format!("outlet {outlet} carries {watts} W although {machine} is off: it is not its outlet"));
            task.progress = Progress::Unavailable;
        }
        Some(watts) => task.confirm(now, format!("outlet {outlet} carries {watts} W")),
        None => {
            task.reason = Some(format!("its unit does not measure what goes through outlet {outlet}"));
            task.progress = Progress::Unavailable;
        }
    }
}

/// A BMC that answers after its machine's power supplies have run dry is fed by something else.
fn dark(
    task: &mut Task,
    (now, since, asked): (Instant, Instant, Instant),
    back: Option<Result<(), String>>,
    outcome: &Result<Answer, AgentError>,
    machine: &MachineId,
) {
    let late = asked >= since + limits::HOLD_UP;
    match outcome {
        Ok(_) if late && matches!(back, Some(Ok(()))) => {
            task.reason = Some(format!("the BMC of {machine} answers although they are all cut: something else feeds it"));
            task.progress = Progress::Unavailable;
        }
        Err(AgentError::Unreachable { .. }) if late => {
            task.tries = task.tries.saturating_add(1);
            if task.tries >= limits::DARK_TRIES && now.since(since) >= limits::DARK_FOR {
                task.confirm(now, format!("the BMC of {machine} is silent"));
            } else {
                task.again_at(now + LOOK_AGAIN);
            }
        }
        Ok(_) => wait(task, now, "its BMC still answers".to_owned()),
        Err(error) => {
            // neither an answer of the machine nor silence
            task.tries = 0;
            wait(task, now, error.to_string());
        }
    }
}
