//! The configuration of a simulator: its machines, their BMCs' addresses and what is started as "machine".
//! Must never hold a password that is written in a file of configuration: files name a password file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Error;
use crate::quirks::Quirks;

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

/// One network interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Role in the estate, told as the interface's description.
    pub role: String,
    /// MAC address.
    pub mac: String,
    /// Speed of its link while the machine runs, Mbit/s.
    #[serde(default = "gigabit")]
    pub speed_mbps: u64,
    /// Who is heard at the other end of its cable.
    #[serde(default)]
    pub neighbour: Option<Neighbour>,
}

impl Nic {
    /// A gigabit interface at whose other end nobody is heard.
    pub fn new(role: &str, mac: &str) -> Nic {
        Nic { role: role.into(), mac: mac.into(), speed_mbps: gigabit(), neighbour: None }
    }
}

/// What a switch says of itself by LLDP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its name.
    pub system: String,
    /// Its chassis id, a MAC address.
    pub chassis: String,
    /// The port's name.
    pub port: String,
    /// Its management address.
    pub address: String,
}

/// Hardware as the BMC tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hardware {
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Memory, GiB (fractions as real BMCs tell them).
    pub memory_gib: f64,
    /// Sockets.
    pub processors: u32,
    /// Cores in all.
    pub cores: u32,
    /// Threads in all.
    pub threads: u32,
    /// Processor model.
    pub processor_model: String,
    /// What the processors run: `x86-64`, `ARM-A64`.
    pub instruction_set: String,
    /// Vendor's mark in a processor.
    pub processor_vendor: String,
    /// CPUID family.
    pub processor_family: u32,
    /// CPUID model.
    pub processor_number: u32,
    /// Bays for power supplies.
    pub power_supply_bays: u32,
    /// Power supplies in them.
    pub power_supplies: u32,
    /// Boot mode when no override is set: `Legacy` or `UEFI`.
    pub boot_mode: String,
    /// Id of the System resource (clients must follow links).
    pub system_id: String,
    /// Id of the Chassis resource.
    pub chassis_id: String,
    /// Id of the Manager resource.
    pub manager_id: String,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            manufacturer: "Understudy Laboratory".into(),
            model: "Lab 1U".into(),
            memory_gib: 0.375,
            processors: 1,
            cores: 1,
            threads: 1,
            processor_model: "QEMU Virtual CPU".into(),
            instruction_set: "x86-64".into(),
            processor_vendor: "AuthenticAMD".into(),
            processor_family: 15,
            processor_number: 107,
            power_supply_bays: 2,
            power_supplies: 2,
            boot_mode: "Legacy".into(),
            system_id: "System-1".into(),
            chassis_id: "Enclosure-1".into(),
            manager_id: "Bmc-1".into(),
        }
    }
}

/// A password: never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// For keyed hashes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// True if this is what was given, in a time that does not tell where they differ.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        own.len() == given.len() && own.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a machine does when mains power returns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
pub enum RestorePolicy {
    /// Powers on.
    AlwaysOn,
    /// Stays off.
    AlwaysOff,
    /// As it was before.
    #[default]
    LastState,
}

impl RestorePolicy {
    /// The value in Redfish's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysOn => "AlwaysOn",
            Self::AlwaysOff => "AlwaysOff",
            Self::LastState => "LastState",
        }
    }

    /// Reads Redfish's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "AlwaysOn" => Some(Self::AlwaysOn),
            "AlwaysOff" => Some(Self::AlwaysOff),
            "LastState" => Some(Self::LastState),
            _ => None,
        }
    }
}

fn gigabit() -> u64 {
    1000
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

    /// The account's password, from code or from the file named.
    pub(crate) fn read_password(&self) -> Result<Secret, Error> {
        if let Some(password) = &self.password {
            return Ok(password.clone());
        }
        let Some(path) = &self.password_file else {
            return Err(Error::Config(format!("machine {}: no password_file; name a file with one line", self.name)));
        };
        self.read_line(path).map(|password| Secret::from(password.as_str()))
    }

    /// The BMC key of IPMI, where there is one.
    pub(crate) fn read_key(&self) -> Result<Option<Vec<u8>>, Error> {
        let text = match (&self.ipmi_key, &self.ipmi_key_file) {
            (Some(key), _) => key.0.clone(),
            (None, Some(path)) => self.read_line(path)?,
            (None, None) => return Ok(None),
        };
        let fail = || {
            let length = format!("text of up to {KEY_MAX} bytes, or `0x` and up to {} hexadecimal digits", 2 * KEY_MAX);
            Error::Config(format!("machine {}: the BMC key is neither {length}", self.name))
        };
        let bytes = match text.strip_prefix("0x") {
            None => text.into_bytes(),
            Some(digits) => {
                let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|p| p.len() == 2));
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
