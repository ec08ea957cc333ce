//! Set P: ForceOff, then an unbroken run of fresh Off readings of every power source. `Unknown`, an error, another session, another
//! reset or another identity starts the run anew; none of them is ever Off.

use crate::state::State;
use crate::work::{Task, Window, limits};
use vocabulary::estate::Machine;
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
        if task.acted_at.is_some_and(|at| now.since(at) >= limits::FORCE_OFF_AGAIN) {
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
    let fits = |window: &Window| {
        window.session == reading.session && window.last_reset == reading.last_reset && window.bmc_started == reading.bmc_started
    };
    let mut window = task.window.take().filter(fits).unwrap_or(Window {
        session: reading.session,
        since: asked,
        reads: 0,
        last_reset: reading.last_reset.clone(),
        bmc_started: reading.bmc_started.clone(),
    });
    if window.reads == 0 {
        task.strong = true;
    }
    task.strong &= reading.chassis_power.is_some();
    window.reads = window.reads.saturating_add(1);
    let lasted = asked.since(window.since);
    if window.reads >= fencing.reads && lasted >= fencing.settle {
        let sources = if task.strong { "system and host rail" } else { "system only: weak, counts with S" };
        task.confirm(now, format!("{} readings over {lasted} on session {}, all Off ({sources})", window.reads, window.session));
    } else {
        let pause = Span(fencing.settle.0.div_ceil(u64::from(fencing.reads.max(2)) - 1));
        let next = window.since + Span(pause.0.saturating_mul(u64::from(window.reads)));
        task.again_at(next.max(now));
    }
    task.window = Some(window);
}
