//! The guard holds what fails together. What has been dead for a long time is no part of what happens now.

use crate::common::{World, id};
use pipeline::record::Fact;
use pipeline::s2_decide::guard::guard;
use pipeline::watch::Suspicion;
use vocabulary::estate::Mode;
use vocabulary::*;

fn held(world: &World, server: &str) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>(server)].held.as_ref().map(|(code, ..)| code.clone())
}

fn moved(world: &World) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Owned(o) if o.from.is_some())).count()
}

/// Eight machines, of which `m1`, `m2` and `m3` stand in one rack, and web2 and web3 are only observed.
fn racked() -> World {
    let mut world = World::new(8);
    world.start_servers();
    for name in ["m2", "m3"] {
        world.estate.machines.get_mut(&id::<MachineId>(name)).unwrap().rack = id("r1");
    }
    for name in ["web2", "web3"] {
        world.estate.servers.get_mut(&id::<ServerId>(name)).unwrap().mode = Some(Mode::Observe);
    }
    world.boot_core();
    world.run(2_000);
    world
}

#[test]
fn one_that_is_long_dead_holds_nobody_else() {
    let mut world = racked();
    world.power_off(&id("m2"));
    world.run(600_000);
    // its BMC misses a few readings: it has not died anew
    world.machines.get_mut(&id::<MachineId>("m2")).unwrap().bmc_dead = true;
    world.run(2_000);
    world.machines.get_mut(&id::<MachineId>("m2")).unwrap().bmc_dead = false;
    world.run(60_000);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m8", 30_000);
}

/// m1 was suspect long ago, and now dies beside m2 with all windows full at the first look: what counts is now.
#[test]
fn a_suspicion_of_long_ago_is_no_part_of_this_one() {
    let mut world = racked();
    let now = Instant(world.now + 300_000);
    let ago = |ms: u64| Instant(now.0 - ms);
    let suspicions = &mut world.state.as_mut().unwrap().watch.suspicions;
    suspicions.insert(id("m1"), Suspicion { first: ago(250_000), last: ago(200_000) });
    suspicions.insert(id("m2"), Suspicion { first: ago(3_000), last: ago(0) });
    assert!(guard(world.state(), &id("m1"), now).is_some());
    // one that has lasted since then is no part of what befalls m2
    let suspicions = &mut world.state.as_mut().unwrap().watch.suspicions;
    suspicions.insert(id("m1"), Suspicion { first: ago(250_000), last: ago(500) });
    assert!(guard(world.state(), &id("m1"), now).is_none());
}

#[test]
fn one_after_the_other_is_one_outage() {
    let mut world = racked();
    world.power_off(&id("m2"));
    world.run(100_000);
    world.power_off(&id("m3"));
    world.run(100_000);
    // m2 fell more than a window ago, m3 within it
    world.power_off(&id("m1"));
    world.run(600_000);
    assert_eq!(moved(&world), 0, "{}", world.story());
    assert_eq!(held(&world, "web1").as_deref(), Some("F0202"));
    let reason = world.state().ledger.servers[&id::<ServerId>("web1")].held.as_ref().unwrap().1.clone();
    assert!(reason.starts_with("3 of 3 machines of rack r1"), "{reason}");
}
