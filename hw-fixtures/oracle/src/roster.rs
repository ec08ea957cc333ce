//! Who is who: the servers to judge, the machines there are, and the VLANs of boot services. All that the law needs beside facts; it is told
//! nothing of where facts come from, nor of what ought to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vocabulary::{Mac, MachineId, Role, ServerId};

/// The role of the NIC that boot services speak to.
pub const PROVISIONING: &str = "provisioning";
/// The role of the NIC by which volumes are reached.
pub const STORAGE: &str = "storage";

/// See the module. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The servers to judge.
    pub servers: BTreeMap<ServerId, ServerConfig>,
    /// Every machine there is.
    pub machines: BTreeMap<MachineId, MachineConfig>,
    /// The VLANs that boot services serve.
    pub boot_vlans: BTreeSet<u16>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// The address whose MAC is watched.
    pub address: Ipv4Addr,
    /// Its VLANs by the role of the NIC; a machine that runs it and has a port in one of them is effective.
    pub vlans: BTreeMap<Role, u16>,
    /// Its exclusive volumes.
    pub volumes: Vec<VolumeConfig>,
}

/// An exclusive volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeConfig {
    /// The target that exports it, and nothing else.
    pub target: String,
    /// The backing file.
    pub image: PathBuf,
    /// The log of records in its file system; none: it holds no records.
    #[serde(default)]
    pub records: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Its NICs by role.
    pub nics: BTreeMap<Role, NicConfig>,
    /// The file that its serial console is appended to.
    #[serde(default)]
    pub console: Option<PathBuf>,
}

/// A NIC and its cable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicConfig {
    /// Its address.
    pub mac: Mac,
    /// The switch port at the other end.
    pub port: String,
}

impl Roster {
    /// What would make a judgement worthless.
    pub fn check(&self) -> Result<(), String> {
        if self.servers.is_empty() || self.machines.is_empty() {
            return Err("it names no server or no machine: there is nothing to judge".to_owned());
        }
        for (name, server) in &self.servers {
            if server.volumes.is_empty() && server.vlans.is_empty() {
                return Err(format!("server {name} has neither volumes nor VLANs: nothing could make a machine effective"));
            }
        }
        let mut targets = BTreeSet::new();
        for volume in self.servers.values().flat_map(|server| &server.volumes) {
            if !targets.insert(&volume.target) {
                return Err(format!("target {} stands at two volumes: its sessions could be either's", volume.target));
            }
        }
        let (mut macs, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for (name, machine) in &self.machines {
            for nic in machine.nics.values() {
                if !macs.insert(nic.mac) || !ports.insert(&nic.port) {
                    return Err(format!("machine {name}: MAC {} or port {} is another NIC's too", nic.mac, nic.port));
                }
            }
        }
        Ok(())
    }

    /// The machine that has this MAC address.
    #[must_use]
    pub fn machine_of(&self, mac: Mac) -> Option<&MachineId> {
        self.machines.iter().find(|(_, machine)| machine.nics.values().any(|nic| nic.mac == mac)).map(|(name, _)| name)
    }

    /// The server that a target's volume belongs to.
    #[must_use]
    pub fn server_of(&self, target: &str) -> Option<&ServerId> {
        let of = |server: &ServerConfig| server.volumes.iter().any(|volume| volume.target == target);
        self.servers.iter().find(|(_, server)| of(server)).map(|(name, _)| name)
    }
}
