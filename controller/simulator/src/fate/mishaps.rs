//! How each kind of mishap is drawn. Must never look at anything but the dice and who is there.

use super::{Drawing, LONG, SHORT};
use crate::deed::{
    Button, Cords, Deed, Place, Road, ToBmc, ToController, ToMachine, ToOutlet, ToProcess, ToSwitch, ToTarget, When,
};
use pipeline::stage::Stage;
use std::time::Duration;
use vocabulary::estate::Mode;
use vocabulary::{AgentId, MachineId};
use world::outlet::Quirk;

/// When a machine that hangs has been given up for another, if all goes well.
const FAILED_OVER: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(150));
/// How long after the agent was started again the colleague comes: it has put back what it keeps by then.
const WORKS_AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(150));
/// How late what is late can be.
const LATE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// Of a million mishaps of a BMC so many meet a machine that hangs.
const HANGS_TOO: u32 = 300_000;
/// How soon after the mishap it does.
const SOON: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(3));
/// Of a million mishaps of an agent so many are commands of another plan at its epoch.
const ASKED_ANEW: u32 = 150_000;

/// A machine dies, hangs, panics, restarts, loses its mains power; often it is repaired and released later.
pub(super) fn machine(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(name) = drawing.one(&drawing.targets.machines) else { return };
    let to = |what| Deed::Machine(name.clone(), what);
    match drawing.dice.between(0, 9) {
        0..=2 => drawing.add(at, to(ToMachine::Die)),
        3 | 4 => drawing.add(at, to(ToMachine::Fail)),
        5 if drawing.half() => drawing.passing(at, to(ToMachine::Freeze), to(ToMachine::Thaw)),
        5 => drawing.add(at, to(ToMachine::Freeze)),
        6 => {
            let dump = drawing.lasting();
            drawing.add(at, to(ToMachine::Panic(dump)));
        }
        7 => drawing.add(at, to(ToMachine::Halt)),
        8 if drawing.half() => drawing.add(at, to(ToMachine::Crash)),
        8 => drawing.add(at, to(ToMachine::Reboot)),
        _ => drawing.passing(at, to(ToMachine::LoseMains), to(ToMachine::RegainMains)),
    }
    if drawing.half() {
        // whoever is on call goes there where a failover waits
        let goes = at + drawing.span(FAILED_OVER);
        drawing.add(goes, Deed::Operator(Button::ConfirmOff));
    }
    if drawing.half() {
        let back = at + drawing.span(LONG);
        drawing.add(back, to(ToMachine::Repair));
        if drawing.half() {
            drawing.add(back, to(ToMachine::Press));
        }
        let released = back + drawing.lasting();
        drawing.add(released, Deed::Operator(Button::Release(name.clone())));
    }
}

/// Lies, refusals and slowness of a BMC: a quirk and a value of it.
pub(super) const QUIRKS: [(&str, &str); 27] = [
    ("reach", "\"unreachable\""),
    ("reach", "\"refuse\""),
    ("reach", "\"garbage\""),
    ("power_state", "\"stuck\""),
    ("power_state", "\"null\""),
    ("power_state", "\"missing\""),
    ("power_state", "\"off\""),
    ("power_state", "\"on\""),
    ("power_state", "\"powering_off\""),
    ("chassis_power", "\"stuck\""),
    ("chassis_power", "\"off\""),
    ("chassis_power", "\"on\""),
    ("serial", "\"another\""),
    ("reset", "\"ignored\""),
    ("reset", "\"fails\""),
    ("reset", "\"fails_afterwards\""),
    ("reset_delay_ms", "120000"),
    ("powering_off_ms", "8000"),
    ("delay_ms", "3000"),
    ("drop_reply", "true"),
    ("garbage_body", "true"),
    ("error_status", "500"),
    ("boot_override", "\"ignored\""),
    ("etag", "\"always_fails\""),
    ("session_cap", "0"),
    ("ipmi_loss_percent", "40"),
    ("ipmi_duplicate_percent", "40"),
];

pub(super) fn bmc_quirk(drawing: &mut Drawing<'_>, at: Duration) {
    let Some((name, (quirk, value))) = drawing.one(&drawing.targets.machines).zip(drawing.one(&QUIRKS)) else { return };
    let to = |what| Deed::Bmc(name.clone(), what);
    let has = to(ToBmc::Has(quirk.to_owned(), value.to_owned()));
    drawing.passing(at, has, to(ToBmc::Well));
    hangs_too(drawing, at, name);
}

/// Often what ails a machine's BMC matters only because the machine hangs meanwhile.
fn hangs_too(drawing: &mut Drawing<'_>, at: Duration, name: MachineId) {
    if drawing.dice.in_a_million(HANGS_TOO) {
        let what = if drawing.half() { ToMachine::Halt } else { ToMachine::Freeze };
        let soon = at + drawing.span(SOON);
        drawing.add(soon, Deed::Machine(name, what));
    }
}

pub(super) fn bmc_restart(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(name) = drawing.one(&drawing.targets.machines) else { return };
    let away = drawing.lasting();
    drawing.add(at, Deed::Bmc(name, ToBmc::Restart(away)));
}

fn road(drawing: &Drawing<'_>) -> Road {
    match drawing.dice.between(0, 3) {
        0 | 1 => Road::Cut,
        2 => Road::Late(drawing.span(LATE)),
        _ => Road::Loses(drawing.number(50_000, 600_000)),
    }
}

fn way(drawing: &mut Drawing<'_>, at: Duration, place: Place) {
    let road = road(drawing);
    drawing.passing(at, Deed::Way(place.clone(), road), Deed::Way(place, Road::Fair));
}

pub(super) fn way_to_bmc(drawing: &mut Drawing<'_>, at: Duration) {
    if let Some(name) = drawing.one(&drawing.targets.machines) {
        way(drawing, at, Place::Bmc(name.clone()));
        hangs_too(drawing, at, name);
    }
}

pub(super) fn way_to_agent(drawing: &mut Drawing<'_>, at: Duration) {
    if let Some(name) = drawing.one(&drawing.targets.agents) {
        way(drawing, at, Place::Agent(name));
    }
}

/// A process dies at a moment or at a write, is stopped, or finds its disk full.
fn process(drawing: &mut Drawing<'_>, at: Duration, to: impl Fn(ToProcess) -> Deed) {
    match drawing.dice.between(0, 5) {
        0 | 1 => drawing.passing(at, to(ToProcess::Kill), to(ToProcess::Start)),
        2 | 3 => {
            let when = if drawing.half() { When::Before } else { When::After };
            let write = to(ToProcess::KillAtWrite(drawing.number(1, 12), when));
            drawing.add(at, write);
            // it may die at any time from now on: somebody starts it whenever it is down
            for _ in 0..4 {
                let later = at + drawing.span(LONG);
                drawing.add(later, to(ToProcess::Start));
            }
        }
        4 => drawing.passing(at, to(ToProcess::Stop), to(ToProcess::GoOn)),
        _ => drawing.passing(at, to(ToProcess::Full), to(ToProcess::Room)),
    }
}

pub(super) fn agent(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(name) = drawing.one(&drawing.targets.agents) else { return };
    if drawing.dice.in_a_million(ASKED_ANEW) {
        return drawing.add(at, Deed::Agent(name, ToProcess::AskedAnew));
    }
    process(drawing, at, |what| Deed::Agent(name.clone(), what));
}

pub(super) fn controller(drawing: &mut Drawing<'_>, at: Duration) {
    let to = |what| Deed::Controller(what);
    match drawing.dice.between(0, 4) {
        0..=2 => process(drawing, at, |what| to(ToController::Process(what))),
        3 => {
            let Some(stage) = drawing.one(&Stage::ALL) else { return };
            drawing.add(at, to(ToController::CrashAfter(stage)));
            drawing.add(at, to(ToController::Process(ToProcess::Kill)));
            for _ in 0..4 {
                let later = at + drawing.lasting();
                drawing.add(later, to(ToController::Process(ToProcess::Start)));
            }
        }
        _ => drawing.passing(at, to(ToController::LoseUplink), to(ToController::RegainUplink)),
    }
}

pub(super) fn controller_disk(drawing: &mut Drawing<'_>, at: Duration) {
    if drawing.half() {
        drawing.add(at, Deed::Controller(ToController::LoseAnswer));
    } else {
        let seconds = i64::try_from(drawing.dice.between(1, 3_600)).unwrap_or(1);
        let jump = if drawing.half() { seconds } else { -seconds };
        drawing.add(at, Deed::Controller(ToController::Jump(jump)));
    }
}

/// The controller's machine is lost some time after a backup; somebody restores it, looks, and has it adopted.
pub(super) fn backup(drawing: &mut Drawing<'_>, at: Duration) {
    let lost = at + drawing.lasting();
    let adopted = lost + drawing.span(SHORT);
    drawing.add(at, Deed::Controller(ToController::BackUp));
    drawing.add(lost, Deed::Controller(ToController::Restore));
    drawing.add(adopted, Deed::Operator(Button::Adopt));
}

pub(super) fn switch(drawing: &mut Drawing<'_>, at: Duration) {
    let to = |what| Deed::Switch(what);
    match drawing.dice.between(0, 2) {
        0 => {
            let away = drawing.lasting();
            drawing.add(at, to(ToSwitch::Restart(away)));
        }
        1 => {
            let Some(port) = drawing.one(&drawing.targets.ports) else { return };
            drawing.passing(at, to(ToSwitch::Unplug(port.clone())), to(ToSwitch::Plug(port)));
        }
        _ => {
            let share = drawing.number(10_000, 300_000);
            drawing.passing(at, to(ToSwitch::Weather(share)), to(ToSwitch::Weather(0)));
        }
    }
}

pub(super) fn colleague(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(port) = drawing.one(&drawing.targets.ports) else { return };
    let what = match drawing.dice.between(0, 2) {
        0 => match drawing.one(&crate::hall::VLANS) {
            Some(vlan) => ToSwitch::Join(port, vlan),
            None => return,
        },
        1 => ToSwitch::Clear(port),
        _ => ToSwitch::Push,
    };
    drawing.add(at, Deed::Switch(what));
}

/// The switch's agent is restarted, once a world; when it works again, a colleague puts all ports of a machine where its server would be.
pub(super) fn colleague_later(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(name) = drawing.one(&drawing.targets.machines) else { return };
    let Some(agent) = crate::hall::SWITCH.parse::<AgentId>().ok() else { return };
    let to = |what| Deed::Agent(agent.clone(), what);
    if drawing.deeds.iter().any(|timed| timed.deed == to(ToProcess::Kill)) {
        return;
    }
    let mut killed = at;
    if drawing.half() {
        // it hangs, and nobody can switch it off: it stays on behind its bars
        drawing.add(at, Deed::Way(Place::Bmc(name.clone()), Road::Cut));
        drawing.add(at, Deed::Machine(name.clone(), ToMachine::Freeze));
        killed = at + drawing.span(FAILED_OVER);
    }
    let started = killed + drawing.span(SHORT);
    drawing.add(killed, to(ToProcess::Kill));
    drawing.add(started, to(ToProcess::Start));
    let comes = started + drawing.span(WORKS_AGAIN);
    for (nic, vlan) in (1..).zip(crate::hall::VLANS) {
        drawing.add(comes, Deed::Switch(ToSwitch::Join(format!("{name}-nic{nic}"), vlan)));
    }
}

pub(super) fn target(drawing: &mut Drawing<'_>, at: Duration) {
    let lasts = drawing.lasting();
    let to = |what| Deed::Target(what);
    match drawing.dice.between(0, 3) {
        0 => drawing.add(at, to(ToTarget::Restart(lasts))),
        1 => drawing.add(at, to(ToTarget::Freeze(lasts))),
        2 => drawing.add(at, to(ToTarget::Stall(lasts))),
        _ => {
            let share = drawing.number(10_000, 300_000);
            drawing.passing(at, to(ToTarget::Weather(share)), to(ToTarget::Weather(0)));
        }
    }
}

/// Buttons, the wrong ones too; and fingers on power buttons.
pub(super) fn operator(drawing: &mut Drawing<'_>, at: Duration) {
    let (machine, server) = (drawing.one(&drawing.targets.machines), drawing.one(&drawing.targets.servers));
    let Some((machine, server)) = machine.zip(server) else { return };
    let deed = match drawing.dice.between(0, 13) {
        0 => Deed::Operator(Button::Release(machine)),
        1 => Deed::Operator(Button::Start(server)),
        2 => {
            let back = at + drawing.lasting();
            drawing.add(back, Deed::Operator(Button::Start(server.clone())));
            Deed::Operator(Button::Stop(server))
        }
        3 => Deed::Operator(Button::Restart(server)),
        4 => Deed::Operator(Button::Failover(server)),
        5 => match drawing.one(&drawing.targets.agents) {
            Some(agent) => Deed::Operator(Button::Readopt(agent)),
            None => return,
        },
        6 => {
            let of = Some(server).filter(|_| drawing.half());
            let back = at + drawing.lasting();
            drawing.add(back, Deed::Operator(Button::Resume(of.clone())));
            Deed::Operator(Button::Hold(of))
        }
        7 => {
            let lasts = drawing.lasting();
            if drawing.half() {
                let done = at + drawing.span(SHORT);
                drawing.add(done, Deed::Operator(Button::EndMaintenance(machine.clone())));
            }
            Deed::Operator(Button::Maintain(machine, lasts))
        }
        8 => Deed::Operator(Button::LetGo),
        9 => Deed::Operator(Button::Abort(server)),
        10 => {
            let mode = if drawing.half() { Mode::Approve } else { Mode::Manual };
            // whoever looks agrees, and may come late
            for _ in 0..drawing.number(1, 8) {
                let looks = at + drawing.span(LONG);
                for server in &drawing.targets.servers {
                    drawing.add(looks, Deed::Operator(Button::Approve(server.clone())));
                }
            }
            if drawing.half() {
                let back = at + drawing.span(LONG);
                drawing.add(back, Deed::Operator(Button::SetMode(Mode::Auto)));
            }
            Deed::Operator(Button::SetMode(mode))
        }
        11 => {
            // whoever is on call looks in the hall now and then
            for _ in 0..drawing.number(1, 8) {
                let looks = at + drawing.span(LONG);
                drawing.add(looks, Deed::Operator(Button::ConfirmOff));
            }
            Deed::Operator(Button::ConfirmsAnother)
        }
        _ => Deed::Machine(machine, ToMachine::Press),
    };
    drawing.add(at, deed);
}

/// Some machines lose their mains power together.
pub(super) fn blackout(drawing: &mut Drawing<'_>, at: Duration) {
    let lasts = drawing.lasting();
    let all = drawing.half();
    for name in &drawing.targets.machines {
        if all || drawing.half() {
            drawing.add(at, Deed::Machine(name.clone(), ToMachine::LoseMains));
            drawing.add(at + lasts, Deed::Machine(name.clone(), ToMachine::RegainMains));
        }
    }
    if drawing.half() {
        // whoever is on call sees that power is back
        let looks = at + lasts + drawing.span(SHORT);
        drawing.add(looks, Deed::Operator(Button::StartSite));
    }
}

/// What machines of one rack share gives way, and takes them along one after the other: a breaker, a fan wall, a loose cable.
pub(super) fn rack(drawing: &mut Drawing<'_>, at: Duration) {
    let how = drawing.dice.between(0, 2);
    let (mut when, lasts) = (at, drawing.lasting());
    for name in &drawing.targets.rack {
        let (begins, ends) = match how {
            0 => (ToMachine::LoseMains, ToMachine::RegainMains),
            1 => (ToMachine::Freeze, ToMachine::Thaw),
            _ => (ToMachine::Die, ToMachine::Repair),
        };
        drawing.add(when, Deed::Machine(name.clone(), begins));
        drawing.add(when + lasts, Deed::Machine(name.clone(), ends));
        when += drawing.span(APART);
    }
}

/// Units that say no, do nothing, switch another outlet, are late or lie; and administrators who switch the wrong one. A unit's relay and its
/// meter do not both lie: which of the two does is drawn once a world.
pub(super) fn outlet(drawing: &mut Drawing<'_>, at: Duration) {
    let Some(machine) = drawing.one(&drawing.targets.machines) else { return };
    let supply = if drawing.half() { None } else { Some(1) };
    let cords = Cords { machine: machine.clone(), supply };
    let to = |what| Deed::Outlet(cords.clone(), what);
    let late = drawing.span(SHORT);
    let lies = if drawing.targets.machines.len().is_multiple_of(2) { Quirk::ReadsWish } else { Quirk::ReadsZero };
    match drawing.dice.between(0, 8) {
        0 => drawing.passing(at, to(ToOutlet::Off), to(ToOutlet::On)),
        1 => drawing.add(at, to(ToOutlet::Takes(late))),
        2 => drawing.passing(at, to(ToOutlet::Has(Quirk::Refuses)), to(ToOutlet::Well)),
        3 => drawing.passing(at, to(ToOutlet::Has(Quirk::Ignores)), to(ToOutlet::Well)),
        4 => drawing.passing(at, to(ToOutlet::Has(Quirk::Another)), to(ToOutlet::Well)),
        5 => drawing.passing(at, to(ToOutlet::Has(Quirk::Late(late))), to(ToOutlet::Well)),
        6 => drawing.passing(at, to(ToOutlet::Has(Quirk::MeterLags(late))), to(ToOutlet::Well)),
        _ => drawing.passing(at, to(ToOutlet::Has(lies)), to(ToOutlet::Well)),
    }
    if drawing.half() {
        // it matters where nothing but the outlets can prove the machine dead
        let soon = at + drawing.span(SOON);
        let back = soon + drawing.span(LONG);
        drawing.add(soon, Deed::Way(Place::Bmc(machine.clone()), Road::Cut));
        drawing.add(back, Deed::Way(Place::Bmc(machine.clone()), Road::Fair));
        drawing.add(soon, Deed::Machine(machine, ToMachine::Freeze));
    }
}

/// How long after one another the machines of a rack go.
const APART: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(12));

/// The controller is the isolated one: everybody falls silent together, or only all BMCs, or only all agents.
pub(super) fn isolation(drawing: &mut Drawing<'_>, at: Duration) {
    let lasts = drawing.lasting();
    let which = drawing.dice.between(0, 2);
    let bmcs = drawing.targets.machines.iter().cloned().map(Place::Bmc).filter(|_| which != 1);
    let agents = drawing.targets.agents.iter().cloned().map(Place::Agent).filter(|_| which != 2);
    for place in bmcs.chain(agents) {
        drawing.add(at, Deed::Way(place.clone(), Road::Cut));
        drawing.add(at + lasts, Deed::Way(place, Road::Fair));
    }
    if which == 0 && drawing.half() {
        drawing.add(at, Deed::Controller(ToController::LoseUplink));
        drawing.add(at + lasts, Deed::Controller(ToController::RegainUplink));
    }
}

/// All that the controller has is copied as it lies, and one on the copy is ours from then on; the first one goes on beside it.
pub(super) fn controller_copied(drawing: &mut Drawing<'_>, at: Duration) {
    drawing.add(at, Deed::Controller(ToController::Double));
}
