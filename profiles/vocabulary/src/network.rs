//! VLANs, ports, addresses, attachments.

use crate::{PortId, Role, WallTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A VLAN: 1 to 4094.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct VlanId(#[schemars(range(min = 1, max = 4094))] u16);

impl VlanId {
    /// `None` for 0, 4095 and above, which IEEE 802.1Q reserves.
    pub const fn new(number: u16) -> Option<VlanId> {
        if number >= 1 && number <= 4094 { Some(VlanId(number)) } else { None }
    }
    /// For constants of this workspace: out of range fails at compile time in a `const`.
    pub const fn constant(number: u16) -> VlanId {
        match VlanId::new(number) {
            Some(vlan) => vlan,
            None => unreachable!(),
        }
    }
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for VlanId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(d)?;
        VlanId::new(number).ok_or_else(|| serde::de::Error::custom(format!("{number} is not a VLAN: use 1 to 4094")))
    }
}

/// A MAC address, written `52:54:00:0c:01:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{}` is not a MAC address: write it as 52:54:00:0c:01:01", text.chars().take(32).collect::<String>());
        let mut bytes = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Mac(bytes)) }
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Mac {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mac".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"})
    }
}

/// An IPv4 or IPv6 address with its prefix length, written `10.20.0.11/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cidr {
    /// The host's address.
    pub address: std::net::IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{}` is not an address: write it with its prefix, as 10.20.0.11/24",
                text.chars().take(64).collect::<String>()
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: std::net::IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(bad());
        }
        Ok(Cidr { address, prefix })
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Cidr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cidr".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "an address with its prefix length, such as 10.20.0.11/24"})
    }
}

/// What a port carries. Exact: a VLAN that is not named here must not be on the port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortSetting {
    /// Untagged VLAN, if any.
    pub native: Option<VlanId>,
    /// Tagged VLANs.
    pub tagged: BTreeSet<VlanId>,
    /// Largest frame payload; `None` leaves it.
    pub mtu: Option<u16>,
}

impl PortSetting {
    /// An access port of one VLAN.
    pub fn access(vlan: VlanId) -> PortSetting {
        PortSetting { native: Some(vlan), tagged: BTreeSet::new(), mtu: None }
    }
    /// True if the port carries that VLAN in any form.
    pub fn carries(&self, vlan: VlanId) -> bool {
        self.native == Some(vlan) || self.tagged.contains(&vlan)
    }
}

/// A fresh reading of one port from the forwarding state of its switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortReading {
    /// The port.
    pub port: PortId,
    /// What it forwards.
    pub setting: PortSetting,
    /// True if a VLAN other than `native` leaves the port untagged as well: a leak that makes the setting inexact.
    pub leaks: bool,
    /// Administratively up.
    pub admin_up: bool,
    /// Carrier; says nothing of the machine's power.
    pub link_up: bool,
    /// MAC addresses learnt on the port now.
    pub learnt: BTreeSet<Mac>,
    /// Frames received on the port since the switch started; growth is a sign of life.
    pub frames_in: u64,
    /// True if the setting is also in the start-up configuration (or re-applied by the agent before the ports go up).
    pub saved: bool,
    /// When it was read.
    pub read_at: WallTime,
}

/// How a set of ports carries a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentKind {
    /// One port.
    #[default]
    Single,
    /// Two or more, one active.
    ActiveBackup,
    /// LACP over one or two switches.
    Lacp,
}

/// Ports of one machine that carry one role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// What for.
    pub role: Role,
    /// How.
    pub kind: AttachmentKind,
    /// Over which ports.
    pub ports: Vec<PortId>,
}
