//! What a machine lacks for a server, and which proof sets a machine can reach, judged from the estate's documents alone.
//! Comparison of data only: it never looks at the world, never ranks machines, and never decides who gets one.

use crate::boot::Firmware;
use crate::estate::{Estate, Machine, ProofChoice, Server, ServerNetwork};
use crate::network::AttachmentKind;
use crate::quantity::Bytes;
use crate::{MachineId, OutletId, PortName, Role, ServerId, SiteId, StorageId, SwitchId, VlanId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The role of the NIC that boots: its network is where a boot service answers.
pub const PROVISIONING: &str = "provisioning";

/// One thing that a machine lacks for a server. An empty list of these is the hard fit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "lack")]
pub enum Lack {
    /// Another architecture.
    Architecture {
        /// What the server needs.
        needs: String,
        /// What the machine is.
        has: String,
    },
    /// Too low an x86-64 level.
    Level {
        /// At least.
        needs: u8,
        /// What the machine has.
        has: u8,
    },
    /// Too little memory.
    Memory {
        /// At least.
        needs: Bytes,
        /// What the machine has.
        has: Bytes,
    },
    /// Too few processor threads.
    Threads {
        /// At least.
        needs: u32,
        /// What the machine has.
        has: u32,
    },
    /// No firmware mode in which both the image boots and the machine can.
    Firmware {
        /// Any of these would do.
        needs: BTreeSet<Firmware>,
        /// What the machine can.
        has: BTreeSet<Firmware>,
    },
    /// Too few NICs of a role.
    Nic {
        /// The role.
        role: Role,
        /// At least.
        needs: u32,
        /// What the machine has.
        has: u32,
    },
    /// A NIC that is needed is cabled to a switch that the estate does not know.
    Switch {
        /// The NIC's role.
        role: Role,
        /// The switch.
        switch: SwitchId,
    },
    /// A NIC that is needed is cabled to a switch of another site, where the server's VLANs do not reach.
    Reach {
        /// The NIC's role.
        role: Role,
        /// The switch.
        switch: SwitchId,
        /// The switch's site.
        site: SiteId,
    },
    /// A storage target of the server stands in another site, or in none that the estate knows.
    Storage {
        /// The target.
        storage: StorageId,
    },
    /// No boot service of the machine's site serves the server's provisioning VLAN.
    Boot {
        /// The VLAN.
        vlan: VlanId,
    },
}

/// Everything that `machine` lacks for `server`; empty means that it fits. Anti-affinity is not here: it depends on where
/// others are now.
pub fn lacks(machine: &Machine, server: &Server, estate: &Estate) -> Vec<Lack> {
    let mut found = hardware(machine, server, estate);
    for network in &server.networks {
        nics(machine, network, estate, &mut found);
    }
    let mut seen = BTreeSet::new();
    for volume in &server.volumes {
        let near = estate.storages.get(&volume.storage).is_some_and(|storage| storage.site == machine.site);
        if !near && seen.insert(&volume.storage) {
            found.push(Lack::Storage { storage: volume.storage.clone() });
        }
    }
    for network in server.networks.iter().filter(|network| network.role.as_str() == PROVISIONING) {
        let served =
            estate.boot_services.values().any(|service| service.site == machine.site && service.vlans.contains(&network.vlan));
        if !served {
            found.push(Lack::Boot { vlan: network.vlan });
        }
    }
    found
}

fn hardware(machine: &Machine, server: &Server, estate: &Estate) -> Vec<Lack> {
    let (needs, has) = (&server.requires, &machine.hardware);
    let mut found = Vec::new();
    if needs.architecture != has.architecture {
        found.push(Lack::Architecture { needs: needs.architecture.clone(), has: has.architecture.clone() });
    }
    if has.level < needs.level {
        found.push(Lack::Level { needs: needs.level, has: has.level });
    }
    if has.memory < needs.memory {
        found.push(Lack::Memory { needs: needs.memory, has: has.memory });
    }
    if has.threads < needs.threads {
        found.push(Lack::Threads { needs: needs.threads, has: has.threads });
    }
    let image = estate.images.get(&server.boot.image).map(|image| image.firmware.clone());
    let bootable = image.unwrap_or_else(|| BTreeSet::from([Firmware::Bios, Firmware::Uefi]));
    let wanted: BTreeSet<Firmware> =
        bootable.into_iter().filter(|mode| needs.firmware.is_none_or(|only| only == *mode)).collect();
    if wanted.is_disjoint(&has.firmware) {
        found.push(Lack::Firmware { needs: wanted, has: has.firmware.clone() });
    }
    found
}

fn nics(machine: &Machine, network: &ServerNetwork, estate: &Estate, found: &mut Vec<Lack>) {
    let needs = match network.attachment {
        AttachmentKind::Single => 1,
        AttachmentKind::ActiveBackup | AttachmentKind::Lacp => 2,
    };
    let has = u32::try_from(machine.nics.iter().filter(|nic| nic.role == network.role).count()).unwrap_or(u32::MAX);
    if has < needs {
        found.push(Lack::Nic { role: network.role.clone(), needs, has });
    }
    for nic in machine.nics.iter().filter(|nic| nic.role == network.role) {
        match estate.switches.get(&nic.switch) {
            None => found.push(Lack::Switch { role: nic.role.clone(), switch: nic.switch.clone() }),
            Some(switch) if switch.site != machine.site => {
                found.push(Lack::Reach { role: nic.role.clone(), switch: nic.switch.clone(), site: switch.site.clone() })
            }
            Some(_) => {}
        }
    }
}

fn modes(set: &BTreeSet<Firmware>) -> String {
    let names: Vec<&str> = set
        .iter()
        .map(|mode| match mode {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
        })
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" or ") }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Architecture { needs, has } => write!(f, "architecture {needs} needed, it is {has}"),
            Lack::Level { needs, has } => write!(f, "x86-64 level {needs} needed, it has {has}"),
            Lack::Memory { needs, has } => write!(f, "memory {needs} needed, it has {has}"),
            Lack::Threads { needs, has } => write!(f, "{needs} processor threads needed, it has {has}"),
            Lack::Firmware { needs, has } => write!(f, "firmware {} needed, it has {}", modes(needs), modes(has)),
            Lack::Nic { role, needs, has } => write!(f, "NICs of role {role}: {needs} needed, it has {has}"),
            Lack::Switch { role, switch } => write!(f, "its {role} NIC is cabled to {switch}, a switch that the estate lacks"),
            Lack::Reach { role, switch, site } => write!(f, "its {role} NIC is cabled to {switch} in another site, {site}"),
            Lack::Storage { storage } => write!(f, "storage {storage} is not in its site"),
            Lack::Boot { vlan } => write!(f, "no boot service of its site serves VLAN {vlan}"),
        }
    }
}

/// Why a machine cannot reach a proof set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "gap")]
pub enum ProofGap {
    /// `fencing.proof` leaves the set out.
    LeftOut,
    /// Its BMC's address names no host or no port.
    BmcAddress,
    /// It is only watched: its power cannot be cut.
    OnlyWatched,
    /// Another machine is entered with the same BMC address: a reading would not tell whose power it is.
    BmcShared {
        /// The other machine.
        with: MachineId,
    },
    /// Not one outlet is entered: an empty list proves nothing.
    NoOutlets,
    /// An outlet is of a unit that no agent of the estate owns.
    Unpowered {
        /// The outlet.
        outlet: OutletId,
    },
    /// Not one NIC is entered: an empty list proves nothing.
    NoNics,
    /// A NIC is cabled to a switch that no agent of the estate owns.
    Unswitched {
        /// The NIC's role.
        role: Role,
        /// The switch.
        switch: SwitchId,
        /// The port there.
        port: PortName,
    },
    /// It has storage that no agent can revoke.
    Unrevocable,
    /// A server that may run on it uses a volume which no storage target of the estate has.
    Volume {
        /// The server.
        server: ServerId,
        /// The target.
        storage: StorageId,
    },
}

/// What stands between a machine and each proof set; an empty list means that the set can be reached.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProofReach {
    /// Set P.
    pub power: Vec<ProofGap>,
    /// Set O.
    pub outlets: Vec<ProofGap>,
    /// Sets S and N together.
    pub storage_and_network: Vec<ProofGap>,
}

impl ProofReach {
    /// True if at least one sufficient proof can be reached.
    pub fn any(&self) -> bool {
        self.power.is_empty() || self.outlets.is_empty() || self.storage_and_network.is_empty()
    }
}

/// Which proof sets a machine can reach by the estate's documents. What can be reached *now* is for coverage to say.
/// It looks at every machine and server: for all machines of an estate, [`proof_reach_among`] is the faster way.
pub fn proof_reach(id: &MachineId, machine: &Machine, estate: &Estate) -> ProofReach {
    let twin = estate.machines.iter().find(|(other, it)| *other != id && it.bmc.address == machine.bmc.address);
    let bearing = estate.servers.iter().filter(|(_, server)| may_bear(id, server, estate));
    proof_reach_among(machine, twin.map(|(id, _)| id), bearing, estate)
}

/// The same as [`proof_reach`], for a caller that knows which other machine has this one's BMC address and which servers
/// [may run](may_bear) on it.
pub fn proof_reach_among<'a>(
    machine: &Machine,
    bmc_twin: Option<&MachineId>,
    bearing: impl Iterator<Item = (&'a ServerId, &'a Server)>,
    estate: &Estate,
) -> ProofReach {
    let mut reach = ProofReach::default();
    let proof = estate.settings.fencing.proof;
    if proof == ProofChoice::StorageAndNetworkOnly {
        reach.power.push(ProofGap::LeftOut);
    }
    if machine.bmc.address.ip().is_unspecified() || machine.bmc.address.port() == 0 {
        reach.power.push(ProofGap::BmcAddress);
    }
    if machine.bmc.only_watches() {
        reach.power.push(ProofGap::OnlyWatched);
    }
    if let Some(with) = bmc_twin {
        reach.power.push(ProofGap::BmcShared { with: with.clone() });
    }
    if proof != ProofChoice::Any {
        reach.outlets.push(ProofGap::LeftOut);
    }
    if machine.outlets.is_empty() {
        reach.outlets.push(ProofGap::NoOutlets);
    }
    for outlet in machine.outlets.iter().filter(|outlet| !estate.pdus.contains_key(&outlet.pdu)) {
        reach.outlets.push(ProofGap::Unpowered { outlet: outlet.clone() });
    }
    if proof == ProofChoice::PowerOnly {
        reach.storage_and_network.push(ProofGap::LeftOut);
    }
    if machine.nics.is_empty() {
        reach.storage_and_network.push(ProofGap::NoNics);
    }
    for nic in machine.nics.iter().filter(|nic| !estate.switches.contains_key(&nic.switch)) {
        let (role, switch, port) = (nic.role.clone(), nic.switch.clone(), nic.port.clone());
        reach.storage_and_network.push(ProofGap::Unswitched { role, switch, port });
    }
    if machine.hardware.unrevocable_storage {
        reach.storage_and_network.push(ProofGap::Unrevocable);
    }
    for (server, document) in bearing {
        let known = |storage: &StorageId, volume| estate.storages.get(storage).is_some_and(|it| it.volumes.contains_key(volume));
        for volume in document.volumes.iter().filter(|volume| !known(&volume.storage, &volume.volume)) {
            reach.storage_and_network.push(ProofGap::Volume { server: server.clone(), storage: volume.storage.clone() });
        }
    }
    reach
}

/// True if the estate's documents let the server run on the machine: its home, or a spare of its pool.
pub fn may_bear(machine: &MachineId, server: &Server, estate: &Estate) -> bool {
    &server.home == machine || estate.pools.get(&server.pool).is_some_and(|pool| pool.machines.contains(machine))
}

impl fmt::Display for ProofGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProofGap::LeftOut => f.write_str("`fencing.proof` leaves it out"),
            ProofGap::BmcAddress => f.write_str("its BMC address names no host or no port"),
            ProofGap::OnlyWatched => f.write_str("its `bmc` only watches, so its power cannot be cut"),
            ProofGap::BmcShared { with } => write!(f, "{with} has the same BMC address"),
            ProofGap::NoOutlets => f.write_str("not one outlet is entered"),
            ProofGap::Unpowered { outlet } => write!(f, "its outlet {outlet} is of a unit that no agent of the estate owns"),
            ProofGap::NoNics => f.write_str("not one NIC is entered"),
            ProofGap::Unswitched { role, switch, port } => {
                write!(f, "its {role} NIC is cabled to {switch}/{port}, which no agent of the estate owns")
            }
            ProofGap::Unrevocable => f.write_str("it has storage that no agent can revoke"),
            ProofGap::Volume { server, storage } => write!(f, "{server} uses a volume that storage {storage} does not have"),
        }
    }
}
