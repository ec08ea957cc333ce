//! Set O by example: outlets that were seen to darken a machine prove it dead when its BMC cannot; others prove nothing. The world judges
//! after every event that no server is effective twice.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ledger::Standing;
use pipeline::record::Fact;
use std::collections::BTreeSet;
use vocabulary::power::PowerState;
use vocabulary::request::Resource;
use vocabulary::*;

/// Long enough for a trial: load, cut, silence, return.
const TRIAL_MS: u64 = 60_000;

/// Two machines that bear and a spare, m1 fed by two outlets, the others by one; documents and cords agree unless changed.
fn plugged() -> World {
    let mut world = World::new(3);
    world.plug("m1", &["pdu1/1", "pdu2/1"]);
    world.plug("m2", &["pdu1/2"]);
    world.plug("m3", &["pdu1/3"]);
    world
}

fn taken_in(mut world: World) -> World {
    world.take_in();
    world.run(TRIAL_MS);
    world
}

fn up() -> World {
    let mut world = taken_in(plugged());
    world.start_servers();
    world
}

fn tried(world: &World, machine: &str) -> BTreeSet<OutletId> {
    world.state().ledger.machines[&id::<MachineId>(machine)].enrolled.as_ref().unwrap().outlets.clone()
}

fn sets(world: &World) -> Vec<String> {
    let proven = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Proven { sets, machines, .. } if !machines.is_empty() => Some(sets.clone()),
        _ => None,
    });
    proven.unwrap_or_else(|| panic!("{}", world.story()))
}

fn closed(world: &World, machine: &str) -> String {
    let of = |plan: &PlanId| world.state().ledger.plans[plan].plan.target().as_str() == machine;
    let closed = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Closed { plan, result } if of(plan) => Some(format!("{result:?}")),
        _ => None,
    });
    closed.unwrap_or_else(|| panic!("{}", world.story()))
}

/// N cannot stand: the switch keeps no bar over its restart.
fn without_n(world: &mut World) {
    world.unsaved = true;
}

/// The machine hangs, and its BMC is gone.
fn hang_without_bmc(world: &mut World, machine: &str) {
    let machine = world.machines.get_mut(&id::<MachineId>(machine)).unwrap();
    (machine.frozen, machine.bmc_dead) = (true, true);
}

#[test]
fn an_enrolment_sees_a_machine_go_dark_and_come_back() {
    let world = taken_in(plugged());
    assert_eq!(tried(&world, "m1"), BTreeSet::from([id("pdu1/1"), id("pdu2/1")]), "{}", world.story());
    assert_eq!(tried(&world, "m3"), BTreeSet::from([id("pdu1/3")]));
    assert!(world.outlets.off.is_empty(), "all are on again");
    assert!(world.outlets.stays_off.is_empty() && world.state().ledger.open_plans().next().is_none(), "{}", world.story());
    assert!(closed(&world, "m1").contains("goes dark by its outlets"), "{}", closed(&world, "m1"));
}

#[test]
fn outlets_prove_dead_what_neither_bmc_nor_switch_can() {
    let mut world = up();
    without_n(&mut world);
    hang_without_bmc(&mut world, "m1");
    world.run_until_served("web1", "m3", 60_000);
    assert_eq!(sets(&world), ["O", "S"]);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, PowerState::Off);
    let orders: Vec<String> = world.state().ledger.orders.keys().map(|(_, machine, what)| format!("{machine} {what}")).collect();
    assert!(orders.iter().all(|order| order.contains("bar sw1")), "its power is off by its outlets: {orders:?}");
    assert!(pipeline::invariants::stream_breaches(world.facts.iter()).is_empty());
}

#[test]
fn without_outlets_the_same_failover_waits() {
    let mut world = World::new(3);
    world.start_servers();
    without_n(&mut world);
    hang_without_bmc(&mut world, "m1");
    world.run(120_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id("m1"), "{}", world.story());
}

#[test]
fn a_bmc_that_does_it_keeps_its_mains() {
    let mut world = up();
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = true;
    let before = world.outlets.switched.clone();
    world.run_until_served("web1", "m3", 30_000);
    world.run(60_000);
    assert_eq!(world.outlets.switched, before, "no outlet was touched");
}

#[test]
fn a_machine_that_does_not_go_off_is_cut_off() {
    let mut world = up();
    without_n(&mut world);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.frozen, m1.stuck) = (true, true);
    world.run_until_served("web1", "m3", 120_000);
    assert_eq!(sets(&world), ["O", "S"]);
    assert!(world.outlets.off.contains(&id("pdu1/1")) && world.outlets.off.contains(&id("pdu2/1")));
}

#[test]
fn one_outlet_of_two_is_no_proof() {
    let mut world = up();
    without_n(&mut world);
    world.outlets.stuck.insert(id("pdu2/1"));
    hang_without_bmc(&mut world, "m1");
    world.run(120_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id("m1"), "{}", world.story());
}

#[test]
fn outlets_that_are_not_the_machines_are_found_out_before_they_are_needed() {
    // m1's document names m2's outlet, and m2's names m1's first
    let mut world = plugged();
    world.outlets.cords.insert(id("m2"), vec![id("pdu1/1")]);
    world.outlets.cords.insert(id("m1"), vec![id("pdu1/2"), id("pdu2/1")]);
    let mut world = taken_in(world);
    assert!(tried(&world, "m1").is_empty(), "{}", world.story());
    assert!(closed(&world, "m1").contains("something else feeds it"), "{}", closed(&world, "m1"));
    assert!(world.outlets.off.is_empty(), "all are on again: {}", world.story());
    world.run(1_000);
    let doubted = world.state().ledger.machines.values().filter(|row| row.outlets_cut.is_some()).count();
    assert_eq!(doubted, 0, "nothing is left cut");
}

#[test]
fn what_carries_a_running_machine_is_not_tried() {
    // m3's document names the outlet of m2, which runs
    let mut world = World::new(3);
    world.plug("m2", &["pdu1/2"]);
    world.plug("m3", &["pdu1/3"]);
    world.estate.machines.get_mut(&id::<MachineId>("m2")).unwrap().outlets.clear();
    world.estate.machines.get_mut(&id::<MachineId>("m3")).unwrap().outlets = vec![id("pdu1/2")];
    world.machines.get_mut(&id::<MachineId>("m2")).unwrap().power = PowerState::On;
    let world = taken_in(world);
    assert!(closed(&world, "m3").contains("240 W"), "{}", closed(&world, "m3"));
    assert_eq!(world.machines[&id::<MachineId>("m2")].power, PowerState::On, "nobody has lost its power");
}

#[test]
fn a_list_that_lacks_a_power_supply_proves_nothing() {
    for counted in [Some(2), None] {
        let mut world = plugged();
        world.estate.machines.get_mut(&id::<MachineId>("m1")).unwrap().outlets.pop();
        world.outlets.supplies = counted.map(|count| (id("m1"), count)).into_iter().collect();
        let world = taken_in(world);
        assert!(tried(&world, "m1").is_empty(), "{}", world.story());
        let why = if counted.is_some() { "counts 2 power supplies" } else { "something else feeds it" };
        assert!(closed(&world, "m1").contains(why), "{}", closed(&world, "m1"));
        assert!(world.outlets.off.is_empty(), "{}", world.story());
    }
}

#[test]
fn a_machine_that_lives_on_without_its_outlets_is_not_proven_dead() {
    let mut world = up();
    without_n(&mut world);
    // somebody has moved its cords since
    world.outlets.cords.insert(id("m1"), vec![id("pdu1/7")]);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.frozen, m1.stuck) = (true, true);
    world.run(120_000);
    assert_eq!(world.state().ledger.placement(&id("web1")).unwrap().machine, id("m1"), "{}", world.story());
    assert!(tried(&world, "m1").is_empty(), "they prove nothing any more: {}", world.story());
    let told = world.facts.iter().filter(|fact| matches!(fact, Fact::Alarm { code, .. } if code == "F0309")).count();
    assert_eq!(told, 1, "{}", world.story());
    // what hangs there in truth has its power back
    assert!(
        world.outlets.off.is_empty() && !world.barred.iter().any(|one| matches!(one, Resource::Outlet(_))),
        "{}",
        world.story()
    );
    assert_eq!(world.state().ledger.machines[&id::<MachineId>("m1")].outlets_cut, None);
}

#[test]
fn a_controller_that_dies_before_it_has_given_outlets_back_gives_them_back() {
    let mut world = up();
    without_n(&mut world);
    world.outlets.cords.insert(id("m1"), vec![id("pdu1/7")]);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.frozen, m1.stuck) = (true, true);
    for _ in 0..120_000 {
        world.run(1);
        if tried(&world, "m1").is_empty() {
            break;
        }
    }
    assert_eq!(world.outlets.off.len(), 2, "they are cut still: {}", world.story());
    world.boot_core();
    world.run(30_000);
    assert!(world.outlets.off.is_empty(), "{}", world.story());
    assert_eq!(world.state().ledger.machines[&id::<MachineId>("m1")].outlets_cut, None);
}

#[test]
fn outlets_that_were_cut_in_vain_are_given_back_after_the_plan_has_closed_and_the_controller_has_died() {
    let mut world = up();
    without_n(&mut world);
    world.outlets.cords.insert(id("m1"), vec![id("pdu1/7")]);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    (m1.frozen, m1.stuck) = (true, true);
    for _ in 0..120_000 {
        world.run(1);
        if tried(&world, "m1").is_empty() {
            break;
        }
    }
    // the units' agents are away until all else is over
    let units = ["pdu1", "pdu2"].map(|unit| Agent::Outlets(id(unit)));
    world.dead_agents.extend(units.clone());
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().stuck = false;
    world.unsaved = false;
    world.run_until_served("web1", "m3", 120_000);
    world.run(60_000);
    let orders = &world.state().ledger.orders;
    assert!(orders.is_empty() && !world.outlets.off.is_empty(), "{orders:?} {:?}", world.outlets.off);
    world.boot_core();
    world.run(10_000);
    assert!(!world.outlets.off.is_empty());
    world.dead_agents.clear();
    world.run(60_000);
    assert!(world.outlets.off.is_empty(), "{}", world.story());
    assert_eq!(world.state().ledger.machines[&id::<MachineId>("m1")].outlets_cut, None);
    assert!(world.state().works.is_empty(), "nothing is left to do");
}

#[test]
fn a_finger_on_an_outlet_makes_the_proof_begin_anew_and_no_more() {
    let mut world = up();
    without_n(&mut world);
    hang_without_bmc(&mut world, "m1");
    for _ in 0..300 {
        world.run(100);
        if world.outlets.off.len() == 2 {
            break;
        }
    }
    assert_eq!(world.outlets.off.len(), 2, "{}", world.story());
    // its BMC was only out of reach, and answers as soon as it has mains
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.switch_outlet(&id("pdu1/1"), true);
    world.run(6_000);
    world.switch_outlet(&id("pdu1/1"), false);
    world.run_until_served("web1", "m3", 60_000);
    assert_eq!(tried(&world, "m1").len(), 2, "a finger is no wrong cord: {}", world.story());
}

#[test]
fn a_release_gives_a_machine_its_mains_back() {
    let mut world = up();
    without_n(&mut world);
    hang_without_bmc(&mut world, "m1");
    world.run_until_served("web1", "m3", 60_000);
    world.unsaved = false;
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.run(10_000);
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }));
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(60_000);
    assert_eq!(world.state().ledger.standing(&id("m1")), Standing::Free, "{}", world.story());
    assert!(world.outlets.off.is_empty());
    assert_eq!(tried(&world, "m1").len(), 2, "it was not tried in vain");
    assert_eq!(world.state().ledger.machines[&id::<MachineId>("m1")].outlets_cut, None);
}

#[test]
fn a_controller_that_dies_while_it_cuts_goes_on() {
    let mut reached = 0;
    for after in (0..40_000).step_by(1_000) {
        let mut world = up();
        without_n(&mut world);
        hang_without_bmc(&mut world, "m1");
        world.run(after);
        let cutting = world.state().ledger.machines[&id::<MachineId>("m1")].outlets_cut.is_some();
        reached += usize::from(cutting && world.state().ledger.open_plans().next().is_some());
        world.boot_core();
        world.run_until_served("web1", "m3", 90_000);
        assert_eq!(sets(&world).last().map(String::as_str), Some("S"), "{}", world.story());
        assert!(pipeline::invariants::stream_breaches(world.facts.iter()).is_empty());
    }
    assert!(reached >= 3, "the restart fell into the cutting {reached} times");
}

#[test]
fn a_controller_that_dies_in_a_trial_feeds_what_it_cut() {
    let mut reached = 0;
    for after in (0..30_000).step_by(500) {
        let mut world = plugged();
        world.boot_core();
        world.intent(Intent::EnrolMachine { machine: id("m1") });
        world.run(after);
        reached += usize::from(!world.outlets.off.is_empty());
        world.boot_core();
        world.run(TRIAL_MS);
        assert!(world.outlets.off.is_empty(), "after {after} ms: {}", world.story());
        assert_eq!(tried(&world, "m1").len(), 2, "after {after} ms: {}", world.story());
    }
    assert!(reached >= 5, "the restart fell into the darkness {reached} times");
}
