//! A gate whose file was restored from an older copy looks sound to its agent: it is found by what it says, and what it says counts for
//! nothing until it is seeded anew.

use crate::common::{World, id};
use pipeline::event::{Intent, Observation, What};
use pipeline::record::Fact;
use vocabulary::*;

fn up() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world
}

fn say(world: &mut World, agent: &str) {
    let hello = world.hello(agent);
    world.tell(hello);
}

fn older(world: &World, agent: &str) -> Option<Vec<String>> {
    world.state().ledger.older.get(agent).cloned()
}

fn alarms(world: &World) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::OlderMemory { .. })).count()
}

#[test]
fn a_sound_memory_is_believed() {
    let mut world = up();
    for agent in ["sw1", "store1", "boot1", "bmc"] {
        say(&mut world, agent);
        world.copy_gate(agent);
        world.restore_gate(agent);
        say(&mut world, agent);
    }
    assert_eq!(alarms(&world), 0, "a restart, and a copy that misses nothing, are no loss: {}", world.story());
}

#[test]
fn an_older_copy_is_found_at_the_first_hello_of_its_life() {
    for agent in ["sw1", "store1", "boot1"] {
        let mut world = World::new(3);
        world.copy_gate(agent);
        world.start_servers();
        world.restore_gate(agent);
        world.power_off(&id("m1"));
        world.run(30_000);
        let evidence = older(&world, agent).unwrap_or_else(|| panic!("{agent} is not found:\n{}", world.story()));
        assert!(!evidence.is_empty() && evidence.len() <= 4, "{evidence:?}");
        assert_eq!(alarms(&world), 1, "one alarm for one loss");
        // the world asserts that it is asked for nothing but to cut off; here: that nothing rests on it
        world.readopt(agent);
        world.run_until_served("web1", "m3", 120_000);
        assert_eq!(older(&world, agent), None);
    }
}

#[test]
fn without_the_switch_and_the_storage_that_forgot_nothing_is_proven() {
    let mut world = World::new(3);
    world.copy_gate("store1");
    world.start_servers();
    world.restore_gate("store1");
    world.power_off(&id("m1"));
    world.run(60_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id::<MachineId>("m1"), "{}", world.story());
    assert!(!world.facts.iter().any(|fact| matches!(fact, Fact::Proven { machines, .. } if !machines.is_empty())));
}

#[test]
fn it_stays_found_although_our_own_epochs_fill_the_gap_and_over_a_restart() {
    let mut world = World::new(3);
    world.copy_gate("sw1");
    world.start_servers();
    world.restore_gate("sw1");
    say(&mut world, "sw1");
    assert!(older(&world, "sw1").is_some());
    world.power_off(&id("m1"));
    world.run(30_000);
    // every resource of a later plan is at that plan's epoch by now
    world.boot_core();
    say(&mut world, "sw1");
    world.run(1_000);
    assert!(older(&world, "sw1").is_some());
    world.readopt("sw1");
    world.boot_core();
    say(&mut world, "sw1");
    assert_eq!(older(&world, "sw1"), None, "the readopt is durable as well");
}

#[test]
fn an_older_copy_of_the_same_epoch_is_found() {
    let mut same_epochs = 0;
    for (agent, at) in ["sw1", "store1", "boot1"].into_iter().flat_map(|agent| (0..60).map(move |at| (agent, at))) {
        let mut world = up();
        world.power_off(&id("m1"));
        let epoch = world.state().ledger.epoch;
        while !world.epochs.iter().any(|((of, _), raised)| of == agent && *raised > epoch) {
            world.run(1);
            assert!(world.now < 60_000, "{}", world.story());
        }
        world.run(at);
        world.copy_gate(agent);
        world.run_until_served("web1", "m3", 20_000);
        let epochs = world.epochs.clone();
        world.restore_gate(agent);
        let lost = world.forgetful.contains(agent);
        same_epochs += u32::from(lost && world.epochs == epochs);
        say(&mut world, agent);
        assert_eq!(older(&world, agent).is_some(), lost, "{agent}, copied {at} ms on: {}", world.story());
        if lost {
            world.readopt(agent);
            // as durable as every seeding, and over another start of the agent on what it was seeded with
            world.boot_core();
            world.restart_agent(agent);
            say(&mut world, agent);
            assert_eq!(older(&world, agent), None);
        }
    }
    assert!(same_epochs > 3, "{same_epochs}");
}

#[test]
fn an_agent_that_does_not_tell_its_commands_is_held_to_its_epochs_alone() {
    let mut world = up();
    let What::Observed(Observation::Hello { agent, asked, mut hello }) = world.hello("sw1") else { panic!() };
    hello.entries.iter_mut().for_each(|entry| entry.done = None);
    world.tell(What::Observed(Observation::Hello { agent, asked, hello }));
    assert_eq!(alarms(&world), 0);
}

#[test]
fn what_an_earlier_life_has_confirmed_is_missed_in_a_later_one_however_early_that_was_asked() {
    let mut world = up();
    say(&mut world, "sw1");
    world.copy_gate("sw1");
    let early = Instant(world.now);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.restore_gate("sw1");
    let What::Observed(Observation::Hello { agent, hello, .. }) = world.hello("sw1") else { panic!() };
    world.tell(What::Observed(Observation::Hello { agent, asked: early, hello }));
    assert!(older(&world, "sw1").is_some(), "no answer of that life can have crossed it: {}", world.story());
}

#[test]
fn a_former_life_that_is_heard_late_raises_no_alarm_and_one_that_comes_back_does() {
    let mut world = up();
    say(&mut world, "sw1");
    let late = world.hello("sw1");
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.restart_agent("sw1");
    say(&mut world, "sw1");
    let What::Observed(Observation::Hello { agent, asked, hello }) = late else { panic!() };
    world.tell(What::Observed(Observation::Hello { agent: agent.clone(), asked, hello: hello.clone() }));
    assert_eq!(alarms(&world), 0, "{}", world.story());
    // but one that answers what is asked now has come back, with the memory that it had
    let asked = Instant(world.now);
    world.tell(What::Observed(Observation::Hello { agent, asked, hello }));
    assert!(older(&world, "sw1").is_some(), "{}", world.story());
}

#[test]
fn a_resource_that_is_missing_is_forgotten() {
    let mut world = up();
    let gone = world.epochs.keys().find(|(agent, _)| agent == "boot1").cloned().unwrap();
    world.epochs.remove(&gone);
    say(&mut world, "boot1");
    let evidence = older(&world, "boot1").unwrap();
    assert!(evidence[0].contains("is missing there"), "{evidence:?}");
}

#[test]
fn the_gate_inside_serve_is_held_to_what_it_confirmed() {
    let mut world = World::new(3);
    world.copy_gate("bmc");
    world.start_servers();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.restore_gate("bmc");
    world.boot_core();
    say(&mut world, "bmc");
    assert!(older(&world, "bmc").is_some());
    world.readopt("bmc");
    let barred = vocabulary::request::Resource::Machine(id("m1"));
    assert!(world.barred.contains(&barred), "the seed bars the quarantined machine's power again");
    say(&mut world, "bmc");
    assert_eq!(older(&world, "bmc"), None);
}

#[test]
fn what_is_under_way_is_no_false_alarm() {
    // a hello is asked for at every moment of a failover, and its answer takes long: what is confirmed meanwhile is missing in it
    for at in 0..40 {
        let mut world = up();
        world.power_off(&id("m1"));
        world.run(990 + at);
        for agent in ["sw1", "store1", "boot1", "bmc"] {
            world.slow_hello(agent, 2_000);
        }
        world.run_until_served("web1", "m3", 20_000);
        world.run(3_000);
        assert_eq!(alarms(&world), 0, "asked {at} ms on: {}", world.story());
    }
}

#[test]
fn an_answer_from_before_the_readopt_does_not_count_after_it() {
    let mut world = World::new(3);
    world.copy_gate("sw1");
    world.start_servers();
    world.restore_gate("sw1");
    say(&mut world, "sw1");
    world.slow_hello("sw1", 500);
    world.run(100);
    world.readopt("sw1");
    world.run(1_000);
    assert_eq!(older(&world, "sw1"), None);
}

#[test]
fn what_the_estate_no_longer_has_is_not_asked_for() {
    let mut world = up();
    let mut estate = crate::common::estate::lab(3);
    estate.machines.remove(&id::<MachineId>("m3"));
    world.tell(pipeline::event::What::EstateLoaded(std::sync::Arc::new(estate)));
    world.epochs.retain(|(_, resource), _| !format!("{resource}").contains("m3"));
    for agent in ["sw1", "boot1", "bmc"] {
        say(&mut world, agent);
    }
    assert_eq!(alarms(&world), 0, "{}", world.story());
}

#[test]
fn a_release_waits_for_an_agent_that_forgot() {
    let mut world = up();
    world.copy_gate("sw1");
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.restore_gate("sw1");
    say(&mut world, "sw1");
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(20_000);
    assert!(!world.facts.iter().any(|fact| matches!(fact, Fact::Released { .. })), "no bar is lifted on its word");
}
