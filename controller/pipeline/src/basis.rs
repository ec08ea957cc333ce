//! What plans rest on in the documents: a machine's identity, BMC, cabling and boot services, a server's VLANs and volumes. Recorded when a
//! plan is sealed, so that whatever it grants or bars is found again where it was granted. Compares, and decides nothing.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::net::SocketAddr;
use vocabulary::estate::{Estate, INSIDE};
use vocabulary::network::Mac;
use vocabulary::storage::{Access, Path};
use vocabulary::{AgentId, BootServiceId, MachineId, OutletId, PortId, Role, ServerId, VlanId, VolumeId};

/// What one plan rests on. Empty in records of before it was kept: then nothing is known, and nothing compared.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Basis {
    /// Every machine of the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<MachineId, MachineBasis>,
    /// The plan's server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerBasis>,
}

/// What commands to a machine go by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineBasis {
    /// Serial number, as the document says it.
    pub serial: String,
    /// System UUID, as the document says it.
    pub uuid: String,
    /// Where its BMC is.
    pub bmc: SocketAddr,
    /// The agent outside `serve` that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc_agent: Option<AgentId>,
    /// Its NICs and their ports.
    pub cabling: BTreeSet<Cable>,
    /// Boot services that may have held a permit for it.
    pub boot_services: BTreeSet<BootServiceId>,
    /// The outlets of its power supplies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outlets: BTreeSet<OutletId>,
    /// The VLAN that it is barred in.
    pub quarantine: VlanId,
}

/// A NIC and its port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Cable {
    /// What for.
    pub role: Role,
    /// Its address.
    pub mac: Mac,
    /// The port.
    pub port: PortId,
}

/// What a server is granted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerBasis {
    /// Its VLANs.
    pub networks: BTreeSet<Wire>,
    /// Its volumes, the root first.
    pub volumes: Vec<Store>,
}

/// The VLANs of one role.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Wire {
    /// Which NIC.
    pub role: Role,
    /// Untagged.
    pub vlan: VlanId,
    /// Tagged.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tagged: BTreeSet<VlanId>,
}

/// One volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Store {
    /// Which.
    pub volume: VolumeId,
    /// How many may write.
    pub access: Access,
    /// The ways to it.
    pub paths: Vec<Path>,
}

impl Display for Cable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.role, self.mac, self.port)
    }
}

impl Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in VLAN {}", self.role, self.vlan)?;
        self.tagged.iter().try_for_each(|vlan| write!(f, ", tagged {vlan}"))
    }
}

impl Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.volume, format!("{:?}", self.access).to_lowercase())?;
        self.paths.iter().try_for_each(|path| write!(f, " at {} {} LUN {}", path.portal, path.target, path.lun))
    }
}

impl Basis {
    /// What a plan for these rests on by the documents in force.
    pub fn of<'a>(estate: &Estate, machines: impl Iterator<Item = &'a MachineId>, server: Option<&ServerId>) -> Basis {
        let machines = machines.filter_map(|id| Some((id.clone(), MachineBasis::of(estate, id)?))).collect();
        Basis { machines, server: server.and_then(|id| ServerBasis::of(estate, id)) }
    }

    /// True if nothing is known.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.server.is_none()
    }
}

impl MachineBasis {
    /// By the documents; `None` if they have no such machine.
    pub fn of(estate: &Estate, id: &MachineId) -> Option<MachineBasis> {
        let machine = estate.machines.get(id)?;
        let cable = |nic: &vocabulary::estate::Nic| Cable { role: nic.role.clone(), mac: nic.mac, port: nic.port_id() };
        Some(MachineBasis {
            serial: machine.serial.clone(),
            uuid: machine.uuid.clone(),
            bmc: machine.bmc.address,
            bmc_agent: machine.bmc.agent.clone(),
            cabling: machine.nics.iter().map(cable).collect(),
            boot_services: estate.boot_services_of(id).into_iter().cloned().collect(),
            outlets: machine.outlets.iter().cloned().collect(),
            quarantine: estate.settings.vlans.quarantine,
        })
    }

    /// What is another box, or the same elsewhere.
    pub(crate) fn moved(&self, now: &MachineBasis) -> Vec<String> {
        let same = |field: &str, was: &String, is: &String| {
            let changed = differ(field, std::slice::from_ref(was), std::slice::from_ref(is));
            changed.filter(|_| !was.eq_ignore_ascii_case(is))
        };
        let list = |cabling: &BTreeSet<Cable>| cabling.iter().cloned().collect::<Vec<_>>();
        [
            same("serial", &self.serial, &now.serial),
            same("uuid", &self.uuid, &now.uuid),
            differ("bmc address", &[self.bmc], &[now.bmc]),
            differ("nics", &list(&self.cabling), &list(&now.cabling)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The same for a machine in use; where it is barred or about to be, the VLAN of its bars, its outlets, and the gate that keeps the
    /// bar of its power stay too. A boot service or an outlet may be added.
    pub(crate) fn moved_in_use(&self, now: &MachineBasis, barred: bool) -> Vec<String> {
        let mut changes = self.moved(now);
        let gone: Vec<BootServiceId> = self.boot_services.difference(&now.boot_services).cloned().collect();
        changes.extend(differ("boot services", &gone, &[]));
        changes.extend(differ("quarantine VLAN", &[self.quarantine], &[now.quarantine]).filter(|_| barred));
        let owner = |of: &MachineBasis| of.bmc_agent.as_ref().map_or(INSIDE.to_owned(), AgentId::to_string);
        changes.extend(differ("bmc agent", &[owner(self)], &[owner(now)]).filter(|_| barred));
        let gone: Vec<OutletId> = self.outlets.difference(&now.outlets).cloned().collect();
        changes.extend(differ("outlets", &gone, &[]).filter(|_| barred));
        changes
    }
}

impl ServerBasis {
    /// By the documents; `None` if they have no such server.
    pub fn of(estate: &Estate, id: &ServerId) -> Option<ServerBasis> {
        let server = estate.servers.get(id)?;
        let wire = |network: &vocabulary::estate::ServerNetwork| Wire {
            role: network.role.clone(),
            vlan: network.vlan,
            tagged: network.tagged.clone(),
        };
        let store = |volume: &vocabulary::estate::ServerVolume| {
            let paths = estate.storages.get(&volume.storage).and_then(|storage| storage.volumes.get(&volume.volume));
            let paths = paths.into_iter().flat_map(|volume| &volume.paths).map(Path::from).collect();
            Store { volume: volume.id(), access: volume.access, paths }
        };
        Some(ServerBasis {
            networks: server.networks.iter().map(wire).collect(),
            volumes: server.volumes.iter().map(store).collect(),
        })
    }

    pub(crate) fn moved(&self, now: &ServerBasis) -> Vec<String> {
        let list = |networks: &BTreeSet<Wire>| networks.iter().cloned().collect::<Vec<_>>();
        let networks = differ("networks", &list(&self.networks), &list(&now.networks));
        networks.into_iter().chain(differ("volumes", &self.volumes, &now.volumes)).collect()
    }
}

/// Old and new value of a field: only what differs, or all of it where only the order does.
fn differ<T: PartialEq + Display>(field: &str, was: &[T], is: &[T]) -> Option<String> {
    if was == is {
        return None;
    }
    let only = |of: &[T], other: &[T]| of.iter().filter(|item| !other.contains(item)).map(T::to_string).collect::<Vec<_>>();
    let all = |of: &[T]| of.iter().map(T::to_string).collect::<Vec<_>>();
    let (mut old, mut new) = (only(was, is), only(is, was));
    if old.is_empty() && new.is_empty() {
        (old, new) = (all(was), all(is));
    }
    let words = |items: Vec<String>| if items.is_empty() { "nothing".to_owned() } else { items.join(", ") };
    Some(format!("{field}: was {}, is {}", words(old), words(new)))
}
