//! Set O: every outlet of every power supply is off, carries nothing, and stays off when its unit gets power back; and the machine shows no
//! sign of life after that. Only outlets that were seen to darken this machine count. Begun when its BMC does not do it: to cut a
//! machine's mains silences its BMC, so it never comes before P. Must never cut an outlet of a machine that is not being fenced.

use super::power;
use crate::effect::Agent;
use crate::ledger::MachineRow;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::Fact;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Task, Window, Work, limits};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::ProofChoice;
use vocabulary::network::PortReading;
use vocabulary::outlet::OutletReading;
use vocabulary::power::MachineReading;
use vocabulary::request::{AgentError, Answer, Resource};
use vocabulary::{Instant, MachineId, OutletId, PduId, PlanId, Span};

/// The outlets of a machine, if cutting them can prove it dead; or what is missing for that, in words.
pub fn usable(state: &State, machine: &MachineId) -> Result<BTreeSet<OutletId>, String> {
    let outlets: BTreeSet<OutletId> =
        state.estate.machines.get(machine).map(|document| document.outlets.iter().cloned().collect()).unwrap_or_default();
    if outlets.is_empty() {
        return Err(format!("no outlet of {machine} is entered"));
    }
    if state.estate.settings.fencing.proof != ProofChoice::Any {
        return Err("`fencing.proof` leaves outlets out".to_owned());
    }
    if let Some(outlet) = outlets.iter().find(|outlet| !state.estate.pdus.contains_key(&outlet.pdu)) {
        return Err(format!("no agent of the estate owns outlet {outlet}"));
    }
    let enrolled = state.ledger.machines.get(machine).and_then(|row| row.enrolled.as_ref());
    match enrolled.filter(|enrolled| enrolled.outlets == outlets) {
        Some(_) => Ok(outlets),
        None => Err(format!("{machine} was not seen to go dark by its outlets: enrol it while it is off")),
    }
}

fn cuts<'a>(work: &'a Work, machine: &'a MachineId) -> impl Iterator<Item = &'a Task> {
    work.tasks.iter().filter(move |(key, _)| matches!(key, Key::Cut(of, _) if of == machine)).map(|(_, task)| task)
}

/// Begins to cut what its BMC does not switch off: one that does not answer, or whose machine does not go off. Once begun, it is begun again
/// after a restart.
pub(super) fn pursue(state: &mut State, work: &mut Work, out: &mut Out) {
    if work.plan.body().kind != Kind::Failover || work.phase == Phase::Orders || work.stopped(&state.ledger).is_some() {
        return;
    }
    for machine in work.plan.body().fence.clone() {
        let begun = cut_by(state, &machine) == Some(work.plan.id());
        if cuts(work, &machine).next().is_some() {
            continue;
        }
        let Ok(outlets) = usable(state, &machine) else { continue };
        if !begun && !by_power_in_vain(work, &machine, out) {
            continue;
        }
        if !begun {
            out.record(&mut state.ledger, Fact::OutletsCut { plan: work.plan.id(), machine: machine.clone() });
        }
        for outlet in outlets {
            work.want(Key::Cut(machine.clone(), outlet), out.now);
        }
    }
}

/// The plan that has begun to cut a machine's outlets, if one has since they were fed.
fn cut_by(state: &State, machine: &MachineId) -> Option<PlanId> {
    state.ledger.machines.get(machine).and_then(|row: &MachineRow| row.outlets_cut)
}

fn by_power_in_vain(work: &Work, machine: &MachineId, out: &mut Out) -> bool {
    let Some(task) = work.tasks.get(&Key::Power(machine.clone())).filter(|task| !task.is_confirmed()) else { return false };
    let silent = task.tries >= limits::BMC_TRIES && task.window.is_none();
    let patience = if silent { limits::BMC_PATIENCE } else { limits::OFF_PATIENCE };
    // what was not sent yet, since nothing could be recorded, was not in vain
    let Some(since) = task.first_at else { return false };
    let over = out.now.since(since) > patience;
    if !over {
        out.wake(since + patience + Span::ms(1));
    }
    over && task.window.is_none()
}

/// Folds the answer to a cut, or to a reading, into the task. Off and nothing else, twice, some seconds apart.
pub(super) fn fold(task: &mut Task, asked: Instant, now: Instant, outcome: &Result<Answer, AgentError>) {
    let reading: &OutletReading = match outcome {
        Ok(Answer::Outlet(reading)) => reading,
        Ok(_) => return broken(task, now, "the agent answered something else".to_owned()),
        Err(error) => return broken(task, now, error.to_string()),
    };
    if let Some(why) = reading.not_cut() {
        return broken(task, now, why);
    }
    let window =
        task.window.get_or_insert_with(|| Window { since: asked, first_off: now, newest_off: asked, ..Window::default() });
    window.reads = window.reads.saturating_add(1);
    window.newest_off = asked;
    if asked.since(window.first_off) >= limits::OUTLET_SETTLE {
        // looks at its ports may still be under way: `conclude` confirms it
        window.full_since.get_or_insert(now);
        task.again_at(now + limits::LIFE_PATIENCE);
    } else {
        let at = window.first_off + limits::OUTLET_SETTLE;
        task.again_at(at.max(now));
    }
}

fn broken(task: &mut Task, now: Instant, reason: String) {
    task.window = None;
    task.retry(now, reason);
}

/// Confirms a full window, unless a look at the machine's ports is still under way and may be waited for.
pub(super) fn conclude(task: &mut Task, outlet: &OutletId, looking: bool, now: Instant) {
    let Some(window) = &mut task.window else { return };
    let waits = |since: Instant| looking && now.since(since) < limits::LIFE_PATIENCE;
    if matches!(task.progress, Progress::Confirmed(_) | Progress::Unavailable) || window.full_since.is_none_or(waits) {
        return;
    }
    window.full_since = None;
    let (at, lasted) = (window.newest_off, window.newest_off.since(window.since));
    let text = format!("outlet {outlet} off and at 0 W over {lasted}, and off when its unit returns");
    task.confirm(at, text);
}

/// A sign of life after all of a machine's outlets were seen cut. A foreign hand may have fed one for a moment, so all are cut and looked at anew;
/// if it comes again and again, they are not its outlets, or not all of them.
fn doubt(work: &mut Work, machine: &MachineId, now: Instant, sign: &str) {
    let times = work.contradicted.entry(machine.clone()).or_default();
    *times = times.saturating_add(1);
    let not_its = *times >= limits::CONTRADICTIONS;
    for (key, task) in &mut work.tasks {
        if matches!(key, Key::Cut(of, _) if of == machine) {
            (task.window, task.evidence) = (None, None);
            task.retry(now, sign.to_owned());
            if not_its {
                (task.progress, task.veto) = (Progress::Unavailable, Some(sign.to_owned()));
            }
        }
    }
}

/// Since when all outlets of the machine are seen cut.
fn all_cut_since(state: &State, work: &Work, machine: &MachineId) -> Option<Instant> {
    let outlets = usable(state, machine).ok()?;
    let since = cuts(work, machine).map(|task| task.window.as_ref().map(|window| window.first_off));
    let since: Vec<Instant> = since.collect::<Option<_>>()?;
    (since.len() == outlets.len()).then(|| since.into_iter().max()).flatten()
}

/// The machine's BMC has answered: where all outlets were cut before it was asked, that is a sign of life.
pub(super) fn bmc_answered(
    state: &State,
    work: &mut Work,
    machine: &MachineId,
    (asked, now): (Instant, Instant),
    reading: &MachineReading,
) {
    let Some(since) = all_cut_since(state, work, machine).filter(|since| asked >= *since + limits::HOLD_UP) else { return };
    if super::is_target(state, machine, reading).is_ok() {
        let sign = format!("the BMC of {machine} answered {} after all its outlets were cut", asked.since(since));
        doubt(work, machine, now, &sign);
    }
}

/// The machine's server was answered for.
pub(super) fn served(state: &State, work: &mut Work, (asked, now): (Instant, Instant), sign: &str) {
    for machine in work.plan.body().fence.clone() {
        if all_cut_since(state, work, &machine).is_some_and(|since| asked >= since + limits::HOLD_UP) {
            doubt(work, &machine, now, &format!("{sign} although all outlets of {machine} are cut"));
        }
    }
}

/// One of the machine's ports was read: frames that came in since two looks after the cut are a sign of life.
pub(super) fn heard(
    state: &State,
    work: &mut Work,
    machine: &MachineId,
    (asked, now): (Instant, Instant),
    reading: &PortReading,
) {
    let Some(document) = state.estate.machines.get(machine) else { return };
    if all_cut_since(state, work, machine).is_none_or(|since| asked < since + limits::HOLD_UP) {
        return;
    }
    let of_machine = |key: &Key| matches!(key, Key::Cut(of, _) if of == machine);
    let Some(task) = work.tasks.iter_mut().find(|(key, _)| of_machine(key)).map(|(_, task)| task) else { return };
    let Some(window) = &mut task.window else { return };
    if let Some(sign) = power::look(window, document, reading, "its outlets are cut") {
        doubt(work, machine, now, &sign);
    }
}

/// When every outlet of the machine was confirmed, as `fresh` judges it; `None` while one is not.
pub(super) fn proven(
    state: &State,
    work: &Work,
    machine: &MachineId,
    fresh: impl Fn(&Task) -> Option<Instant>,
) -> Option<Instant> {
    let outlets = usable(state, machine).ok()?;
    let stands = outlets.into_iter().map(|outlet| work.tasks.get(&Key::Cut(machine.clone(), outlet)).and_then(&fresh));
    stands.collect::<Option<Vec<Instant>>>()?.into_iter().min()
}

/// True if the machine is off by its outlets, so that nothing is left to do about its power.
pub(crate) fn are_cut(work: &Work, machine: &MachineId) -> bool {
    let mut cuts = cuts(work, machine).peekable();
    cuts.peek().is_some() && cuts.all(Task::is_confirmed)
}

/// Tells what has shown that outlets are not a machine's, once, takes them out of its proofs until they are tried anew, and gives them back to
/// whatever hangs there.
pub(super) fn tell(state: &mut State, work: &mut Work, out: &mut Out) {
    let mut told: BTreeSet<MachineId> = BTreeSet::new();
    let mut given_back = Vec::new();
    for (key, task) in &mut work.tasks {
        let Key::Cut(machine, _) = key else { continue };
        let Some(sign) = task.veto.take() else { continue };
        let plan = work.plan.id();
        if told.insert(machine.clone()) {
            let text = format!(
                "the outlets entered for {machine} are not all that feed it: {sign}; something else may have lost its power"
            );
            out.record(&mut state.ledger, Fact::OutletsDoubted { machine: machine.clone(), why: sign });
            out.record(&mut state.ledger, Fact::Alarm { subject: machine.to_string(), code: "F0309".to_owned(), text });
        }
        given_back.push(key.clone());
        if let Some((machine, what)) = super::order(key)
            && state.ledger.orders.contains_key(&(plan, machine.clone(), what.clone()))
        {
            out.record(&mut state.ledger, Fact::OrderDone { plan, machine, what });
        }
    }
    for key in given_back {
        work.tasks.remove(&key);
        if let Key::Cut(_, outlet) = key {
            // its bars are lifted with those that are lifted already
            work.tasks.remove(&Key::Unbar(Agent::Outlets(outlet.pdu)));
        }
    }
    give_back(state, work, out);
}

/// The outlets of one unit that this plan has cut in vain.
pub(super) fn given_back(state: &State, work: &Work, pdu: &PduId) -> Vec<Resource> {
    to_give_back(state, work).remove(&Agent::Outlets(pdu.clone())).unwrap_or_default()
}

/// Machines whose outlets this plan has cut, and which were found not to be theirs since, as the ledger has it: a restart forgets none.
fn in_vain(state: &State, work: &Work) -> Vec<(MachineId, Vec<OutletId>)> {
    if work.plan.body().kind != Kind::Failover {
        return Vec::new();
    }
    let doubted = |machine: &&MachineId| {
        let row = state.ledger.machines.get(*machine);
        let disowned = row.and_then(|row| row.enrolled.as_ref()).is_some_and(|enrolled| enrolled.outlets.is_empty());
        disowned && cut_by(state, machine) == Some(work.plan.id())
    };
    let outlets = |machine: &MachineId| state.estate.machines.get(machine).map(|document| document.outlets.clone());
    let machines = work.plan.body().fence.iter().filter(doubted);
    machines.map(|machine| (machine.clone(), outlets(machine).unwrap_or_default())).collect()
}

/// Outlets that a plan has cut in vain and not given back yet, by their agents.
pub fn to_give_back(state: &State, work: &Work) -> BTreeMap<Agent, Vec<Resource>> {
    let mut all: BTreeMap<Agent, Vec<Resource>> = BTreeMap::new();
    for outlet in in_vain(state, work).into_iter().flat_map(|(_, outlets)| outlets) {
        all.entry(Agent::Outlets(outlet.pdu.clone())).or_default().push(Resource::Outlet(outlet));
    }
    all
}

/// What was cut in vain is another machine's: it is fed again, whatever becomes of the plan.
fn give_back(state: &mut State, work: &mut Work, out: &mut Out) {
    for (machine, outlets) in in_vain(state, work) {
        for outlet in &outlets {
            let unbar = Key::Unbar(Agent::Outlets(outlet.pdu.clone()));
            work.want(unbar.clone(), out.now);
            if work.confirmed(&unbar) {
                work.want(Key::Feed(outlet.clone()), out.now);
            }
        }
        if outlets.iter().all(|outlet| work.confirmed(&Key::Feed(outlet.clone()))) {
            work.tasks.retain(|key, _| !matches!(key, Key::Feed(outlet) if outlets.contains(outlet)));
            out.record(&mut state.ledger, Fact::OutletsFed { plan: work.plan.id(), machine });
        }
    }
}
