//! What operators ask for: the plan that they saw is the one that is sealed, and in `observe` nothing is touched.

use crate::common::{World, estate, id};
use pipeline::event::Intent;
use pipeline::record::Fact;
use pipeline::{fit, s4_place};
use vocabulary::estate::Mode;
use vocabulary::*;

fn up() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world
}

fn refused(world: &mut World, intent: Intent) -> u16 {
    let ticket = world.intent(intent);
    world.replies[&ticket].as_ref().unwrap_err().code.0
}

fn failover(hash: Option<String>) -> Intent {
    Intent::StartFailover { server: id("web1"), reason: "test".into(), hash }
}

#[test]
fn a_reason_to_pass_a_machine_over_does_not_age() {
    let mut world = up();
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc_dead = true;
    world.run(1_000);
    let reasons = |seconds: u64| fit::obstacles(world.state(), &id("web1"), &id("m3"), Instant(world.now + seconds * 1_000));
    assert!(reasons(400).iter().any(|reason| reason.contains("was not read within")), "{:?}", reasons(400));
    assert_eq!(reasons(400), reasons(401));
}

#[test]
fn what_is_passed_over_does_not_change_what_is_approved() {
    let mut world = up();
    let mut body = s4_place::failover(world.state(), &id("web1"), Instant(world.now)).unwrap();
    let shown = body.hash();
    body.passed_over.push(pipeline::plan::PassedOver { machine: id("m9"), reason: "it is not off but On".into() });
    assert_eq!(body.hash(), shown);
    body.target = id("m2");
    assert_ne!(body.hash(), shown);
    let accepted = world.intent(failover(Some(shown)));
    assert!(world.replies[&accepted].is_ok(), "{:?}", world.replies[&accepted]);
}

#[test]
fn another_plan_than_the_one_shown_is_refused() {
    let mut world = up();
    let records = world.records.len();
    assert_eq!(refused(&mut world, failover(Some("0".repeat(64)))), 67);
    assert_eq!(world.records.len(), records, "{}", world.story_from(records));
}

#[test]
fn in_observe_no_command_touches_anything() {
    let mut world = up();
    world.power_off(&id("m2"));
    world.run_until_served("web2", "m3", 20_000);
    world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Observe });
    world.run(1_000);
    let records = world.records.len();
    let server: ServerId = id("web1");
    for intent in [
        Intent::StartServer { server: server.clone() },
        Intent::StopServer { server: server.clone() },
        Intent::RestartServer { server: server.clone() },
        failover(None),
        Intent::ReleaseMachine { machine: id("m2") },
    ] {
        assert_eq!(refused(&mut world, intent.clone()), 206, "{intent:?}");
    }
    assert_eq!(world.records.len(), records, "{}", world.story_from(records));
    world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Manual });
    let released = world.intent(Intent::ReleaseMachine { machine: id("m2") });
    assert!(world.replies[&released].is_ok(), "{:?}", world.replies[&released]);
}

#[test]
fn in_observe_enrolling_only_reads() {
    let mut world = World::new(3);
    let port = estate::port(&id("m1"), "production");
    world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Observe });
    world.ports.insert(port.clone(), estate::vlan(1));
    let records = world.records.len();
    world.intent(Intent::EnrolMachine { machine: id("m1") });
    world.run(3_000);
    let told = world.story_from(records);
    assert!(world.facts[records..].iter().any(|fact| matches!(fact, Fact::Enrolled { .. })), "{told}");
    let asked = world.facts[records..].iter().filter_map(|fact| match fact {
        Fact::Intent { what, .. } => Some(what.as_str()),
        _ => None,
    });
    assert!(asked.clone().all(|what| what == pipeline::words::ADVANCE), "{told}");
    assert_eq!(world.ports[&port], estate::vlan(1));
}

/// The one spare turns out to be on, after the machine was fenced: nothing starts on what is cut off, and the failover goes on by itself.
#[test]
fn nothing_starts_on_a_machine_that_is_cut_off() {
    let mut world = up();
    world.intent(failover(None));
    world.power_on(&id("m3"));
    world.run(60_000);
    let held = world.state().ledger.servers[&id::<ServerId>("web1")].held.clone().unwrap();
    assert_eq!(held.0, "F0401", "{}", world.story());
    let server = || id::<ServerId>("web1");
    assert_eq!(refused(&mut world, Intent::RestartServer { server: server() }), 407);
    assert_eq!(refused(&mut world, Intent::StartServer { server: server() }), 407);
    world.power_off(&id("m3"));
    world.run_until_served("web1", "m3", 60_000);
}
