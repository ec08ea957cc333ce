//! What the oracle is told before a run: who is who, and where facts come from. It is told nothing of what ought to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vocabulary::{Mac, MachineId, Role, ServerId};

use crate::limits::CONFIG_BYTES_MAX;

/// The role of the NIC that boot services speak to.
pub const PROVISIONING: &str = "provisioning";
/// The role of the NIC by which volumes are reached.
pub const STORAGE: &str = "storage";

/// The whole file. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The servers to judge.
    pub servers: BTreeMap<ServerId, ServerConfig>,
    /// Every machine there is.
    pub machines: BTreeMap<MachineId, MachineConfig>,
    /// The VLANs that boot services serve.
    pub boot_vlans: BTreeSet<u16>,
    /// Where facts come from.
    pub sources: Sources,
    /// The socket on which questions are answered.
    pub query: PathBuf,
    /// What reads a volume's file system.
    #[serde(default)]
    pub debugfs: Tool,
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

/// Where facts come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// The lab's door, which passes on every line of the switch.
    pub lab: PathBuf,
    /// The control socket of the machines' parent.
    pub bmc: PathBuf,
    /// The control socket of the target daemon (`/run/tgtd/socket.7`).
    pub target: PathBuf,
    /// The folder of the boot service's permit files.
    pub permits: PathBuf,
    /// Where acknowledgements arrive.
    pub acks: SocketAddrV4,
    /// The interface in the production network, and our address there.
    pub production: Interface,
    /// The interface in the storage network, where logins pass.
    pub storage: Interface,
    /// The port of the storage portal.
    pub portal_port: u16,
    /// The switch's console, where the foreign hand's deeds are told.
    #[serde(default)]
    pub switch_console: Option<PathBuf>,
}

/// An interface of the services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Our address on it.
    pub address: Ipv4Addr,
}

/// A program of the unpacked packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its path, or its name if PATH has it.
    pub program: PathBuf,
    /// What it finds in its environment beside ours.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl Default for Tool {
    fn default() -> Self {
        Self { program: PathBuf::from("debugfs"), environment: BTreeMap::new() }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl Config {
    /// Reads and checks a configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fault = |reason: String| ConfigError { path: path.to_owned(), reason };
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_end(&mut text))
            .map_err(|error| fault(error.to_string()))?;
        let config: Self = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
        config.check().map_err(fault)?;
        Ok(config)
    }

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
