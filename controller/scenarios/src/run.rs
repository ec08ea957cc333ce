//! Runs a scenario's steps, one after the other, in a data centre of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::view::{MachineView, PlanSummary, ServerView};
use lab::control::Act;
use lab::names::BMC_SIM;
use serde_json::json;
use vocabulary::{MachineId, ServerId};

use crate::clock::wall_ms;
use crate::expect;
use crate::eyes;
use crate::limits::LOOK;
use crate::rig::{Places, Rig, SERVE, servers};
use crate::script::{Numbered, Scenario, Step};
use crate::trouble::{Done, Trouble};

/// A scenario under way.
pub struct Run<'a> {
    /// Its data centre.
    pub rig: Rig,
    /// Where programs are.
    pub places: &'a Places,
    /// When something was done to a machine last, milliseconds since 1970.
    pub fault: Option<u64>,
    /// Which start of a server answered when it was told to restart.
    pub before_restart: BTreeMap<String, String>,
    /// When a machine was last powered on by a finger.
    pub pressed: BTreeMap<String, u64>,
}

/// Raises the data centre of a scenario and brings every server to its first answer.
pub fn up<'a>(places: &'a Places, scenario: &Scenario, keep: bool, tell: &dyn Fn(&str)) -> Done<Run<'a>> {
    let rig = Rig::raise(places, &scenario.name, &scenario.setup, keep, tell)?;
    Ok(Run { rig, places, fault: None, before_restart: BTreeMap::new(), pressed: BTreeMap::new() })
}

/// Waits until `look` gives something; its error text is what was seen last.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Done<Result<T, String>>) -> Done<T> {
    let start = Instant::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() > within => return Err(Trouble::Late { what: what.to_owned(), within, last }),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

impl Run<'_> {
    /// Does one step.
    pub fn step(&mut self, numbered: &Numbered, tell: &dyn Fn(&str)) -> Done {
        match &numbered.step {
            Step::Up => self.start(tell),
            Step::Pause(time) => {
                std::thread::sleep(*time);
                Ok(())
            }
            Step::WaitServes(server, within) => self.wait_serves(server, *within),
            Step::WaitRecords(count, server, within) => self.wait_records(*count, server, *within),
            Step::WaitControllerDies(within) => until("the controller's death", *within, || {
                Ok(if self.rig.controller_runs()? { Err("it runs".to_owned()) } else { Ok(()) })
            }),
            Step::Kill(machine) => self.act(machine, Act::Kill),
            Step::Freeze(machine) => self.act(machine, Act::Freeze),
            Step::Thaw(machine) => self.act(machine, Act::Thaw),
            Step::PressPower(machine) => {
                self.pressed.insert(machine.to_string(), wall_ms());
                self.bmc_sim(&json!({"verb": "press_power_button", "name": machine}))
            }
            Step::Bmc { machine, reachable } => {
                let reach = if *reachable { "answering" } else { "unreachable" };
                self.bmc_sim(&json!({"verb": "set_quirks", "name": machine, "quirks": {"reach": reach}}))
            }
            Step::Release(machine) => {
                self.rig.product.command(&["machine", "release", machine.as_str(), "--yes"]).map(drop)
            }
            Step::KillController => Ok(self.rig.hand()?.kill(SERVE).map(drop)?),
            Step::RestartController(stage) => self.restart_controller(stage.map(|stage| stage.name())),
            Step::Reboot(server) => self.reboot(server),
            Step::ByHand { server, to } => self.by_hand(server, to),
            Step::Expect(expectation) => expect::check(self, expectation),
        }
    }

    fn start(&mut self, tell: &dyn Fn(&str)) -> Done {
        self.rig.start_servers(tell)?;
        for (server, _) in servers() {
            let server: ServerId = server.parse().map_err(|_| Trouble::Wrong(format!("{server} is no name")))?;
            self.wait_serves(&server, crate::limits::SERVES)?;
        }
        tell("both servers answer");
        Ok(())
    }

    fn wait_serves(&self, server: &ServerId, within: Duration) -> Done {
        until(&format!("an answer of {server}"), within, || {
            let seen = self.rig.eyes.seen(server.as_str())?;
            Ok(if seen.since.is_some() { Ok(()) } else { Err("it does not answer".to_owned()) })
        })
    }

    /// So many more records than the server had when it answered first from now on.
    fn wait_records(&self, count: u64, server: &ServerId, within: Duration) -> Done {
        let mut first = None;
        until(&format!("{count} more records of {server}"), within, || {
            let seen = self.rig.eyes.seen(server.as_str())?;
            let Some((_, answer)) = seen.answer.filter(|_| seen.since.is_some()) else {
                return Ok(Err("it does not answer".to_owned()));
            };
            let from = *first.get_or_insert(answer.last);
            Ok(if answer.last >= from + count { Ok(()) } else { Err(format!("{} came", answer.last - from)) })
        })
    }

    fn act(&mut self, machine: &MachineId, act: Act) -> Done {
        let at = wall_ms();
        match self.rig.hand()?.machine(machine.as_str(), act)? {
            Some(_) => {
                if act != Act::Thaw {
                    self.fault = Some(at);
                }
                Ok(())
            }
            None => Err(Trouble::Wrong(format!("{machine} is off: nothing can be done to it"))),
        }
    }

    /// A hand at the machines' supply, past every BMC.
    fn bmc_sim(&self, request: &serde_json::Value) -> Done {
        let socket = lab::bmc::control_socket(&self.rig.run).display().to_string();
        let output = self.rig.hand()?.exec(&[BMC_SIM, "--control", &socket, &request.to_string()])?;
        if output.end.is_success() {
            return Ok(());
        }
        Err(Trouble::Command { command: format!("{BMC_SIM} {request}"), told: output.stdout + &output.stderr })
    }

    fn restart_controller(&self, crash_after: Option<&str>) -> Done {
        if self.rig.controller_runs()? {
            self.rig.hand()?.stop(SERVE)?;
        }
        let more: Vec<&str> = crash_after.into_iter().flat_map(|stage| ["--crash-after", stage]).collect();
        self.rig.start_controller(self.places, &more)
    }

    fn reboot(&mut self, server: &ServerId) -> Done {
        let name = server.as_str();
        let Some((_, answer)) = self.rig.eyes.seen(name)?.answer else {
            return Err(Trouble::Wrong(format!("{server} never answered: it cannot be told to restart")));
        };
        self.before_restart.insert(name.to_owned(), answer.incarnation);
        self.fault = Some(wall_ms());
        let address = servers().into_iter().find(|(known, _)| known == name).map(|(_, address)| address.to_string());
        let address = address.ok_or_else(|| Trouble::Wrong(format!("{server} has no address in this lab")))?;
        let own = std::env::current_exe().map_err(|error| Trouble::Wrong(error.to_string()))?.display().to_string();
        let output = self.rig.hand()?.exec(&[&own, "post", &address, "/reboot"])?;
        if output.end.is_success() {
            return Ok(());
        }
        Err(Trouble::Command { command: format!("POST http://{address}/reboot"), told: output.stdout + &output.stderr })
    }

    fn by_hand(&mut self, server: &ServerId, to: &MachineId) -> Done {
        Err(Trouble::Wrong(format!("nobody can move {server} to {to} by hand yet")))
    }

    /// A server, by the controller's word. While the controller is away its word is that.
    pub fn server(&self, server: &ServerId) -> Done<Result<ServerView, String>> {
        Ok(self.rig.product.server(server.as_str()).map_err(|trouble| trouble.to_string()))
    }

    /// A machine, by the controller's word.
    pub fn machine(&self, machine: &MachineId) -> Done<Result<MachineView, String>> {
        Ok(self.rig.product.view(&format!("/v1/machines/{machine}")).map_err(|trouble: Trouble| trouble.to_string()))
    }

    /// All failovers of a server, by the controller's word.
    pub fn failovers_of(&self, server: &ServerId) -> Done<Result<Vec<PlanSummary>, String>> {
        let all = match self.rig.product.failovers() {
            Ok(all) => all,
            Err(trouble) => return Ok(Err(trouble.to_string())),
        };
        Ok(Ok(all.into_iter().filter(|plan| plan.server.as_deref() == Some(server.as_str())).collect()))
    }
}

/// Asks a server for something, from inside the data centre; the body goes to standard output. True if it agreed.
pub fn post(address: std::net::SocketAddr, path: &str) -> bool {
    match eyes::ask("POST", address, path, crate::limits::API_ANSWER) {
        Ok((status, body)) => {
            print!("{status} {body}");
            (200..300).contains(&status)
        }
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

impl Run<'_> {
    /// The oracle's judgement so far.
    pub fn judged(&self) -> Done<crate::oracle::Verdict> {
        self.rig.oracle.judge(&mut self.rig.hand()?, None)
    }
}
