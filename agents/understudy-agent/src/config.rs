//! The agent's configuration: one JSON file, read once. An unknown key is an error: a misspelt one would be a device less.

use crate::bmcs::Owned;
use crate::limits::CONFIG_BYTES_MAX;
use check::VantageConfig;
use outlet::OutletConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use storage::StorageConfig;
use switch::SwitchConfig;
use vocabulary::MachineId;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The enrolment bundle.
    pub bundle: PathBuf,
    /// Where controllers reach the agent.
    pub listen: SocketAddr,
    /// Where the gate's file and the drivers' states lie. It must exist: a missing one may be a disk that is not mounted yet.
    pub state_dir: PathBuf,
    /// What the agent owns.
    pub devices: Devices,
}

/// What the agent owns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// Machines whose BMCs it owns.
    #[serde(default)]
    pub bmcs: BTreeMap<MachineId, Owned>,
    /// A switch.
    #[serde(default)]
    pub switch: Option<SwitchConfig>,
    /// A storage target.
    #[serde(default)]
    pub storage: Option<StorageConfig>,
    /// A power distribution unit.
    #[serde(default)]
    pub outlets: Option<OutletConfig>,
    /// True if health checks may be run from here.
    #[serde(default)]
    pub vantage: bool,
    /// From where on this host they are run.
    #[serde(default)]
    pub vantage_source: VantageConfig,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration {path}: does it exist, and may this user read it?")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not understood.
    #[error("the configuration {path} is not understood: {reason}; correct it there")]
    Content {
        /// Which.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
}

/// Reads it.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let content = |reason: String| ConfigError::Content { path: path.to_path_buf(), reason };
    let config: Config = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
    let devices = &config.devices;
    let none = devices.switch.is_none() && devices.storage.is_none() && devices.outlets.is_none() && devices.bmcs.is_empty();
    if none && !devices.vantage {
        return Err(content("it names no device: give it `bmcs`, a `switch`, a `storage`, `outlets` or `vantage: true`".into()));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
        "bundle": "/etc/understudy/bundle.json", "listen": "127.0.0.1:7444", "state_dir": "/var/lib/understudy-agent",
        "devices": {
            "switch": {"switch": "sw1", "driver": {"linux-bridge": {"bridge": "br0", "ports": ["p1", "p2"]}}},
            "storage": {"storage": "store1", "driver": {"tgt": {"tgtadm": "/usr/sbin/tgtadm", "control_port": 7,
                "environment": {"TGT_IPC_SOCKET": "/run/tgtd"},
                "volumes": {"web1-root": {"target": "iqn.2026-01.lab.understudy:web1-root", "lun": 1, "file": "/srv/web1.img"}}}}},
            "outlets": {"pdu": "pdu1", "outlets": [1, 2, 12], "serial": "5A1234E00001", "driver": {"snmp": {
                "address": "192.0.2.7:161", "table": "apc-rpdu2", "access": {"v3": {"user": "understudy",
                    "authentication": "sha256", "authentication-password": "file:/etc/understudy/pdu1.authentication",
                    "privacy": "aes128", "privacy-password": "credential:pdu1.privacy"}}}}},
            "bmcs": {"m1": {"serial": "S1", "uuid": "00000000-0000-4000-8000-000000000001", "firmware": ["uefi"], "bmc": {
                "protocol": "redfish", "address": "192.0.2.9:443", "user": "understudy", "password": "credential:m1.bmc",
                "certificate": "00"}}},
            "vantage": true,
            "vantage_source": {"plugins": {"folder": "/usr/lib/nagios/plugins", "names": ["check_pgsql"], "user": "nobody"}}
        }
    }"#;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn a_switch_may_be_an_open_vswitch() {
        let least = r#"{"bundle": "b", "listen": "127.0.0.1:1", "state_dir": "s", "devices": {
            "switch": {"switch": "sw1", "driver": {"open-vswitch": {"bridge": "br0", "ports": ["p1"]}}}}}"#;
        assert!(read(least).is_ok());
        let all = r#""bridge": "br0", "run-dir": "/run/ovs", "database": "tcp:127.0.0.1:6640", "system-id": "s1","#;
        let all = least.replace(r#""bridge": "br0","#, all);
        assert!(all.contains("6640") && read(&all).is_ok());
        for (from, to) in [("run-dir", "run_dir"), ("\"bridge\": \"br0\",", ""), ("[\"p1\"]", "[\"P 1\"]")] {
            let wrong = all.replace(from, to);
            assert_ne!(wrong, all);
            assert!(matches!(read(&wrong), Err(ConfigError::Content { .. })), "{to}");
        }
    }

    #[test]
    fn a_switch_and_a_unit_may_be_driven_by_programs() {
        let programs = r#"{"bundle": "b", "listen": "127.0.0.1:1", "state_dir": "s", "devices": {
            "switch": {"switch": "sw1", "driver": {"program": {"command": ["/opt/our-switch", "--host", "x"], "environment": {"KEY": "k"},
                "ports": ["p1"]}}},
            "outlets": {"pdu": "pdu1", "outlets": [1], "serial": "5A", "driver": {"program": {"command": ["/opt/our-unit"]}}}}}"#;
        let devices = read(programs).unwrap().devices;
        assert!(devices.switch.is_some() && devices.outlets.is_some());
        for (right, wrong) in [("command", "comand"), ("environment", "enviroment"), ("ports", "port")] {
            assert!(matches!(read(&programs.replacen(right, wrong, 1)), Err(ConfigError::Content { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_storage_host_may_serve_by_its_kernel() {
        let kernel = r#"{"bundle": "b", "listen": "127.0.0.1:1", "state_dir": "s", "devices": {
            "storage": {"storage": "store1", "driver": {"lio": {"portals": ["10.30.0.5:3260", "[fd00::5]:3260"],
                "volumes": {"web1-root": {"target": "iqn.2026-01.lab.understudy:web1-root", "lun": 1, "file": "/dev/vg0/web1"}}}}}}}"#;
        assert!(read(kernel).unwrap().devices.storage.is_some());
        let elsewhere = kernel.replacen("\"portals\"", "\"configfs\": \"/mnt/target\", \"portals\"", 1);
        assert!(read(&elsewhere).unwrap().devices.storage.is_some());
        for (right, wrong) in
            [("portals", "portal"), ("10.30.0.5:3260", "10.30.0.5"), ("\"lio\"", "\"Lio\""), ("\"lun\": 1, ", "")]
        {
            assert!(matches!(read(&kernel.replacen(right, wrong, 1)), Err(ConfigError::Content { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_whole_form_is_read() {
        let config = read(FULL).unwrap();
        let devices = &config.devices;
        assert!(devices.switch.is_some() && devices.storage.is_some() && devices.outlets.is_some() && devices.vantage);
    }

    #[test]
    fn a_misspelt_key_is_an_error_and_so_is_an_agent_of_nothing() {
        for (from, to) in [
            ("\"vantage\"", "\"vantag\""),
            ("\"ports\"", "\"port\""),
            ("\"volumes\"", "\"volume\""),
            ("\"lun\": 1", "\"lun\": 1, \"x\": 2"),
            ("linux-bridge", "moon-bridge"),
            ("\"p2\"", "\"P 2\""),
            ("[1, 2, 12]", "[1, 70000]"),
            ("\"privacy\"", "\"private\""),
            ("apc-rpdu2", "moon-pdu"),
            ("\"bmcs\"", "\"bmc\""),
            ("\"firmware\"", "\"firm\""),
            ("\"redfish\"", "\"moonfish\""),
            ("\"names\"", "\"name\""),
            ("\"plugins\"", "\"plugin\""),
        ] {
            let wrong = FULL.replace(from, to);
            assert_ne!(wrong, FULL);
            assert!(matches!(read(&wrong), Err(ConfigError::Content { .. })), "{to}");
        }
        let nothing = r#"{"bundle": "b", "listen": "127.0.0.1:1", "state_dir": "s", "devices": {}}"#;
        assert!(read(nothing).unwrap_err().to_string().contains("names no device"));
        assert!(matches!(load(Path::new("/nowhere/agent.json")), Err(ConfigError::Read { .. })));
    }
}
