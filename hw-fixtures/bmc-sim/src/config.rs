//! The configuration of a simulator: its machines, their BMCs' addresses and what is started as "machine".
//! Must never hold a password that is written in a file of configuration: files name a password file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use world::bmc::{Hardware, Machine, Nic, Quirks, RestorePolicy, Secret, Secrets};

use crate::error::Error;
use crate::mains::PduConfig;

/// Longest BMC key of IPMI, bytes.
const KEY_MAX: usize = 20;

/// A whole simulator: one process, one control socket, any number of machines.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unix socket for control requests; none: control only in-process.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// Network namespace file that every machine's process enters before exec.
    #[serde(default)]
    pub hall_netns: Option<PathBuf>,
    /// The machines.
    pub machines: Vec<MachineConfig>,
    /// The power distribution units at which they hang.
    #[serde(default)]
    pub pdus: Vec<PduConfig>,
}

/// One machine and its BMC.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Name in control requests and logs.
    pub name: String,
    /// Address of the BMC's Redfish; port 0 takes a free one.
    pub listen: SocketAddr,
    /// It speaks Redfish. `false`: neither socket nor certificate, so that thousands of BMCs that speak IPMI alone cost little.
    #[serde(default = "yes")]
    pub redfish: bool,
    /// Address (UDP) at which the same BMC speaks IPMI 2.0; port 0 takes a free one; none: it does not.
    #[serde(default)]
    pub ipmi: Option<SocketAddr>,
    /// File with the BMC key (K_G) of IPMI, one line: text of up to 20 bytes, or `0x` and hexadecimal digits. None: there is no such key.
    #[serde(default)]
    pub ipmi_key_file: Option<PathBuf>,
    /// The BMC key itself: only for simulators started from code.
    #[serde(skip)]
    pub ipmi_key: Option<Secret>,
    /// SMBIOS UUID as the BMC tells it.
    pub uuid: String,
    /// Serial number as the BMC tells it.
    pub serial: String,
    /// Account name of the BMC.
    #[serde(default = "default_user")]
    pub user: String,
    /// File with the account's password (one line).
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The password itself: only for simulators started from code.
    #[serde(skip)]
    pub password: Option<Secret>,
    /// Where the certificate is written in PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Network interfaces as the BMC lists them.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// The machine: program and arguments.
    pub argv: Vec<String>,
    /// Added to the environment of the machine's process.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Arguments added for one start when the boot override has this target (`{"Pxe": ["-boot", "n"]}`).
    #[serde(default)]
    pub boot_args: BTreeMap<String, Vec<String>>,
    /// Sockets left by an earlier run, removed before each start (those named by `local.path=` in argv are found without help).
    #[serde(default)]
    pub remove_before_start: Vec<PathBuf>,
    /// Monitor socket (QMP) of the machine.
    #[serde(default)]
    pub qmp: Option<PathBuf>,
    /// Serial console log of the machine: BootProgress is read from it.
    #[serde(default)]
    pub serial_log: Option<PathBuf>,
    /// Where the process's own output goes (appended); none: stderr of the simulator.
    #[serde(default)]
    pub output_log: Option<PathBuf>,
    /// What the System resource says about the hardware.
    #[serde(default)]
    pub hardware: Hardware,
    /// Restore policy at the start of the simulator.
    #[serde(default)]
    pub restore_policy: RestorePolicy,
    /// Faults and quirks from the start on.
    #[serde(default)]
    pub quirks: Quirks,
}

fn yes() -> bool {
    true
}

fn default_user() -> String {
    "controller".into()
}

impl Config {
    /// Reads a configuration file.
    pub fn read(path: &std::path::Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::File { action: "cannot read", path: path.into(), source })?;
        serde_json::from_str(&text).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
    }

    /// Refuses what could never work, before anything is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut names = std::collections::BTreeSet::new();
        for machine in &self.machines {
            if !names.insert(machine.name.as_str()) {
                return Err(Error::Config(format!("two machines are called {}; give each its own name", machine.name)));
            }
            if machine.argv.is_empty() {
                return Err(Error::Config(format!(
                    "machine {}: argv is empty; say what is started as the machine",
                    machine.name
                )));
            }
            if !machine.redfish && machine.ipmi.is_none() {
                return Err(Error::Config(format!(
                    "machine {}: its BMC speaks nothing; leave `redfish` true, or give `ipmi` an address",
                    machine.name
                )));
            }
            machine.quirks.check().map_err(|reason| Error::Config(format!("machine {}: {reason}", machine.name)))?;
        }
        Ok(())
    }
}

impl MachineConfig {
    /// A cheap machine for tests: a free port of 127.0.0.1, `sleep infinity` as the machine, user `controller`, password `lab`.
    pub fn for_test(name: &str) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            redfish: true,
            ipmi: None,
            ipmi_key_file: None,
            ipmi_key: None,
            uuid: uuid::Uuid::new_v4().to_string(),
            serial: format!("TEST-{name}"),
            user: default_user(),
            password_file: None,
            password: Some("lab".into()),
            certificate: None,
            nics: Vec::new(),
            argv: vec!["sleep".into(), "infinity".into()],
            env: BTreeMap::new(),
            boot_args: BTreeMap::new(),
            remove_before_start: Vec::new(),
            qmp: None,
            serial_log: None,
            output_log: None,
            hardware: Hardware::default(),
            restore_policy: RestorePolicy::default(),
            quirks: Quirks::default(),
        }
    }

    /// What of it is the BMC's business.
    pub(crate) fn described(&self) -> Machine {
        Machine {
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            serial: self.serial.clone(),
            user: self.user.clone(),
            nics: self.nics.clone(),
            hardware: self.hardware.clone(),
            restore_policy: self.restore_policy,
            tells_progress: self.serial_log.is_some(),
            quirks: self.quirks.clone(),
        }
    }

    /// What nobody is told.
    pub(crate) fn secrets(&self) -> Result<Secrets, Error> {
        Ok(Secrets { password: self.read_password()?, key: self.read_key()? })
    }

    /// The account's password, from code or from the file named.
    fn read_password(&self) -> Result<Secret, Error> {
        if let Some(password) = &self.password {
            return Ok(password.clone());
        }
        let Some(path) = &self.password_file else {
            return Err(Error::Config(format!("machine {}: no password_file; name a file with one line", self.name)));
        };
        self.read_line(path).map(|password| Secret::from(password.as_str()))
    }

    /// The BMC key of IPMI, where there is one.
    fn read_key(&self) -> Result<Option<Vec<u8>>, Error> {
        let text = match (&self.ipmi_key, &self.ipmi_key_file) {
            (Some(key), _) => key.bytes().to_vec(),
            (None, Some(path)) => self.read_line(path)?.into_bytes(),
            (None, None) => return Ok(None),
        };
        let fail = || {
            let length = format!("text of up to {KEY_MAX} bytes, or `0x` and up to {} hexadecimal digits", 2 * KEY_MAX);
            Error::Config(format!("machine {}: the BMC key is neither {length}", self.name))
        };
        let bytes = match text.strip_prefix(b"0x") {
            None => text,
            Some(digits) => {
                let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|p| p.len() == 2));
                let bytes = pairs.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()));
                bytes.collect::<Option<Vec<u8>>>().ok_or_else(fail)?
            }
        };
        if bytes.is_empty() || bytes.len() > KEY_MAX { Err(fail()) } else { Ok(Some(bytes)) }
    }

    /// The one line of a secret's file.
    fn read_line(&self, path: &std::path::Path) -> Result<String, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::File { action: "cannot read", path: path.into(), source })?;
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(Error::Config(format!("machine {}: {} is empty; write the secret into it", self.name, path.display())));
        }
        Ok(line.to_owned())
    }
}
