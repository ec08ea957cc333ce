//! Documents of the devices that agents own: BMCs, switches, storage targets, boot services, power distribution units.

use crate::storage::Path;
use crate::{SiteId, VlanId, VolumeName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The name of the agent inside `serve`, which owns every BMC that names no other; no other agent bears it.
pub const INSIDE: &str = "bmc";

/// An agent that owns machines' BMCs: the machines name it. BMCs that name none are driven from inside `serve`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BmcAgent {
    /// Its site.
    pub site: SiteId,
    /// Where it listens.
    pub agent: SocketAddr,
}

/// A switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Its site.
    pub site: SiteId,
    /// Driver name in the switch registry, such as `linux-bridge`.
    pub driver: String,
    /// Where its agent listens.
    pub agent: SocketAddr,
    /// True if its agent can also run health checks from inside the production network.
    #[serde(default)]
    pub vantage: bool,
}

/// A storage target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Its site.
    pub site: SiteId,
    /// Driver name in the storage registry, such as `tgt` or `lio`.
    pub driver: String,
    /// Where its agent listens.
    pub agent: SocketAddr,
    /// Which VLAN reaches it.
    pub vlan: VlanId,
    /// Its volumes.
    pub volumes: BTreeMap<VolumeName, VolumePaths>,
}

/// One volume of a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumePaths {
    /// 1..n ways to it.
    pub paths: Vec<PathDocument>,
}

/// One way to a volume, as written in the estate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathDocument {
    /// Where the target listens.
    pub portal: SocketAddr,
    /// The target's name.
    pub target: String,
    /// The logical unit.
    #[serde(default = "first_lun")]
    pub lun: u32,
}

fn first_lun() -> u32 {
    1
}

impl From<&PathDocument> for Path {
    fn from(document: &PathDocument) -> Path {
        Path { portal: document.portal, target: document.target.clone(), lun: document.lun }
    }
}

/// A boot service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootService {
    /// Its site.
    pub site: SiteId,
    /// Where its agent listens.
    pub agent: SocketAddr,
    /// VLANs it serves.
    pub vlans: BTreeSet<VlanId>,
}

/// A power distribution unit whose outlets can be switched and measured one by one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pdu {
    /// Its site.
    pub site: SiteId,
    /// Driver name in the outlet registry, such as `snmp`.
    pub driver: String,
    /// Where its agent listens.
    pub agent: SocketAddr,
}
