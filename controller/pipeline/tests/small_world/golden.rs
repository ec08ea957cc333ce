//! Golden scenarios: the whole story of a failover, record by record, as people read it in `watch`. A change of behaviour shows here.

use crate::common::{World, id};
use pipeline::event::Intent;
use vocabulary::*;

fn story(before: impl FnOnce(&mut World), ms: u64) -> String {
    let mut world = World::new(3);
    world.start_servers();
    let skip = world.records.len();
    before(&mut world);
    world.run(ms);
    world.story_from(skip)
}

fn machine<'a>(world: &'a mut World, name: &str) -> &'a mut crate::common::Box_ {
    world.machines.get_mut(&id::<MachineId>(name)).unwrap()
}

#[test]
fn crash() {
    insta::assert_snapshot!(story(|world| world.power_off(&id("m1")), 8_000));
}

#[test]
fn hang() {
    insta::assert_snapshot!(story(|world| machine(world, "m1").frozen = true, 10_000));
}

#[test]
fn bmc_dead() {
    let dies = |world: &mut World| {
        let m1 = machine(world, "m1");
        m1.frozen = true;
        m1.bmc_dead = true;
    };
    insta::assert_snapshot!(story(dies, 12_000));
}

#[test]
fn lying_off() {
    let lies = |world: &mut World| {
        // the service hangs, the BMC says Off and switches nothing, and no bar of the switch would survive its restart
        let m1 = machine(world, "m1");
        (m1.frozen, m1.chatty, m1.lies_off, m1.stuck) = (true, true, true, true);
        world.unsaved = true;
        world.run(2_500);
        // somebody pulls its plugs: now it is off
        world.power_off(&id("m1"));
    };
    insta::assert_snapshot!(story(lies, 6_000));
}

#[test]
fn no_spare() {
    let twice = |world: &mut World| {
        world.power_off(&id("m1"));
        world.run(8_000);
        world.power_off(&id("m2"));
        world.run(5_000);
        world.intent(Intent::ReleaseMachine { machine: id("m1") });
    };
    insta::assert_snapshot!(story(twice, 8_000));
}

#[test]
fn first_start() {
    let mut world = World::new(3);
    let skip = world.records.len();
    world.intent(Intent::StartServer { server: id("web1") });
    world.run(5_000);
    insta::assert_snapshot!(world.story_from(skip));
}
