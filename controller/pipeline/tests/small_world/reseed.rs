//! What an agent's memory is seeded with: whoever is being cut off comes back barred, whoever bears a server comes back joined.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::{memory, reseed};
use std::collections::BTreeSet;
use vocabulary::request::{Action, Resource};
use vocabulary::*;

/// How the ports of a machine are seeded.
fn ports_of(world: &World, machine: &str) -> Vec<Action> {
    let own: BTreeSet<Resource> = world.estate.machines[&id(machine)].ports().into_iter().map(Resource::Port).collect();
    reseed::ports(world.state(), "sw1").into_iter().filter(|action| own.contains(&action.resources()[0])).collect()
}

/// The bars that the machine's ports and its power come back with.
fn bars_of(world: &World, machine: &str) -> BTreeSet<Option<Epoch>> {
    let mut own: BTreeSet<Resource> = world.estate.machines[&id(machine)].ports().into_iter().map(Resource::Port).collect();
    own.insert(Resource::Machine(id(machine)));
    let entries = ["sw1", "bmc"].into_iter().flat_map(|agent| memory::seed(world.state(), agent).1);
    entries.filter(|entry| own.contains(&entry.resource)).map(|entry| entry.barred).collect()
}

#[test]
fn a_bearing_machine_comes_back_joined_and_a_spare_parked() {
    let mut world = World::new(3);
    world.start_servers();
    let bearing = ports_of(&world, "m1");
    assert!(
        bearing.iter().any(|action| matches!(action, Action::JoinPort { holder, .. } if holder.server == id("web1"))),
        "{bearing:?}"
    );
    for action in &bearing {
        let Resource::Port(port) = action.resources().remove(0) else { panic!() };
        let wanted = match action {
            Action::JoinPort { setting, .. } => setting.clone(),
            Action::ParkPort { parking, .. } => PortSetting::access(*parking),
            other => panic!("{other:?}"),
        };
        assert_eq!(world.ports[&port], wanted, "as it stands");
    }
    assert!(ports_of(&world, "m3").iter().all(|action| matches!(action, Action::ParkPort { .. })));
    assert_eq!(bars_of(&world, "m1"), [None].into());
}

#[test]
fn a_machine_whose_fence_has_begun_comes_back_barred() {
    let mut world = World::new(3);
    world.start_servers();
    world.machines.get_mut(&id("m1")).unwrap().bmc_dead = true;
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.intent(Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
    world.run(5_000);
    let row = world.state().ledger.open_plan_of(&id("web1")).unwrap();
    assert!(row.begun && !row.owned, "no proof can be had:\n{}", world.story());
    assert_eq!(bars_of(&world, "m1"), [Some(row.plan.epoch())].into());
    let ports = ports_of(&world, "m1");
    assert!(ports.len() == 3 && ports.iter().all(|action| matches!(action, Action::BarPort { .. })), "{ports:?}");
    // and the same once it has ended in quarantine
    world.dead_agents.clear();
    world.run_until_served("web1", "m3", 120_000);
    assert!(ports_of(&world, "m1").iter().all(|action| matches!(action, Action::BarPort { .. })));
    assert!(ports_of(&world, "m3").iter().any(|action| matches!(action, Action::JoinPort { .. })));
}
