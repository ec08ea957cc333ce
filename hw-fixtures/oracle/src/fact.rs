//! Facts: what is true of the equipment, and between which instants it became so.
//!
//! Every fact is a set of things that hold together, and more of them can only make a machine more effective. So a judge that knows a
//! change only between two instants can say what certainly held (what stood before and after) and what may have held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use vocabulary::storage::InitiatorName;
use vocabulary::{MachineId, ServerId};

/// Nanoseconds of `CLOCK_MONOTONIC`, the same for every process of this computer.
pub type Ns = u64;

/// What a fact is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// A machine's power.
    Power(MachineId),
    /// The VLANs in which a switch port forwards; none if it is down.
    Port(String),
    /// What a boot service would boot a machine as.
    Permit(MachineId),
    /// Who may write, and who is logged in, at a target.
    Target(String),
    /// Servers whose image a machine has run since its last power-on.
    Ran(MachineId),
    /// Machines that know the secret of an initiator name.
    Knows(InitiatorName),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(machine) => write!(f, "power of {machine}"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::Permit(machine) => write!(f, "permit of {machine}"),
            Self::Target(target) => write!(f, "target {target}"),
            Self::Ran(machine) => write!(f, "what {machine} has run"),
            Self::Knows(initiator) => write!(f, "who knows {initiator}"),
        }
    }
}

/// One thing that holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Atom {
    /// Power is on.
    On,
    /// A port is in this VLAN, tagged or not, and forwards.
    Vlan(u16),
    /// A permit stands.
    MayBoot(ServerId),
    /// A target admits this initiator.
    Admits(InitiatorName),
    /// A target admits by address: whoever reaches it.
    AdmitsAnyone,
    /// A session stands at a target.
    Session {
        /// Its number there.
        number: u64,
        /// As whom.
        initiator: InitiatorName,
        /// From which machine.
        machine: Holder,
    },
    /// This server's image ran.
    Ran(ServerId),
    /// This machine.
    Machine(MachineId),
}

/// Who holds a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// This machine.
    Machine(MachineId),
    /// Nobody knows yet; it counts for none.
    Unnamed,
    /// Nobody knows, and it has stood for long: it counts as a machine of its own.
    Stranger,
}

/// Everything that is true at one instant.
pub type State = BTreeMap<Key, BTreeSet<Atom>>;

/// A fact that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub key: Key,
    /// What held before.
    pub was: BTreeSet<Atom>,
    /// What holds now.
    pub is: BTreeSet<Atom>,
    /// The former state was still true at this instant.
    pub after_ns: Ns,
    /// The new state was true at this instant.
    pub at_ns: Ns,
}

/// Something that a collector saw. `after_ns` is the last instant at which the former state was certainly true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The former state was still true then.
    pub after_ns: Ns,
    /// What was seen was true then.
    pub at_ns: Ns,
    /// What was seen.
    pub what: Observation,
}

impl Seen {
    /// Something whose instant is known exactly.
    #[must_use]
    pub fn exactly(at_ns: Ns, what: Observation) -> Self {
        Self { after_ns: at_ns, at_ns, what }
    }

    /// Something that changed between two looks.
    #[must_use]
    pub fn between(after_ns: Ns, at_ns: Ns, what: Observation) -> Self {
        Self { after_ns: after_ns.min(at_ns), at_ns, what }
    }
}

/// What collectors see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A machine has power, or none.
    Power(MachineId, bool),
    /// The VLANs in which a port forwards.
    Port(String, BTreeSet<u16>),
    /// A machine's permit: as whom, and by which initiator name it would log in.
    Permit(MachineId, Option<(ServerId, InitiatorName)>),
    /// A target: what it admits, and its sessions.
    Target(String, Exported),
    /// A machine runs a server's image.
    Ran(MachineId, ServerId),
    /// A machine logs in under this name at this target.
    Login(MachineId, InitiatorName, Option<String>),
    /// A foreign hand changed this.
    Hand(Key),
}

/// A target as its daemon shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Initiator names that are admitted.
    pub admitted: BTreeSet<InitiatorName>,
    /// Somebody is admitted by address.
    pub open: bool,
    /// Sessions: number and initiator.
    pub sessions: BTreeMap<u64, InitiatorName>,
}
