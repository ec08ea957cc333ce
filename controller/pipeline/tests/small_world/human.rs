//! Set H by example: the word of persons who stand before a machine stands for a proof by power, for a while and for nothing else, and no longer than
//! the machine shows no sign of life. The world judges after every event that no server is effective twice.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::{Intent, Observation, What};
use pipeline::ledger::CONSENT_HOLDS;
use pipeline::record::{Consent, Fact, Found};
use pipeline::work::limits::{PROOF_PATIENCE, WORD_SETTLE};
use vocabulary::boot::{BootContact, BootStep};
use vocabulary::estate::{Mode, ProofChoice};
use vocabulary::storage::VolumeReading;
use vocabulary::*;

/// Until a dead machine's failover waits for its proof and for nothing else.
const STUCK_MS: u64 = 40_000;

/// m1 hangs, its BMC is gone, and the switch keeps no bar over its restart: neither P nor N can be had, and nobody has entered an outlet.
fn stuck() -> World {
    let mut world = World::new(3);
    world.start_servers();
    unprovable(&mut world);
    world
}

fn unprovable(world: &mut World) {
    world.unsaved = true;
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.frozen, m1.bmc_dead) = (true, true);
    world.run(STUCK_MS);
    assert!(world.state().ledger.open_plan_of(&id("web1")).is_some(), "{}", world.story());
    assert!(!moved(world), "{}", world.story());
}

fn moved(world: &World) -> bool {
    world.state().ledger.placement(&id("web1")).unwrap().machine != id("m1")
}

fn word(found: Found) -> Intent {
    Intent::ConfirmOff { machine: id("m1"), serial: "s-m1 ".into(), found, reason: "both cords pulled".into() }
}

fn said_by(world: &mut World, principal: &str, intent: Intent) -> Result<(), u16> {
    let ticket = world.intent_of(principal, intent);
    world.replies[&ticket].clone().map(drop).map_err(|fault| fault.code.0)
}

fn said(world: &mut World, found: Found) -> Result<(), u16> {
    said_by(world, "uid 0", word(found))
}

/// What a person does who means what he says.
fn unplug(world: &mut World) {
    world.power_off(&id("m1"));
}

fn words(world: &World) -> usize {
    world.state().ledger.consents.iter().filter(|given| matches!(given.to, Consent::Off { .. })).count()
}

/// What the agent of web1's volume says of it.
fn volume_of(world: &World) -> VolumeReading {
    VolumeReading {
        volume: VolumeId { storage: id("store1"), volume: id("web1-root") },
        allowed: Vec::new(),
        open_to_others: false,
        sessions: Vec::new(),
        in_flight: Some(0),
        exports: 1,
        operations: None,
        persistent: true,
        read_at: WallTime(world.wall()),
    }
}

fn alarms(world: &World, wanted: &str) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Alarm { code, .. } if code == wanted)).count()
}

#[test]
fn persons_prove_dead_what_nothing_else_can() {
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.run(WORD_SETTLE.0 - 500);
    assert_eq!(words(&world), 1);
    assert!(!moved(&world), "it is looked for at its ports first: {}", world.story());
    world.run_until_served("web1", "m3", 30_000);
    let proven = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Proven { sets, evidence, .. } if sets.iter().any(|set| set == "H") => Some((sets.clone(), evidence.join("; "))),
        _ => None,
    });
    let (sets, evidence) = proven.unwrap_or_else(|| panic!("{}", world.story()));
    assert_eq!(sets, ["H", "S"]);
    assert!(evidence.contains("m1: unplugged by the word of uid 0; no sign of life since, 3 of its ports"), "{evidence}");
    let orders: Vec<String> = world.state().ledger.orders.keys().map(|(_, machine, what)| format!("{machine} {what}")).collect();
    assert!(orders.contains(&"m1 power off".to_owned()), "a word switches nothing off: {orders:?}");
    assert!(pipeline::invariants::stream_breaches(world.facts.iter()).is_empty());
}

#[test]
fn a_failover_that_waits_for_its_proof_is_told_once_with_what_is_missing() {
    let mut world = stuck();
    world.run(2 * PROOF_PATIENCE.0);
    assert_eq!(alarms(&world, "F0313"), 1);
    let told = world.story();
    assert!(
        told.contains("waits for a proof that m1 cannot touch web1 any more: m1: ") && told.contains("m1: power off ("),
        "{told}"
    );
    assert!(told.contains("m1: bar sw1/") && told.contains("start-up configuration"), "{told}");
}

#[test]
fn a_word_is_taken_for_the_box_whose_number_was_read_and_only_while_it_is_needed() {
    let mut world = World::new(3);
    world.start_servers();
    assert_eq!(said(&mut world, Found::Off), Err(311), "nothing waits for it");
    unprovable(&mut world);
    let of = |machine: &str, serial: &str| Intent::ConfirmOff {
        machine: id(machine),
        serial: serial.into(),
        found: Found::Off,
        reason: "its lamp is dark".into(),
    };
    let unsaid = Intent::ConfirmOff { machine: id("m1"), serial: "S-m1".into(), found: Found::Off, reason: " ".into() };
    assert_eq!(said_by(&mut world, "uid 0", unsaid), Err(73));
    assert_eq!(said_by(&mut world, "uid 0", of("m1", "S-m2")), Err(312), "it was read off another box");
    assert_eq!(said_by(&mut world, "uid 0", of("m1", "")), Err(312));
    assert_eq!(said_by(&mut world, "uid 0", of("m2", "S-m2")), Err(311), "m2 is well");
    assert_eq!(said_by(&mut world, "uid 0", of("m9", "S-m9")), Err(54));
    assert_eq!(words(&world), 0);
    world.estate.settings.fencing.proof = ProofChoice::PowerOnly;
    world.boot_core();
    world.run(2_000);
    assert_eq!(said(&mut world, Found::Off), Err(311), "the estate leaves people out");
}

#[test]
fn two_people_say_it_where_the_estate_says_so() {
    let mut world = World::new(3);
    world.lab = false;
    world.estate.settings.consent.people = 2;
    world.boot_core();
    said_by(&mut world, "uid 0", Intent::SetTierMode { tier: id("gold"), mode: Mode::Auto }).unwrap();
    world.run(2_000);
    world.start_servers();
    unprovable(&mut world);
    unplug(&mut world);
    said(&mut world, Found::Off).unwrap();
    said(&mut world, Found::Unplugged).unwrap();
    world.run(20_000);
    assert!(!moved(&world), "one person is one, however often he says it: {}", world.story());
    said_by(&mut world, "uid 1", word(Found::Unplugged)).unwrap();
    world.run_until_served("web1", "m3", 30_000);
}

#[test]
fn a_sign_of_life_ends_the_word() {
    let back = |world: &mut World| world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    // he stands before another box: m1 runs on, and its BMC is heard again
    let mut world = stuck();
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().stuck = true;
    said(&mut world, Found::Off).unwrap();
    back(&mut world);
    world.run(20_000);
    assert!(!moved(&world) && words(&world) == 0, "{}", world.story());
    assert_eq!(alarms(&world, "F0310"), 1, "{}", world.story());
    // a box without mains has no BMC that answers, whatever it says
    let mut world = stuck();
    unplug(&mut world);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().wrong_serial = true;
    said(&mut world, Found::Removed).unwrap();
    back(&mut world);
    world.run(3_000);
    assert_eq!(words(&world), 1, "another box answers there");
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Removed).unwrap();
    back(&mut world);
    world.run(3_000);
    assert_eq!((words(&world), alarms(&world, "F0310")), (0, 1), "{}", world.story());
    // it sends
    let mut world = stuck();
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().chatty = true;
    said(&mut world, Found::Unplugged).unwrap();
    world.run(20_000);
    assert!(!moved(&world) && words(&world) == 0, "{}", world.story());
    // it writes: the agent of its volume was away, so that it could
    let mut world = World::new(3);
    world.start_servers();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    unprovable(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.dead_agents.clear();
    for operations in [7, 7, 8] {
        let reading = VolumeReading { operations: Some(operations), ..volume_of(&world) };
        world.tell(What::Observed(Observation::Volume { volume: reading.volume.clone(), reading: Ok(reading) }));
        world.run(50);
    }
    assert_eq!(words(&world), 0, "{}", world.story());
    // it is answered for
    let mut world = stuck();
    said(&mut world, Found::Unplugged).unwrap();
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = false;
    world.run(20_000);
    assert!(!moved(&world) && words(&world) == 0, "{}", world.story());
    // it asks for its image
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    let contact = |at: u64| {
        let contact = BootContact { sequence: 1, machine: id("m1"), step: BootStep::Dhcp, epoch: None, at: WallTime(at) };
        What::Observed(Observation::Contact { service: id("boot1"), contact })
    };
    world.tell(contact(world.wall() - 600_000));
    assert_eq!(words(&world), 1, "the boot service tells of yesterday");
    world.tell(contact(world.wall()));
    assert_eq!(words(&world), 0);
}

#[test]
fn a_word_replaces_power_and_nothing_else() {
    let mut world = World::new(3);
    world.start_servers();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    unprovable(&mut world);
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.run(60_000);
    assert!(!moved(&world), "its volume is not revoked: {}", world.story());
    world.run(CONSENT_HOLDS.0);
    world.dead_agents.clear();
    world.run(60_000);
    assert!(!moved(&world), "the word is too old by now: {}", world.story());
    said(&mut world, Found::Unplugged).unwrap();
    world.run_until_served("web1", "m3", 60_000);
}

#[test]
fn a_word_outlives_the_controller_and_not_the_next_use_of_the_machine() {
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.boot_core();
    world.run_until_served("web1", "m3", 60_000);
    assert_eq!(words(&world), 1);
    world.unsaved = false;
    world.run(20_000);
    assert_eq!(words(&world), 1, "nothing was seen of it");
    let ticket = world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.replies[&ticket].clone().unwrap_or_else(|fault| panic!("{fault}: {}", world.story()));
    assert_eq!(words(&world), 0, "what is used again will not stay off");
}

#[test]
fn plugged_in_again_after_the_failover_it_alarms_nobody_by_the_word() {
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.run_until_served("web1", "m3", 60_000);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.run(20_000);
    assert_eq!((words(&world), alarms(&world, "F0310")), (0, 0), "{}", world.story());
}

#[test]
fn a_word_is_of_one_death_and_not_of_the_next() {
    let mut world = stuck();
    said(&mut world, Found::Off).unwrap();
    // it was another box: m1 comes to itself and is given back what it had not lost
    let abort = Intent::AbortFailover { server: id("web1"), reason: "it answers".into() };
    let begun = said_by(&mut world, "uid 0", abort);
    assert_eq!(begun, Err(307), "there is only forward once the fence has begun");
    // a second failover within its time looks for the machine anew before the word counts
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.run_until_served("web1", "m3", 60_000);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.power, m1.chatty) = (power::PowerState::On, true);
    let m3 = world.machines.get_mut(&id::<MachineId>("m3")).unwrap();
    (m3.frozen, m3.bmc_dead) = (true, true);
    world.run(STUCK_MS);
    let of_m3 = Intent::ConfirmOff { machine: id("m3"), serial: "S-m3".into(), found: Found::Unplugged, reason: "pulled".into() };
    world.power_off(&id("m3"));
    let _ = said_by(&mut world, "uid 0", of_m3);
    world.run(20_000);
    let placed = world.state().ledger.placement(&id("web1")).unwrap().machine.clone();
    assert_eq!(placed, id("m3"), "{}", world.story());
}

#[test]
fn a_clock_that_was_set_back_makes_no_word_younger() {
    let mut world = World::new(3);
    world.start_servers();
    world.wall_ahead = 3_600_000;
    world.dead_agents.insert(Agent::Storage(id("store1")));
    unprovable(&mut world);
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    // ten minutes later the controller starts again, on a clock that lost them
    world.run(CONSENT_HOLDS.0 - 240_000);
    world.wall_ahead -= CONSENT_HOLDS.0 - 240_000;
    world.boot_core();
    world.run(300_000);
    world.dead_agents.clear();
    world.run(60_000);
    assert!(!moved(&world), "{}", world.story());
}

#[test]
fn a_word_that_is_nearly_over_moves_nothing() {
    let mut world = World::new(3);
    world.start_servers();
    world.dead_agents.insert(Agent::Storage(id("store1")));
    unprovable(&mut world);
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.run(CONSENT_HOLDS.0 - 60_000);
    world.dead_agents.clear();
    world.run(30_000);
    assert!(!moved(&world), "{}", world.story());
    said(&mut world, Found::Unplugged).unwrap();
    world.run_until_served("web1", "m3", 60_000);
}

#[test]
fn what_an_older_store_was_told_is_worth_nothing() {
    let mut world = stuck();
    unplug(&mut world);
    said(&mut world, Found::Unplugged).unwrap();
    world.back_up();
    world.restore();
    assert_eq!(words(&world), 0);
}
