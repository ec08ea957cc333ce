//! How mishaps of agents' memories are drawn: lost, or put back to what they were, mostly while something is under way; and an operator who has
//! them seeded, or not, or another. Must never look at anything but the dice and who is there.

use super::{Drawing, SHORT};
use crate::deed::{Button, Deed, Place, Road, ToController, ToMachine, ToProcess};
use std::time::Duration;
use vocabulary::AgentId;

/// From a machine's end until its server runs elsewhere, and a little beyond.
const UNDER_WAY: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(100));
/// From that until it goes on where it hung.
const GOES_ON: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// An operator who does not wait until anybody has noticed.
const AT_ONCE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(3));
/// For so long nobody runs who could say what a memory is worth: less than its agent waits for that.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(12));
/// How many writes back: a command takes two or three.
const WRITES: (u64, u64) = (1, 12);
/// The same, of an older copy.
const WRITES_MANY: (u64, u64) = (13, 200);

/// Of a million such mishaps so many come while a machine is being replaced.
const IN_A_FAILOVER: u32 = 700_000;
/// Of a million so many meet a process that runs on, and writes again what it knows.
const BELOW_A_PROCESS: u32 = 100_000;
/// Of a million so many come while no controller runs.
const CONTROLLER_AWAY: u32 = 250_000;
/// Of a million so many are never noticed by an operator.
const UNNOTICED: u32 = 150_000;
/// Of a million operators so many are at once there; so many take another agent for it.
const HASTY: u32 = 150_000;
/// See [`HASTY`].
const WRONG: u32 = 150_000;

pub(super) fn lost(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(agent) = drawing.one(&drawing.targets.agents) else { return };
    let at = amid(drawing, at);
    let back = strike(drawing, at, &agent, ToProcess::Forget);
    seeded(drawing, back, agent);
}

pub(super) fn older(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(agent) = drawing.one(&drawing.targets.agents) else { return };
    let at = amid(drawing, at);
    let (least, most) = if drawing.dice.in_a_million(700_000) { WRITES } else { WRITES_MANY };
    let writes = drawing.number(least, most);
    let back = strike(drawing, at, &agent, ToProcess::RollBack(writes));
    if drawing.dice.in_a_million(CONTROLLER_AWAY) {
        let away = drawing.span(AWAY);
        let killed = back.saturating_sub(drawing.span((Duration::ZERO, away)));
        drawing.add(killed, Deed::Controller(ToController::Process(ToProcess::Kill)));
        drawing.add(killed + away, Deed::Controller(ToController::Process(ToProcess::Start)));
    }
    seeded(drawing, back, agent);
}

/// What was cut off with a machine matters most, and what its memory has forgotten of it: often one hangs that nobody can switch off, its server
/// goes elsewhere, and it goes on. When the mishap comes.
fn amid(drawing: &mut Drawing<'_>, at: Duration) -> Duration {
    let Some(machine) = drawing.one(&drawing.targets.machines).filter(|_| drawing.dice.in_a_million(IN_A_FAILOVER)) else {
        return at;
    };
    if drawing.half() {
        drawing.add(at, Deed::Way(Place::Bmc(machine.clone()), Road::Cut));
    }
    drawing.add(at, Deed::Machine(machine.clone(), ToMachine::Freeze));
    let strikes = at + drawing.span(UNDER_WAY);
    let goes_on = strikes + drawing.span(GOES_ON);
    drawing.add(goes_on, Deed::Machine(machine, ToMachine::Thaw));
    strikes
}

/// Its process is dead when its disk is lost or put back, and started again; or it runs on. When that is over.
fn strike(drawing: &mut Drawing<'_>, at: Duration, agent: &AgentId, what: ToProcess) -> Duration {
    let to = |what| Deed::Agent(agent.clone(), what);
    let back = at + drawing.span(SHORT);
    if drawing.dice.in_a_million(BELOW_A_PROCESS) {
        drawing.add(at, to(what));
        drawing.add(back, to(ToProcess::Kill));
        let started = back + drawing.span(SHORT);
        drawing.add(started, to(ToProcess::Start));
        return started;
    }
    drawing.add(at, to(ToProcess::Kill));
    drawing.add(at, to(what));
    drawing.add(back, to(ToProcess::Start));
    back
}

/// Somebody has it seeded, sooner or later.
fn seeded(drawing: &mut Drawing<'_>, back: Duration, agent: AgentId) {
    if drawing.dice.in_a_million(WRONG)
        && let Some(other) = drawing.one(&drawing.targets.agents)
    {
        let wrong = back + drawing.span(SHORT);
        drawing.add(wrong, Deed::Operator(Button::Readopt(other)));
    }
    if drawing.dice.in_a_million(UNNOTICED) {
        return;
    }
    let comes = if drawing.dice.in_a_million(HASTY) { drawing.span(AT_ONCE) } else { drawing.lasting() };
    drawing.add(back + comes, Deed::Operator(Button::Readopt(agent)));
}
