//! A store that came from a backup: it does nothing before it is adopted, takes placements and bars from the agents without a command to any
//! device, leaves to a person what they do not say beyond doubt, and makes no server effective twice, whatever befell before.

use crate::common::{World, id};
use crate::life::{Act, act, apply};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ledger::{Ledger, Standing};
use pipeline::record::Fact;
use proptest::prelude::*;
use vocabulary::check::CheckOutcome;
use vocabulary::power::PowerState;
use vocabulary::*;

fn up() -> World {
    let mut world = World::with_spares(5, 2);
    world.start_servers();
    world.back_up();
    world
}

fn moved() -> World {
    let mut world = up();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m4", 20_000);
    world
}

fn on(world: &World, server: &str) -> MachineId {
    world.state().ledger.placement(&id(server)).unwrap().machine.clone()
}

fn serves(world: &World, server: &str) -> bool {
    world.look(&id(server)) == CheckOutcome::Healthy
}

#[test]
fn before_it_is_adopted_a_restored_store_only_observes() {
    let mut world = moved();
    world.restore();
    let before = world.records.len();
    world.power_off(&id("m2"));
    world.power_off(&id("m4"));
    world.run(120_000);
    for intent in [
        Intent::StartServer { server: id("web1") },
        Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None },
        Intent::ReleaseMachine { machine: id("m5") },
        Intent::ReadoptAgent { agent: id("sw1") },
    ] {
        let ticket = world.intent(intent.clone());
        assert_eq!(world.replies[&ticket].as_ref().unwrap_err().code.0, 1105, "{intent:?}");
    }
    let asked = world.facts[before..].iter().filter(|fact| matches!(fact, Fact::Intent { .. } | Fact::Sealed { .. })).count();
    assert_eq!(asked, 0, "{}", world.story_from(before));
    let held = world.state().ledger.servers[&id::<ServerId>("web2")].held.clone().unwrap();
    assert_eq!((held.0.as_str(), held.2.as_str()), ("F1105", "`understudy adopt`"));
}

#[test]
fn it_takes_what_happened_since_the_backup_without_a_command_to_any_device() {
    let mut world = moved();
    let (epoch, truth) = (world.state().ledger.epoch, world.state().ledger.clone());
    world.restore();
    let before = world.records.len();
    let adoption = world.adopt();
    assert_eq!(adoption.placed.len(), 1, "{adoption:?}");
    assert_eq!(on(&world, "web1"), id::<MachineId>("m4"));
    assert_eq!(world.state().ledger.volumes, truth.volumes);
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }), "{}", world.story());
    assert_eq!(world.state().ledger.epoch, epoch);
    let asked = |world: &World| world.facts[before..].iter().filter(|fact| matches!(fact, Fact::Intent { .. })).count();
    world.run(60_000);
    assert_eq!(asked(&world), 0, "{}", world.story_from(before));
    assert!(["web1", "web2", "web3"].iter().all(|server| serves(&world, server)));
    assert!(world.state().ledger.overruled.is_empty() && world.state().ledger.restored.is_none());
    // and from here on it does its work
    world.power_off(&id("m4"));
    world.run_until_served("web1", "m5", 30_000);
    assert_eq!(world.most_effective, 1);
}

#[test]
fn a_machine_that_was_released_since_is_a_spare_again() {
    let mut world = moved();
    world.back_up();
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(30_000);
    assert_eq!(world.state().ledger.standing(&id("m1")), Standing::Free, "{}", world.story());
    world.restore();
    let adoption = world.adopt();
    assert_eq!(adoption.freed.keys().map(|machine| machine.as_str()).collect::<Vec<_>>(), ["m1"]);
    assert_eq!(world.state().ledger.standing(&id("m1")), Standing::Free);
    assert!(pipeline::invariants::breaches(world.state()).is_empty());
}

/// World 77000324: a later failover of web1 would have fenced m1, which bears web2 by then.
#[test]
fn a_machine_that_was_released_since_and_bears_another_server_is_that_one_s_alone() {
    let mut world = moved();
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(30_000);
    // a spare that is on is none
    world.power_on(&id("m5"));
    world.power_off(&id("m2"));
    world.run_until_served("web2", "m1", 30_000);
    world.restore();
    world.adopt();
    assert!(!world.state().ledger.servers[&id::<ServerId>("web1")].past.contains(&id::<MachineId>("m1")));
    world.power_off(&id("m5"));
    world.run(10_000);
    world.power_off(&id("m4"));
    world.run_until_served("web1", "m5", 30_000);
    assert!(serves(&world, "web2"), "{}", world.story());
    assert_eq!(on(&world, "web2"), id::<MachineId>("m1"));
}

#[test]
fn a_bar_that_is_only_missing_frees_nothing() {
    let mut world = moved();
    world.back_up();
    // nobody has touched it since it was barred: that is no release
    world.barred.clear();
    world.restore();
    let adoption = world.adopt();
    assert!(adoption.freed.is_empty(), "{adoption:?}");
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }));
    assert!(
        world.barred.iter().any(|resource| resource.to_string().contains("m1")),
        "and it is barred again: {:?}",
        world.barred
    );
}

#[test]
fn what_an_agent_said_earlier_and_comes_later_is_not_taken() {
    let mut world = up();
    let early = world.hello("store1");
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m4", 20_000);
    world.restore();
    let now = world.hello("store1");
    world.tell(now);
    world.tell(early);
    let told = world.state().watch.gates["store1"].hello.clone();
    let holder =
        |machine: &str| told.entries.iter().any(|it| it.holder.as_ref().is_some_and(|h| h.machine == id::<MachineId>(machine)));
    assert!(holder("m4") && !holder("m1"), "{told:?}");
}

#[test]
fn where_two_agree_no_one_adopts_alone_and_only_what_was_shown_is_taken() {
    let mut world = moved();
    world.restore();
    world.lab = false;
    world.boot_core();
    let adoption = world.adopt();
    assert!(world.state().ledger.unadopted().is_some(), "one person is not enough");
    assert!(pipeline::adopt::to_seed(world.state()).is_empty());
    let shown = |hash: String| Intent::Adopt { hash, reason: String::new() };
    let ticket = world.intent_of("uid 2", shown("0".repeat(64)));
    assert_eq!(world.replies[&ticket].as_ref().unwrap_err().code.0, 67);
    world.intent_of("uid 2", shown(adoption.hash()));
    assert!(world.state().ledger.unadopted().is_none(), "{}", world.story());
    let ticket = world.intent_of("uid 2", shown(adoption.hash()));
    assert!(world.replies[&ticket].is_err() || world.state().ledger.has_to_adopt());
}

#[test]
fn an_agent_that_was_not_heard_freezes_what_it_keeps_until_it_is_adopted_too() {
    let mut world = moved();
    world.restore();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    // what it said when the store was started is too old
    world.run(20_000);
    let adoption = world.adopt();
    assert_eq!(adoption.absent.keys().map(String::as_str).collect::<Vec<_>>(), ["store1"]);
    assert_eq!(adoption.undecided.len(), 3, "nobody can say where they are: {adoption:?}");
    assert_eq!(world.state().ledger.holds.len(), 3);
    // web1 serves on m4, which this store takes for a spare that is enrolled: what is there stays there
    assert!(["web1", "web2", "web3"].iter().all(|server| serves(&world, server)), "{}", world.story());
    assert_eq!(adoption.undecided[&id::<ServerId>("web1")].may_be_on, ["m1", "m4"].map(id::<MachineId>).into());
    let why = pipeline::fit::obstacles(world.state(), &id("web2"), &id("m4"), Instant(world.now));
    assert!(why.iter().any(|why| why.contains("may bear web1")), "{why:?}");
    world.dead_agents.clear();
    world.power_off(&id("m4"));
    let (before, counter) = (world.records.len(), world.state().ledger.epoch);
    world.run(60_000);
    let ticket = world.intent(Intent::Resume { server: Some(id("web2")), reason: "looked".into() });
    assert!(world.replies[&ticket].is_ok());
    world.run(60_000);
    assert_eq!(world.state().ledger.epoch, counter, "{}", world.story_from(before));
    let ticket = {
        let hello = world.hello("store1");
        world.tell(hello);
        world.intent(Intent::ReadoptAgent { agent: id("store1") })
    };
    assert_eq!(world.replies[&ticket].as_ref().unwrap_err().code.0, 1108);
    let adoption = world.adopt();
    assert!(adoption.absent.is_empty() && adoption.undecided.is_empty(), "{adoption:?}");
    assert_eq!(on(&world, "web1"), id::<MachineId>("m4"));
    assert!(world.state().ledger.unclear.is_empty() && world.state().ledger.holds.is_empty(), "{}", world.story());
    world.run_until_served("web1", "m5", 60_000);
    assert_eq!(world.most_effective, 1);
}

#[test]
fn a_switch_that_is_adopted_late_leaves_alone_what_serves() {
    let mut world = moved();
    world.restore();
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.run(20_000);
    assert!(world.adopt().undecided.is_empty(), "volumes tell where servers are");
    assert_eq!(on(&world, "web1"), id::<MachineId>("m4"));
    world.dead_agents.clear();
    let adoption = world.adopt();
    assert_eq!(adoption.heard.iter().map(String::as_str).collect::<Vec<_>>(), ["sw1"]);
    assert!(adoption.placed.is_empty() && adoption.freed.is_empty(), "{adoption:?}");
    assert!(["web1", "web2", "web3"].iter().all(|server| serves(&world, server)), "{}", world.story());
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }));
}

#[test]
fn documents_that_are_older_than_what_runs_are_found() {
    let mut world = moved();
    world.restore();
    world.estate.machines.remove(&id::<MachineId>("m4"));
    world.boot_core();
    let adoption = world.adopt();
    assert!(adoption.strange.iter().any(|text| text.contains("m4")), "{adoption:?}");
    assert!(world.state().ledger.unadopted().is_some(), "nothing is taken");
}

#[test]
fn what_is_adopted_is_the_same_after_a_restart() {
    let mut world = moved();
    world.restore();
    world.adopt();
    let before = world.state().ledger.clone();
    world.boot_core();
    let after = &world.state().ledger;
    assert_eq!((&before.servers, &before.machines, &before.volumes), (&after.servers, &after.machines, &after.volumes));
    assert_eq!(before.epoch, after.epoch);
}

/// What may befall but that agents forget, or are told to obey another store: that is another law's.
fn remembers(act: &Act) -> bool {
    !matches!(act, Act::Readopt(_) | Act::OlderCopy(_) | Act::MemoryLost(_) | Act::ForeignStore(_) | Act::Copy(_))
}

fn go(world: &mut World, acts: &[(Act, u64)]) {
    for (act, pause) in acts.iter().filter(|(act, _)| remembers(act)) {
        apply(world, act);
        world.run(*pause);
    }
}

/// What is at rest in the ledger that was lost is found again by the adoption: no server elsewhere, no barred machine free.
fn agrees(lost: &Ledger, found: &World) -> Result<(), TestCaseError> {
    let ledger = &found.state().ledger;
    for (server, row) in &lost.servers {
        let settled = lost.open_plan_of(server).is_none() && row.past.iter().all(|machine| lost.open_plan_on(machine).is_none());
        if settled && !ledger.holds.contains_key(&Some(server.clone())) {
            prop_assert_eq!(ledger.placement(server), row.placement.as_ref(), "{}:\n{}", server, found.story());
        }
    }
    for (machine, row) in &lost.machines {
        let barred = matches!(row.standing, Standing::Quarantined { .. }) && lost.open_plan_on(machine).is_none();
        if barred {
            let now = ledger.standing(machine);
            prop_assert!(matches!(now, Standing::Quarantined { .. }), "{machine} is {now:?}:\n{}", found.story());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases::cases(), max_shrink_iters: 400, .. ProptestConfig::default() })]

    /// A backup of any moment, restored at any later one, in the middle of any faults.
    #[test]
    fn a_restored_store_that_is_adopted_is_as_good_as_the_lost_one(
        before in prop::collection::vec((act(), 10..4_000u64), 0..6),
        between in prop::collection::vec((act(), 10..4_000u64), 0..8),
        unheard in prop::option::of(0..3usize),
        waiting in prop::collection::vec((act(), 10..4_000u64), 0..3),
        after in prop::collection::vec((act(), 10..4_000u64), 0..6),
    ) {
        let mut world = World::with_spares(5, 2);
        world.start_servers();
        go(&mut world, &before);
        world.back_up();
        go(&mut world, &between);
        let lost = world.state().ledger.clone();
        world.restore();
        go(&mut world, &waiting);
        world.dead_agents.clear();
        world.gates.full.clear();
        if let Some(agent) = unheard {
            apply(&mut world, &Act::AgentDies(agent));
        }
        let serving = |world: &World| world.servers().into_iter().filter(|server| serves(world, server.as_str())).collect::<Vec<_>>();
        let mut served = serving(&world);
        let epochs = world.epochs.clone();
        let adoption = world.adopt();
        let lowered = epochs.iter().find(|(kept, epoch)| world.epochs.get(*kept).is_none_or(|now| now < *epoch));
        prop_assert_eq!(lowered, None, "no gate's epoch is lowered");
        // whom a failover had begun to cut off is cut off for good
        served.retain(|server| adoption.barred.iter().all(|bar| bar.server.as_ref() != Some(server)));
        prop_assert_eq!(world.state().ledger.unadopted(), None);
        let cut: Vec<_> = served.iter().filter(|server| !serving(&world).contains(server)).collect();
        prop_assert!(cut.is_empty(), "{cut:?}: what serves is left alone:\n{}", world.story());
        prop_assert_eq!(pipeline::invariants::breaches(world.state()), Vec::<String>::new(), "{}", world.story());
        if unheard.is_none() {
            agrees(&lost, &world)?;
        }
        go(&mut world, &after);
        world.dead_agents.clear();
        world.gates.full.clear();
        world.run(3_000);
        world.adopt();
        prop_assert!(world.state().ledger.overruled.is_empty(), "{:?}\n{}", world.state().ledger.overruled, world.story());
        crate::life::calm(&mut world);
        crate::life::mend(&mut world);
        prop_assert_eq!(crate::life::down(&world), Vec::new(), "{}", world.story());
        prop_assert_eq!(world.most_effective, 1);
    }
}

#[test]
fn the_power_of_a_machine_is_never_touched_by_an_adoption() {
    let mut world = moved();
    // the old machine comes back by itself, barred at its ports
    world.power_on(&id("m1"));
    world.restore();
    world.adopt();
    world.run(30_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, PowerState::On);
    assert_eq!(world.most_effective, 1);
}
