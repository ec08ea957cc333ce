//! Nothing is given to a machine that cannot be wired or booted: a spare whose agents are away is not owned, and not used up.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::What;
use pipeline::fit;
use pipeline::plan::Kind;
use pipeline::record::Fact;
use vocabulary::*;

fn up(machines: usize, spares: usize) -> World {
    let mut world = World::with_spares(machines, spares);
    world.start_servers();
    world
}

fn home(world: &World) -> String {
    world.state().ledger.placement(&id("web1")).unwrap().machine.to_string()
}

fn targets(world: &World) -> Vec<String> {
    let target = |fact: &Fact| match fact {
        Fact::Sealed { plan, .. } if plan.body().kind == Kind::Failover => Some(plan.target().to_string()),
        _ => None,
    };
    world.facts.iter().filter_map(target).collect()
}

#[test]
fn a_spare_whose_agents_are_away_is_not_owned() {
    for agent in [Agent::Switch(id("sw1")), Agent::Boot(id("boot1"))] {
        let mut world = up(3, 1);
        world.dead_agents.insert(agent.clone());
        world.power_off(&id("m1"));
        world.run(600_000);
        assert_eq!(home(&world), "m1", "{agent}:\n{}", world.story());
        // there is no other spare, so this one is waited for, and that is told once
        assert_eq!(targets(&world), ["m3"], "{agent}:\n{}", world.story());
        let told = world.facts.iter().filter(|fact| matches!(fact, Fact::Alarm { code, .. } if code == "F0406")).count();
        assert_eq!(told, 1, "{agent}:\n{}", world.story());
        world.dead_agents.clear();
        world.run_until_served("web1", "m3", 30_000);
    }
}

#[test]
fn the_next_spare_is_tried_and_none_is_used_up() {
    let mut world = up(4, 2);
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.power_off(&id("m1"));
    world.run(600_000);
    assert_eq!(home(&world), "m1", "{}", world.story());
    let tried = targets(&world);
    assert_eq!(tried[..3], ["m3", "m4", "m3"], "{}", world.story());
    assert!(tried.len() < 8, "each waits longer than the one before: {tried:?}");
    world.dead_agents.clear();
    world.run(30_000);
    assert!(["m3", "m4"].contains(&home(&world).as_str()), "{}", world.story());
}

#[test]
fn a_machine_whose_agents_memory_is_older_does_not_fit() {
    for agent in ["sw1", "boot1"] {
        let mut world = up(3, 1);
        world.restore_gate(agent);
        let hello = world.hello(agent);
        world.tell(hello);
        world.power_off(&id("m1"));
        world.run(20_000);
        assert!(targets(&world).is_empty(), "{agent}:\n{}", world.story());
        let held = world.state().ledger.servers[&id::<ServerId>("web1")].held.clone().unwrap();
        assert_eq!(held.0, "F0401");
        assert!(held.1.contains(&format!("memory of agent {agent} is an older copy")), "{}", held.1);
        world.readopt(agent);
        world.run_until_served("web1", "m3", 60_000);
    }
}

#[test]
fn one_of_several_boot_services_suffices() {
    let mut world = up(3, 1);
    world.restore_gate("boot1");
    let hello = world.hello("boot1");
    world.tell(hello);
    let service = world.estate.boot_services[&id::<BootServiceId>("boot1")].clone();
    world.estate.boot_services.insert(id("boot2"), service);
    assert_eq!(fit::obstacles(world.state(), &id("web1"), &id("m3"), Instant(world.now)).len(), 1);
    let estate = std::sync::Arc::new(world.estate.clone());
    world.tell(What::EstateLoaded(estate));
    assert_eq!(fit::obstacles(world.state(), &id("web1"), &id("m3"), Instant(world.now)), Vec::<String>::new());
}
