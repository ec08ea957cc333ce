//! The hall of one seed: how many machines, who bears what, who speaks which protocol; and its documents. It draws what a data centre may
//! be, never what would suit the controller.

use crate::temper::Temper;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use vocabulary::boot::{BootMethod, Firmware};
use vocabulary::check::{Check, HttpCheck, TcpCheck};
use vocabulary::estate::*;
use vocabulary::network::AttachmentKind;
use vocabulary::network::Cidr;
use vocabulary::storage::Access;
use vocabulary::{Mac, MachineId, OutletId, Span, VlanId};
use world::Dice;
use world::machine::Times;

/// The NICs of every machine, in the order of their MACs.
pub const ROLES: [&str; 3] = ["provisioning", "storage", "production"];
/// Their servers' VLANs, in the same order.
pub const VLANS: [u16; 3] = [10, 30, 20];
/// The switch, and the agent on it.
pub const SWITCH: &str = "sw1";
/// The power distribution units, and the agents that switch their outlets.
pub const PDUS: [&str; 2] = ["pdu1", "pdu2"];
/// The agent that owns the BMCs, where they are not driven from inside the controller.
pub const BMCS: &str = "bmcs1";
/// The port of every service.
pub const SERVICE: u16 = 8080;
/// Of a million machines so many are spoken to over IPMI: in most worlds all, in some all but none, in the rest half.
const OVER_IPMI: [u32; 8] = [1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 500_000, 0];
/// Of a million halls so many have outlets that the controller may switch.
const OUTLETS: u32 = 250_000;
/// Of a million halls so many have an agent of its own for their BMCs.
const BMCS_OUTSIDE: u32 = 300_000;
/// Of a million such halls so many have documents in which the outlets of two machines are taken for each other's.
const SWAPPED: u32 = 250_000;
/// Of a million machines of such a hall so many have disks of their own, which no agent can revoke.
const LOCAL_DISKS: u32 = 400_000;
/// Of a million machines so many stand in one rack: in most worlds none.
const IN_ONE_RACK: [u32; 4] = [0, 0, 0, 700_000];

/// Of a million halls so many wait for kernels that have crashed.
const KDUMP: u32 = 300_000;
/// Of a million servers so many are to be restarted where their service is down.
const RESTARTED: u32 = 600_000;
/// Of a million halls so many have a recovery target.
const TARGETS: u32 = 500_000;
/// It is between so many seconds: some starts miss it and some do not.
const TARGET_S: (u64, u64) = (30, 150);

/// Of a million halls so many forget old records within the time that a world lasts.
const FORGETFUL: u32 = 250_000;
/// After so many seconds.
const HISTORY_S: (u64, u64) = (20, 240);
/// So many of the newest records stay there.
const RECORDS_STAY: u64 = 30;

/// What a hall has.
#[derive(Clone, PartialEq, Debug)]
pub struct Hall {
    /// Machines that bear a server.
    pub bearing: usize,
    /// Spares.
    pub spares: usize,
    /// For each machine: it is spoken to over IPMI, else over Redfish.
    pub over_ipmi: Vec<bool>,
    /// How all servers boot.
    pub method: BootMethod,
    /// The machines' firmware.
    pub firmware: Firmware,
    /// How long machines take for what they do.
    pub times: Times,
    /// The estate's settings; the canary is always the hall's own.
    pub settings: Settings,
    /// For how long the boot service leases addresses, if not for as long as usual.
    pub address_lease: Option<Span>,
    /// Its outlets can be switched by the controller.
    pub outlets: bool,
    /// Its BMCs belong to an agent of their own.
    pub bmcs_outside: bool,
    /// The outlets of the machine of this number and of the next one are taken for each other's by the documents.
    pub swapped: Option<usize>,
    /// The numbers of the machines with disks of their own, which no agent can revoke.
    pub local_disks: BTreeSet<usize>,
    /// The numbers of the machines that stand in one rack, on one feed; each of the others has its own.
    pub one_rack: BTreeSet<usize>,
    /// The numbers of the servers that are to be restarted where their service is down.
    pub restarted: BTreeSet<usize>,
    /// How long an outage may last by the servers' group.
    pub recovery_target: Option<Span>,
    /// How kernels that have crashed are waited for.
    pub kdump: Option<Kdump>,
    /// The checks of its servers ask for their page of health; otherwise a connection is enough for them.
    pub pages: bool,
}

/// What a seed draws of a hall: enough to raise it again, whatever later halls draw.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Machines that bear a server.
    pub bearing: usize,
    /// Spares.
    pub spares: usize,
    /// The numbers of the machines that are spoken to over IPMI.
    over_ipmi: BTreeSet<usize>,
    method: BootMethod,
    firmware: Firmware,
    temper: Temper,
    /// The numbers of the machines that stand in one rack.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    one_rack: BTreeSet<usize>,
    /// Its outlets can be switched by the controller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outlets: bool,
    /// Its BMCs belong to an agent of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bmcs_outside: bool,
    /// The number of the first of two machines whose outlets are taken for each other's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swapped: Option<usize>,
    /// The numbers of the machines with disks of their own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    local_disks: BTreeSet<usize>,
    /// The numbers of the servers that are to be restarted where their service is down.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    restarted: BTreeSet<usize>,
    /// How long an outage may last by the servers' group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_target: Option<Span>,
    /// How long records are kept, where that is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<Span>,
    /// Kernels that have crashed are waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    kdump: bool,
}

impl Drawn {
    /// That of this seed.
    pub fn of(seed: u64) -> Drawn {
        let dice = Dice::of(seed, "hall");
        let count = |least, most| usize::try_from(dice.between(least, most)).unwrap_or(1);
        let (bearing, spares) = (count(1, 4), count(1, 3));
        let share = dice.pick(&OVER_IPMI).copied().unwrap_or_default();
        let over_ipmi = (1..=bearing + spares).filter(|_| dice.in_a_million(share)).collect();
        let method = if dice.in_a_million(500_000) { BootMethod::Kernel } else { BootMethod::San };
        let firmware = if dice.in_a_million(300_000) { Firmware::Uefi } else { Firmware::Bios };
        let share = dice.pick(&IN_ONE_RACK).copied().unwrap_or_default();
        let one_rack = (1..=bearing + spares).filter(|_| dice.in_a_million(share)).collect();
        let power = Dice::of(seed, "outlets");
        let outlets = power.in_a_million(OUTLETS);
        let local_disks = (1..=bearing + spares).filter(|_| outlets && power.in_a_million(LOCAL_DISKS)).collect();
        let last = u64::try_from(bearing + spares - 1).unwrap_or(1);
        let swapped = Some(power.between(1, last)).filter(|_| outlets && power.in_a_million(SWAPPED));
        let swapped = swapped.and_then(|number| usize::try_from(number).ok());
        let temper = Temper::of(seed);
        let service = Dice::of(seed, "services");
        let kdump = service.in_a_million(KDUMP);
        let restarted = (1..=bearing).filter(|_| service.in_a_million(RESTARTED)).collect();
        let bmcs_outside = Dice::of(seed, "bmcs").in_a_million(BMCS_OUTSIDE);
        // a chance of its own: what is drawn beside it stays as it was
        let target = Dice::of(seed, "recovery target");
        let recovery_target = target.in_a_million(TARGETS).then(|| Span::seconds(target.between(TARGET_S.0, TARGET_S.1)));
        let forgets = Dice::of(seed, "history");
        let history = forgets.in_a_million(FORGETFUL).then(|| Span::seconds(forgets.between(HISTORY_S.0, HISTORY_S.1)));
        Drawn {
            bearing,
            spares,
            over_ipmi,
            method,
            firmware,
            temper,
            one_rack,
            outlets,
            bmcs_outside,
            swapped,
            local_disks,
            restarted,
            recovery_target,
            history,
            kdump,
        }
    }

    /// All machines.
    pub fn machines(&self) -> usize {
        self.bearing + self.spares
    }

    /// Its outlets can be switched by the controller.
    pub fn outlets(&self) -> bool {
        self.outlets
    }

    /// Its BMCs belong to an agent of their own.
    pub fn bmcs_outside(&self) -> bool {
        self.bmcs_outside
    }

    /// The numbers of the machines that stand in one rack.
    pub fn one_rack(&self) -> &BTreeSet<usize> {
        &self.one_rack
    }
}

impl From<&Drawn> for Hall {
    fn from(drawn: &Drawn) -> Hall {
        let over_ipmi = (1..=drawn.machines()).map(|number| drawn.over_ipmi.contains(&number)).collect();
        let plain = Hall::with(drawn.bearing, drawn.spares);
        let times = drawn.temper.times();
        let (one_rack, local_disks) = (drawn.one_rack.clone(), drawn.local_disks.clone());
        let restarted = drawn.restarted.clone();
        let (outlets, swapped) = (drawn.outlets, drawn.swapped);
        let mut hall = Hall {
            over_ipmi,
            one_rack,
            outlets,
            bmcs_outside: drawn.bmcs_outside,
            swapped,
            local_disks,
            restarted,
            recovery_target: drawn.recovery_target,
            kdump: drawn.kdump.then(Kdump::default),
            method: drawn.method,
            firmware: drawn.firmware,
            times,
            ..plain
        };
        drawn.temper.set(&mut hall.settings);
        if let Some(history) = drawn.history {
            hall.settings.retention = Retention { history, at_least: RECORDS_STAY };
        }
        hall
    }
}

/// How many power supplies the machine of this number has: as many as one of its neighbours, and not as many as the other.
pub fn supplies(number: u16) -> usize {
    if number.div_ceil(2).is_multiple_of(2) { 1 } else { 2 }
}

/// A name of the estate. `None` for text that cannot be one; all names here are made of letters and numbers.
fn id<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

impl Hall {
    /// That of this seed.
    pub fn of(seed: u64) -> Hall {
        Hall::from(&Drawn::of(seed))
    }

    /// One with so many machines: all over Redfish, with BIOS firmware, their kernels fetched over the network.
    pub fn with(bearing: usize, spares: usize) -> Hall {
        let mut settings = Settings {
            detection: Detection {
                power_every: Span::seconds(1),
                check_every: Span::seconds(1),
                off_window: Span::seconds(2),
                hung_window: Span::seconds(6),
                boot_time: Span::seconds(60),
            },
            ..Settings::default()
        };
        settings.fencing.settle = Span::seconds(2);
        Hall {
            bearing,
            spares,
            over_ipmi: Vec::new(),
            method: BootMethod::Kernel,
            firmware: Firmware::Bios,
            times: Times::default(),
            settings,
            address_lease: None,
            outlets: false,
            bmcs_outside: false,
            swapped: None,
            local_disks: BTreeSet::new(),
            one_rack: BTreeSet::new(),
            restarted: BTreeSet::new(),
            recovery_target: None,
            kdump: None,
            pages: false,
        }
    }

    /// Its documents; `None` never happens, since all names in it are well formed.
    pub fn estate(&self) -> Option<Estate> {
        let mut estate = Estate { settings: self.settings.clone(), ..Estate::default() };
        estate.settings.guard.canaries = vec![gateway()];
        estate.sites.insert(id("hall")?, Site { description: String::new() });
        estate.tiers.insert(id("gold")?, Tier { rank: 1, mode: Mode::Auto });
        let group = Group {
            tier: id("gold")?,
            owner: String::new(),
            contacts: Vec::new(),
            after: Vec::new(),
            recovery_target: self.recovery_target,
            minimum_active: 0,
        };
        estate.groups.insert(id("web")?, group);
        let agent = |last| SocketAddr::from((Ipv4Addr::new(10, 99, 0, last), 7443));
        let switch = Switch { site: id("hall")?, driver: "linux-bridge".into(), agent: agent(1), vantage: true };
        estate.switches.insert(id(SWITCH)?, switch);
        let names: Vec<MachineId> = (1..=self.machines()).filter_map(|n| id(&format!("m{n}"))).collect();
        for (number, name) in (1u16..).zip(&names) {
            estate.machines.insert(name.clone(), self.machine(number, name)?);
        }
        estate.pools.insert(id("spares")?, Pool { machines: names.iter().skip(self.bearing).cloned().collect() });
        let mut volumes = BTreeMap::new();
        for (number, home) in (1u16..).zip(names.iter().take(self.bearing)) {
            let target = format!("iqn.2026-01.example:web{number}");
            let portal = SocketAddr::from((Ipv4Addr::new(10, 30, 0, 1), 3260));
            volumes
                .insert(id(&format!("web{number}-root"))?, VolumePaths { paths: vec![PathDocument { portal, target, lun: 1 }] });
            estate.servers.insert(id(&format!("web{number}"))?, self.server(number, home)?);
        }
        let storage = Storage { site: id("hall")?, driver: "tgt".into(), agent: agent(2), vlan: vlan(VLANS[1])?, volumes };
        estate.storages.insert(id("store1")?, storage);
        let boot = BootService { site: id("hall")?, agent: agent(3), vlans: BTreeSet::from([vlan(VLANS[0])?]) };
        estate.boot_services.insert(id("boot1")?, boot);
        for (place, name) in (4..).zip(PDUS).filter(|_| self.outlets) {
            let pdu = Pdu { site: id("hall")?, driver: "snmp".into(), agent: agent(place) };
            estate.pdus.insert(id(name)?, pdu);
        }
        if self.bmcs_outside {
            estate.bmc_agents.insert(id(BMCS)?, BmcAgent { site: id("hall")?, agent: agent(9) });
        }
        let kernel = self.method == BootMethod::Kernel;
        let image = Image {
            method: self.method,
            firmware: BTreeSet::from([Firmware::Bios, Firmware::Uefi]),
            kernel: kernel.then(|| "vmlinuz".into()),
            initrd: kernel.then(|| "server.cpio".into()),
            arguments: String::new(),
        };
        estate.images.insert(id("web-image")?, image);
        Some(estate)
    }

    /// All machines.
    pub fn machines(&self) -> usize {
        self.bearing + self.spares
    }

    fn machine(&self, number: u16, name: &MachineId) -> Option<Machine> {
        let mut nics = Vec::new();
        for (place, role) in (1u8..).zip(ROLES) {
            // a Linux bridge's ports have names of at most 15 bytes
            let port = id(&format!("{name}-nic{place}"))?;
            let [high, low] = number.to_be_bytes();
            let mac = Mac([0x52, 0x54, high, 0x0c, low, place]);
            nics.push(Nic { role: id(role)?, mac, switch: id(SWITCH)?, port, speed: None });
        }
        let over_ipmi = self.over_ipmi.get(usize::from(number) - 1).copied().unwrap_or_default();
        let first = self.one_rack.first().and_then(|first| u16::try_from(*first).ok());
        let place = first.filter(|_| self.one_rack.contains(&usize::from(number))).unwrap_or(number);
        let (protocol, port) = if over_ipmi { (BmcProtocol::Ipmi, 623) } else { (BmcProtocol::Redfish, 443) };
        Some(Machine {
            serial: format!("S-{name}"),
            uuid: format!("00000000-0000-4000-8000-{number:012x}"),
            site: id("hall")?,
            rack: id(&format!("r{place}"))?,
            feeds: vec![id(&format!("f{place}"))?],
            bmc: Bmc {
                protocol,
                address: SocketAddr::from((address(254, number), port)),
                user: "controller".into(),
                password: SecretReference("env:BMC".into()),
                agent: if self.bmcs_outside { Some(id(BMCS)?) } else { None },
                certificate: "enrol".into(),
                access: BmcAccess::Command,
                ipmi: None,
            },
            nics,
            outlets: self.outlets_of(number)?,
            hardware: Hardware {
                firmware: BTreeSet::from([self.firmware]),
                unrevocable_storage: self.local_disks.contains(&usize::from(number)),
                ..Hardware::default()
            },
        })
    }

    /// Where the machine of this number hangs, as far as the controller is told.
    fn outlets_of(&self, number: u16) -> Option<Vec<OutletId>> {
        let first = self.swapped.and_then(|first| u16::try_from(first).ok());
        let told = match first {
            Some(first) if number == first => number + 1,
            Some(first) if number == first + 1 => first,
            _ => number,
        };
        // as many cords as the other one has end there
        let units = PDUS.iter().take(supplies(told)).filter(|_| self.outlets);
        units.map(|pdu| Some(OutletId { pdu: id(pdu)?, outlet: told })).collect()
    }

    fn check(&self, address: SocketAddr) -> Check {
        if !self.pages {
            return Check::Tcp(TcpCheck { address, deadline: CHECKED });
        }
        Check::Http(HttpCheck { url: format!("http://{address}/healthz"), status: 200, contains: None, deadline: CHECKED })
    }

    fn server(&self, number: u16, home: &MachineId) -> Option<Server> {
        let mut networks = Vec::new();
        for (role, number_of_vlan) in ROLES.iter().zip(VLANS) {
            let net = u8::try_from(number_of_vlan).ok()?;
            let address: Cidr = format!("{}/16", address(net, number)).parse().ok()?;
            networks.push(ServerNetwork {
                role: id(role)?,
                vlan: vlan(number_of_vlan)?,
                tagged: BTreeSet::new(),
                attachment: AttachmentKind::Single,
                mtu: None,
                address: Some(address),
            });
        }
        let volume = id(&format!("web{number}-root"))?;
        let root = ServerVolume { name: id("root")?, storage: id("store1")?, volume, access: Access::Exclusive };
        let address = SocketAddr::from((address(20, number), SERVICE));
        Some(Server {
            group: id("web")?,
            mode: None,
            home: home.clone(),
            pool: id("spares")?,
            boot: ServerBoot { method: self.method, image: id("web-image")? },
            networks,
            volumes: vec![root],
            requires: Requires { firmware: Some(self.firmware), ..Requires::default() },
            checks: vec![self.check(address)],
            service_down: match self.restarted.contains(&usize::from(number)) {
                true => ServiceDown::Restart,
                false => ServiceDown::Hold,
            },
            kdump: self.kdump,
        })
    }
}

/// How long a check of a service may take.
const CHECKED: Span = Span::seconds(1);

/// The address of the machine or server of this number in such a network of 65,536; the first ten are the hall's own.
fn address(net: u8, number: u16) -> Ipv4Addr {
    let [high, low] = number.saturating_add(10).to_be_bytes();
    Ipv4Addr::new(10, net, high, low)
}

/// Where the canary of the hall answers.
pub fn gateway() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 20, 0, 1), 22))
}

fn vlan(number: u16) -> Option<VlanId> {
    VlanId::new(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_hall_has_documents_and_a_seed_always_has_the_same() {
        let mut kinds = BTreeSet::new();
        for seed in 0..200 {
            let hall = Hall::of(seed);
            assert_eq!(hall, Hall::of(seed));
            let estate = hall.estate().unwrap();
            assert_eq!(hall.over_ipmi.len(), hall.machines());
            assert_eq!((estate.machines.len(), estate.servers.len()), (hall.machines(), hall.bearing));
            assert!(pipeline::reload::accept(&pipeline::ledger::Ledger::default(), &estate).is_ok());
            kinds.insert((hall.bearing, hall.spares, hall.method == BootMethod::San));
        }
        assert!(kinds.len() > 20, "seeds differ: {}", kinds.len());
    }
}
