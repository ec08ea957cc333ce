//! Failovers by example, against devices with a state of their own. The world judges after every event that no server is effective twice.

use crate::common::{World, estate, id};
use pipeline::effect::Agent;
use pipeline::event::{Intent, Observation, What};
use pipeline::ledger::Standing;
use pipeline::record::Fact;
use pipeline::stage::Stage;
use pipeline::work::{Key, Progress};
use vocabulary::boot::{BootContact, BootStep};
use vocabulary::*;

fn up(machines: usize) -> World {
    let mut world = World::new(machines);
    world.start_servers();
    for n in 1..machines {
        let server: ServerId = id(&format!("web{n}"));
        let placed = world.state().ledger.placement(&server).map(|p| p.machine.to_string());
        assert_eq!(placed.as_deref(), Some(format!("m{n}").as_str()), "{}", world.story());
    }
    world
}

fn held(world: &World, server: &str) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>(server)].held.as_ref().map(|(code, ..)| code.clone())
}

fn sets(world: &World) -> Vec<String> {
    let proven = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Proven { sets, machines, .. } if !machines.is_empty() => Some(sets.clone()),
        _ => None,
    });
    proven.unwrap()
}

#[test]
fn crash() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    let old = world.state().ledger.standing(&id("m1"));
    assert!(matches!(old, Standing::Quarantined { .. }), "{old:?}");
    let stages: Vec<Stage> =
        world.state().ledger.plans.values().last().unwrap().entered.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Place, Stage::Fence, Stage::Network, Stage::Storage, Stage::Boot, Stage::Verify, Stage::Return]);
    assert!(pipeline::invariants::stream_breaches(world.facts.iter()).is_empty());
    assert_eq!(world.most_effective, 1);
    assert!(world.state().ledger.orders.is_empty());
}

#[test]
fn hang() {
    let mut world = up(3);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    world.run_until_served("web1", "m3", 20_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, vocabulary::power::PowerState::Off);
}

#[test]
fn a_dead_bmc_is_fenced_by_storage_and_network() {
    let mut world = up(3);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    m1.bmc_dead = true;
    world.run_until_served("web1", "m3", 30_000);
    assert_eq!(sets(&world), ["N", "S"]);
    // it thaws while the server runs on the spare: no session, no VLAN
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = false;
    world.run(5_000);
    assert!(!world.state().ledger.orders.is_empty(), "power off stays a standing order");
    // its BMC comes back: the order is carried out
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.run(10_000);
    assert!(world.state().ledger.orders.is_empty(), "{:?}", world.state().ledger.orders);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, vocabulary::power::PowerState::Off);
}

#[test]
fn a_bmc_that_lies_off_is_not_believed_without_storage() {
    let mut world = up(3);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    m1.lies_off = true;
    m1.stuck = true;
    // the storage agent is away: whatever the BMC says, no volume is granted
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.run(30_000);
    let placed = world.state().ledger.placement(&id("web1")).unwrap();
    assert_eq!(placed.machine, id::<MachineId>("m1"));
    world.dead_agents.clear();
    world.run_until_served("web1", "m3", 30_000);
}

#[test]
fn nothing_reachable_is_never_enough() {
    let mut world = up(3);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    m1.bmc_dead = true;
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.run(60_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id::<MachineId>("m1"));
}

#[test]
fn a_wrong_box_behind_the_bmc_proves_nothing() {
    let mut world = up(3);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    world.run(3_300);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().wrong_serial = true;
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.run(60_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id::<MachineId>("m1"));
}

#[test]
fn no_spare_is_held_and_goes_on_by_itself() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.power_off(&id("m2"));
    world.run(10_000);
    assert_eq!(held(&world, "web2").as_deref(), Some("F0401"));
    let ticket = world.intent(Intent::ReleaseMachine { machine: id("m1") });
    assert!(world.replies[&ticket].is_ok(), "{:?}", world.replies[&ticket]);
    world.run_until_served("web2", "m1", 30_000);
    assert_eq!(held(&world, "web2"), None);
}

#[test]
fn the_dead_one_that_returns_stays_in_quarantine() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.power_on(&id("m1"));
    world.run(10_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].runs, None);
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }));
    let alarms = world.facts.iter().filter(|fact| matches!(fact, Fact::Alarm { code, .. } if code == "F0901")).count();
    assert_eq!(alarms, 1, "one alarm for one return");
}

#[test]
fn a_reboot_is_no_failover() {
    let mut world = up(3);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.resets += 1;
    m1.ready_at = world.now + 9_000;
    world.run(30_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id::<MachineId>("m1"));
    assert!(world.facts.iter().any(|fact| matches!(fact, Fact::Suspected { symptom, .. } if symptom == "rebooting")));
}

#[test]
fn a_blind_controller_does_nothing() {
    let mut world = up(3);
    world.canaries = false;
    world.run(1_000);
    world.power_off(&id("m1"));
    world.run(30_000);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0201"));
    world.canaries = true;
    world.run_until_served("web1", "m3", 20_000);
}

fn moved(world: &World) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Owned(o) if o.from.is_some())).count()
}

#[test]
fn many_at_once_are_held_by_the_guard_as_long_as_it_is_dark() {
    let mut world = up(8);
    for n in 1..=6 {
        world.power_off(&id(&format!("m{n}")));
    }
    for minute in 0..15 {
        world.run(60_000);
        assert_eq!(moved(&world), 0, "minute {minute}: {}", world.story());
        assert!((1..=6).all(|n| held(&world, &format!("web{n}")).as_deref() == Some("F0202")), "minute {minute}");
    }
}

/// Eight machines, of which `m1` and `m2` stand in one rack.
fn racked() -> World {
    let mut world = up(8);
    world.estate.machines.get_mut(&id::<MachineId>("m2")).unwrap().rack = id("r1");
    world.boot_core();
    world.run(2_000);
    world
}

#[test]
fn a_dark_rack_is_held_until_one_of_it_is_well() {
    let mut world = racked();
    world.power_off(&id("m1"));
    world.power_off(&id("m2"));
    world.run(900_000);
    assert_eq!(moved(&world), 0, "{}", world.story());
    assert_eq!(held(&world, "web1").as_deref(), Some("F0202"));
    world.power_on(&id("m2"));
    world.run_until_served("web1", "m8", 150_000);
}

#[test]
fn those_that_blipped_minutes_ago_count_by_their_last_symptom() {
    let mut world = racked();
    world.power_off(&id("m2"));
    world.run(600);
    world.power_on(&id("m2"));
    world.run(110_000);
    world.power_off(&id("m2"));
    world.run(600);
    world.power_on(&id("m2"));
    world.run(30_000);
    world.power_off(&id("m1"));
    world.run(20_000);
    assert_eq!(moved(&world), 0, "m2 was suspect half a minute ago:\n{}", world.story());
    assert_eq!(held(&world, "web1").as_deref(), Some("F0202"));
}

#[test]
fn a_spare_that_hangs_is_fenced_and_the_next_one_tried() {
    let mut world = World::with_spares(4, 2);
    world.start_servers();
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().hangs = true;
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m4", 120_000);
    let failed =
        |fact: &Fact| matches!(fact, Fact::Closed { result: Err(ended), .. } if ended.code == "F0801" && ended.target_failed);
    assert_eq!(world.facts.iter().filter(|fact| failed(fact)).count(), 1, "{}", world.story());
    for machine in ["m1", "m3"] {
        assert!(matches!(world.state().ledger.standing(&id(machine)), Standing::Quarantined { .. }), "{machine}");
    }
    assert_eq!(world.machines[&id::<MachineId>("m3")].power, vocabulary::power::PowerState::Off);
    assert!(world.state().ledger.orders.is_empty());
}

#[test]
fn a_spare_that_hangs_is_not_forgotten_over_a_restart_or_for_want_of_another() {
    let mut world = up(3);
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().hangs = true;
    world.power_off(&id("m1"));
    world.run(60_000);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0401"), "{}", world.story());
    world.boot_core();
    world.run(5_000);
    let ticket = world.intent(Intent::ReleaseMachine { machine: id("m1") });
    assert!(world.replies[&ticket].is_ok(), "{:?}", world.replies[&ticket]);
    world.run_until_served("web1", "m1", 60_000);
    assert!(matches!(world.state().ledger.standing(&id("m3")), Standing::Quarantined { .. }));
}

/// A BMC without a free session gives none: each request carries the account, and nothing is unbroken (F1013).
#[test]
fn a_release_that_finds_no_unbroken_session_says_so() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 60_000);
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    for _ in 0..2_500 {
        world.machines.get_mut(&id::<MachineId>("m1")).unwrap().session += 1;
        world.run(50);
    }
    let Some(Fact::Closed { result: Err(ended), .. }) = world.facts.iter().rfind(|fact| matches!(fact, Fact::Closed { .. }))
    else {
        panic!("{}", world.story())
    };
    assert_eq!(ended.code, "F0904");
    assert!(ended.reason.contains("no two readings of it are on one unbroken session"), "{}", ended.reason);
}

#[test]
fn a_machine_that_only_ever_boots_is_not_rebooting_for_ever() {
    let mut world = up(3);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    for sequence in 0..100 {
        let contact = BootContact { sequence, machine: id("m1"), step: BootStep::Dhcp, epoch: None, at: WallTime(0) };
        world.tell(What::Observed(Observation::Contact { service: id("boot1"), contact }));
        world.run(1_000);
    }
    assert_eq!(moved(&world), 1, "{}", world.story());
}

#[test]
fn a_server_without_volumes_is_never_moved() {
    let mut world = up(3);
    world.estate.servers.get_mut(&id::<ServerId>("web1")).unwrap().volumes.clear();
    world.boot_core();
    world.power_off(&id("m1"));
    world.run(20_000);
    assert_eq!(moved(&world), 0, "{}", world.story());
    assert_eq!(held(&world, "web1").as_deref(), Some("F0404"));
    // nor placed, if its volumes go while its plan is on the way: no list of volumes is S
    let mut world = World::new(3);
    world.intent(Intent::StartServer { server: id("web1") });
    world.estate.servers.get_mut(&id::<ServerId>("web1")).unwrap().volumes.clear();
    let estate = world.estate.clone();
    world.tell(What::EstateLoaded(std::sync::Arc::new(estate)));
    world.run(5_000);
    assert!(!world.facts.iter().any(|fact| matches!(fact, Fact::Owned(_))), "{}", world.story());
}

#[test]
fn a_part_of_a_proof_is_as_old_as_its_question() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    world.run(1_500);
    world.latency = 4_000;
    world.run(500);
    let (mut seen, mut asked) = (0, std::collections::BTreeMap::new());
    for _ in 0..200 {
        world.run(50);
        let now = world.now;
        for work in world.state().works.values() {
            for (key, task) in &work.tasks {
                match task.progress {
                    Progress::InFlight(op, at) => {
                        asked.insert((work.plan.id(), key.clone()), (op, at));
                    }
                    Progress::Confirmed(at) if matches!(key, Key::Port(..) | Key::Volume(_) | Key::Permit(..)) => {
                        let Some((_, question)) = asked.get(&(work.plan.id(), key.clone())) else { continue };
                        assert_eq!(at, *question, "{key:?} at {now}");
                        seen += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(seen > 0, "{}", world.story());
}

#[test]
fn a_restart_at_any_record_of_a_failover_completes_it_once() {
    let mut reference = up(3);
    let before = reference.records.len();
    reference.power_off(&id("m1"));
    reference.run_until_served("web1", "m3", 20_000);
    let length = reference.records.len();
    for crash_at in before + 1..length {
        let mut world = up(3);
        assert_eq!(world.records.len(), before);
        world.power_off(&id("m1"));
        while world.records.len() < crash_at {
            world.run(1);
        }
        world.boot_core();
        world.run_until_served("web1", "m3", 90_000);
        let owned = world.facts.iter().filter(|fact| matches!(fact, Fact::Owned(o) if o.from.is_some())).count();
        assert_eq!(owned, 1, "crash at record {crash_at}");
        assert_eq!(world.machines[&id::<MachineId>("m3")].resets, 1, "powered on once; crash at record {crash_at}");
        let breaches = pipeline::invariants::stream_breaches(world.facts.iter());
        assert!(breaches.is_empty(), "{breaches:?}");
    }
}

#[test]
fn a_restart_at_any_record_of_a_first_start_completes_it() {
    let mut reference = World::new(3);
    let before = reference.records.len();
    reference.intent(Intent::StartServer { server: id("web1") });
    reference.run_until_served("web1", "m1", 20_000);
    for crash_at in before + 1..reference.records.len() {
        let mut world = World::new(3);
        world.intent(Intent::StartServer { server: id("web1") });
        while world.records.len() < crash_at {
            world.run(1);
        }
        world.boot_core();
        world.run_until_served("web1", "m1", 60_000);
        assert_eq!(world.machines[&id::<MachineId>("m1")].resets, 1, "powered on once; crash at record {crash_at}");
    }
}

#[test]
fn lost_answers_do_not_harm() {
    for lost in 1..12 {
        let mut world = up(3);
        world.power_off(&id("m1"));
        world.run(1_200);
        world.lost_answers = lost;
        world.run_until_served("web1", "m3", 60_000);
        assert_eq!(world.machines[&id::<MachineId>("m3")].resets, 1);
    }
}

#[test]
fn stop_and_start_again_in_place() {
    let mut world = up(3);
    world.intent(Intent::StopServer { server: id("web1") });
    world.run(5_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, vocabulary::power::PowerState::Off);
    world.run(10_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id::<MachineId>("m1"), "a stop is no failure");
    world.intent(Intent::StartServer { server: id("web1") });
    world.run_until_served("web1", "m1", 20_000);
    assert_eq!(estate::servers(3).len(), 2);
}

#[test]
fn a_server_that_does_not_stop_is_watched_on() {
    let mut world = up(3);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().stuck = true;
    world.intent(Intent::StopServer { server: id("web1") });
    world.run(130_000);
    let ended = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Closed { result: Err(ended), .. } => Some(ended.code.clone()),
        _ => None,
    });
    assert_eq!(ended.as_deref(), Some("F0702"), "{}", world.story());
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
}

#[test]
fn a_failover_of_the_future_holds_nothing() {
    let mut world = up(4);
    // the clock is an hour ahead while the first failover is made, and is put right then
    world.wall_ahead = 3_600_000;
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m4", 20_000);
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(10_000);
    world.wall_ahead = 0;
    world.power_off(&id("m4"));
    world.run_until_served("web1", "m1", 20_000);
}

#[test]
fn a_failure_that_passes_is_told_of_no_more() {
    let mut world = up(3);
    world.canaries = false;
    world.run(1_000);
    world.power_off(&id("m1"));
    world.run(10_000);
    assert!(held(&world, "web1").is_some(), "{}", world.story());
    world.power_on(&id("m1"));
    world.canaries = true;
    world.run(30_000);
    let row = &world.state().ledger.servers[&id::<ServerId>("web1")];
    assert_eq!(row.verdict, None, "{}", world.story());
}

#[test]
fn the_dry_run_has_the_hash_of_the_plan() {
    let mut world = up(3);
    world.power_off(&id("m1"));
    let dry = pipeline::s4_place::failover(world.state(), &id("web1"), Instant(world.now)).unwrap();
    world.run_until_served("web1", "m3", 20_000);
    let sealed = world.state().ledger.plans.values().find(|row| row.plan.body().kind == pipeline::plan::Kind::Failover).unwrap();
    assert_eq!(sealed.plan.hash(), dry.hash());
}
