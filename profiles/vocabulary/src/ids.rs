//! Names and numbers that identify things. No bare string stands for a thing above this floor.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name accepted in an estate; leaves room for suffixes in DNS labels (63) and initiator names (223).
pub const NAME_LENGTH_MAX: usize = 48;

/// Why a string is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a name: use 1 to {NAME_LENGTH_MAX} of a-z, 0-9 and '-', beginning with a letter or digit")]
pub struct NotAName {
    /// What was given, cut to a printable length.
    pub given: String,
}

fn checked(text: String) -> Result<String, NotAName> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-');
    if fits {
        Ok(text)
    } else {
        Err(NotAName { given: text.chars().take(NAME_LENGTH_MAX + 16).filter(|c| !c.is_control()).collect() })
    }
}

macro_rules! name {
    ($(#[$doc:meta] $id:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $id(String);
        impl $id {
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl TryFrom<String> for $id {
            type Error = NotAName;
            fn try_from(text: String) -> Result<Self, NotAName> { checked(text).map($id) }
        }
        impl FromStr for $id {
            type Err = NotAName;
            fn from_str(text: &str) -> Result<Self, NotAName> { checked(text.to_owned()).map($id) }
        }
        impl From<$id> for String { fn from(id: $id) -> String { id.0 } }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}

name! {
    /// A box with a BMC.
    MachineId,
    /// The logical thing that runs on one machine at a time.
    ServerId,
    /// Servers that belong together.
    GroupId,
    /// Rank and service level of a group.
    TierId,
    /// A set of spares.
    PoolId,
    /// A failure and reach domain: one data centre or room.
    SiteId,
    /// A failure domain inside a site.
    RackId,
    /// A power feed.
    FeedId,
    /// A switch, and the agent that owns it.
    SwitchId,
    /// A storage target, and the agent that owns it.
    StorageId,
    /// A boot service, and the agent that owns it.
    BootServiceId,
    /// A power distribution unit, and the agent that owns its outlets.
    PduId,
    /// A stored server image.
    ImageId,
    /// A volume's name on its storage target.
    VolumeName,
    /// A port's name on its switch.
    PortName,
    /// What a NIC or network is for: `production`, `storage`, `provisioning`.
    Role,
    /// A device agent. Agents of switches, storage targets, boot services and power distribution units bear the device's name.
    AgentId,
}

/// One port of one switch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, schemars::JsonSchema)]
pub struct PortId {
    /// The switch.
    pub switch: SwitchId,
    /// The port's name there.
    pub port: PortName,
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.switch, self.port)
    }
}

/// One volume of one storage target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, schemars::JsonSchema)]
pub struct VolumeId {
    /// The storage target.
    pub storage: StorageId,
    /// The volume's name there.
    pub volume: VolumeName,
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.storage, self.volume)
    }
}

/// One outlet of one power distribution unit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutletId {
    /// The unit.
    pub pdu: PduId,
    /// The outlet's number there, as it is printed on the unit.
    pub outlet: u16,
}

impl fmt::Display for OutletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pdu, self.outlet)
    }
}

impl FromStr for OutletId {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let wrong = || NotAName { given: text.chars().take(64).collect() };
        let (pdu, outlet) = text.split_once('/').ok_or_else(wrong)?;
        Ok(OutletId { pdu: pdu.parse()?, outlet: outlet.parse().map_err(|_| wrong())? })
    }
}

/// A number from the one durable counter of the estate. Every plan draws its own before its first effect; no two plans share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Default)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A plan. Its text is `P<epoch>`, since every plan draws exactly one epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlanId(pub Epoch);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0.0)
    }
}

impl FromStr for PlanId {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        text.strip_prefix('P')
            .and_then(|digits| digits.parse().ok())
            .map(|n| PlanId(Epoch(n)))
            .ok_or_else(|| NotAName { given: text.chars().take(64).collect() })
    }
}

impl Serialize for PlanId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlanId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One command of one plan: unique in the estate for ever, since it is numbered within its plan and the plan's epoch is.
/// A retry of the same command bears the same id; a recorded outcome answers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug)]
pub struct OpId {
    /// The plan's epoch; 0 for observations, which belong to no plan.
    pub epoch: Epoch,
    /// The number within the plan, counted durably.
    pub number: u64,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.number)
    }
}

macro_rules! token {
    ($(#[$doc:meta] $id:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
        #[serde(transparent)]
        pub struct $id(pub String);
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }
    )+};
}

token! {
    /// The estate's UUID, made at `estate init`, never written in YAML.
    EstateUuid,
    /// A store's random lineage; a restored backup gets a new one.
    Lineage,
    /// An agent process's life: random, made anew at each start.
    AgentBootId,
    /// A controller process's life: random, made anew at each start, and recorded before any agent hears of it.
    ControllerLife,
}

/// Nobody: what an older program says, which names no process.
impl Default for ControllerLife {
    fn default() -> ControllerLife {
        ControllerLife(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_border() {
        assert!("web1".parse::<ServerId>().is_ok());
        for bad in ["", "-a", "Web", "a b", "a/b", "ü", &"x".repeat(NAME_LENGTH_MAX + 1)] {
            assert!(bad.parse::<ServerId>().is_err(), "{bad}");
            assert!(serde_json::from_value::<ServerId>(serde_json::json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_outlet_is_read_as_it_is_written() {
        let outlet = OutletId { pdu: "pdu1".parse().unwrap(), outlet: 12 };
        assert_eq!(outlet.to_string(), "pdu1/12");
        assert_eq!("pdu1/12".parse(), Ok(outlet));
        for bad in ["pdu1", "pdu1/", "/1", "pdu1/x", "pdu1/70000", "pdu1/-1"] {
            assert!(bad.parse::<OutletId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_plan_is_its_epoch() {
        let plan = PlanId(Epoch(12));
        assert_eq!(plan.to_string(), "P12");
        assert_eq!("P12".parse::<PlanId>(), Ok(plan));
        assert!("12".parse::<PlanId>().is_err());
    }
}
