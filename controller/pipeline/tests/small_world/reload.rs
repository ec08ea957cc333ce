//! What documents may come into force: whatever is not in use may change, what an open plan works on, what is barred and what holds a
//! grant may not be moved under it.

use crate::common::{World, id};
use pipeline::basis::Basis;
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::record::{Fact, Record};
use pipeline::reload::accept;
use std::collections::BTreeSet;
use vocabulary::estate::{Estate, Machine, Server};
use vocabulary::storage::Access;
use vocabulary::*;

/// What a core that knows these records says to documents that differ so.
fn judge(world: &World, change: impl FnOnce(&mut Estate)) -> Result<(), Fault> {
    let mut estate = world.estate.clone();
    change(&mut estate);
    accept(&world.state().ledger, &estate)
}

fn refused(world: &World, change: impl FnOnce(&mut Estate)) -> String {
    let fault = judge(world, change).unwrap_err();
    assert_eq!(fault.code.0, 72);
    fault.message
}

/// Each way to move a machine, with what the refusal says of it.
type Moves<T> = [(fn(&mut T), &'static str); 6];

const MACHINE: Moves<Machine> = [
    (|m| m.serial = "S-x".into(), "serial: was S-mN, is S-x"),
    (|m| m.uuid = "u-x".into(), "uuid: was u-mN, is u-x"),
    (|m| m.bmc.address = "10.254.0.99:443".parse().unwrap(), ":443, is 10.254.0.99:443"),
    (
        |m| m.nics[2].port = id("p99"),
        "nics: was production 52:54:00:0c:0N:03 at sw1/mN-production, is production 52:54:00:0c:0N:03 at sw1/p99",
    ),
    (|m| m.nics[0].mac = Mac([2, 0, 0, 0, 0, 1]), "is provisioning 02:00:00:00:00:01 at sw1/mN-provisioning"),
    (|m| drop(m.nics.pop()), "at sw1/mN-production, is nothing"),
];

const SERVER: Moves<Server> = [
    (|s| s.networks[2].vlan = VlanId::new(21).unwrap(), "networks: was production in VLAN 20, is production in VLAN 21"),
    (|s| s.networks[2].tagged = BTreeSet::from([VlanId::new(22).unwrap()]), "is production in VLAN 20, tagged 22"),
    (|s| drop(s.networks.remove(1)), "was storage in VLAN 30, is nothing"),
    (
        |s| s.volumes[0].volume = id("web2-root"),
        "volumes: was store1/web1-root (exclusive) at 10.30.0.1:3260 iqn.x:web1 LUN 1, is store1/web2-root",
    ),
    (|s| s.volumes[0].access = Access::Shared, "is store1/web1-root (shared)"),
    (|s| s.volumes.clear(), "LUN 1, is nothing"),
];

fn may_not_move(world: &World, machine: &str, role: &str) {
    let key: MachineId = id(machine);
    for (change, said) in MACHINE {
        let message = refused(world, |estate| change(estate.machines.get_mut(&key).unwrap()));
        let said = said.replace("mN", machine).replace("0N", &machine.replace('m', "0"));
        assert!(message.contains(&format!("machine {machine}, which {role}: ")) && message.contains(&said), "{message}\n{said}");
    }
    let message = refused(world, |estate| drop(estate.machines.remove(&key)));
    assert!(message.contains(&format!("machine {machine}, which {role}: its document is gone")), "{message}");
}

fn may_move(world: &World, machine: &str) {
    let key: MachineId = id(machine);
    for (change, said) in MACHINE {
        assert_eq!(judge(world, |estate| change(estate.machines.get_mut(&key).unwrap())), Ok(()), "{said}");
    }
    assert_eq!(judge(world, |estate| drop(estate.machines.remove(&key))), Ok(()));
}

#[test]
fn what_bears_and_what_is_borne_is_not_moved() {
    let mut world = World::new(3);
    world.start_servers();
    // by the records alone, as a controller that starts knows it
    world.boot_core();
    may_not_move(&world, "m1", "bears web1");
    may_move(&world, "m3");
    for (change, said) in SERVER {
        let message = refused(&world, |estate| change(estate.servers.get_mut(&id::<ServerId>("web1")).unwrap()));
        assert!(message.contains("server web1, which is on m1: ") && message.contains(said), "{message}\n{said}");
    }
    let message = refused(&world, |estate| drop(estate.servers.remove(&id::<ServerId>("web1"))));
    assert!(message.contains("server web1, which is on m1: its document is gone"), "{message}");
    let elsewhere = |estate: &mut Estate| {
        let volumes = &mut estate.storages.get_mut(&id::<StorageId>("store1")).unwrap().volumes;
        volumes.get_mut(&id::<VolumeName>("web1-root")).unwrap().paths[0].lun = 7;
    };
    assert!(refused(&world, elsewhere).contains("LUN 1, is store1/web1-root (exclusive) at 10.30.0.1:3260 iqn.x:web1 LUN 7"));
    let message = refused(&world, |estate| estate.boot_services.clear());
    assert!(message.contains("machine m2, which bears web2: boot services: was boot1, is nothing"), "{message}");
}

#[test]
fn what_moves_nothing_is_taken_at_once() {
    let mut world = World::new(3);
    world.start_servers();
    let harmless = |estate: &mut Estate| {
        let m1 = estate.machines.get_mut(&id::<MachineId>("m1")).unwrap();
        (m1.bmc.user, m1.rack) = ("other".into(), id("r9"));
        m1.uuid = m1.uuid.to_uppercase();
        m1.nics.reverse();
        let web1 = estate.servers.get_mut(&id::<ServerId>("web1")).unwrap();
        (web1.home, web1.networks[2].mtu) = (id("m3"), Some(9000));
        web1.checks.clear();
        estate.groups.get_mut(&id::<GroupId>("web")).unwrap().contacts = vec!["somebody".into()];
        // nothing is barred in it
        estate.settings.vlans.quarantine = VlanId::new(1099).unwrap();
        let boot2 = estate.boot_services[&id::<BootServiceId>("boot1")].clone();
        estate.boot_services.insert(id("boot2"), boot2);
    };
    assert_eq!(judge(&world, harmless), Ok(()));
    let message = refused(&world, |estate| estate.machines.values_mut().for_each(|m| m.bmc.address = ([1, 1, 1, 1], 1).into()));
    assert!(message.contains("m1") && message.contains("m2") && !message.contains("m3"), "{message}");
    let all = |estate: &mut Estate| {
        for machine in estate.machines.values_mut() {
            (machine.serial, machine.uuid, machine.nics) = Default::default();
        }
        estate.servers.values_mut().for_each(|server| (server.networks, server.volumes) = Default::default());
    };
    let message = refused(&world, all);
    assert!(message.ends_with("; and 2 more"), "six of machines and four of servers, of which eight are named: {message}");
}

#[test]
fn what_was_never_placed_may_change() {
    let world = World::new(3);
    may_move(&world, "m1");
    for (change, said) in SERVER {
        assert_eq!(judge(&world, |estate| change(estate.servers.get_mut(&id::<ServerId>("web1")).unwrap())), Ok(()), "{said}");
    }
}

#[test]
fn what_is_in_quarantine_is_not_moved_until_it_is_released() {
    let mut world = World::new(3);
    world.start_servers();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    may_not_move(&world, "m1", "is in quarantine");
    may_not_move(&world, "m3", "bears web1");
    let message = refused(&world, |estate| estate.settings.vlans.quarantine = VlanId::new(1099).unwrap());
    assert!(
        message.contains("m1, which is in quarantine: quarantine VLAN: was 4001, is 1099") && !message.contains("m3"),
        "{message}"
    );
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(10_000);
    may_move(&world, "m1");
}

#[test]
fn what_an_open_plan_works_on_is_not_moved() {
    let mut world = World::new(3);
    world.start_servers();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.intent(Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
    world.run(1_000);
    let plan = world.state().ledger.open_plan_of(&id("web1")).unwrap().plan.id();
    for machine in ["m1", "m3"] {
        may_not_move(&world, machine, &format!("plan {plan} works on"));
    }
}

#[test]
fn a_spare_that_changed_since_it_was_enrolled_is_no_spare_until_it_is_enrolled_anew() {
    let mut world = World::new(3);
    world.start_servers();
    world.estate.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc.address = "10.254.0.99:443".parse().unwrap();
    world.boot_core();
    world.run(1_000);
    let now = Instant(world.now);
    let reasons = pipeline::fit::obstacles(world.state(), &id("web1"), &id("m3"), now);
    let said = "it changed since it was enrolled (bmc address: was 10.254.0.13:443, is 10.254.0.99:443)";
    assert!(reasons.len() == 1 && reasons[0].starts_with(said), "{reasons:?}");
    world.intent(Intent::EnrolMachine { machine: id("m3") });
    world.run(3_000);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
}

#[test]
fn records_of_before_it_was_kept_refuse_only_what_is_gone() {
    let mut world = World::new(3);
    world.start_servers();
    for record in &mut world.records {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), *record, "as it was written");
        if let Fact::Sealed { basis, .. } = &mut record.fact {
            assert!(!basis.is_empty());
            **basis = Basis::default();
            let text = serde_json::to_string(&record).unwrap();
            assert!(!text.contains("basis"), "{text}");
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), *record);
        }
    }
    world.boot_core();
    for (change, said) in MACHINE {
        assert_eq!(judge(&world, |estate| change(estate.machines.get_mut(&id::<MachineId>("m1")).unwrap())), Ok(()), "{said}");
    }
    refused(&world, |estate| drop(estate.machines.remove(&id::<MachineId>("m1"))));
    assert!(
        pipeline::fit::obstacles(world.state(), &id("web1"), &id("m3"), Instant(world.now))
            .iter()
            .all(|why| !why.contains("changed"))
    );
    // and its next plan records it
    world.intent(Intent::RestartServer { server: id("web1") });
    world.run(20_000);
    may_not_move(&world, "m1", "bears web1");
}
