//! A machine that is off sends nothing: a frame of it after its BMC's first Off makes that Off a lie, and the power proof void.

use crate::common::{Box_, World, id};
use pipeline::effect::Agent;
use pipeline::record::Fact;
use vocabulary::*;

fn m1(world: &mut World) -> &mut Box_ {
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap()
}

/// A world in which m1's service hangs, its BMC lies, and N never stands, since no bar of the switch is saved.
fn lying() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world.unsaved = true;
    let box_ = m1(&mut world);
    (box_.frozen, box_.lies_off, box_.stuck) = (true, true, true);
    world
}

fn home(world: &World) -> String {
    world.state().ledger.placement(&id("web1")).unwrap().machine.to_string()
}

fn alarms(world: &World) -> Vec<String> {
    let text = |fact: &Fact| match fact {
        Fact::Alarm { code, text, .. } if code == "F0305" => Some(text.clone()),
        _ => None,
    };
    world.facts.iter().filter_map(text).collect()
}

/// What the first failover's proof of m1 says.
fn proof(world: &World) -> (Vec<String>, String) {
    let proven = world.facts.iter().find_map(|fact| match fact {
        Fact::Proven { sets, machines, evidence, .. } if !machines.is_empty() => Some((sets.clone(), evidence.join("; "))),
        _ => None,
    });
    proven.unwrap_or_else(|| panic!("nothing is proven:\n{}", world.story()))
}

#[test]
fn frames_after_off_void_the_power_proof_until_they_end() {
    let mut world = lying();
    m1(&mut world).chatty = true;
    world.run(30_000);
    assert_eq!(home(&world), "m1", "{}", world.story());
    let told = alarms(&world);
    assert_eq!(told.len(), 1, "one alarm a plan: {told:?}");
    assert!(told[0].contains("frames came in at sw1/m1-"), "{told:?}");
    // its plugs are pulled: P is begun anew and stands
    world.power_off(&id("m1"));
    world.run(10_000);
    let (sets, evidence) = proof(&world);
    assert_eq!(sets, ["P", "S"]);
    assert!(evidence.contains("nothing heard at 3 ports meanwhile"), "{evidence}");
}

#[test]
fn a_silent_machine_is_proven_by_power() {
    let mut world = lying();
    m1(&mut world).stuck = false;
    world.run(5_000);
    let (sets, evidence) = proof(&world);
    assert_eq!(sets, ["P", "S"]);
    assert!(evidence.contains("nothing heard at 3 ports meanwhile"), "{evidence}");
    assert!(alarms(&world).is_empty());
}

#[test]
fn a_bmc_that_shares_the_port_is_no_sign_of_life() {
    let mut world = lying();
    m1(&mut world).stuck = false;
    m1(&mut world).sideband = true;
    world.run(5_000);
    assert_eq!(proof(&world).0, ["P", "S"], "the BMC's own frames are not the machine's");
    assert!(alarms(&world).is_empty(), "{:?}", alarms(&world));
}

#[test]
fn a_data_address_learnt_anew_is_a_sign_of_life() {
    let mut world = lying();
    m1(&mut world).sideband = true;
    // between its first and its last Off reading it begins to talk, on the shared port alone as far as the counters go
    world.run(1_100);
    let first_off = world.now;
    while world.port_reads < 3 {
        world.run(1);
        assert!(world.now < first_off + 10_000, "its ports are looked at:\n{}", world.story());
    }
    m1(&mut world).chatty = true;
    m1(&mut world).frames.0 = 0;
    world.run(400);
    let told = alarms(&world);
    assert!(told.iter().any(|text| text.contains("was learnt anew at sw1/m1-")), "{told:?}\n{}", world.story());
    assert_eq!(home(&world), "m1");
}

#[test]
fn a_switch_that_does_not_answer_delays_the_power_proof_by_a_second_at_most() {
    let mut world = lying();
    m1(&mut world).stuck = false;
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.run(1_000);
    let sealed = world.now;
    while !world.facts.iter().any(|fact| matches!(fact, Fact::Proven { machines, .. } if !machines.is_empty())) {
        world.run(10);
        assert!(world.now < sealed + 2_000, "{}", world.story());
    }
    assert_eq!(proof(&world).0, ["P", "S"]);
}

#[test]
fn while_the_network_is_cut_no_port_is_read_for_it() {
    let mut world = World::new(3);
    world.start_servers();
    let before = world.port_reads;
    m1(&mut world).frozen = true;
    world.run_until_served("web1", "m3", 20_000);
    world.run(5_000);
    assert_eq!(world.port_reads, before);
}

#[test]
fn a_machine_that_talks_is_not_released() {
    let mut world = World::new(3);
    world.start_servers();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    // it is on again, and its BMC lies
    world.power_on(&id("m1"));
    m1(&mut world).lies_off = true;
    m1(&mut world).stuck = true;
    world.unsaved = true;
    world.intent(pipeline::event::Intent::ReleaseMachine { machine: id("m1") });
    world.run(10_000);
    world.unsaved = false;
    assert_eq!(alarms(&world).len(), 1, "{}", world.story());
    assert!(!world.facts.iter().any(|fact| matches!(fact, Fact::Released { .. })));
}

#[test]
fn a_machine_that_comes_back_after_its_power_proof_is_proven_anew() {
    let mut world = World::new(3);
    world.start_servers();
    // the switch's agent has an older memory and bars nothing yet, and the boot service is away
    world.restore_gate("sw1");
    world.dead_agents.insert(Agent::Boot(id("boot1")));
    world.power_off(&id("m1"));
    world.run(5_000);
    // P and S stand, and the proof waits for the permit alone; now somebody switches the machine on, and it boots what it still may
    world.power_on(&id("m1"));
    world.run(600);
    world.dead_agents.clear();
    world.run(3_000);
    world.readopt("sw1");
    // the world judges after every event that web1 is effective on one machine at most
    world.run_until_served("web1", "m3", 60_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, vocabulary::power::PowerState::Off);
}

#[test]
fn an_answer_of_the_server_after_off_voids_the_power_proof() {
    let mut world = lying();
    // nobody can look at its ports
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    while !world.state().ledger.plans.values().any(|row| row.begun) {
        world.run(10);
        assert!(world.now < 60_000, "{}", world.story());
    }
    // its BMC says Off, and its service comes back
    m1(&mut world).frozen = false;
    world.run(20_000);
    assert!(!proven(&world), "{}", world.story());
    let told = alarms(&world);
    assert_eq!(told.len(), 1, "one alarm a plan: {told:?}");
    assert!(told[0].contains("web1 was answered for"), "{told:?}");
    // its plugs are pulled
    world.power_off(&id("m1"));
    world.run(10_000);
    assert_eq!(proof(&world).0, ["P", "S"]);
}

#[test]
fn an_answer_of_before_off_voids_nothing() {
    let mut world = World::new(3);
    world.start_servers();
    // a server that is well to the last is moved by hand
    world.unsaved = true;
    world.intent(pipeline::event::Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
    world.run(5_000);
    assert_eq!(proof(&world).0, ["P", "S"]);
    assert!(alarms(&world).is_empty(), "{:?}", alarms(&world));
}

fn proven(world: &World) -> bool {
    world.facts.iter().any(|fact| matches!(fact, Fact::Proven { machines, .. } if !machines.is_empty()))
}
