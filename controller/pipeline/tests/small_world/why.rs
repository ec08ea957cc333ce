//! The chain of `server why`: what it says is what the stages go by, at every turn of a failure.

use crate::common::{World, id};
use pipeline::event::Intent;
use pipeline::why::{Link, why};
use vocabulary::*;

fn chain(world: &World, server: &str) -> Vec<(Link, String)> {
    why(world.state(), &id(server), Instant(world.now), WallTime(world.wall())).unwrap()
}

fn says(world: &World, link: Link, words: &str) {
    let chain = chain(world, "web1");
    assert!(chain.iter().any(|(of, text)| *of == link && text.contains(words)), "`{words}` is not in {chain:#?}");
    assert!(chain.is_sorted_by_key(|(link, _)| *link), "{chain:#?}");
}

#[test]
fn every_turn_of_a_failure_is_told() {
    let mut world = World::new(3);
    says(&world, Link::Placed, "web1 was never placed");
    world.start_servers();
    says(&world, Link::Placed, "web1 is on m1 by plan P4 and meant to run");
    says(&world, Link::Seen, "the BMC of m1 said On");
    says(&world, Link::Seen, "controller sees it healthy since");
    says(&world, Link::Seen, "volume store1/web1-root serves no operation since");
    says(&world, Link::Concluded, "nothing is wrong with it");

    world.intent(Intent::Hold { server: None, reason: "a talk with the owner".into() });
    world.power_off(&id("m1"));
    world.run(800);
    says(&world, Link::Concluded, "unexpected-off (suspected)");
    says(&world, Link::Concluded, "its windows are not full yet");
    says(&world, Link::Decided, "it is watched on");
    world.run(40_000);
    says(&world, Link::Seen, "times in a row since");
    says(&world, Link::Seen, "sw1 sees it silent since");
    says(&world, Link::Concluded, "unexpected-off (failed)");
    says(&world, Link::Guarded, "is free: 1 of its");
    says(&world, Link::Decided, "nothing is done (F0207): uid 0 holds what would be done for web1: a talk with the owner");
    says(&world, Link::Would, "it would go to m3");

    world.intent(Intent::Resume { server: None, reason: String::new() });
    world.run(600);
    says(&world, Link::Placed, "(failover) is open, in");
    world.run_until_served("web1", "m3", 20_000);
    says(&world, Link::Placed, "web1 is on m3");
}

#[test]
fn what_is_not_known_is_told_as_that() {
    let mut world = World::new(3);
    world.start_servers();
    world.boot_core();
    says(&world, Link::Seen, "was not read yet since the controller started");
    says(&world, Link::Seen, "has told nothing of it yet");
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = true;
    world.run(10_000);
    says(&world, Link::Seen, "the BMC of m1 cannot be read since");
    let unknown: ServerId = id("web9");
    assert!(why(world.state(), &unknown, Instant(world.now), WallTime(world.wall())).is_none());
}
