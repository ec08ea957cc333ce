//! What a site's plugins may bring about: a spare whose plugin says that the service fails has failed, a server that only a plugin complains of
//! is left alone, and a plugin that tells nothing changes nothing.

use crate::common::{World, id};
use pipeline::record::Fact;
use vocabulary::check::{Check, CheckOutcome, ExecCheck};
use vocabulary::{ServerId, Span};

fn failed() -> CheckOutcome {
    CheckOutcome::Failed("check_pgsql: CRITICAL".to_owned())
}

fn unknown() -> CheckOutcome {
    CheckOutcome::Unknown("it runs no plugins".to_owned())
}

/// Two machines that bear and two spares; web1 is checked by a connection and by a plugin.
fn up() -> World {
    let mut world = World::with_spares(4, 2);
    let web1 = world.estate.servers.get_mut(&id::<ServerId>("web1")).unwrap();
    let (every, deadline) = (Span::seconds(30), Span::seconds(5));
    web1.checks.push(Check::Exec(ExecCheck { plugin: "check_pgsql".to_owned(), arguments: Vec::new(), every, deadline }));
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    world.run_until_served("web1", "m1", 60_000);
    assert_eq!(world.state().estate.servers[&id::<ServerId>("web1")].checks.len(), 2);
    world
}

fn failovers(world: &World) -> usize {
    let web1: ServerId = id("web1");
    world.facts.iter().filter(|fact| matches!(fact, Fact::Verdict { server, .. } if *server == web1)).count()
}

fn spares_failed(world: &World) -> usize {
    let failed = |fact: &&Fact| matches!(fact, Fact::Closed { result: Err(ended), .. } if ended.target_failed);
    world.facts.iter().filter(failed).count()
}

#[test]
fn a_plugin_that_tells_nothing_condemns_no_spare() {
    let mut world = up();
    world.plugin = unknown();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 600_000);
    world.run(600_000);
    assert_eq!((failovers(&world), spares_failed(&world)), (1, 0), "{}", world.story());
    assert!(world.facts.iter().any(|fact| matches!(fact, Fact::Heard { server, .. } if server.as_str() == "web1")));
}

#[test]
fn a_spare_on_which_the_plugin_says_that_the_service_fails_has_failed() {
    let mut world = up();
    world.plugin = failed();
    world.power_off(&id("m1"));
    for _ in 0..600 {
        world.run(1_000);
        if spares_failed(&world) > 0 {
            break;
        }
    }
    world.plugin = CheckOutcome::Healthy;
    world.run_until_served("web1", "m4", 600_000);
    assert_eq!(spares_failed(&world), 1, "{}", world.story());
}

#[test]
fn a_server_that_only_a_plugin_complains_of_is_left_alone() {
    for seen in [failed(), unknown()] {
        let mut world = up();
        // its volumes stand still, its BMC says On, and no vantage point sees more than a plugin
        world.machines.get_mut(&id("m1")).unwrap().frozen = true;
        world.seen = Some(seen);
        world.run(300_000);
        assert_eq!(failovers(&world), 0, "{}", world.story());
    }
}

#[test]
fn a_plugin_s_complaint_is_no_sign_of_life_of_a_machine_that_is_off() {
    for seen in [failed(), unknown()] {
        let mut world = up();
        world.seen = Some(seen);
        world.run(5_000);
        world.power_off(&id("m1"));
        world.run(120_000);
        let web1: ServerId = id("web1");
        let moved = world.facts.iter().any(|fact| matches!(fact, Fact::Verdict { server, .. } if *server == web1));
        assert!(moved, "its BMC says Off and its volumes stand still: {}", world.story());
    }
}
