//! The journal does not grow with time: what cannot be done now is waited for by readings, which leave no record.

use crate::common::{World, id};
use pipeline::effect::Agent;
use vocabulary::*;

const HOUR: u64 = 3_600_000;
/// Records that an hour of waiting may cost.
const AN_HOUR: usize = 200;

fn up() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world
}

fn records(world: &mut World, ms: u64) -> usize {
    let before = world.records.len();
    world.run(ms);
    world.records.len() - before
}

#[test]
fn an_agent_that_is_away_for_an_hour() {
    let mut world = up();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.power_off(&id("m1"));
    let grown = records(&mut world, HOUR);
    assert!(grown < AN_HOUR, "{grown} records");
    assert!(world.state().ledger.open_plan_of(&id("web1")).is_some());
    // it is noticed at once when it comes back
    world.dead_agents.clear();
    world.run_until_served("web1", "m3", 30_000);
}

#[test]
fn a_machine_that_ignores_power_off_for_an_hour() {
    let mut world = up();
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    m1.stuck = true;
    world.dead_agents.insert(Agent::Storage(id("store1")));
    let grown = records(&mut world, HOUR);
    assert!(grown < AN_HOUR, "{grown} records");
}

#[test]
fn a_server_that_flaps_for_an_hour() {
    let mut world = up();
    let mut grown = 0;
    for _ in 0..HOUR / 8_000 {
        world.machines.get_mut(&id::<MachineId>("m1")).unwrap().ready_at = world.now + 4_000;
        grown += records(&mut world, 8_000);
    }
    assert!(world.facts.iter().any(|fact| matches!(fact, pipeline::record::Fact::Suspected { .. })));
    assert!(grown < AN_HOUR, "{grown} records:\n{}", world.story());
}
