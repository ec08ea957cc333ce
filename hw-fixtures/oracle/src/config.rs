//! What the oracle is told before a run: who is who, and where facts come from. It is told nothing of what ought to happen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use crate::limits::CONFIG_BYTES_MAX;
use crate::roster::Roster;
use serde::{Deserialize, Serialize};

/// The whole file. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who is who.
    pub roster: Roster,
    /// Where facts come from.
    pub sources: Sources,
    /// The socket on which questions are answered.
    pub query: PathBuf,
    /// What reads a volume's file system.
    #[serde(default)]
    pub debugfs: Tool,
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
        config.roster.check().map_err(fault)?;
        Ok(config)
    }
}
