//! What the gates of the agents say no to, and what becomes of a plan then: an epoch fence is never climbed over, a full disk is no rival,
//! and standing orders go on after a restart.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ledger::Standing;
use pipeline::plan::Kind;
use pipeline::record::Fact;
use vocabulary::power::PowerState;
use vocabulary::request::Resource;
use vocabulary::*;

fn up(machines: usize, spares: usize) -> World {
    let mut world = World::with_spares(machines, spares);
    world.start_servers();
    world
}

/// Three machines and a unit that feeds the second one.
fn with_a_pdu() -> World {
    let mut world = World::new(3);
    world.plug("m2", &["pdu1/1"]);
    world.take_in();
    world.run(60_000);
    world.start_servers();
    world
}

fn held(world: &World) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>("web1")].held.as_ref().map(|(code, ..)| code.clone())
}

fn on(world: &World) -> MachineId {
    world.state().ledger.placement(&id("web1")).unwrap().machine.clone()
}

fn sealed(world: &World, kind: Kind) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Sealed { plan, .. } if plan.body().kind == kind)).count()
}

fn say(world: &mut World, agent: &str) {
    let hello = world.hello(agent);
    world.tell(hello);
}

#[test]
fn a_higher_epoch_is_never_overtaken() {
    // the BMC's agent is asked first: its refusal comes before anything was touched
    for agent in ["store1", "bmc"] {
        never_overtaken(agent);
    }
}

fn never_overtaken(agent: &str) {
    let mut world = up(3, 1);
    let high = world.state().ledger.epoch.0 + 5;
    world.foreign_plan(agent, Epoch(high), PlanId(Epoch(high)));
    world.power_off(&id("m1"));
    world.run(60_000);
    assert!(sealed(&world, Kind::Failover) <= 1, "{} plans:\n{}", sealed(&world, Kind::Failover), world.story());
    assert!(world.state().ledger.epoch.0 < high);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    assert_eq!(on(&world), id::<MachineId>("m1"));
    let records = world.records.len();
    world.boot_core();
    world.run(60_000);
    assert!(world.records.len() < records + 20, "it does not fill the journal:\n{}", world.story_from(records));
    assert_eq!(on(&world), id::<MachineId>("m1"), "a restart does not forget it");
}

#[test]
fn an_operator_draws_no_epoch_over_it_either() {
    let mut world = up(3, 1);
    let high = world.state().ledger.epoch.0 + 3;
    world.foreign_plan("sw1", Epoch(high), PlanId(Epoch(high)));
    for _ in 0..10 {
        world.intent(Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
        world.run(2_000);
        world.intent(Intent::StopServer { server: id("web2") });
        world.run(2_000);
    }
    assert!(world.state().ledger.epoch.0 + 2 <= high, "the first finds it out, no other is sealed:\n{}", world.story());
    assert_eq!(on(&world), id::<MachineId>("m1"));
    assert_eq!(world.machines[&id::<MachineId>("m2")].power, PowerState::On);
}

#[test]
fn an_equal_epoch_of_another_plan_stops_it() {
    let mut world = up(3, 1);
    let next = Epoch(world.state().ledger.epoch.0 + 1);
    world.foreign_plan("store1", next, PlanId(Epoch(999)));
    world.power_off(&id("m1"));
    world.run(60_000);
    assert!(sealed(&world, Kind::Failover) <= 1, "{}", world.story());
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    assert_eq!(on(&world), id::<MachineId>("m1"));
}

#[test]
fn a_foreign_lineage_ends_with_a_readopt() {
    let mut world = up(3, 1);
    world.gates.lineages.insert("sw1".into(), 7);
    world.power_off(&id("m1"));
    world.run(60_000);
    assert!(sealed(&world, Kind::Failover) <= 1, "{}", world.story());
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    world.readopt("sw1");
    world.run_until_served("web1", "m3", 30_000);
    assert_eq!(held(&world), None);
}

#[test]
fn whom_an_agent_of_another_store_obeys_is_no_process_on_a_copy_of_ours() {
    let mut world = up(3, 1);
    world.gates.obeys.insert("sw1".into(), ControllerLife("theirs".into()));
    world.gates.lineages.insert("sw1".into(), 7);
    say(&mut world, "sw1");
    let evidence = world.state().ledger.overruled["sw1"].evidence.clone();
    assert!(evidence.contains("another store (lineage 7)") && !evidence.contains("theirs"), "{evidence}");
    world.readopt("sw1");
    assert!(world.state().ledger.overruled.is_empty(), "{}", world.story());
}

/// `pdu1` feeds m2 alone and is needed by no plan of web1, but whoever it obeys may be about to start web1 where this process hears nobody.
#[test]
fn while_any_agent_obeys_a_process_on_a_copy_no_plan_is_sealed_for_anybody() {
    let mut world = with_a_pdu();
    let rival = |world: &mut World, name: Option<&str>| {
        match name {
            Some(name) => world.gates.obeys.insert("pdu1".into(), ControllerLife(name.into())),
            None => world.gates.obeys.remove("pdu1"),
        };
        say(world, "pdu1");
    };
    rival(&mut world, Some("copy"));
    let before = world.state().ledger.epoch;
    world.power_off(&id("m1"));
    world.run(60_000);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    for intent in [Intent::StopServer { server: id("web2") }, Intent::EnrolMachine { machine: id("m3") }] {
        world.intent(intent);
    }
    let start = Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None };
    world.intent(start);
    world.boot_core();
    world.run(60_000);
    assert_eq!(world.state().ledger.epoch, before, "nor after a restart:\n{}", world.story());
    // another process on that copy is one as well
    rival(&mut world, Some("copy's next"));
    assert_eq!(world.state().ledger.overruled["pdu1"].rival, Some(ControllerLife("copy's next".into())));
    rival(&mut world, None);
    world.run_until_served("web1", "m3", 30_000);
}

/// A store was put back to between two commands of a plan, and the plan went on before that: its epoch tells nothing.
#[test]
fn a_command_of_our_plan_that_this_store_never_numbered_was_another_ones() {
    for agent in ["sw1", "store1", "boot1"] {
        let mut world = up(3, 1);
        let epoch = world.state().ledger.servers[&id::<ServerId>("web1")].placement.as_ref().unwrap().epoch;
        let next = world.state().ledger.plans[&PlanId(epoch)].next_op;
        let kept = world.epochs.iter().find(|((of, _), at)| of == agent && **at == epoch).unwrap().0.clone();
        world.gates.done.insert(kept.clone(), next - 1);
        say(&mut world, agent);
        assert!(world.state().ledger.overruled.is_empty(), "{agent}: {}", world.story());
        world.gates.done.insert(kept, next);
        say(&mut world, agent);
        world.power_off(&id("m1"));
        world.run(30_000);
        assert_eq!(held(&world).as_deref(), Some("F0302"), "{agent}: {}", world.story());
        assert_eq!(sealed(&world, Kind::Failover), 0);
        // a person vouches for what it keeps
        world.readopt(agent);
        say(&mut world, agent);
        world.run_until_served("web1", "m3", 30_000);
    }
}

#[test]
fn whom_an_agent_obeys_is_recorded_once_and_outlives_a_thousand_starts_that_reach_nobody() {
    let mut world = up(3, 1);
    let began = |world: &mut World, name: String| {
        let record = pipeline::Record { at: WallTime(world.now), fact: Fact::Began { controller: ControllerLife(name) } };
        world.records.push(record);
    };
    began(&mut world, "first".to_owned());
    world.boot_core();
    world.gates.obeys.insert("sw1".into(), ControllerLife("first".into()));
    world.gates.obeys.insert("store1".into(), ControllerLife("of nobody".into()));
    (0..3).for_each(|_| say(&mut world, "sw1"));
    say(&mut world, "store1");
    let obeyed: Vec<&Fact> = world.facts.iter().filter(|fact| matches!(fact, Fact::Obeyed { .. })).collect();
    assert_eq!(obeyed.len(), 1, "once, and not whom this store does not know: {obeyed:?}");
    (0..1_100).for_each(|number| began(&mut world, format!("life {number}")));
    world.boot_core();
    let controllers = &world.state().ledger.controllers;
    assert!(controllers.contains(&ControllerLife("first".into())) && controllers.len() < 1_100);
}

#[test]
fn an_agent_that_no_document_names_any_more_holds_nobody() {
    let mut world = with_a_pdu();
    world.gates.obeys.insert("pdu1".into(), ControllerLife("copy".into()));
    say(&mut world, "pdu1");
    world.power_off(&id("m1"));
    world.run(20_000);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    world.estate.pdus.clear();
    world.estate.machines.get_mut(&id::<MachineId>("m2")).unwrap().outlets.clear();
    world.boot_core();
    world.run_until_served("web1", "m3", 30_000);
}

#[test]
fn a_failover_that_has_begun_goes_on_while_an_agent_that_it_does_not_need_obeys_another() {
    let mut world = with_a_pdu();
    world.power_off(&id("m1"));
    let begun = |world: &World| world.state().ledger.open_plan_of(&id("web1")).is_some_and(|row| row.begun);
    for _ in 0..400 {
        if begun(&world) {
            break;
        }
        world.run(50);
    }
    assert!(begun(&world), "{}", world.story());
    world.gates.obeys.insert("pdu1".into(), ControllerLife("copy".into()));
    say(&mut world, "pdu1");
    world.run_until_served("web1", "m3", 30_000);
}

#[test]
fn a_refusal_that_was_under_way_when_its_agent_was_seeded_ends_nothing() {
    // at every moment of the failover's first second: what the gate says before the readopt arrives after it
    for at in 0..40 {
        let mut world = up(3, 1);
        world.gates.lineages.insert("sw1".into(), 7);
        world.latency = 143;
        world.power_off(&id("m1"));
        world.run(900 + 25 * at);
        world.readopt("sw1");
        world.run_until_served("web1", "m3", 30_000);
        assert_eq!(held(&world), None, "{} ms on: {}", 25 * at, world.story());
    }
}

#[test]
fn a_restored_store_only_observes() {
    let mut world = up(4, 2);
    world.back_up();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    let epoch = world.state().ledger.epoch;
    world.roll_back();
    assert!(world.state().ledger.epoch < epoch);
    let before = world.state().ledger.epoch.0;
    world.power_off(&id("m3"));
    world.run(120_000);
    assert_eq!(world.state().ledger.epoch.0, before, "it draws no epoch against the gates:\n{}", world.story());
    assert_eq!(world.machines[&id::<MachineId>("m4")].runs, None);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
}

#[test]
fn a_restored_store_that_finds_no_agent_at_first_is_stopped_by_the_first_that_answers() {
    let mut world = up(4, 2);
    world.back_up();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    let outside = [Agent::Switch(id("sw1")), Agent::Storage(id("store1")), Agent::Boot(id("boot1"))];
    world.dead_agents.extend(outside);
    world.roll_back();
    let before = world.state().ledger.epoch.0;
    world.power_off(&id("m3"));
    world.run(20_000);
    assert_eq!(world.state().ledger.epoch.0, before + 1, "it has drawn the very epoch that the gates have seen");
    world.dead_agents.clear();
    world.run(60_000);
    assert_eq!(world.state().ledger.epoch.0, before + 1, "{}", world.story());
    assert_eq!(world.machines[&id::<MachineId>("m4")].runs, None);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
}

/// The backup is of the middle of a failover: the epoch and the plan are the store's own, and only what the gates hold tells that the
/// plan went on.
#[test]
fn a_store_restored_from_the_middle_of_a_failover_only_observes() {
    let mut world = up(4, 2);
    world.dead_agents.insert(Agent::Switch(id("sw1")));
    world.intent(Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
    world.run(10);
    world.back_up();
    world.dead_agents.clear();
    world.run_until_served("web1", "m3", 30_000);
    world.roll_back();
    let before = world.facts.len();
    world.run(120_000);
    assert_eq!(world.most_effective, 1);
    assert_eq!(held(&world).as_deref(), Some("F0302"), "{}", world.story());
    let owned = world.facts[before..].iter().any(|fact| matches!(fact, Fact::Owned(_)));
    assert!(!owned, "{}", world.story());
    assert_eq!(world.look(&id("web1")), vocabulary::check::CheckOutcome::Healthy, "it serves where it is");
}

#[test]
fn a_full_disk_of_an_agent_is_no_rival() {
    for agent in ["boot1", "sw1", "store1"] {
        let mut world = up(3, 1);
        world.gates.full.insert(agent.into());
        world.power_off(&id("m1"));
        world.run(20_000);
        world.gates.full.clear();
        world.run_until_served("web1", "m3", 20_000);
        assert_eq!(sealed(&world, Kind::Failover), 1, "{agent}: the plan waits and goes on:\n{}", world.story());
    }
}

#[test]
fn an_agent_that_lost_its_memory_confirms_nothing() {
    let mut world = up(3, 1);
    world.forget_gate("store1");
    world.power_off(&id("m1"));
    world.run(30_000);
    assert_eq!(on(&world), id::<MachineId>("m1"), "{}", world.story());
    world.readopt("store1");
    world.run_until_served("web1", "m3", 90_000);
}

#[test]
fn a_restarted_agent_is_asked_again_until_its_devices_are_done() {
    let mut world = up(3, 1);
    world.power_off(&id("m1"));
    world.run(900);
    for agent in ["sw1", "store1", "boot1"] {
        world.restart_agent(agent);
    }
    world.run_until_served("web1", "m3", 20_000);
    let owned = world.records.iter().find(|record| matches!(&record.fact, Fact::Owned(o) if o.from.is_some())).unwrap();
    let verdict = world.records.iter().find(|record| matches!(&record.fact, Fact::Verdict { .. })).unwrap();
    assert!(owned.at.0 >= verdict.at.0 + 500, "nothing is proven while they are busy:\n{}", world.story());
}

/// web1 has moved from m1, whose BMC is dead, to m3; m1's power is a standing order.
fn with_an_order() -> World {
    let mut world = up(4, 2);
    let m1 = world.machines.get_mut(&id::<MachineId>("m1")).unwrap();
    m1.frozen = true;
    m1.bmc_dead = true;
    world.run_until_served("web1", "m3", 30_000);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().frozen = false;
    world.run(5_000);
    assert!(!world.state().ledger.orders.is_empty());
    world
}

fn the_order_is_done(world: &mut World) {
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.run(15_000);
    assert!(world.state().ledger.orders.is_empty(), "{:?}\n{}", world.state().ledger.orders, world.story());
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, PowerState::Off);
    let mut closed = std::collections::BTreeMap::new();
    for fact in &world.facts {
        if let Fact::Closed { plan, .. } = fact {
            *closed.entry(*plan).or_insert(0) += 1;
        }
    }
    assert!(closed.values().all(|n| *n == 1), "a plan ends once: {closed:?}");
}

#[test]
fn standing_orders_outlive_a_restart_after_a_later_plan() {
    let mut world = with_an_order();
    world.intent(Intent::RestartServer { server: id("web1") });
    world.run(10_000);
    world.boot_core();
    world.run(2_000);
    the_order_is_done(&mut world);
}

#[test]
fn standing_orders_go_on_under_the_plan_that_took_their_resources() {
    let mut world = with_an_order();
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(130_000);
    assert!(matches!(world.state().ledger.standing(&id("m1")), Standing::Quarantined { .. }), "it cannot be released");
    the_order_is_done(&mut world);
    let mut world = with_an_order();
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(130_000);
    world.boot_core();
    the_order_is_done(&mut world);
}

#[test]
fn standing_orders_survive_a_readopt() {
    let mut world = with_an_order();
    world.intent(Intent::RestartServer { server: id("web2") });
    world.run(10_000);
    world.readopt("bmc");
    the_order_is_done(&mut world);
}

#[test]
fn a_quarantined_machine_that_returns_with_an_open_port_is_forced_off_after_a_restart_too() {
    let mut world = up(3, 1);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    // an order is left behind: the port of the old machine is not barred
    let plan = world.state().ledger.plans.values().rfind(|row| row.plan.body().kind == Kind::Failover).unwrap().plan.id();
    let port = crate::common::estate::port(&id("m1"), "production");
    let order = Fact::StandingOrder { plan, machine: id("m1"), what: format!("bar {port}"), reason: "test".into() };
    world.records.push(pipeline::Record { at: WallTime(1_000_000 + world.now), fact: order.clone() });
    world.facts.push(order);
    world.intent(Intent::RestartServer { server: id("web1") });
    world.run(10_000);
    world.gates.full.insert("sw1".into());
    world.boot_core();
    world.power_on(&id("m1"));
    world.run(10_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, PowerState::Off, "{}", world.story());
}

#[test]
fn a_machine_that_is_being_released_holds_the_failover_that_would_fence_it() {
    let mut world = up(4, 2);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 20_000);
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = true;
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(1_000);
    let ticket = world.intent(Intent::StartFailover { server: id("web1"), reason: "test".into(), hash: None });
    assert_eq!(world.replies[&ticket].as_ref().unwrap_err().code.0, 405);
    // the rate limit of the first failover is over
    world.wall_ahead += 3_600_000;
    world.power_off(&id("m3"));
    world.run(30_000);
    assert_eq!(held(&world).as_deref(), Some("F0405"), "{}", world.story());
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = false;
    world.run_until_served("web1", "m1", 60_000);
    let released = world.facts.iter().position(|fact| matches!(fact, Fact::Released { .. })).unwrap();
    let owned = world.facts.iter().rposition(|fact| matches!(fact, Fact::Owned(_))).unwrap();
    assert!(released < owned);
    assert_eq!(world.state().ledger.servers[&id::<ServerId>("web1")].past, [id("m1"), id("m3")].into());
}

/// The order to the boot service is still under way when the release comes: the bar there is the release's own, set at its own epoch.
#[test]
fn a_release_that_comes_before_the_standing_order_lifts_what_it_barred_itself() {
    let mut world = up(3, 1);
    let boot = Agent::Boot(id("boot1"));
    world.power_off(&id("m1"));
    // it goes away once it has raised the epoch, before it is asked to revoke: the target may be owned by then
    let permit = Resource::Permit(id("m1"));
    let kept = ("boot1".to_owned(), permit.clone());
    let epoch = world.epochs[&kept];
    while world.epochs[&kept] == epoch {
        world.run(1);
    }
    world.dead_agents.insert(boot.clone());
    world.run(900_000);
    let plan = world.state().ledger.plans.values().rfind(|row| row.plan.body().kind == Kind::Failover).unwrap().plan.id();
    let waits = |world: &World| world.state().ledger.orders.keys().any(|(of, _, what)| *of == plan && what.contains("permit"));
    assert!(waits(&world) && !world.barred.contains(&permit), "{}", world.story());
    let before = world.facts.len();
    world.dead_agents.remove(&boot);
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    // so far, and no further: web1 may be moved to the machine that was just released
    while !world.facts[before..].iter().any(|fact| matches!(fact, Fact::Released { .. })) {
        world.run(1);
        assert!(world.now < 1_200_000, "{}", world.story());
    }
    assert!(world.gates.bars[&permit] > plan.0, "the release was there first: {}", world.story());
    let of_m1 = |resource: &&Resource| resource.to_string().contains("m1");
    let barred: Vec<&Resource> = world.barred.iter().filter(of_m1).collect();
    assert!(barred.is_empty(), "{barred:?}: {}", world.story());
}

/// Somebody switches the machine on after its bars were lifted and before its ports are parked: it is cut off again, and what is handed
/// back in the end bears no bar.
#[test]
fn a_machine_that_is_switched_on_while_it_is_released_is_handed_back_without_a_bar() {
    let mut world = up(3, 1);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 30_000);
    world.run(5_000);
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    let power = Resource::Machine(id("m1"));
    while world.barred.contains(&power) {
        world.run(1);
        assert!(world.now < 120_000, "{}", world.story());
    }
    let switch = Agent::Switch(id("sw1"));
    world.dead_agents.insert(switch.clone());
    world.power_on(&id("m1"));
    world.run(3_000);
    assert_eq!(world.machines[&id::<MachineId>("m1")].power, PowerState::Off, "it was cut off again: {}", world.story());
    world.dead_agents.remove(&switch);
    world.run(20_000);
    assert_eq!(world.state().ledger.standing(&id("m1")), Standing::Free, "{}", world.story());
    let barred: Vec<&Resource> = world.barred.iter().filter(|resource| resource.to_string().contains("m1")).collect();
    assert!(barred.is_empty(), "{barred:?}: {}", world.story());
}

/// What the gates hold is the placement's for as long as it stands, whatever other plans did on it since: no rival, over restarts of all.
#[test]
fn what_is_held_for_a_placement_is_no_rival_after_a_restart() {
    let mut world = up(3, 1);
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 30_000);
    for server in ["web1", "web2"] {
        world.intent(Intent::RestartServer { server: id(server) });
        world.run(60_000);
    }
    for agent in ["sw1", "store1", "boot1"] {
        world.restart_agent(agent);
    }
    world.boot_core();
    for agent in ["sw1", "store1", "boot1"] {
        let hello = world.hello(agent);
        world.tell(hello);
    }
    world.run(10_000);
    assert!(world.state().ledger.overruled.is_empty(), "{}", world.story());
    assert!(world.gates.holds.len() >= 8, "two servers hold ports, volumes and permits: {:?}", world.gates.holds);
}
