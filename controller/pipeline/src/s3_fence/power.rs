//! Set P: ForceOff, then an unbroken run of fresh Off readings of every power source. `Unknown`, an error, another session, another
//! reset or another identity starts the run anew; none of them is ever Off. A frame of the machine after its first Off makes the run void.

use crate::state::State;
use crate::work::{Heard, Key, Progress, Task, Window, Work, limits};
use std::collections::BTreeSet;
use vocabulary::Mac;
use vocabulary::estate::Machine;
use vocabulary::network::PortReading;
use vocabulary::power::MachineReading;
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Instant, MachineId, Span};

/// Pause between reads while a machine is not off yet.
const NOT_OFF_AGAIN: Span = Span::ms(200);

/// Folds the answer to ForceOff or to a reading into the task.
pub(super) fn fold(
    state: &State,
    machine: &MachineId,
    task: &mut Task,
    asked: Instant,
    now: Instant,
    outcome: &Result<Answer, AgentError>,
) {
    let was_force_off = task.acted_at.is_none();
    task.first_at.get_or_insert(now);
    let reading = match outcome {
        Ok(Answer::Machine(reading)) => reading,
        Ok(_) => return broken(task, now, "the agent answered something else".to_owned()),
        Err(error) => return broken(task, now, error.to_string()),
    };
    let Some(document) = state.estate.machines.get(machine) else {
        return broken(task, now, format!("{machine} is not in the estate"));
    };
    if let Err(reason) = is_same_box(state, machine, document, reading) {
        return broken(task, now, reason);
    }
    if was_force_off {
        // what was read back after the command is not counted: the window begins with readings asked for after it
        task.acted_at = Some(now);
        task.window = None;
        return task.again_at(now);
    }
    if !reading.all_off() {
        task.window = None;
        if task.acted_at.is_some_and(|at| now.since(at) >= task.pace(limits::FORCE_OFF_AGAIN)) {
            task.acted_at = None;
        }
        task.reason = Some(format!("its BMC says {:?}", reading.system_power));
        return task.again_at(now + NOT_OFF_AGAIN);
    }
    count(state, task, asked, now, reading);
}

fn broken(task: &mut Task, now: Instant, reason: String) {
    task.window = None;
    task.retry(now, reason);
}

/// The identity that was enrolled, read on the same session as the power state.
pub(crate) fn is_same_box(
    state: &State,
    machine: &MachineId,
    document: &Machine,
    reading: &MachineReading,
) -> Result<(), String> {
    let same = |expected: &str, found: &str| !expected.is_empty() && expected.eq_ignore_ascii_case(found);
    let identity = &reading.identity;
    if !same(&document.uuid, &identity.uuid) && !same(&document.serial, &identity.serial) {
        return Err(format!("the BMC answers for a box with serial `{}`, not `{}`", identity.serial, document.serial));
    }
    let pinned = state
        .ledger
        .machines
        .get(machine)
        .and_then(|row| row.enrolled.as_ref())
        .and_then(|enrolled| enrolled.certificate.as_ref());
    match (pinned, &reading.certificate) {
        (Some(pinned), Some(found)) if pinned != found => Err("the BMC's certificate is not the one that was pinned".to_owned()),
        (Some(_), None) => Err("the BMC showed no certificate although one was pinned".to_owned()),
        _ => Ok(()),
    }
}

fn count(state: &State, task: &mut Task, asked: Instant, now: Instant, reading: &MachineReading) {
    let fencing = &state.estate.settings.fencing;
    let broken_by = task.window.as_ref().and_then(|window| {
        let signs = [
            (window.session != reading.session, "its BMC says Off, but no two readings of it are on one unbroken session"),
            (window.last_reset != reading.last_reset, "its BMC says Off, and tells of a reset between two readings"),
            (window.bmc_started != reading.bmc_started, "its BMC says Off, and has restarted between two readings"),
        ];
        signs.into_iter().find_map(|(is, sign)| is.then_some(sign))
    });
    if let Some(sign) = broken_by {
        task.reason = Some(sign.to_owned());
    }
    let mut window = task.window.take().filter(|_| broken_by.is_none()).unwrap_or(Window {
        session: reading.session,
        since: asked,
        first_off: now,
        newest_off: asked,
        full_since: None,
        ports: Default::default(),
        reads: 0,
        last_reset: reading.last_reset.clone(),
        bmc_started: reading.bmc_started.clone(),
    });
    if window.reads == 0 {
        task.strong = true;
    }
    task.strong &= reading.chassis_power.is_some();
    window.reads = window.reads.saturating_add(1);
    window.newest_off = asked;
    let lasted = asked.since(window.since);
    if window.reads >= fencing.reads && lasted >= fencing.settle {
        // looks at its ports may still be under way: `conclude` confirms it
        window.full_since.get_or_insert(now);
        task.again_at(now + limits::LIFE_PATIENCE);
    } else {
        let pause = Span(fencing.settle.0.div_ceil(u64::from(fencing.reads.max(2)) - 1));
        let next = window.since + Span(pause.0.saturating_mul(u64::from(window.reads)));
        task.again_at(next.max(now));
    }
    task.window = Some(window);
}

/// Confirms a full window, unless a look at the machine's ports is still under way and may be waited for.
pub(super) fn conclude(task: &mut Task, looking: bool, now: Instant) {
    let Some(window) = &mut task.window else { return };
    let waits = |since: Instant| looking && now.since(since) < limits::LIFE_PATIENCE;
    if matches!(task.progress, Progress::Confirmed(_)) || window.full_since.is_none_or(waits) {
        return;
    }
    window.full_since = None;
    let lasted = window.newest_off.since(window.since);
    let sources = if task.strong { "system and host rail" } else { "system only: weak, counts with S" };
    let silent = window.ports.values().filter(|heard| heard.looks > 1).count();
    let heard = if silent > 0 { format!(", nothing heard at {silent} ports meanwhile") } else { String::new() };
    let text = format!("{} readings over {lasted} on session {}, all Off ({sources}){heard}", window.reads, window.session);
    let at = window.newest_off;
    task.confirm(at, text);
}

/// Folds a reading of one of the machine's ports in. A machine that is off sends nothing: a frame that came in between two readings, both
/// asked for after its first Off was answered, makes that Off a lie, and P is begun anew. Where addresses of somebody else are learnt on the
/// port (a BMC that shares it), the counter is not the machine's alone: there only a data MAC that is learnt anew counts.
pub(super) fn heard(state: &State, work: &mut Work, machine: &MachineId, asked: Instant, now: Instant, reading: &PortReading) {
    let Some(document) = state.estate.machines.get(machine) else { return };
    let Some(task) = work.tasks.get_mut(&Key::Power(machine.clone())) else { return };
    let Some(window) = task.window.as_mut().filter(|window| asked >= window.first_off) else { return };
    if let Some(sign) = look(window, document, reading, "its BMC says Off") {
        task.window = None;
        task.acted_at = None;
        task.veto = Some(sign.clone());
        task.retry(now, sign);
    }
}

/// A routine poll that does not say Off, a failed one included, voids a power proof that stood: it is newer.
pub fn polled(state: &mut State, machine: &MachineId, now: Instant, reading: Option<&MachineReading>) -> bool {
    if reading.is_some_and(MachineReading::all_off) {
        return false;
    }
    let mut voided = false;
    for task in state.works.values_mut().filter_map(|work| work.tasks.get_mut(&Key::Power(machine.clone()))) {
        if task.is_confirmed() {
            task.window = None;
            task.acted_at = None;
            task.evidence = None;
            task.reason = Some(
                reading.map_or("its BMC did not answer since".to_owned(), |r| format!("its BMC says {:?} since", r.system_power)),
            );
            task.again_at(now);
            voided = true;
        }
    }
    voided
}

/// Keeps what was read of a port, and tells what shows that the machine lives although it is said not to.
pub(super) fn look(window: &mut Window, machine: &Machine, reading: &PortReading, although: &str) -> Option<String> {
    let before = window.ports.get(&reading.port).cloned();
    let looks = before.as_ref().map_or(1, |before| before.looks.saturating_add(1));
    let now_heard = Heard { frames_in: reading.frames_in, learnt: reading.learnt.clone(), looks };
    window.ports.insert(reading.port.clone(), now_heard);
    before.and_then(|before| sign_of_life(machine, reading, &before, although))
}

fn sign_of_life(machine: &Machine, reading: &PortReading, before: &Heard, although: &str) -> Option<String> {
    let own: BTreeSet<Mac> = machine.nics.iter().map(|nic| nic.mac).collect();
    if let Some(mac) = reading.learnt.difference(&before.learnt).find(|mac| own.contains(mac)) {
        return Some(format!("its address {mac} was learnt anew at {} although {although}", reading.port));
    }
    let shared = reading.learnt.union(&before.learnt).any(|mac| !own.contains(mac));
    let grew = reading.frames_in > before.frames_in;
    (grew && !shared).then(|| format!("frames came in at {} although {although}", reading.port))
}
