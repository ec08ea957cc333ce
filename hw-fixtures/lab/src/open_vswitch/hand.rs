//! The foreign hand on Open vSwitch: what a careless engineer types at its host. It goes past every gate on purpose, and by Open vSwitch's own
//! tools. The product never speaks to it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Instant;

use guest::hand::{Order, parse};

use super::{database, tool};
use crate::agents;
use crate::names::{OVS_BRIDGE, OVS_NOTHING_VLAN, SWITCH_AGENT, SwitchKind};
use crate::services::{ServiceError, Services};

/// How long `ovs-vsctl` waits for the daemon to do what it was told, seconds.
const TAKEN_UP_S: u32 = 10;

/// The hand.
#[derive(Clone)]
pub struct Hand {
    services: Services,
    run: PathBuf,
    begun: Instant,
}

impl Hand {
    /// The hand on the switch of this lab.
    #[must_use]
    pub fn new(services: Services, run: PathBuf) -> Self {
        Self { services, run, begun: Instant::now() }
    }

    /// Does what the line says (see `guest::hand::parse`); over when it is in force. What was done stands in the log that is the console of
    /// a switch that is a machine, in the same words.
    pub fn order(&self, line: &str) -> Result<(), String> {
        let order = parse(line).ok_or_else(|| format!("{line:?} is not understood"))?;
        // a file's content may be a secret and is not repeated
        let told = if let Order::Put { name, .. } = &order { format!("put {name} ...") } else { line.trim().to_owned() };
        let done = self.obey(order);
        let ending = done.as_ref().err().map(|why| format!(": {}", why.replace('\n', " "))).unwrap_or_default();
        let noted = self.note(&format!("LAB {:.2} hand: {told}{ending}\n", self.begun.elapsed().as_secs_f64()));
        done.and(noted.map_err(|error| error.to_string()))
    }

    fn note(&self, line: &str) -> io::Result<()> {
        let path = self.run.join("logs/switch.console.log");
        OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
    }

    fn obey(&self, order: Order) -> Result<(), String> {
        match order {
            Order::Access { port, vid } => {
                self.set(&port, &["vlan_mode=access", &format!("tag={vid}"), "trunks=[]", "cvlans=[]"])?;
                self.put_port(&port, "up")
            }
            Order::Down { port } => {
                self.set(&port, &["vlan_mode=trunk", "tag=[]", &format!("trunks={OVS_NOTHING_VLAN}"), "cvlans=[]"])?;
                self.put_port(&port, "down")
            }
            Order::Put { name, content } => self.put(&name, &content),
            Order::KillAgent => self.again(&[SWITCH_AGENT]),
            Order::Reboot => self.again(SwitchKind::OpenVswitch.services()),
        }
    }

    /// As an engineer sets a port's VLANs; waits until the daemon has taken them up.
    fn set(&self, port: &str, columns: &[&str]) -> Result<(), String> {
        let mut command = tool(&self.services, "ovs-vsctl");
        command.arg(format!("--db={}", database())).arg(format!("--timeout={TAKEN_UP_S}"));
        self.run(command.args(["set", "port", port]).args(columns))
    }

    fn put_port(&self, port: &str, way: &str) -> Result<(), String> {
        self.run(tool(&self.services, "ovs-ofctl").args(["mod-port", OVS_BRIDGE, port, way]))
    }

    fn run(&self, command: &mut std::process::Command) -> Result<(), String> {
        self.services.children().output(command, "").map(drop).map_err(|error| error.to_string())
    }

    /// Lays a file beside the agent, whole or not at all; with its bundle it begins.
    fn put(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let folder = agents::folder(&self.run, SWITCH_AGENT);
        let (path, mine) = (folder.join(name), folder.join(format!(".{name}")));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&mine)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&mine, &path)
        };
        write().map_err(|error| format!("{}: {error}", path.display()))?;
        let is_bundle = path == agents::bundle(&self.run, SWITCH_AGENT);
        let running = self.services.standing(SWITCH_AGENT).is_ok_and(|agent| agent.pid.is_some());
        if is_bundle && !running {
            return self.services.start(SWITCH_AGENT).map_err(|error| error.to_string());
        }
        Ok(())
    }

    /// Ends these processes at once, the last first, and starts those that ran again.
    fn again(&self, names: &[&str]) -> Result<(), String> {
        let told = |error: ServiceError| error.to_string();
        let mut ran = Vec::new();
        for name in names.iter().rev() {
            if self.services.standing(name).map_err(told)?.pid.is_some() {
                ran.insert(0, *name);
                self.services.stop(name, false).map_err(told)?;
            }
        }
        ran.into_iter().try_for_each(|name| self.services.start(name).map_err(told))
    }
}
