//! A scenario's steps, each done by the hand it needs.

use lab::control::Act;
use lab::names::{MACHINES_MAX, Machine};
use pipeline::record::Found;
use serde_json::json;
use vocabulary::MachineId;

use crate::agents;
use crate::clock::wall_ms;
use crate::expect;
use crate::limits::REASON;
use crate::manner::quirks;
use crate::network;
use crate::rivals;
use crate::run::{Run, until};
use crate::script::{Numbered, Step};
use crate::signals;
use crate::storage;
use crate::trouble::{Done, Trouble};

/// Does one step of a scenario.
pub fn step(run: &mut Run<'_>, numbered: &Numbered, tell: &dyn Fn(&str)) -> Done {
    match &numbered.step {
        Step::Up => run.start(tell),
        Step::Pause(time) => signals::sleep(*time),
        Step::WaitServes(server, within) => run.wait_serves(server, *within),
        Step::WaitRecords(count, server, within) => run.wait_records(*count, server, *within),
        Step::WaitControllerDies(within) => until("the controller's death", *within, || {
            Ok(if run.rig.controller_runs()? { Err("it runs".to_owned()) } else { Ok(()) })
        }),
        Step::Kill(machine) => run.act(machine, Act::Kill),
        Step::Freeze(machine) => run.act(machine, Act::Freeze),
        Step::Thaw(machine) => run.act(machine, Act::Thaw),
        Step::PressPower(machine) => press_power(run, machine),
        Step::Bmc(machine, manner) => run.bmc_sim(&json!({"verb": "set_quirks", "name": machine, "quirks": quirks(*manner)})),
        Step::Part(machine, what) => run.bmc_sim(&json!({"verb": "mishap", "name": machine, "what": what})),
        Step::Feed(machine, back) => feed(run, machine.as_str(), *back),
        Step::FeedAll(back) => feed_all(run, *back),
        Step::StartSite => start_site(run),
        Step::RestartTarget => run.restart_target(),
        Step::Target(what) => storage::befall(run, what),
        Step::Agent(agent, mishap) => agents::befall(run, agent.as_str(), *mishap),
        Step::Readopt(agent) => run.rig.product.command(&["agent", "readopt", agent.as_str(), "--yes"]).map(drop),
        Step::Release(machine) => run.rig.product.command(&["machine", "release", machine.as_str(), "--yes"]).map(drop),
        Step::Hold(server) => {
            let of = server.iter().map(|server| server.as_str());
            let words: Vec<&str> = ["hold"].into_iter().chain(of).chain(["--reason", REASON]).collect();
            run.rig.product.command(&words).map(drop)
        }
        Step::Resume(server) => {
            let of = server.iter().map(|server| server.as_str());
            let words: Vec<&str> = ["resume"].into_iter().chain(of).chain(["--yes"]).collect();
            run.rig.product.command(&words).map(drop)
        }
        Step::Maintain(machine, time) => {
            let lasts = format!("{}ms", time.as_millis());
            let words = ["maintenance", "set", "machine", machine.as_str(), "--for", &lasts, "--reason", REASON];
            run.rig.product.command(&words).map(drop)
        }
        Step::EndMaintenance(machine) => run.rig.product.command(&["maintenance", "end", "machine", machine.as_str()]).map(drop),
        Step::Mode(mode) => {
            let view: api::view::StatusView = run.rig.product.view("/v1/status")?;
            let tiers: std::collections::BTreeSet<String> = view.servers.into_iter().map(|server| server.tier).collect();
            tiers.iter().try_for_each(|tier| run.rig.product.command(&["tier", "mode", tier, mode.word(), "--yes"]).map(drop))
        }
        Step::Approve(server, in_vain) => {
            let said = run.rig.product.command(&["failover", "approve", server.as_str(), "--yes", "--no-wait"]);
            if *in_vain { refused(said, NOTHING_WAITS) } else { said.map(drop) }
        }
        Step::ConfirmOff(machine, found, in_vain) => confirm_off(run, machine, *found, *in_vain),
        Step::LetGo(domain) => {
            let words: Vec<&str> = ["guard", "resume"].into_iter().chain(domain.split(' ')).collect();
            let words: Vec<&str> = words.into_iter().chain(["--reason", REASON, "--yes"]).collect();
            run.rig.product.command(&words).map(drop)
        }
        Step::KillController => Ok(run.rig.hand()?.kill(run.rig.serve.name).map(drop)?),
        Step::RestartController(stage) => run.restart_controller(stage.map(|stage| stage.name())),
        Step::BackUp => run.back_up(),
        Step::RestoreController => run.restore_controller(),
        Step::Rival(what) => rivals::befall(run, *what),
        Step::Adopt => run.rig.product.command(&["adopt", "--yes", "--reason", REASON]).map(drop),
        Step::Reboot(server) => run.tell_server(server, "/reboot"),
        Step::Crash(server) => run.tell_server(server, "/crash"),
        Step::Panic(server) => run.tell_server(server, "/panic"),
        Step::Network(what) => network::befall(run, what),
        Step::ByHand { server, to } => run.by_hand(server, to),
        Step::Expect(expectation) => expect::check(run, expectation),
    }
}

fn press_power(run: &mut Run<'_>, machine: &MachineId) -> Done {
    run.pressed.insert(machine.to_string(), wall_ms());
    run.bmc_sim(&json!({"verb": "press_power_button", "name": machine}))
}

fn feed(run: &mut Run<'_>, machine: &str, back: bool) -> Done {
    let verb = if back { "power_return" } else { "power_loss" };
    run.bmc_sim(&json!({"verb": verb, "name": machine}))
}

fn feed_all(run: &mut Run<'_>, back: bool) -> Done {
    let all: Vec<Machine> = (1..=run.rig.setup.machines).map(Machine).collect();
    all.iter().try_for_each(|machine| feed(run, &machine.name(), back))
}

/// A person has every site started; whether it was done in order is seen by what follows.
fn start_site(run: &Run<'_>) -> Done {
    let sites: Vec<api::view::SiteView> = run.rig.product.view("/v1/sites")?;
    let start = |site: &api::view::SiteView| {
        let words = ["site", "start", &site.name, "--reason", REASON, "--yes", "--no-wait"];
        run.rig.product.command(&words).map(drop)
    };
    sites.iter().try_for_each(start)
}

/// A person reads the number off the box, and says how it is.
fn confirm_off(run: &Run<'_>, machine: &MachineId, found: Found, in_vain: bool) -> Done {
    let boxes = (1..=MACHINES_MAX).map(Machine);
    let serial = boxes.into_iter().find(|one| one.name() == machine.as_str()).map(Machine::serial).unwrap_or_default();
    let found = found.to_string();
    let words = ["machine", "confirm-off", machine.as_str(), "--serial", &serial, "--found", &found, "--reason", REASON];
    let said = run.rig.product.command(&words);
    if in_vain { refused(said, NO_PROOF_WAITS) } else { said.map(drop) }
}

/// What is said to somebody who agrees to what does not wait.
pub const NOTHING_WAITS: &str = "F0211";
/// What is said to somebody whose word nobody waits for.
pub const NO_PROOF_WAITS: &str = "F0311";

/// A command that has to be refused, for this reason and no other.
pub fn refused<T>(said: Done<T>, code: &str) -> Done {
    match said {
        Err(Trouble::Command { told, .. }) if told.contains(code) => Ok(()),
        Err(other) => Err(other),
        Ok(_) => Err(Trouble::Wrong(format!("a command was taken that has to be refused with {code}"))),
    }
}
