//! How long a fault takes to be a verdict at the defaults, whenever it happens between two polls. The figures of SPECIFICATION.md.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::{Intent, What};
use pipeline::plan::Kind;
use pipeline::record::Fact;
use vocabulary::check::CheckOutcome;
use vocabulary::estate::{Detection, Kdump, Mode};
use vocabulary::{MachineId, ServerId, Span};

const UNEXPECTED_OFF_MS: u64 = 15_000;
const HUNG_MS: u64 = 30_000;
/// The world looks around so often: a fault falls between two looks.
const LOOK_MS: u64 = 500;

/// The longest time from the fault to the verdict, over every phase between two polls.
fn slowest(fault: impl Fn(&mut World, &MachineId), symptom: &str) -> u64 {
    let period = Detection::default().power_every.0;
    let times = (0..period / LOOK_MS).map(|phase| {
        let mut world = World::new(3);
        world.start_servers();
        world.detect_with(Detection::default());
        // it has been well for a while
        world.run(60_000 + phase * LOOK_MS);
        let (machine, before, begin) = (id("m1"), world.records.len(), world.wall());
        fault(&mut world, &machine);
        world.run(60_000);
        let verdict = world.records.iter().skip(before).find_map(|record| match &record.fact {
            Fact::Verdict { symptom: seen, .. } => Some((record.at.0 - begin, seen.clone())),
            _ => None,
        });
        let (took, seen) = verdict.unwrap_or_else(|| panic!("no verdict:\n{}", world.story()));
        assert_eq!(seen.to_string(), symptom);
        took
    });
    times.max().unwrap()
}

#[test]
fn power_lost_is_a_verdict_within_15_s() {
    let took = slowest(|world, machine| world.power_off(machine), "unexpected-off");
    assert!(took <= UNEXPECTED_OFF_MS, "{took} ms");
    assert!(took >= Detection::default().off_window.0, "{took} ms: before its window was over");
}

#[test]
fn a_standstill_is_a_verdict_within_30_s() {
    let took = slowest(|world, machine| world.machines.get_mut(machine).unwrap().frozen = true, "hung");
    assert!(took <= HUNG_MS, "{took} ms");
    assert!(took >= Detection::default().hung_window.0, "{took} ms: before its window was over");
}

#[test]
fn a_standstill_with_a_dead_bmc_is_a_verdict_within_30_s() {
    let frozen = |world: &mut World, machine: &MachineId| {
        let machine = world.machines.get_mut(machine).unwrap();
        (machine.frozen, machine.bmc_dead) = (true, true);
    };
    let took = slowest(frozen, "power-suspected");
    assert!(took <= HUNG_MS, "{took} ms");
}

/// What is told of a server that one domain alone calls dead.
fn told(fault: impl Fn(&mut World)) -> (String, String) {
    let mut world = World::new(3);
    world.start_servers();
    // nobody reads the volumes' counters
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.run(60_000);
    fault(&mut world);
    world.run(120_000);
    let owned = world.facts.iter().any(|fact| matches!(fact, Fact::Owned(owned) if owned.from.is_some()));
    assert!(!owned, "{}", world.story());
    let (code, reason, ..) = world.state().ledger.servers[&id::<ServerId>("web1")].held.clone().unwrap();
    (code, reason)
}

#[test]
fn a_machine_that_one_domain_alone_calls_dead_is_told_with_what_is_missing() {
    let stopped = |world: &mut World| world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    let (code, reason) = told(stopped);
    assert_eq!(code, "F0205");
    assert!(reason.contains("hung speaks alone, and no volume's counter bears it out; it could serve on m3"), "{reason}");
    // the service goes on, whatever its BMC says
    let (code, reason) = told(|world| world.machines.get_mut(&id::<MachineId>("m1")).unwrap().lies_off = true);
    assert_eq!(code, "F0205");
    assert!(reason.contains("unexpected-off speaks alone, and something answers at the server's address"), "{reason}");
}

#[test]
fn a_verdict_is_not_acted_on_once_nothing_may_be_done() {
    for blind in [true, false] {
        let mut world = World::new(3);
        world.start_servers();
        world.run(5_000);
        // the agents answer so late that what happens meanwhile comes before the first fencing effect
        world.latency = 3_000;
        world.power_off(&id("m1"));
        while !world.facts.iter().any(|fact| matches!(fact, Fact::Sealed { plan, .. } if plan.body().kind == Kind::Failover)) {
            world.run(1);
            assert!(world.now < 120_000, "{}", world.story());
        }
        if blind {
            world.canaries = false;
        } else {
            world.estate.servers.get_mut(&id::<ServerId>("web1")).unwrap().mode = Some(Mode::Observe);
            let estate = std::sync::Arc::new(world.estate.clone());
            world.tell(What::EstateLoaded(estate));
        }
        world.run(30_000);
        let owned = world.facts.iter().any(|fact| matches!(fact, Fact::Owned(owned) if owned.from.is_some()));
        assert!(!owned, "{}", world.story());
        let plan = world.state().ledger.plans.values().rfind(|row| row.plan.body().kind == Kind::Failover).unwrap();
        assert!(!plan.begun, "{}", world.story());
    }
}

#[test]
fn a_vantage_point_that_the_documents_name_no_more_fills_no_journal_and_keeps_no_verdict_waiting() {
    let mut world = World::new(3);
    world.start_servers();
    world.run(10_000);
    world.estate.switches.values_mut().for_each(|switch| switch.vantage = false);
    world.tell(What::EstateLoaded(std::sync::Arc::new(world.estate.clone())));
    let before = world.records.len();
    world.run(60_000);
    assert_eq!(world.records.len(), before, "{}", world.story_from(before));
    world.gone.insert(id("sw1"));
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    world.run_until_served("web1", "m3", 120_000);
}

/// A machine whose firmware counts no resets, and tells how far its boot is.
fn silent_at(progress: &str) -> World {
    let mut world = World::new(3);
    let m1 = id::<MachineId>("m1");
    world.machines.get_mut(&m1).unwrap().boot_progress = Some("OSRunning".to_owned());
    // its window is shorter than the boot that was recorded
    world.detect_with(Detection { hung_window: Span::seconds(1), ..world.estate.settings.detection.clone() });
    world.start_servers();
    world.run(5_000);
    let box_ = world.machines.get_mut(&m1).unwrap();
    (box_.frozen, box_.boot_progress) = (true, Some(progress.to_owned()));
    world
}

#[test]
fn a_boot_that_firmware_tells_of_is_no_standstill() {
    let mut world = silent_at("SystemHardwareInitializationComplete");
    world.run(2_000);
    assert!(!begun(&world), "{}", world.story());
    // one that never comes to its end is not waited for for ever
    world.run_until_served("web1", "m3", 60_000);
    let mut world = silent_at("OSRunning");
    world.run(2_000);
    assert!(begun(&world), "{}", world.story());
    world.run_until_served("web1", "m3", 20_000);
}

/// web1's machine has crashed; web1 says how its kernel is waited for.
fn crashed(kdump: Option<Kdump>) -> World {
    let mut world = World::new(3);
    world.estate.servers.get_mut(&id::<ServerId>("web1")).unwrap().kdump = kdump;
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    world.run(5_000);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    world
}

fn begun(world: &World) -> bool {
    world.facts.iter().any(|fact| matches!(fact, Fact::Verdict { .. }))
}

#[test]
fn a_kernel_that_tells_that_it_writes_its_memory_away_is_waited_for_as_long_as_its_document_says() {
    let kdump = Kdump { begins_within: Span::seconds(10), lasts_at_most: Span::seconds(60) };
    let mut world = crashed(Some(kdump));
    // longer than the window of a standstill
    world.run(8_000);
    world.dumps.insert(id("web1"));
    world.run(55_000);
    assert!(!begun(&world), "{}", world.story());
    assert!(world.facts.iter().any(|fact| matches!(fact, Fact::Suspected { symptom, .. } if symptom == "dumping")));
    world.run_until_served("web1", "m3", 30_000);
    // one that tells nothing in time stands still
    let mut world = crashed(Some(kdump));
    world.run(12_000);
    assert!(!begun(&world), "{}", world.story());
    world.run_until_served("web1", "m3", 10_000);
    // whoever says nothing of it in its document does not wait for it, whatever it tells
    let mut world = crashed(None);
    world.run(1_500);
    world.dumps.insert(id("web1"));
    world.run(1_000);
    world.dumps.clear();
    world.run(2_000);
    assert!(begun(&world), "{}", world.story());
    world.run_until_served("web1", "m3", 10_000);
}

#[test]
fn a_machine_that_has_written_its_memory_away_and_boots_is_left_alone() {
    let mut world = crashed(Some(Kdump::default()));
    world.dumps.insert(id("web1"));
    world.run(120_000);
    world.dumps.clear();
    let ready_at = world.now + 15_000;
    let box_ = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (box_.frozen, box_.ready_at) = (false, ready_at);
    box_.resets += 1;
    world.run(60_000);
    assert!(!begun(&world), "{}", world.story());
    assert!(world.state().watch.servers[&id::<ServerId>("web1")].dumping.is_none());
}

#[test]
fn what_a_blind_controller_did_not_hear_is_no_silence() {
    let mut world = World::new(3);
    // the controller is the only vantage point, and the server writes nothing for long
    world.estate.switches.values_mut().for_each(|switch| switch.vantage = false);
    world.gone.insert(id("sw1"));
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    world.run(10_000);
    world.idle = true;
    (world.canaries, world.seen) = (false, Some(CheckOutcome::Silent("no answer".to_owned())));
    world.run(20_000);
    world.canaries = true;
    // its next check is on its way
    world.run(400);
    let sealed = |world: &World| world.facts.iter().any(|fact| matches!(fact, Fact::Sealed { by_verdict: true, .. }));
    assert!(!sealed(&world), "{}", world.story());
    // what stays silent now is a standstill once the window is full
    world.run(10_000);
    assert!(sealed(&world), "{}", world.story());
}

#[test]
fn a_life_that_found_the_machine_on_remembers_no_boot_time() {
    let long = 15_000;
    let mut world = World::new(3);
    // its BMC counts no resets, and only tells of boots
    let tells = |world: &mut World, of: &str| {
        let (at, box_) = (world.now, world.machines.get_mut(&id::<MachineId>("m1")).unwrap());
        (box_.boot_progress, box_.ready_at) = (Some(of.to_owned()), at + long);
    };
    world.intent(Intent::StartServer { server: id("web1") });
    while world.machines[&id::<MachineId>("m1")].runs.is_none() {
        world.run(10);
    }
    tells(&mut world, "OSRunning");
    // the controller dies in the middle of its boot: the next one sees the last of it
    world.run(long - 1_000);
    world.boot_core();
    world.run_until_served("web1", "m1", 20_000);
    let remembered = world.state().ledger.machines[&id::<MachineId>("m1")].boot_ms;
    world.run(10_000);
    tells(&mut world, "MemoryInitializationStarted");
    world.run(long + 10_000);
    let moved = world.facts.iter().any(|fact| matches!(fact, Fact::Verdict { .. }));
    assert!(!moved, "it was taken for hung, since a boot of {remembered:?} ms was remembered:\n{}", world.story());
    assert_eq!(remembered, None);
}
