//! The daemon that forwards, by its own two sockets: what is asked here comes from the switch and not from its database.

use super::control::Control;
use super::openflow::{OpenFlow, Port};
use super::rows::{Found, Interface};
use super::trouble::{Trouble, silent};
use std::collections::BTreeSet;
use std::path::Path;
use vocabulary::Mac;

const DAEMON: &str = "ovs-vswitchd";

/// One conversation with the daemon, about one bridge.
pub struct Equipment<'a> {
    bridge: &'a str,
    control: Control,
    flows: OpenFlow,
    /// The bridge's identity.
    datapath: u64,
}

/// A port as the switch has it now; of a bond all members together.
pub struct Seen {
    /// Administratively up: any member is.
    pub up: bool,
    /// Carrier on any member.
    pub link: bool,
    /// Frames that have come in.
    pub frames_in: u64,
    /// The addresses learnt.
    pub learnt: BTreeSet<Mac>,
}

impl<'a> Equipment<'a> {
    /// Connects, and makes sure that frames go by VLAN and address alone.
    pub async fn open(folder: &Path, bridge: &'a str) -> Result<Equipment<'a>, Trouble> {
        let mut control = Control::open(folder).await?;
        control.must_be_normal(bridge).await?;
        let mut flows = OpenFlow::open(folder, bridge).await?;
        let datapath = flows.features().await?.datapath;
        Ok(Equipment { bridge, control, flows, datapath })
    }

    /// Fails unless the database is that of this daemon.
    pub fn must_be_of(&self, found: &Found) -> Result<(), Trouble> {
        match found.bridge.datapath {
            Some(told) if told == self.datapath => Ok(()),
            told => {
                let told = told.map_or_else(|| "none".to_owned(), |told| format!("{told:016x}"));
                // a daemon that has just begun has not told yet
                let reason = format!(
                    "the bridge {} has the datapath {:016x}, and in the database {told}: are the sockets those of the same Open vSwitch?",
                    self.bridge, self.datapath
                );
                Err(silent(DAEMON, reason))
            }
        }
    }

    async fn ports(&mut self, interfaces: &[Interface]) -> Result<Vec<Port>, Trouble> {
        let all = self.flows.features().await?.ports;
        let find = |interface: &Interface| all.iter().find(|port| port.number == interface.number).copied();
        let found: Option<Vec<Port>> = interfaces.iter().map(find).collect();
        found.ok_or_else(|| silent(DAEMON, "the bridge does not list the port"))
    }

    /// The port now.
    pub async fn see(&mut self, interfaces: &[Interface]) -> Result<Seen, Trouble> {
        let ports = self.ports(interfaces).await?;
        let mut frames_in: u64 = 0;
        for interface in interfaces {
            frames_in = frames_in.saturating_add(self.flows.frames_in(interface.number).await?);
        }
        let own = |number: u16| interfaces.iter().any(|interface| interface.number == number);
        let learnt = self.control.learnt(self.bridge).await?;
        Ok(Seen {
            up: ports.iter().any(|port| port.up),
            link: ports.iter().any(|port| port.link),
            frames_in,
            learnt: learnt.into_iter().filter(|(number, _)| own(*number)).map(|(_, mac)| mac).collect(),
        })
    }

    /// Puts every member up, or down.
    pub async fn put(&mut self, interfaces: &[Interface], up: bool) -> Result<(), Trouble> {
        for port in self.ports(interfaces).await? {
            if port.up != up {
                self.flows.put(&port, up).await?;
            }
        }
        Ok(())
    }

    /// Waits until every cached flow was held against what is in force now.
    pub async fn settle(&mut self) -> Result<(), Trouble> {
        self.control.settle().await
    }

    /// Forgets the addresses learnt on the port, if there are any.
    pub async fn flush(&mut self, interfaces: &[Interface]) -> Result<(), Trouble> {
        let learnt = self.control.learnt(self.bridge).await?;
        if learnt.iter().any(|(number, _)| interfaces.iter().any(|interface| interface.number == *number)) {
            self.control.flush(self.bridge).await?;
        }
        Ok(())
    }
}
