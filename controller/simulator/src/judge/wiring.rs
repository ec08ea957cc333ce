//! How the judge is wired to the equipment: every device tells it of its own state at each change. Must never derive a fact from a document.

use super::{Inner, Judge};
use crate::fabric::Fabric;
use crate::hall::VLANS;
use crate::store::Platter;
use oracle::book::Book;
use oracle::fact::{Exported, Observation};
use oracle::judge::Course;
use oracle::roster::{MachineConfig, NicConfig, Roster, ServerConfig, VolumeConfig};
use oracle::writes::Acks;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use vocabulary::estate::Estate;
use vocabulary::storage::{Access, InitiatorName};
use vocabulary::{MachineId, RackId, ServerId};
use world::bmc::Bmc;
use world::bridge::{Bridge, Forwards};
use world::machine::{Event, Machine};
use world::target::{Accessed, Target};

/// The equipment that a judge is wired to.
pub struct Door<'a> {
    /// The switch.
    pub bridge: &'a Bridge,
    /// The storage target.
    pub target: &'a Target,
    /// The data network.
    pub fabric: &'a Fabric,
    /// All machines and their BMCs.
    pub machines: Vec<(MachineId, Machine, Arc<Bmc>)>,
    /// The controller's store.
    pub store: &'a Platter,
    /// The target of the volume in each object.
    pub objects: BTreeMap<String, String>,
    /// Where each machine stands.
    pub racks: BTreeMap<MachineId, RackId>,
}

/// Who is who in an estate whose volume `v` lies in the object `object(v)`.
pub fn roster(estate: &Estate, object: impl Fn(&str) -> String) -> Roster {
    let machine = |document: &vocabulary::estate::Machine| {
        let nic = |nic: &vocabulary::estate::Nic| (nic.role.clone(), NicConfig { mac: nic.mac, port: nic.port.to_string() });
        MachineConfig { nics: document.nics.iter().map(nic).collect(), console: None }
    };
    let server = |document: &vocabulary::estate::Server| {
        let vlans = document.networks.iter().map(|network| (network.role.clone(), network.vlan.get())).collect();
        let addresses = document.networks.iter().rev().find_map(|network| network.address.as_ref());
        let address = addresses.and_then(|cidr| if let IpAddr::V4(address) = cidr.address { Some(address) } else { None });
        let exclusive = document.volumes.iter().filter(|volume| volume.access == Access::Exclusive);
        let volumes = exclusive.filter_map(|volume| {
            let path = estate.storages.get(&volume.storage)?.volumes.get(&volume.volume)?.paths.first()?;
            let image = object(volume.volume.as_str()).into();
            Some(VolumeConfig { target: path.target.clone(), image, records: None })
        });
        ServerConfig { address: address.unwrap_or(Ipv4Addr::UNSPECIFIED), vlans, volumes: volumes.collect() }
    };
    Roster {
        servers: estate.servers.iter().map(|(name, document)| (name.clone(), server(document))).collect(),
        machines: estate.machines.iter().map(|(name, document)| (name.clone(), machine(document))).collect(),
        boot_vlans: [VLANS[0]].into(),
    }
}

impl Judge {
    /// Wires a judge to the equipment; it hears all that changes from now on.
    pub fn attach(roster: Roster, door: Door<'_>) -> Judge {
        let names: Vec<ServerId> = roster.servers.keys().cloned().collect();
        let inner = Inner {
            begun: world::clock::now(),
            last_ns: 0,
            objects: door.objects,
            fabric: door.fabric.clone(),
            target: door.target.clone(),
            store: door.store.clone(),
            book: Book::default(),
            courses: names.iter().map(|name| (name.clone(), Course::exact())).collect(),
            overlaps: BTreeMap::new(),
            breaches: BTreeMap::new(),
            bearers: BTreeMap::new(),
            lost: BTreeMap::new(),
            carried: BTreeMap::new(),
            read: 0,
            mounted: BTreeMap::new(),
            acks: names.iter().map(|name| (name.clone(), Acks::default())).collect(),
            highest: BTreeMap::new(),
            epochs: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            worthless: BTreeSet::new(),
            intents: BTreeSet::new(),
            releases: BTreeMap::new(),
            lifted: BTreeSet::new(),
            wanted: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            last: BTreeMap::new(),
            refusals: BTreeMap::new(),
            stores_before: Vec::new(),
            bmcs: door.machines.iter().map(|(name, _, bmc)| (name.clone(), bmc.clone())).collect(),
            lives: Vec::new(),
            racks: door.racks,
            hand_ns: None,
            violations: Vec::new(),
            foreign: Vec::new(),
            changes: 0,
            roster,
        };
        let judge = Judge(Arc::new(Mutex::new(inner)));
        for (name, machine, bmc) in door.machines {
            let (ear, of) = (judge.ear(), name.clone());
            bmc.observe_commands(Arc::new(move |reset, answered| ear.with(|inner| inner.commanded(&of, reset, answered))));
            let ear = judge.ear();
            ear.with(|inner| inner.see(Observation::Power(name.clone(), machine.is_on()), false, 0));
            machine.observe(Arc::new(move |event| ear.with(|inner| inner.befell(&name, event))));
        }
        let ear = judge.ear();
        door.bridge.observe(Arc::new(move |forwards: Forwards| {
            ear.with(|inner| {
                let at_ns = inner.ns(forwards.at);
                if let Some(carries) = forwards.carries {
                    inner.carried.insert(forwards.port.clone(), carries);
                }
                inner.see(Observation::Port(forwards.port, forwards.vlans), forwards.by_hand, at_ns);
            });
        }));
        let ear = judge.ear();
        door.target.observe(Arc::new(move |accessed: Accessed| ear.with(|inner| inner.accessed(accessed))));
        door.fabric.judge_by(Arc::new(judge.ear()));
        judge
    }
}

impl Inner {
    fn befell(&mut self, machine: &MachineId, event: &Event) {
        let at_ns = self.now_ns();
        let runs = |server: &str| server.parse().ok().map(|server| Observation::Ran(machine.clone(), server));
        match event {
            Event::On => self.see(Observation::Power(machine.clone(), true), false, at_ns),
            Event::Off(_) => self.see(Observation::Power(machine.clone(), false), false, at_ns),
            Event::Mounted { last } => drop(self.mounted.insert(machine.clone(), *last)),
            Event::Claimed(server) => {
                if let Some(ran) = runs(server) {
                    self.see(ran, false, at_ns);
                }
            }
            Event::Serves { server, .. } => {
                if let Some(ran) = runs(server) {
                    self.see(ran, false, at_ns);
                }
                if let Ok(server) = server.parse() {
                    self.found_all(machine, &server, at_ns);
                }
            }
            _ => {}
        }
    }

    fn accessed(&mut self, Accessed { object, access, by_hand, at }: Accessed) {
        let Some(target) = self.objects.get(&object).cloned() else { return };
        let exported = Exported {
            admitted: access.admitted.into_iter().map(InitiatorName).collect(),
            open: access.open,
            sessions: access.sessions.into_iter().map(|(number, name)| (number, InitiatorName(name))).collect(),
        };
        self.see(Observation::Target(target, exported), by_hand, self.ns(at));
    }
}
