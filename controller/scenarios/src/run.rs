//! Runs a scenario's steps, one after the other, in a data centre of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::view::{MachineView, PlanSummary, ServerView};
use lab::control::Act;
use lab::names::{BMC_SIM, TGTD};
use vocabulary::{MachineId, ServerId};

use crate::clock::wall_ms;
use crate::eyes;
use crate::hand;
use crate::limits::LOOK;
use crate::places::Places;
use crate::rig::{Make, Rig, servers};
use crate::script::Scenario;
use crate::signals;
use crate::trouble::{Done, Trouble, at};

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
    /// The machine that was made to stand still last.
    pub frozen: Option<MachineId>,
}

/// Raises the data centre of a scenario and brings every server to its first answer.
pub fn up<'a>(places: &'a Places, scenario: &Scenario, make: Make, tell: &dyn Fn(&str)) -> Done<Run<'a>> {
    let rig = Rig::raise(places, &scenario.name, &scenario.setup, make, tell)?;
    Ok(Run { rig, places, fault: None, before_restart: BTreeMap::new(), pressed: BTreeMap::new(), frozen: None })
}

/// Waits until `look` gives something; its error text is what was seen last.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Done<Result<T, String>>) -> Done<T> {
    let start = Instant::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() > within => return Err(Trouble::Late { what: what.to_owned(), within, last }),
            Err(_) => signals::sleep(LOOK)?,
        }
    }
}

impl Run<'_> {
    pub fn start(&mut self, tell: &dyn Fn(&str)) -> Done {
        self.rig.start_servers(tell)?;
        for (server, _) in servers() {
            let server: ServerId = server.parse().map_err(|_| Trouble::Wrong(format!("{server} is no name")))?;
            self.wait_serves(&server, crate::limits::SERVES)?;
        }
        tell("both servers answer");
        Ok(())
    }

    pub fn wait_serves(&self, server: &ServerId, within: Duration) -> Done {
        until(&format!("an answer of {server}"), within, || {
            let seen = self.rig.eyes.seen(server.as_str())?;
            Ok(if seen.since.is_some() { Ok(()) } else { Err("it does not answer".to_owned()) })
        })
    }

    /// So many more records than the server had when it answered first from now on.
    pub fn wait_records(&self, count: u64, server: &ServerId, within: Duration) -> Done {
        let mut first = None;
        until(&format!("{count} more records of {server}"), within, || {
            let seen = self.rig.eyes.seen(server.as_str())?;
            let Some((_, answer)) = seen.answer.filter(|_| seen.since.is_some()) else {
                return Ok(Err("it does not answer".to_owned()));
            };
            let from = *first.get_or_insert(answer.last);
            Ok(if answer.last >= from + count { Ok(()) } else { Err(format!("{} came", answer.last.saturating_sub(from))) })
        })
    }

    pub fn act(&mut self, machine: &MachineId, act: Act) -> Done {
        let at = wall_ms();
        match self.rig.hand()?.machine(machine.as_str(), act)? {
            Some(_) => {
                if act != Act::Thaw {
                    self.fault = Some(at);
                }
                if act == Act::Freeze {
                    self.frozen = Some(machine.clone());
                }
                Ok(())
            }
            None => Err(Trouble::Wrong(format!("{machine} is off: nothing can be done to it"))),
        }
    }

    /// A hand at the machines' supply, past every BMC.
    pub fn bmc_sim(&self, request: &serde_json::Value) -> Done {
        let socket = lab::bmc::control_socket(&self.rig.run).display().to_string();
        let output = self.rig.hand()?.exec(&[BMC_SIM, "--control", &socket, &request.to_string()])?;
        if output.end.is_success() {
            return Ok(());
        }
        Err(Trouble::Command { command: format!("{BMC_SIM} {request}"), told: output.stdout + &output.stderr })
    }

    /// The storage target ends at once; what it keeps is on its disk, the rest is for its agent to put right.
    pub fn restart_target(&self) -> Done {
        self.rig.hand()?.kill(TGTD)?;
        Ok(self.rig.hand()?.start(TGTD).map(drop)?)
    }

    pub fn restart_controller(&self, crash_after: Option<&str>) -> Done {
        if self.rig.controller_runs()? {
            self.rig.hand()?.stop(self.rig.serve.name)?;
        }
        let more: Vec<&str> = crash_after.into_iter().flat_map(|stage| ["--crash-after", stage]).collect();
        self.rig.start_controller(self.places, &more)
    }

    /// A backup, instead of the last one.
    pub fn back_up(&self) -> Done {
        let file = self.rig.run.join("backup");
        // there may be none
        let _ = std::fs::remove_file(&file);
        self.rig.product.command(&["backup", &file.display().to_string()]).map(drop)
    }

    /// The state folder is lost with the controller; what the backup makes of it takes its place.
    pub fn restore_controller(&self) -> Done {
        if self.rig.controller_runs()? {
            self.rig.hand()?.kill(self.rig.serve.name)?;
        }
        let (file, state) = (self.rig.run.join("backup"), self.rig.run.join(self.rig.serve.state));
        at(&state, std::fs::remove_dir_all(&state))?;
        self.rig.product.offline(&["restore", &file.display().to_string(), "--state", &state.display().to_string()])?;
        self.rig.start_controller(self.places, &[])
    }

    /// What a server's own web server is told to do: `/reboot`, `/crash`.
    pub fn tell_server(&mut self, server: &ServerId, what: &str) -> Done {
        let name = server.as_str();
        let Some((_, answer)) = self.rig.eyes.seen(name)?.answer else {
            return Err(Trouble::Wrong(format!("{server} never answered: it cannot be told anything")));
        };
        self.before_restart.insert(name.to_owned(), answer.incarnation);
        self.fault = Some(wall_ms());
        let address = servers().into_iter().find(|(known, _)| known == name).map(|(_, address)| address.to_string());
        let address = address.ok_or_else(|| Trouble::Wrong(format!("{server} has no address in this lab")))?;
        let own = std::env::current_exe().map_err(|error| Trouble::Wrong(error.to_string()))?.display().to_string();
        let output = self.rig.hand()?.exec(&[&own, "post", &address, what])?;
        if output.end.is_success() {
            return Ok(());
        }
        Err(Trouble::Command { command: format!("POST http://{address}{what}"), told: output.stdout + &output.stderr })
    }

    /// The hand-written script, told to leave the fence out. What the product would put right again is taken away first.
    pub fn by_hand(&mut self, server: &ServerId, to: &MachineId) -> Done {
        let from = self.frozen.clone().ok_or_else(|| Trouble::Wrong(format!("no machine of {server} stands still")))?;
        self.rig.take_product_away()?;
        let number = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
        let words = [number(server.as_str()), number(from.as_str()), number(to.as_str()), "none".to_owned()];
        hand::failover(&self.rig.run, &words, |_| {}).map(drop)
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
        self.rig.oracle.judge(None)
    }
}
