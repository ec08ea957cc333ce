//! What a person pulls: a hold at any instant of a failover stops every new command and costs nothing but time; what is in maintenance is watched
//! and left alone, until its time is over.

use crate::common::{World, id};
use pipeline::event::Intent;
use pipeline::fit;
use pipeline::record::{Fact, Subject};
use vocabulary::*;

const WINDOWS_MS: u64 = 40_000;
const HOUR: Span = Span::seconds(3_600);

fn up() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world
}

fn said(world: &mut World, intent: Intent) -> Result<(), u16> {
    let ticket = world.intent(intent);
    world.replies[&ticket].as_ref().map(drop).map_err(|fault| fault.code.0)
}

fn hold(server: Option<&str>) -> Intent {
    Intent::Hold { server: server.map(id), reason: "the core switch is being replaced".into() }
}

fn resume(server: Option<&str>) -> Intent {
    Intent::Resume { server: server.map(id), reason: String::new() }
}

fn maintain(subject: Subject, lasts: Span) -> Intent {
    Intent::Maintain { subject, lasts, reason: "new memory".into() }
}

fn machine(name: &str) -> Subject {
    Subject::Machine(id(name))
}

fn held(world: &World, server: &str) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>(server)].held.as_ref().map(|(code, ..)| code.clone())
}

fn commands(world: &World) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Intent { .. })).count()
}

fn failover() -> Intent {
    Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None }
}

#[test]
fn what_fails_in_a_hold_is_told_and_waits_for_its_end() {
    for server in [None, Some("web1")] {
        let mut world = up();
        said(&mut world, hold(server)).unwrap();
        let before = commands(&world);
        world.power_off(&id("m1"));
        world.run(WINDOWS_MS);
        assert_eq!(held(&world, "web1").as_deref(), Some("F0207"), "{}", world.story());
        assert_eq!(commands(&world), before, "{}", world.story());
        // a restart of the controller ends no hold
        world.boot_core();
        world.run(WINDOWS_MS);
        assert_eq!((held(&world, "web1").as_deref(), commands(&world)), (Some("F0207"), before), "{}", world.story());
        said(&mut world, resume(server)).unwrap();
        world.run_until_served("web1", "m3", 20_000);
        assert!(world.most_effective <= 1);
    }
}

#[test]
fn a_reason_is_a_sentence() {
    let mut world = up();
    let reason = |bytes: usize| Intent::Hold { server: None, reason: "x".repeat(bytes) };
    assert_eq!(said(&mut world, reason(1_001)), Err(73));
    assert_eq!(said(&mut world, reason(1_000)), Ok(()));
}

#[test]
fn the_hold_of_one_server_is_nothing_to_another() {
    let mut world = up();
    said(&mut world, hold(Some("web2"))).unwrap();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", WINDOWS_MS);
}

/// At each instant of a failover by hand, and of one by verdict: after the hold no command leaves, however long it lasts, and after its end the
/// failover comes to its goal.
#[test]
fn a_hold_at_any_instant_of_a_failover_stops_it_and_costs_only_time() {
    let mut stopped_between = 0;
    for by_hand in [true, false] {
        for at_ms in (0..600).step_by(10) {
            let mut world = up();
            // long enough for many instants between the steps
            world.latency = 40;
            world.power_off(&id("m1"));
            if by_hand {
                said(&mut world, failover()).unwrap();
            } else {
                let sealed = |world: &World| world.facts.iter().any(|fact| matches!(fact, Fact::Verdict { .. }));
                while !sealed(&world) {
                    world.run(10);
                }
            }
            world.run(at_ms);
            said(&mut world, hold(None)).unwrap();
            let open = world.state().ledger.open_plan_of(&id("web1")).is_some();
            let before = commands(&world);
            world.run(200_000);
            assert_eq!(commands(&world), before, "held after {at_ms} ms: {}", world.story());
            stopped_between += usize::from(open && world.state().ledger.open_plan_of(&id("web1")).is_some());
            said(&mut world, resume(None)).unwrap();
            world.run_until_served("web1", "m3", 60_000);
            assert!(world.most_effective <= 1);
            let failovers = world.facts.iter().filter(|fact| matches!(fact, Fact::Owned(owned) if owned.to == id("m3"))).count();
            assert_eq!(failovers, 1, "{}", world.story());
        }
    }
    assert!(stopped_between > 20, "plans stood still in {stopped_between} runs only");
}

#[test]
fn a_hold_is_no_reason_to_lift_a_bar_and_no_command_gets_past_it() {
    let mut world = up();
    let m2 = id::<MachineId>("m2");
    world.machines.get_mut(&m2).unwrap().frozen = true;
    world.machines.get_mut(&m2).unwrap().bmc_dead = true;
    world.run_until_served("web2", "m3", 2 * WINDOWS_MS);
    assert!(!world.state().ledger.orders.is_empty(), "{}", world.story());
    said(&mut world, hold(None)).unwrap();
    let server: ServerId = id("web1");
    for intent in [
        Intent::StartServer { server: server.clone() },
        Intent::StopServer { server: server.clone() },
        Intent::RestartServer { server: server.clone() },
        failover(),
        Intent::ReleaseMachine { machine: id("m2") },
        Intent::EnrolMachine { machine: id("m2") },
    ] {
        assert_eq!(said(&mut world, intent.clone()), Err(207), "{intent:?}");
    }
    // what of the fence is still open is pursued, hold or not
    world.machines.get_mut(&m2).unwrap().bmc_dead = false;
    world.run(WINDOWS_MS);
    assert!(world.state().ledger.open_plans().next().is_none());
    assert_eq!(world.machines[&m2].power, power::PowerState::Off, "{}", world.story());
    assert!(world.state().ledger.orders.is_empty(), "{}", world.story());
    assert_eq!(said(&mut world, resume(Some("web1"))), Err(209), "the estate is held, not the server");
    assert_eq!(said(&mut world, hold(Some("web9"))), Err(53));
    said(&mut world, resume(None)).unwrap();
    assert_eq!(said(&mut world, resume(None)), Err(209));
}

#[test]
fn what_somebody_works_on_is_left_alone_until_its_time_is_over() {
    for subject in [machine("m1"), Subject::Server(id("web1"))] {
        let mut world = up();
        said(&mut world, maintain(subject.clone(), HOUR)).unwrap();
        let before = commands(&world);
        world.power_off(&id("m1"));
        world.run(WINDOWS_MS);
        assert_eq!(held(&world, "web1").as_deref(), Some("F0208"), "{}", world.story());
        assert!(world.state().watch.suspicions.is_empty(), "the guard counts what is worked on");
        // neither a clock that is set ahead nor a restart of the controller ends it
        world.wall_ahead = 2 * HOUR.0;
        world.run(WINDOWS_MS);
        world.wall_ahead = 0;
        world.boot_core();
        world.run(WINDOWS_MS);
        assert_eq!((held(&world, "web1").as_deref(), commands(&world)), (Some("F0208"), before), "{}", world.story());
        // set anew, it has the new end
        said(&mut world, maintain(subject.clone(), Span::seconds(60))).unwrap();
        world.run(50_000);
        assert_eq!(held(&world, "web1").as_deref(), Some("F0208"));
        world.run_until_served("web1", "m3", 40_000);
        assert!(world.state().ledger.maintenance.is_empty(), "{}", world.story());
    }
}

#[test]
fn a_spare_that_somebody_works_on_is_not_taken_and_a_person_may_end_it() {
    let mut world = up();
    said(&mut world, maintain(machine("m3"), HOUR)).unwrap();
    let reasons = fit::obstacles(world.state(), &id("web1"), &id("m3"), Instant(world.now));
    assert_eq!(reasons, ["uid 0 works on it: new memory"]);
    world.power_off(&id("m1"));
    world.run(WINDOWS_MS);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0401"));
    said(&mut world, Intent::EndMaintenance { subject: machine("m3") }).unwrap();
    world.run_until_served("web1", "m3", 20_000);
    assert_eq!(said(&mut world, Intent::EndMaintenance { subject: machine("m3") }), Err(209));
}

#[test]
fn maintenance_always_ends_and_is_of_something_that_is_there() {
    let mut world = up();
    for lasts in [Span(0), Span(pipeline::intents::brakes::MAINTENANCE_MAX.0 + 1), Span(u64::MAX)] {
        assert_eq!(said(&mut world, maintain(machine("m1"), lasts)), Err(210), "{lasts}");
    }
    assert_eq!(said(&mut world, maintain(machine("m9"), HOUR)), Err(54));
    assert_eq!(said(&mut world, maintain(Subject::Server(id("web9")), HOUR)), Err(53));
    // an operator's own failover is no action by itself
    said(&mut world, maintain(machine("m1"), HOUR)).unwrap();
    said(&mut world, failover()).unwrap();
    world.run_until_served("web1", "m3", 20_000);
}
