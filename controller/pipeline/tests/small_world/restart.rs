//! A service that is down on a machine that lives: restarted where it is if its profile wants that, once, and only where that can help.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::{Intent, What};
use pipeline::plan::Kind;
use pipeline::record::Fact;
use std::sync::Arc;
use vocabulary::estate::{Mode, ServiceDown};
use vocabulary::{MachineId, PlanId, ServerId};

/// Two servers that serve, and want to be restarted.
fn up() -> World {
    let mut world = World::new(3);
    world.estate.servers.values_mut().for_each(|server| server.service_down = ServiceDown::Restart);
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    // heard from everywhere since its boot
    world.run(10_000);
    world
}

/// A name, what is otherwise, and what is told of it.
type Case = (&'static str, fn(&mut World), &'static str);

fn crash(world: &mut World, machine: &str) {
    world.machines.get_mut(&id::<MachineId>(machine)).unwrap().crashed = true;
}

/// Restarts so far: of which server, and how they ended.
fn restarts(world: &World) -> Vec<(ServerId, Option<String>)> {
    let plans = world.state().ledger.plans.values().filter(|row| row.plan.body().kind == Kind::Restart);
    let ended = |row: &pipeline::ledger::PlanRow| match &row.closed {
        None => None,
        Some(Ok(_)) => Some("done".to_owned()),
        Some(Err(ended)) => Some(ended.code.clone()),
    };
    plans.map(|row| (row.plan.server().unwrap().clone(), ended(row))).collect()
}

fn done(server: &str) -> (ServerId, Option<String>) {
    (id(server), Some("done".to_owned()))
}

fn held(world: &World, server: &str) -> (String, String) {
    let row = &world.state().ledger.servers[&id::<ServerId>(server)];
    let (code, reason, ..) = row.held.clone().unwrap_or_else(|| panic!("{server} is not held:\n{}", world.story()));
    (code, reason)
}

/// Machines that were asked to stop.
fn asked_to_stop(world: &World) -> usize {
    let asked = |fact: &&Fact| matches!(fact, Fact::Intent { what, .. } if what.starts_with("ask the operating system"));
    world.facts.iter().filter(asked).count()
}

fn touched(world: &World) -> bool {
    let moved = |fact: &Fact| matches!(fact, Fact::Owned(owned) if owned.from.is_some());
    world.facts.iter().any(|fact| moved(fact) || matches!(fact, Fact::Verdict { .. }))
}

/// Runs until a plan is sealed by a verdict.
fn run_until_sealed(world: &mut World) -> PlanId {
    for _ in 0..120_000 {
        world.run(1);
        let sealed = |fact: &Fact| if let Fact::Sealed { plan, by_verdict: true, .. } = fact { Some(plan.id()) } else { None };
        if let Some(plan) = world.facts.iter().find_map(sealed) {
            return plan;
        }
    }
    panic!("no plan:\n{}", world.story());
}

#[test]
fn it_is_restarted_where_it_is_once_its_window_is_full() {
    let mut world = up();
    let window = world.state().estate.settings.detection.hung_window;
    crash(&mut world, "m1");
    let begun = world.now;
    run_until_sealed(&mut world);
    assert!(world.now - begun >= window.0, "{} ms: before its window was over", world.now - begun);
    world.run_until_served("web1", "m1", 60_000);
    assert_eq!(restarts(&world), [done("web1")], "{}", world.story());
    assert!(!touched(&world), "{}", world.story());
    let evidence = world.facts.iter().find_map(|fact| match fact {
        Fact::ServiceDown { evidence, .. } => Some(evidence.join("; ")),
        _ => None,
    });
    assert!(evidence.unwrap().contains("connection refused"));
}

#[test]
fn one_that_did_not_help_is_not_tried_again_soon() {
    let mut world = up();
    crash(&mut world, "m1");
    world.run(60_000);
    world.run_until_served("web1", "m1", 60_000);
    world.run(10_000);
    crash(&mut world, "m1");
    world.run(300_000);
    let (code, reason) = held(&world, "web1");
    assert!(code == "F0205" && reason.contains("did not cure it"), "{code}: {reason}");
    assert_eq!((restarts(&world).len(), touched(&world)), (1, false), "{}", world.story());
    // half an hour after the first one the next may come
    world.run(1_800_000);
    assert_eq!(restarts(&world), [done("web1"), done("web1")]);
}

#[test]
fn nothing_is_done_by_itself_where_that_is_not_wanted_or_not_known() {
    let cases: [Case; 5] = [
        (
            "its profile",
            |world| {
                world.estate.servers.values_mut().for_each(|server| server.service_down = ServiceDown::Hold);
                world.tell(What::EstateLoaded(Arc::new(world.estate.clone())));
            },
            "not proven to be dead",
        ),
        (
            "its mode",
            |world| {
                world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Approve });
            },
            "its mode is `approve`",
        ),
        (
            "one vantage point",
            |world| {
                world.estate.switches.values_mut().for_each(|switch| switch.vantage = false);
                world.boot_core();
                world.run(2_000);
            },
            "2 must agree",
        ),
        ("its BMC", |world| world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = true, "does not say On"),
        (
            "too many",
            |world| {
                world.estate.settings.guard.site_count = 1;
                world.estate.settings.guard.site_percent = 0;
                world.tell(What::EstateLoaded(Arc::new(world.estate.clone())));
                crash(world, "m2");
            },
            "2 services are ill at once",
        ),
    ];
    for (name, change, why) in cases {
        let mut world = up();
        change(&mut world);
        crash(&mut world, "m1");
        world.run(120_000);
        let (code, reason) = held(&world, "web1");
        assert!(code == "F0205" && reason.contains(why), "{name}: {code}: {reason}\n{}", world.story());
        assert_eq!((restarts(&world).len(), asked_to_stop(&world), touched(&world)), (0, 0, false), "{name}");
    }
}

#[test]
fn of_two_the_second_waits_for_the_first() {
    let mut world = up();
    crash(&mut world, "m1");
    crash(&mut world, "m2");
    let open = |world: &World| restarts(world).iter().filter(|(_, ended)| ended.is_none()).count();
    for _ in 0..1_200 {
        world.run(100);
        assert!(open(&world) <= 1, "{}", world.story());
    }
    let mut all = restarts(&world);
    all.sort();
    assert_eq!(all, [done("web1"), done("web2")], "{}", world.story());
}

#[test]
fn what_is_well_again_or_held_before_it_is_asked_to_stop_is_left_alone() {
    let changes: [fn(&mut World); 3] = [
        |world| world.machines.get_mut(&id::<MachineId>("m1")).unwrap().crashed = false,
        |world| {
            world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Manual });
        },
        |world| {
            world.intent(Intent::Hold { server: Some(id("web1")), reason: "a person looks".to_owned() });
        },
    ];
    for change in changes {
        let mut world = up();
        crash(&mut world, "m1");
        world.gates.busy_until.insert("bmc".to_owned(), world.now + 60_000);
        run_until_sealed(&mut world);
        change(&mut world);
        world.run(60_000);
        assert_eq!(restarts(&world), [(id("web1"), Some("F0303".to_owned()))], "{}", world.story());
        assert_eq!((asked_to_stop(&world), touched(&world)), (0, false), "{}", world.story());
    }
}

#[test]
fn a_controller_that_restarts_decides_anew_before_it_has_asked_and_goes_on_after_that() {
    let mut world = up();
    crash(&mut world, "m1");
    world.gates.busy_until.insert("bmc".to_owned(), world.now + 60_000);
    run_until_sealed(&mut world);
    world.boot_core();
    world.run(100);
    assert_eq!(restarts(&world), [(id("web1"), Some("F0301".to_owned()))]);
    // this life has never seen it well: a person looks
    world.run(180_000);
    assert_eq!((restarts(&world).len(), asked_to_stop(&world)), (1, 0), "{}", world.story());
    assert!(held(&world, "web1").1.contains("seen it well"), "{:?}", held(&world, "web1"));
    let mut world = up();
    crash(&mut world, "m1");
    run_until_sealed(&mut world);
    while asked_to_stop(&world) == 0 {
        world.run(1);
    }
    world.boot_core();
    world.run_until_served("web1", "m1", 60_000);
    assert_eq!(restarts(&world), [done("web1")], "{}", world.story());
}

#[test]
fn silence_restarts_nothing() {
    let mut world = up();
    // the network hides it: nobody can say that it is its service
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.seen = Some(vocabulary::check::CheckOutcome::Silent("no answer".to_owned()));
    world.run(300_000);
    assert_eq!((restarts(&world).len(), asked_to_stop(&world)), (0, 0), "{}", world.story());
}

#[test]
fn what_one_check_of_several_does_not_hear_or_a_plugin_says_restarts_nothing() {
    let mut world = up();
    world.seen = Some(vocabulary::check::CheckOutcome::Partly("10.20.0.11:443: no connection".to_owned()));
    world.run(300_000);
    assert_eq!((restarts(&world).len(), asked_to_stop(&world)), (0, 0), "{}", world.story());
    assert_eq!(held(&world, "web1").0, "F0205");
}

#[test]
fn one_that_may_only_be_starting_is_left_alone_even_if_its_bmc_tells_of_no_boot() {
    let mut world = up();
    // this life of the controller has never seen it well
    crash(&mut world, "m1");
    world.run(1_000);
    world.boot_core();
    world.run(300_000);
    assert_eq!((restarts(&world).len(), asked_to_stop(&world)), (0, 0), "{}", world.story());
    assert!(held(&world, "web1").1.contains("seen it well"), "{:?}", held(&world, "web1"));
}

#[test]
fn a_machine_is_not_stopped_before_something_lets_it_boot_again() {
    let mut world = up();
    world.dead_agents.insert(Agent::Boot(id("boot1")));
    crash(&mut world, "m1");
    world.run(600_000);
    assert_eq!((asked_to_stop(&world), touched(&world)), (0, false), "{}", world.story());
    assert_eq!(restarts(&world), [(id("web1"), Some("F0702".to_owned()))], "{}", world.story());
}

#[test]
fn a_stop_that_was_asked_for_by_an_earlier_life_is_not_asked_for_again() {
    let mut world = up();
    crash(&mut world, "m1");
    run_until_sealed(&mut world);
    // the BMC does nothing, and the controller restarts; meanwhile a person mends the service
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().stuck = true;
    while asked_to_stop(&world) == 0 {
        world.run(1);
    }
    world.boot_core();
    let box_ = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (box_.stuck, box_.crashed) = (false, false);
    let asked = asked_to_stop(&world);
    world.run(600_000);
    assert_eq!((asked_to_stop(&world), touched(&world)), (asked, false), "{}", world.story());
    assert_eq!(restarts(&world), [(id("web1"), Some("F0702".to_owned()))], "{}", world.story());
}
