//! The equipment of a hall, from its documents: switch, storage target, data network, machines with their BMCs, and the agents beside them.
//! Whether its time is a simulated one or that of the machine is its runtime's business. It must never know of a controller.

use crate::agents::{self, AgentHost, Fault, Passport};
use crate::fabric::{BOOT, Fabric, GATEWAY, STORE, Volume};
use crate::hall::{self, BMCS, PDUS, SWITCH, VLANS};
use crate::host::Board;
use crate::life::Life;
use crate::limits::CHANGES_KEPT;
use crate::mains::{self, Socket, Supplies};
use contract::check::Vantage;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use storage::tgt::{Export, TgtConfig};
use tokio::sync::broadcast;
use vocabulary::boot::Firmware;
use vocabulary::estate::{self, Estate};
use vocabulary::power::Identity;
use vocabulary::{AgentId, EstateUuid, Lineage, MachineId, PduId, Secret, Span, VolumeName};
use world::bmc::{self as sim, Bmc, Ports, Secrets, Surroundings};
use world::bridge::{Bridge, Setting};
use world::machine::{BootDevice, Build, Mac, Machine, Root, Times};
use world::outlet::Unit;
use world::target::Target;
use world::{Dice, Ticks, Wall};

/// The account's password at every BMC.
pub const PASSWORD: &str = "secret";
/// The size of every volume.
const VOLUME_BYTES: u64 = 1 << 30;

/// A machine and its BMC.
#[derive(Clone)]
pub struct Stand {
    /// The machine.
    pub machine: Machine,
    /// Its BMC.
    pub bmc: Arc<Bmc>,
    /// The power supplies of both.
    pub supplies: Supplies,
    /// The outlets at which they hang, in their order.
    pub sockets: Vec<Socket>,
}

/// What a plant is raised with.
pub struct Around<'a> {
    /// Of all its chance.
    pub seed: u64,
    /// The time of day that everybody means.
    pub wall: Wall,
    /// How long its machines take for what they do.
    pub times: Times,
    /// Its machines' firmware.
    pub firmware: Firmware,
    /// For how long the boot service leases addresses, if not for as long as usual.
    pub address_lease: Option<Span>,
    /// The ports of a machine's BMC that are sockets.
    pub ports: &'a dyn Fn(&estate::Machine) -> Ports,
}

impl Around<'_> {
    fn dice(&self, kind: &str) -> Dice {
        Dice::of(self.seed, kind)
    }
}

/// See the module.
pub struct Plant {
    /// The switch.
    pub bridge: Bridge,
    /// The storage target.
    pub target: Target,
    /// The data network.
    pub fabric: Fabric,
    /// All machines.
    pub stands: BTreeMap<MachineId, Stand>,
    /// The same, for whoever looks at all of them.
    pub machines: Arc<Vec<Machine>>,
    /// What the target exports.
    exports: BTreeMap<VolumeName, Export>,
    /// The power distribution units.
    units: [Unit; 2],
    boot: boot::Config,
    /// The ways to the BMCs that an agent of their own owns.
    doors: BTreeMap<MachineId, ::bmc::Door>,
}

/// The object behind a volume.
pub fn object(volume: &str) -> String {
    format!("/volumes/{volume}")
}

impl Plant {
    /// Raises what these documents say; all machines are off, and no agent runs.
    pub fn raise(estate: &Estate, around: &Around<'_>) -> Result<Plant, Fault> {
        let (ports, startup) = cabling(estate);
        let bridge = Bridge::start(startup, around.dice("switch"));
        let target = Target::start(around.dice("storage"));
        let (volumes, exports) = volumes(estate, &target);
        let fabric = Fabric::new(bridge.clone(), target.clone(), around.dice("fabric"), ports, volumes);
        let (mut stands, mut machines) = (BTreeMap::new(), Vec::new());
        let units = mains::units(u16::try_from(estate.machines.len())?);
        for (number, (id, document)) in (1..).zip(&estate.machines) {
            let stand = stand((id, number), document, (&fabric, &units), around);
            machines.push(stand.machine.clone());
            stands.insert(id.clone(), stand);
        }
        let boot = boot_config(estate, around.address_lease)?;
        let outside = estate.machines.iter().filter(|(_, machine)| machine.bmc.agent.is_some());
        let doors = outside.map(|(id, machine)| (id.clone(), door(machine, None))).collect();
        Ok(Plant { bridge, target, fabric, stands, machines: Arc::new(machines), exports, units, boot, doors })
    }

    /// The target of the volume in each object.
    pub fn objects(&self) -> BTreeMap<String, String> {
        self.exports.iter().map(|(name, export)| (object(name.as_str()), export.target.clone())).collect()
    }

    /// Starts the agent of this host, by its name. `eyes` look from the switch, in the life that they are given.
    pub async fn start_agent(&self, host: &mut AgentHost, around: &Crew<'_>) -> Result<(), Fault> {
        match host.passport.agent.as_str() {
            SWITCH => agents::start_switch(host, &self.bridge, around.wall, around.eyes).await,
            name if name == STORE.0 => {
                let (environment, volumes) = (BTreeMap::new(), self.exports.clone());
                let config = TgtConfig { tgtadm: "tgtadm".into(), control_port: 0, environment, volumes };
                agents::start_storage(host, &self.target, config, around.wall).await
            }
            BMCS => agents::start_bmcs(host, &self.doors, around.bmcs).await,
            name if PDUS.contains(&name) => {
                let unit = self.units.iter().find(|unit| unit.name() == name).ok_or("no such unit")?;
                agents::start_outlets(host, unit, around.wall).await
            }
            _ => {
                // a process's tokens are no other's
                let dice = Dice::of(around.seed, &format!("tokens {}", host.lives() + 1));
                agents::start_boot(host, &self.fabric, self.boot.clone(), &dice, around.wall).await
            }
        }
    }
}

/// The way to a machine's BMC; with a pin, if its certificate is known.
pub fn door(machine: &estate::Machine, pin: Option<String>) -> ::bmc::Door {
    let identity = Identity { uuid: machine.uuid.clone(), serial: machine.serial.clone() };
    ::bmc::Door::new(machine.bmc.clone(), identity, Secret::new(PASSWORD), pin)
}

/// What agents are started with.
pub struct Crew<'a> {
    /// Of all chance.
    pub seed: u64,
    /// The time of day.
    pub wall: &'a Wall,
    /// What the switch's agent looks with, in the life of its process.
    pub eyes: &'a (dyn Fn(Life) -> Arc<dyn Vantage> + Sync),
    /// What the drivers of BMCs have from outside, in the life of their agent's process.
    pub bmcs: &'a (dyn Fn(&Life) -> ::bmc::Outside + Sync),
}

/// The hosts of all agents, without processes.
pub fn hosts(
    seed: u64,
    documents: &Estate,
    (estate, lineage): (&EstateUuid, &Lineage),
) -> Result<BTreeMap<AgentId, AgentHost>, Fault> {
    let mut hosts = BTreeMap::new();
    let (pdus, bmcs) = (documents.pdus.keys().map(PduId::as_str), documents.bmc_agents.keys().map(AgentId::as_str));
    for name in [BOOT.0, STORE.0, SWITCH].into_iter().chain(pdus).chain(bmcs) {
        let agent: AgentId = name.parse()?;
        let passport = Passport { agent: agent.clone(), estate: estate.clone(), lineage: lineage.clone() };
        hosts.insert(agent, AgentHost::new(passport, Dice::of(seed, &format!("way to {name}")), 1_000_000));
    }
    Ok(hosts)
}

/// Where each NIC's cable ends, and what the switch begins with.
fn cabling(estate: &Estate) -> (BTreeMap<Mac, String>, BTreeMap<String, Setting>) {
    let mut ports: BTreeMap<Mac, String> = BTreeMap::new();
    let mut startup = BTreeMap::from([
        (BOOT.0.to_owned(), Setting::access(VLANS[0])),
        (STORE.0.to_owned(), Setting::access(VLANS[1])),
        (GATEWAY.0.to_owned(), Setting::access(VLANS[2])),
    ]);
    for nic in estate.machines.values().flat_map(|machine| &machine.nics) {
        ports.insert(nic.mac.0, nic.port.to_string());
        startup.insert(nic.port.to_string(), Setting::default());
    }
    (ports, startup)
}

/// Every volume of the estate: what it is to the hall, and how the target exports it.
fn volumes(estate: &Estate, target: &Target) -> (Vec<Volume>, BTreeMap<VolumeName, Export>) {
    let (mut volumes, mut exports) = (Vec::new(), BTreeMap::new());
    let mut productions = productions(estate);
    for (name, paths) in estate.storages.values().flat_map(|storage| &storage.volumes) {
        let Some(path) = paths.paths.first() else { continue };
        target.add_object(&object(name.as_str()), VOLUME_BYTES);
        let server = name.as_str().trim_end_matches("-root").to_owned();
        let root = Root { production: productions.remove(&server), server };
        volumes.push(Volume { target: path.target.clone(), path: object(name.as_str()), root });
        let file = object(name.as_str()).into();
        exports.insert(name.clone(), Export { target: path.target.clone(), lun: u64::from(path.lun), file });
    }
    (volumes, exports)
}

/// The production address of every server, which is the one of its last network.
pub fn productions(estate: &Estate) -> BTreeMap<String, (Ipv4Addr, u8)> {
    let of = |server: &estate::Server| {
        let cidr = server.networks.last()?.address?;
        let IpAddr::V4(address) = cidr.address else { return None };
        Some((address, cidr.prefix))
    };
    estate.servers.iter().filter_map(|(id, server)| Some((id.to_string(), of(server)?))).collect()
}

fn stand(
    (id, number): (&MachineId, u16),
    document: &estate::Machine,
    (fabric, units): (&Fabric, &[Unit; 2]),
    around: &Around<'_>,
) -> Stand {
    let build = Build {
        name: id.to_string(),
        nics: document.nics.iter().map(|nic| nic.mac.0).collect(),
        order: boot_order(around.firmware),
        local_disk: false,
        times: around.times.clone(),
    };
    let machine = Machine::new(build, around.dice(id.as_str()), Arc::new(fabric.clone()));
    let surroundings = Surroundings {
        host: Arc::new(Board(machine.clone())),
        wall: around.wall.clone(),
        ticks: Ticks::from_now(),
        dice: around.dice(&format!("BMC of {id}")),
        ports: (around.ports)(document),
        changes: broadcast::Sender::new(CHANGES_KEPT),
    };
    let mut config = sim::Machine { serial: document.serial.clone(), ..sim::Machine::new(id.as_str(), &document.uuid) };
    config.hardware.power_supplies = u32::try_from(hall::supplies(number)).unwrap_or(1);
    let bmc = Bmc::new(config, Secrets { password: PASSWORD.into(), key: None }, surroundings);
    let (supplies, sockets) = mains::plugged(units, number, &machine, &bmc);
    Stand { machine, bmc, supplies, sockets }
}

/// The boot service's configuration, which knows every machine's provisioning MAC.
fn boot_config(estate: &Estate, address_lease: Option<Span>) -> Result<boot::Config, Fault> {
    let mac = |machine: &estate::Machine| Some(machine.nics.first()?.mac.to_string());
    let machines: serde_json::Map<String, serde_json::Value> = estate
        .machines
        .iter()
        .filter_map(|(id, machine)| Some((id.to_string(), serde_json::json!({ "provisioning_mac": mac(machine)? }))))
        .collect();
    let mut config = serde_json::json!({
        "bundle": "none", "state_dir": "none", "interface": "none", "address": "10.10.0.1/16", "images_dir": "images",
        "machines": machines, "ipxe": { "bios": "undionly.kpxe", "uefi": "snponly.efi" },
    });
    if let (Some(lease), Some(config)) = (address_lease, config.as_object_mut()) {
        config.insert("address_lease".to_owned(), serde_json::to_value(lease)?);
    }
    Ok(serde_json::from_value(config)?)
}

/// What firmware boots from when nobody tells it otherwise.
fn boot_order(firmware: Firmware) -> Vec<BootDevice> {
    match firmware {
        Firmware::Bios => vec![BootDevice::Network],
        Firmware::Uefi => vec![BootDevice::Http, BootDevice::Network],
    }
}
