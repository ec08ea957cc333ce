//! What a machine is and what its BMC is told to be: names, hardware, interfaces, the account's name, the lies it begins with.
//! Must never hold a password: secrets come beside it.

use serde::Deserialize;

use super::quirks::Quirks;

/// A machine and its BMC, as they are before anything happens.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name in logs and changes.
    pub name: String,
    /// SMBIOS UUID as the BMC tells it.
    pub uuid: String,
    /// Serial number as the BMC tells it.
    pub serial: String,
    /// Account name of the BMC.
    pub user: String,
    /// Network interfaces as the BMC lists them.
    pub nics: Vec<Nic>,
    /// What the System resource says about the hardware.
    pub hardware: Hardware,
    /// Restore policy before anybody sets one.
    pub restore_policy: RestorePolicy,
    /// Somebody sees the machine's console, so that the BMC knows how far a boot has come.
    pub tells_progress: bool,
    /// Faults and quirks from the start on.
    pub quirks: Quirks,
}

impl Machine {
    /// A machine of this name and UUID with the laboratory's hardware and an honest BMC.
    pub fn new(name: &str, uuid: &str) -> Machine {
        Machine {
            name: name.into(),
            uuid: uuid.into(),
            serial: format!("TEST-{name}"),
            user: "controller".into(),
            nics: Vec::new(),
            hardware: Hardware::default(),
            restore_policy: RestorePolicy::default(),
            tells_progress: true,
            quirks: Quirks::default(),
        }
    }
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
    /// For keyed hashes, and for what is read out of a file.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// True if this is what was given, in a time that does not tell where they differ.
    pub fn is(&self, given: &[u8]) -> bool {
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
