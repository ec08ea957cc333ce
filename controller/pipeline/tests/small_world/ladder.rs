//! The ladder: how long starts take is remembered, and by that a restart in place that would miss the recovery target is left to a person who may
//! have the server moved sooner; nothing is ever moved off a living machine by itself.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ladder::{Ladder, Needs, Stands, Way};
use pipeline::plan::Kind;
use pipeline::record::Fact;
use pipeline::s2_decide::ladder;
use std::sync::Arc;
use vocabulary::estate::ServiceDown;
use vocabulary::*;

/// Firmware of m1, ms: many times that of the others.
const SLOW: u64 = 20_000;

/// web1 serves on m1, whose firmware takes long, and is restarted where it is if it may be.
fn up(target: Option<Span>) -> World {
    let mut world = World::new(3);
    world.posts.insert(id("m1"), SLOW);
    world.estate.servers.values_mut().for_each(|server| server.service_down = ServiceDown::Restart);
    world.estate.groups.values_mut().for_each(|group| group.recovery_target = target);
    served_on_m3(&mut world);
    world.boot_core();
    world.run(2_000);
    for server in world.servers() {
        world.intent(Intent::StartServer { server });
    }
    world.run(40_000);
    world
}

/// As if another server had started on the spare once: the time of its firmware is on record.
fn served_on_m3(world: &mut World) {
    let (server, machine) = (id("web2"), id("m3"));
    let (boot_ms, post_ms) = (Some(17_000), Some(15_000));
    let fact = Fact::Heard { server, machine, last_reset: None, vantages: vec![], boot_ms, post_ms, stop_ms: None };
    world.records.push(pipeline::Record { at: WallTime(0), fact });
}

fn crash(world: &mut World) {
    crash_on(world, "m1");
}

fn crash_on(world: &mut World, machine: &str) {
    world.machines.get_mut(&id::<MachineId>(machine)).unwrap().crashed = true;
}

fn plans(world: &World, kind: Kind) -> usize {
    let of_web1 = |row: &&pipeline::ledger::PlanRow| row.plan.body().kind == kind && row.plan.server() == Some(&id("web1"));
    world.state().ledger.plans.values().filter(of_web1).count()
}

fn held(world: &World) -> (String, String) {
    let row = &world.state().ledger.servers[&id::<ServerId>("web1")];
    row.held.clone().map(|(code, reason, ..)| (code, reason)).unwrap_or_default()
}

fn now(world: &World) -> Ladder {
    ladder::of(world.state(), &id("web1"), None, (Instant(world.now), WallTime(world.wall())))
}

fn stands(ladder: &Ladder) -> Vec<(Way, Stands)> {
    ladder.rungs.iter().map(|rung| (rung.way, rung.stands)).collect()
}

/// The ladder of the last plan that was sealed.
fn sealed(world: &World) -> Ladder {
    let last = world.facts.iter().rev().find_map(|fact| match fact {
        Fact::Sealed { ladder, .. } => Some(ladder.clone()),
        _ => None,
    });
    *last.flatten().unwrap_or_else(|| panic!("nothing was predicted:\n{}", world.story()))
}

#[test]
fn a_start_is_remembered_with_its_parts() {
    let mut world = up(None);
    let ledger = &world.state().ledger;
    let post = ledger.usual_post(&id("m1")).unwrap();
    assert!((SLOW - 500..=SLOW).contains(&post.lasts.0) && post.times == 1, "{post:?}");
    let (whole, boot) = (ledger.usual_start(&id("web1"), &id("m1")).unwrap(), ledger.usual_boot(&id("web1")).unwrap());
    assert_eq!(whole.lasts.0, post.lasts.0 + boot.lasts.0);
    assert!((1_500..3_500).contains(&boot.lasts.0), "{boot:?}");
    assert_eq!((ledger.usual_stop(&id("web1")), ledger.usual_post(&id("m4"))), (None, None));
    // and over a restart of the controller
    world.intent(Intent::RestartServer { server: id("web1") });
    world.run(60_000);
    world.boot_core();
    let ledger = &world.state().ledger;
    assert_eq!(ledger.usual_start(&id("web1"), &id("m1")).unwrap().times, 2, "{}", world.story());
    assert!(ledger.usual_stop(&id("web1")).unwrap().lasts.0 < 2_000);
}

#[test]
fn without_a_target_it_is_restarted_however_long_that_takes() {
    let mut world = up(None);
    crash(&mut world);
    world.run(8_000);
    assert_eq!(plans(&world, Kind::Restart), 1, "{}", world.story());
    let ladder = sealed(&world);
    assert_eq!(stands(&ladder), [(Way::Restart, Stands::First), (Way::Replace, Stands::Follows)]);
    assert_eq!(ladder.rung(Way::Replace).unwrap().needs, Some(Needs::Person));
    let total = |way| ladder.rung(way).unwrap().predicted.as_ref().unwrap().total();
    assert!(total(Way::Restart) > total(Way::Replace), "{ladder:#?}");
    world.run_until_served("web1", "m1", 60_000);
    // the ladder says what it took, within what a small world varies by
    let took = world.state().ledger.usual_start(&id("web1"), &id("m1")).unwrap().lasts;
    assert!(took < total(Way::Restart), "{took}");
}

#[test]
fn a_restart_that_would_miss_the_target_waits_for_a_person_while_a_spare_would_not() {
    let mut world = up(Some(Span::seconds(40)));
    crash(&mut world);
    world.run(8_000);
    let (code, reason) = held(&world);
    assert_eq!((code.as_str(), plans(&world, Kind::Restart)), ("F0217", 0), "{reason}\n{}", world.story());
    for part in
        ["recovery target 40s", "replace on m3 in", "restart on m1 in", "skipped", "firmware 15s recorded once", "assumed"]
    {
        assert!(reason.contains(part), "`{part}` is not in {reason}");
    }
    assert_eq!(stands(&now(&world)), [(Way::Replace, Stands::First), (Way::Restart, Stands::Skipped)]);
    // nothing is done to a machine that lives
    let story = world.story();
    assert!(!story.contains("has failed"), "{story}");
    world.intent(Intent::StartFailover { server: id("web1"), reason: "sooner".into(), hash: None });
    world.run_until_served("web1", "m3", 30_000);
    assert_eq!((plans(&world, Kind::Restart), plans(&world, Kind::Failover)), (0, 1));
    assert_eq!(sealed(&world).rungs[0].way, Way::Replace);
}

#[test]
fn where_nobody_answers_it_is_restarted_once_a_spare_would_miss_the_target_too() {
    let mut world = up(Some(Span::seconds(40)));
    crash(&mut world);
    world.run(13_000);
    assert_eq!((held(&world).0.as_str(), plans(&world, Kind::Restart)), ("F0217", 0), "{}", world.story());
    world.run(8_000);
    assert_eq!(plans(&world, Kind::Restart), 1, "{}", world.story());
    let ladder = sealed(&world);
    assert_eq!(stands(&ladder), [(Way::Restart, Stands::First), (Way::Replace, Stands::Follows)]);
    assert!(ladder.rungs[0].why.contains("whatever is done misses the recovery target of 40s"), "{ladder:#?}");
    world.run_until_served("web1", "m1", 60_000);
    assert_eq!(plans(&world, Kind::Failover), 0);
}

/// web2 is restarted first; by the time that is done, a restart of web1 would miss the target by what it waited alone.
#[test]
fn a_restart_that_waited_for_another_one_is_not_left_out_for_that() {
    let mut world = up(Some(Span::seconds(62)));
    world.posts.insert(id("m2"), SLOW);
    crash_on(&mut world, "m2");
    world.run(3_000);
    crash(&mut world);
    world.run(12_000);
    assert_eq!((held(&world).0.as_str(), plans(&world, Kind::Restart)), ("F0205", 0), "{}", world.story());
    let mut left_out = 0;
    for _ in 0..60 {
        world.run(500);
        left_out += usize::from(held(&world).0 == "F0217");
    }
    assert_eq!((left_out, plans(&world, Kind::Restart)), (0, 1), "{}", world.story());
}

#[test]
fn where_no_spare_fits_it_is_restarted_at_once() {
    let mut world = up(Some(Span::seconds(40)));
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc_dead = true;
    world.run(400_000);
    crash(&mut world);
    world.run(8_000);
    assert_eq!(plans(&world, Kind::Restart), 1, "{}", world.story());
    assert_eq!(stands(&sealed(&world)), [(Way::Restart, Stands::First), (Way::Replace, Stands::Closed)]);
}

#[test]
fn what_a_restart_did_not_cure_is_left_to_a_person_with_the_time_of_a_spare() {
    let mut world = up(None);
    crash(&mut world);
    world.run(60_000);
    world.run_until_served("web1", "m1", 60_000);
    world.run(10_000);
    crash(&mut world);
    world.run(10_000);
    let (code, reason) = held(&world);
    assert_eq!(code, "F0205");
    assert!(reason.contains("did not cure it") && reason.contains("it could serve on m3 in"), "{reason}");
    assert_eq!(stands(&now(&world)), [(Way::Replace, Stands::First), (Way::Restart, Stands::Closed)]);
    assert_eq!(plans(&world, Kind::Restart), 1);
}

#[test]
fn what_is_not_wanted_is_no_rung_and_no_target_makes_it_one() {
    let mut world = up(Some(Span::seconds(40)));
    world.estate.servers.values_mut().for_each(|server| server.service_down = ServiceDown::Hold);
    world.tell(pipeline::event::What::EstateLoaded(Arc::new(world.estate.clone())));
    crash(&mut world);
    world.run(120_000);
    assert_eq!((held(&world).0.as_str(), plans(&world, Kind::Restart), plans(&world, Kind::Failover)), ("F0205", 0, 0));
    let ladder = now(&world);
    assert!(ladder.rung(Way::Restart).unwrap().why.contains("service_down: restart"), "{ladder:#?}");
}

#[test]
fn a_dead_machine_is_replaced_whatever_a_restart_would_take() {
    let mut world = up(Some(Span::seconds(1)));
    world.posts.insert(id("m1"), 0);
    world.power_off(&id("m1"));
    world.run(8_000);
    let ladder = sealed(&world);
    assert_eq!(stands(&ladder), [(Way::Replace, Stands::First), (Way::Restart, Stands::Closed)]);
    assert_eq!(ladder.rungs[0].needs, Some(Needs::Nobody));
    assert!(ladder.rungs[0].why.contains("whatever is done misses"), "{ladder:#?}");
    world.run_until_served("web1", "m3", 30_000);
    assert_eq!(plans(&world, Kind::Restart), 0);
}

#[test]
fn a_proof_that_cannot_be_had_is_told_and_predicted_by_nothing() {
    let mut world = up(Some(Span::seconds(40)));
    world.estate.settings.fencing.proof = vocabulary::estate::ProofChoice::PowerOnly;
    world.tell(pipeline::event::What::EstateLoaded(Arc::new(world.estate.clone())));
    world.run(1_000);
    let by_power = now(&world).rung(Way::Replace).unwrap().predicted.clone().unwrap();
    world.machines.get_mut(&id::<MachineId>("m1")).unwrap().bmc_dead = true;
    world.run(2_000);
    let ladder = now(&world);
    let replace = ladder.rung(Way::Replace).unwrap();
    assert_eq!((replace.stands, &replace.predicted), (Stands::Closed, &None), "{by_power}");
    assert!(replace.why.contains("no proof that m1 is harmless"), "{}", replace.why);
}

#[test]
fn a_controller_that_has_not_seen_it_well_judges_no_target() {
    let mut world = up(Some(Span::seconds(40)));
    crash(&mut world);
    world.run(1_000);
    world.boot_core();
    world.run(100_000);
    assert_eq!((now(&world).lasted, plans(&world, Kind::Restart)), (None, 0));
    assert_eq!(held(&world).0, "F0205");
    // nor does it do more where agents are away
    world.dead_agents.insert(Agent::Boot(id("boot1")));
    world.run(10_000);
    assert_eq!(plans(&world, Kind::Failover), 0);
}
