//! The lab's estate as data, for any number of machines: all but the last bear a server, the last is the spare.

use super::id;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::boot::{BootMethod, Firmware};
use vocabulary::check::{Check, TcpCheck};
use vocabulary::estate::*;
use vocabulary::network::{AttachmentKind, PortSetting};
use vocabulary::storage::Access;
use vocabulary::*;

pub fn vlan(n: u16) -> PortSetting {
    PortSetting::access(VlanId::new(n).unwrap())
}

pub fn servers(machines: usize) -> Vec<ServerId> {
    (1..machines).map(|n| id(&format!("web{n}"))).collect()
}

pub fn port(machine: &MachineId, role: &str) -> PortId {
    PortId { switch: id("sw1"), port: id(&format!("{machine}-{role}")) }
}

pub fn volumes_of(server: &ServerId) -> Vec<VolumeId> {
    vec![VolumeId { storage: id("store1"), volume: id(&format!("{server}-root")) }]
}

/// Names that are asked for at every event.
pub struct Names {
    pub servers: Vec<ServerId>,
    pub volumes: BTreeMap<ServerId, Vec<VolumeId>>,
    pub provisioning: BTreeMap<MachineId, PortId>,
    pub production: BTreeMap<MachineId, PortId>,
    /// Whose NIC is plugged in where.
    pub nics: BTreeMap<PortId, (MachineId, Mac)>,
}

impl Names {
    pub fn of(estate: &Estate) -> Names {
        let ports = |role| estate.machines.keys().map(|machine| (machine.clone(), port(machine, role))).collect();
        let nics = estate.machines.iter().flat_map(|(name, machine)| {
            machine
                .nics
                .iter()
                .map(|nic| (PortId { switch: nic.switch.clone(), port: nic.port.clone() }, (name.clone(), nic.mac)))
        });
        Names {
            servers: estate.servers.keys().cloned().collect(),
            volumes: estate.servers.keys().map(|server| (server.clone(), volumes_of(server))).collect(),
            provisioning: ports("provisioning"),
            production: ports("production"),
            nics: nics.collect(),
        }
    }
}

/// The MAC of a machine's NIC.
pub fn mac(machine: &str, role: &str) -> Mac {
    let estate = lab(9);
    estate.machines[&id::<MachineId>(machine)].nic(&id(role)).unwrap().mac
}

/// The server that a check is about, by its port number.
pub fn checked(check: &Check) -> ServerId {
    match check {
        Check::Tcp(tcp) => id(&format!("web{}", tcp.address.port())),
        other => panic!("only TCP checks here: {other:?}"),
    }
}

fn machine(n: usize) -> Machine {
    let name: MachineId = id(&format!("m{n}"));
    let nics = ["provisioning", "storage", "production"].iter().enumerate().map(|(k, role)| Nic {
        role: id(role),
        mac: Mac([0x52, 0x54, 0, 0x0c, n as u8, k as u8 + 1]),
        switch: id("sw1"),
        port: port(&name, role).port,
        speed: None,
    });
    Machine {
        serial: format!("S-{name}"),
        uuid: format!("u-{name}"),
        site: id("lab"),
        rack: id(&format!("r{n}")),
        feeds: vec![id(&format!("f{n}"))],
        bmc: Bmc {
            protocol: BmcProtocol::Redfish,
            address: format!("10.254.0.{}:443", 10 + n).parse().unwrap(),
            user: "controller".into(),
            password: SecretReference("env:X".into()),
            agent: None,
            certificate: "enrol".into(),
            access: vocabulary::estate::BmcAccess::Command,
            ipmi: None,
        },
        nics: nics.collect(),
        outlets: Vec::new(),
        hardware: Hardware::default(),
    }
}

fn server(n: usize) -> Server {
    let network = |role: &str, vlan: u16, net: u8| ServerNetwork {
        role: id(role),
        vlan: VlanId::new(vlan).unwrap(),
        tagged: BTreeSet::new(),
        attachment: AttachmentKind::Single,
        mtu: None,
        address: Some(format!("10.{net}.0.{}/24", 10 + n).parse().unwrap()),
    };
    let root =
        ServerVolume { name: id("root"), storage: id("store1"), volume: id(&format!("web{n}-root")), access: Access::Exclusive };
    let address = format!("10.20.0.{}:{n}", 10 + n).parse().unwrap();
    Server {
        group: id("web"),
        mode: None,
        home: id(&format!("m{n}")),
        pool: id("spares"),
        boot: ServerBoot { method: BootMethod::Kernel, image: id("web-kernel") },
        networks: vec![network("provisioning", 10, 10), network("storage", 30, 30), network("production", 20, 20)],
        volumes: vec![root],
        requires: Requires::default(),
        service_down: ServiceDown::Hold,
        kdump: None,
        checks: vec![Check::Tcp(TcpCheck { address, deadline: Span::seconds(1) })],
    }
}

pub fn lab(machines: usize) -> Estate {
    lab_with(machines, 1)
}

/// The same with that many spares: the last ones.
pub fn lab_with(machines: usize, spares: usize) -> Estate {
    let bearing = machines - spares;
    let mut estate = Estate::default();
    let names = || (1..=machines).map(|n| (id::<MachineId>(&format!("m{n}")), machine(n)));
    estate.settings.detection = Detection {
        power_every: Span::ms(500),
        check_every: Span::ms(500),
        off_window: Span::ms(1000),
        hung_window: Span::ms(3000),
        boot_time: Span::seconds(20),
    };
    estate.settings.fencing.settle = Span::ms(300);
    estate.sites.insert(id("lab"), Site { description: String::new() });
    estate.tiers.insert(id("gold"), Tier { rank: 1, mode: Mode::Auto });
    let group = Group {
        tier: id("gold"),
        owner: String::new(),
        contacts: vec![],
        after: vec![],
        recovery_target: None,
        minimum_active: 0,
    };
    estate.groups.insert(id("web"), group);
    estate.pools.insert(id("spares"), Pool { machines: (bearing + 1..=machines).map(|n| id(&format!("m{n}"))).collect() });
    let agent = "127.0.0.1:7443".parse().unwrap();
    estate.switches.insert(id("sw1"), Switch { site: id("lab"), driver: "linux-bridge".into(), agent, vantage: true });
    let volumes: BTreeMap<_, _> = (1..=bearing)
        .map(|n| {
            let path = PathDocument { portal: "10.30.0.1:3260".parse().unwrap(), target: format!("iqn.x:web{n}"), lun: 1 };
            (id(&format!("web{n}-root")), VolumePaths { paths: vec![path] })
        })
        .collect();
    let storage = Storage { site: id("lab"), driver: "tgt".into(), agent, vlan: VlanId::new(30).unwrap(), volumes };
    estate.storages.insert(id("store1"), storage);
    let vlans = BTreeSet::from([VlanId::new(10).unwrap()]);
    estate.boot_services.insert(id("boot1"), BootService { site: id("lab"), agent, vlans });
    let image = Image {
        method: BootMethod::Kernel,
        firmware: BTreeSet::from([Firmware::Bios]),
        kernel: Some("vmlinuz".into()),
        initrd: Some("server.cpio".into()),
        arguments: String::new(),
    };
    estate.images.insert(id("web-kernel"), image);
    estate.machines = names().collect();
    estate.servers = (1..=bearing).map(|n| (id(&format!("web{n}")), server(n))).collect();
    estate
}
