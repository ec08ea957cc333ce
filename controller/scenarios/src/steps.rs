//! A scenario's steps, each done by the hand it needs.

use lab::control::Act;
use serde_json::json;

use crate::clock::wall_ms;
use crate::expect;
use crate::limits::REASON;
use crate::rig::SERVE;
use crate::run::{Run, until};
use crate::script::{Numbered, Step};
use crate::signals;
use crate::trouble::Done;

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
        Step::PressPower(machine) => {
            run.pressed.insert(machine.to_string(), wall_ms());
            run.bmc_sim(&json!({"verb": "press_power_button", "name": machine}))
        }
        Step::Bmc { machine, reachable } => {
            let reach = if *reachable { "answering" } else { "unreachable" };
            run.bmc_sim(&json!({"verb": "set_quirks", "name": machine, "quirks": {"reach": reach}}))
        }
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
        Step::KillController => Ok(run.rig.hand()?.kill(SERVE).map(drop)?),
        Step::RestartController(stage) => run.restart_controller(stage.map(|stage| stage.name())),
        Step::Reboot(server) => run.reboot(server),
        Step::ByHand { server, to } => run.by_hand(server, to),
        Step::Expect(expectation) => expect::check(run, expectation),
    }
}
