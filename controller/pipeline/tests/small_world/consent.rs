//! What persons agree to: in mode `approve` nothing is done but what enough of them were shown and said yes to, and lately; what the guard holds goes
//! on for what was looked at, and for nothing that follows.

use crate::common::{World, id};
use pipeline::event::Intent;
use pipeline::ledger::CONSENT_HOLDS;
use pipeline::record::Fact;
use vocabulary::estate::Mode;
use vocabulary::*;

const WINDOWS_MS: u64 = 40_000;

/// web1 and web2, `spares` spares, and a tier in this mode; no lab.
fn up(mode: Mode, spares: usize, people: u32) -> World {
    let mut world = World::with_spares(2 + spares, spares);
    world.lab = false;
    world.estate.settings.consent.people = people;
    world.estate.tiers.get_mut(&id::<TierId>("gold")).unwrap().mode = mode;
    world.boot_core();
    said(&mut world, Intent::SetTierMode { tier: id("gold"), mode }).unwrap();
    world.run(2_000);
    world.start_servers();
    world
}

fn said(world: &mut World, intent: Intent) -> Result<Option<PlanId>, u16> {
    said_by(world, "uid 0", intent)
}

fn said_by(world: &mut World, principal: &str, intent: Intent) -> Result<Option<PlanId>, u16> {
    let ticket = world.intent_of(principal, intent);
    world.replies[&ticket].clone().map_err(|fault| fault.code.0)
}

fn approve(hash: &str) -> Intent {
    Intent::ApproveFailover { server: id("web1"), hash: hash.into(), reason: String::new() }
}

fn abort() -> Intent {
    Intent::AbortFailover { server: id("web1"), reason: "the owner looks first".into() }
}

fn let_go(domain: &str) -> Intent {
    Intent::ResumeGuard { domain: domain.into(), reason: "burnt out".into() }
}

fn proposed(world: &World) -> Option<(String, String)> {
    let proposal = world.state().ledger.servers[&id::<ServerId>("web1")].proposed.as_ref()?;
    Some((proposal.hash.clone(), proposal.body.target.to_string()))
}

fn held(world: &World, server: &str) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>(server)].held.as_ref().map(|(code, ..)| code.clone())
}

fn commands(world: &World) -> usize {
    world.facts.iter().filter(|fact| matches!(fact, Fact::Intent { .. })).count()
}

fn moves(world: &World) -> Vec<String> {
    let moved = |fact: &Fact| match fact {
        Fact::Owned(owned) if owned.from.is_some() => Some(format!("{} to {}", owned.server, owned.to)),
        _ => None,
    };
    world.facts.iter().filter_map(moved).collect()
}

fn until_open(world: &mut World) {
    for _ in 0..WINDOWS_MS / 10 {
        if world.state().ledger.open_plan_of(&id("web1")).is_some() {
            return;
        }
        world.run(10);
    }
    panic!("no plan was opened: {}", world.story());
}

/// web1's machine dies, and what would be done waits.
fn waits(mode: Mode, spares: usize, people: u32) -> (World, String) {
    let mut world = up(mode, spares, people);
    let before = commands(&world);
    world.power_off(&id("m1"));
    world.run(WINDOWS_MS);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0204"), "{}", world.story());
    assert_eq!(commands(&world), before, "{}", world.story());
    let (hash, target) = proposed(&world).unwrap();
    assert_eq!(target, "m3");
    (world, hash)
}

#[test]
fn what_is_approved_is_done_and_nothing_before() {
    let (mut world, hash) = waits(Mode::Approve, 1, 1);
    assert_eq!(said(&mut world, approve(&"0".repeat(64))), Err(67));
    assert_eq!(
        said(&mut world, Intent::ApproveFailover { server: id("web2"), hash: hash.clone(), reason: String::new() }),
        Err(211)
    );
    assert_eq!(
        said(&mut world, Intent::ApproveFailover { server: id("web9"), hash: hash.clone(), reason: String::new() }),
        Err(53)
    );
    let plan = said(&mut world, approve(&hash)).unwrap().expect("whoever agrees last learns of the plan");
    assert_eq!(world.state().ledger.plans[&plan].plan.hash(), hash, "what was shown is what is done");
    world.run_until_served("web1", "m3", 20_000);
    assert_eq!(proposed(&world), None);
    assert_eq!(said(&mut world, approve(&hash)), Err(211), "a word is used once");
    assert!(world.most_effective <= 1);
}

#[test]
fn a_late_approval_of_a_server_that_is_well_again_kills_nothing() {
    let (mut world, hash) = waits(Mode::Approve, 1, 1);
    let before = commands(&world);
    world.power_on(&id("m1"));
    world.run(60_000);
    assert_eq!(held(&world, "web1"), None, "{}", world.story());
    assert_eq!(said(&mut world, approve(&hash)), Err(211));
    world.run(WINDOWS_MS);
    assert_eq!((commands(&world), moves(&world)), (before, vec![]), "{}", world.story());
}

#[test]
fn two_people_are_two_people_and_their_words_must_hold_at_once() {
    let (mut world, hash) = waits(Mode::Approve, 1, 2);
    assert_eq!(said_by(&mut world, "uid 1", approve(&hash)), Ok(None));
    assert_eq!(said_by(&mut world, "uid 1", approve(&hash)), Ok(None), "one person twice is one person");
    world.run(CONSENT_HOLDS.0);
    assert_eq!(said_by(&mut world, "uid 2", approve(&hash)), Ok(None), "the first word holds no more");
    world.run(1_000);
    assert_eq!(moves(&world), [""; 0]);
    assert!(said_by(&mut world, "uid 1", approve(&hash)).unwrap().is_some());
    world.run_until_served("web1", "m3", 20_000);
    let agreed: Vec<_> = world.state().ledger.plans.values().flat_map(|row| row.agreed.clone()).collect();
    assert_eq!(agreed, ["uid 1", "uid 2"]);
}

/// In a lab one person counts as two.
#[test]
fn in_a_lab_one_person_counts_as_two() {
    let (mut world, hash) = waits(Mode::Approve, 1, 2);
    world.lab = true;
    world.boot_core();
    world.run(WINDOWS_MS);
    assert!(said(&mut world, approve(&hash)).unwrap().is_some(), "{}", world.story());
    world.run_until_served("web1", "m3", 20_000);
}

#[test]
fn a_word_outlives_a_restart_and_no_lie_of_the_clock() {
    for (ahead, holds) in [(0, true), (CONSENT_HOLDS.0 + 1, false)] {
        let (mut world, hash) = waits(Mode::Approve, 1, 2);
        said_by(&mut world, "uid 1", approve(&hash)).unwrap();
        world.wall_ahead += ahead;
        world.boot_core();
        world.run(WINDOWS_MS);
        let plan = said_by(&mut world, "uid 2", approve(&hash)).unwrap();
        assert_eq!(plan.is_some(), holds, "{ahead}: {}", world.story());
    }
    // a clock that is set back makes no word younger
    let (mut world, hash) = waits(Mode::Approve, 1, 2);
    world.wall_ahead = 7_200_000;
    said_by(&mut world, "uid 1", approve(&hash)).unwrap();
    world.wall_ahead = 0;
    world.boot_core();
    world.run(WINDOWS_MS);
    assert_eq!(said_by(&mut world, "uid 2", approve(&hash)), Ok(None), "{}", world.story());
    // in one life no clock but its own is asked
    let (mut world, hash) = waits(Mode::Approve, 1, 2);
    said_by(&mut world, "uid 1", approve(&hash)).unwrap();
    world.wall_ahead = 7_200_000;
    world.run(1_000);
    assert!(said_by(&mut world, "uid 2", approve(&hash)).unwrap().is_none(), "a record of two hours ago is let go all the same");
}

#[test]
fn another_spare_is_another_plan() {
    let (mut world, hash) = waits(Mode::Approve, 2, 1);
    world.power_on(&id("m3"));
    world.run(5_000);
    let (other, target) = proposed(&world).unwrap();
    assert_eq!(target, "m4", "{}", world.story());
    assert_eq!(said(&mut world, approve(&hash)), Err(67));
    // the better one is back: what persons look at does not flap
    world.power_off(&id("m3"));
    world.run(5_000);
    assert_eq!(proposed(&world).unwrap(), (other.clone(), "m4".to_owned()));
    said(&mut world, approve(&other)).unwrap();
    world.run_until_served("web1", "m4", 20_000);
}

#[test]
fn a_spare_that_flaps_does_not_fill_the_journal() {
    let (mut world, _) = waits(Mode::Approve, 2, 1);
    for _ in 0..60 {
        for name in ["m3", "m4"] {
            world.power_on(&id(name));
            world.run(2_000);
            world.power_off(&id(name));
            world.run(2_000);
        }
    }
    let told = world.facts.iter().filter(|fact| matches!(fact, Fact::Proposed { .. })).count();
    assert!(told <= 1 + pipeline::watch::TOLD_MAX, "{told}");
}

/// The mode is asked again right before the first fencing effect: what was approved by fewer than must agree by then is not done.
#[test]
fn a_plan_that_was_begun_by_itself_is_not_carried_into_a_more_cautious_mode() {
    let mut world = up(Mode::Auto, 1, 1);
    world.latency = 200;
    world.power_off(&id("m1"));
    until_open(&mut world);
    let before =
        world.facts.iter().filter(|fact| matches!(fact, Fact::Intent { what, .. } if what != pipeline::words::ADVANCE)).count();
    said(&mut world, Intent::SetTierMode { tier: id("gold"), mode: Mode::Approve }).unwrap();
    world.run(WINDOWS_MS);
    let after =
        world.facts.iter().filter(|fact| matches!(fact, Fact::Intent { what, .. } if what != pipeline::words::ADVANCE)).count();
    assert_eq!((after, held(&world, "web1").as_deref()), (before, Some("F0204")), "{}", world.story());
}

#[test]
fn what_waits_can_be_refused() {
    let (mut world, hash) = waits(Mode::Approve, 1, 1);
    assert_eq!(said(&mut world, abort()), Ok(None));
    world.run(5_000);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0207"), "{}", world.story());
    assert_eq!(said(&mut world, approve(&hash)), Err(207));
    said(&mut world, Intent::Resume { server: Some(id("web1")), reason: String::new() }).unwrap();
    world.run(1_000);
    said(&mut world, approve(&hash)).unwrap();
    world.run_until_served("web1", "m3", 20_000);
    assert_eq!(said(&mut world, abort()), Err(211));
}

#[test]
fn a_failover_that_has_cut_nothing_off_can_be_given_up_and_none_after() {
    let (mut given_up, mut too_late) = (0, 0);
    for at_ms in (0..400).step_by(20) {
        let mut world = up(Mode::Auto, 1, 1);
        world.latency = 40;
        world.power_off(&id("m1"));
        until_open(&mut world);
        world.run(at_ms);
        match said(&mut world, abort()) {
            Ok(plan) => {
                given_up += 1;
                world.run(WINDOWS_MS);
                let row = &world.state().ledger.plans[&plan.unwrap()];
                assert!(matches!(&row.closed, Some(Err(ended)) if ended.code == "F0306"), "{}", world.story());
                assert!(!row.begun && moves(&world).is_empty(), "{}", world.story());
                assert_eq!(held(&world, "web1").as_deref(), Some("F0207"));
                said(&mut world, Intent::Resume { server: Some(id("web1")), reason: String::new() }).unwrap();
            }
            Err(code) => {
                too_late += 1;
                assert_eq!(code, 307);
            }
        }
        world.run_until_served("web1", "m3", 60_000);
        assert!(world.most_effective <= 1);
    }
    assert!(given_up > 2 && too_late > 2, "{given_up} given up, {too_late} too late");
}

/// Six machines that bear servers, of which `m1`, `m2` and `m3` stand in one rack; three spares.
fn racked(people: u32) -> World {
    let mut world = World::with_spares(9, 3);
    world.lab = false;
    world.estate.settings.consent.people = people;
    for name in ["m2", "m3"] {
        world.estate.machines.get_mut(&id::<MachineId>(name)).unwrap().rack = id("r1");
    }
    world.boot_core();
    said(&mut world, Intent::SetTierMode { tier: id("gold"), mode: Mode::Auto }).unwrap();
    world.run(2_000);
    world.start_servers();
    world
}

#[test]
fn what_the_guard_lets_go_is_what_was_looked_at() {
    let mut world = racked(1);
    assert_eq!(said(&mut world, let_go("rack r1")), Err(213), "nothing is held");
    world.power_off(&id("m1"));
    world.power_off(&id("m2"));
    world.run(WINDOWS_MS);
    assert_eq!((held(&world, "web1").as_deref(), moves(&world).len()), (Some("F0202"), 0), "{}", world.story());
    assert_eq!(said(&mut world, let_go("rack r7")), Err(213));
    said(&mut world, let_go("rack r1")).unwrap();
    world.run(20_000);
    assert_eq!(moves(&world), ["web1 to m7", "web2 to m8"], "{}", world.story());
    // the third of that rack follows: nobody has looked at it
    world.power_off(&id("m3"));
    world.run(WINDOWS_MS);
    assert_eq!((held(&world, "web3").as_deref(), moves(&world).len()), (Some("F0202"), 2), "{}", world.story());
    said(&mut world, let_go("rack r1")).unwrap();
    world.run_until_served("web3", "m9", 20_000);
    assert!(world.most_effective <= 1);
}

/// Two suspects share a feed with a third that nobody has looked at: what was said of their rack is nothing to the feed.
#[test]
fn whoever_has_looked_at_a_rack_has_not_looked_at_its_feed() {
    let mut world = World::with_spares(9, 3);
    for name in ["m1", "m2", "m4"] {
        let machine = world.estate.machines.get_mut(&id::<MachineId>(name)).unwrap();
        machine.feeds = vec![id("f1")];
        if name == "m2" {
            machine.rack = id("r1");
        }
    }
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    for name in ["m1", "m2", "m4"] {
        world.power_off(&id(name));
    }
    world.run(WINDOWS_MS);
    said(&mut world, let_go("rack r1")).unwrap();
    world.run(20_000);
    assert_eq!((held(&world, "web1").as_deref(), moves(&world).len()), (Some("F0202"), 0), "{}", world.story());
    said(&mut world, let_go("feed f1")).unwrap();
    world.run(20_000);
    assert_eq!(moves(&world), ["web1 to m7", "web2 to m8", "web4 to m9"], "{}", world.story());
}

#[test]
fn the_guard_lets_go_by_two_people_where_the_estate_says_so() {
    let mut world = racked(2);
    world.power_off(&id("m1"));
    world.power_off(&id("m2"));
    world.run(WINDOWS_MS);
    for _ in 0..2 {
        said_by(&mut world, "uid 1", let_go("rack r1")).unwrap();
        world.run(5_000);
        assert_eq!(moves(&world), [""; 0], "{}", world.story());
    }
    said_by(&mut world, "uid 2", let_go("rack r1")).unwrap();
    world.run(20_000);
    assert_eq!(moves(&world).len(), 2, "{}", world.story());
}

#[test]
fn what_the_guard_let_go_is_held_again_when_the_word_holds_no_more() {
    let mut world = racked(1);
    // no spare is free for so long
    for name in ["m7", "m8", "m9"] {
        world.power_on(&id(name));
    }
    world.power_off(&id("m1"));
    world.power_off(&id("m2"));
    world.run(WINDOWS_MS);
    said(&mut world, let_go("rack r1")).unwrap();
    world.run(5_000);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0401"), "{}", world.story());
    world.run(CONSENT_HOLDS.0);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0202"), "{}", world.story());
    for name in ["m7", "m8", "m9"] {
        world.power_off(&id(name));
    }
    world.run(20_000);
    assert_eq!(moves(&world), [""; 0], "{}", world.story());
}

#[test]
fn an_image_that_two_spares_do_not_bring_into_service_uses_up_no_third() {
    let mut world = up(Mode::Auto, 4, 1);
    for name in ["m3", "m4", "m5"] {
        world.machines.get_mut(&id::<MachineId>(name)).unwrap().hangs = true;
    }
    world.power_off(&id("m1"));
    world.run(400_000);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0212"), "{}", world.story());
    assert_eq!(moves(&world), ["web1 to m3", "web1 to m4"], "{}", world.story());
    // a person knows better, once a time
    let start = || Intent::StartFailover { server: id("web1"), reason: "the image is mended".into(), hash: None };
    said(&mut world, start()).unwrap();
    world.run(200_000);
    assert_eq!((held(&world, "web1").as_deref(), moves(&world).len()), (Some("F0212"), 3), "{}", world.story());
    said(&mut world, start()).unwrap();
    world.run_until_served("web1", "m6", 60_000);
    assert!(world.most_effective <= 1);
}

/// Whoever wanted a server moved wants it served: the next spare is the same failover, whatever the mode.
#[test]
fn a_failover_that_a_person_wanted_goes_on_with_the_next_spare() {
    for mode in [Mode::Manual, Mode::Approve] {
        let mut world = up(mode, 2, 1);
        world.machines.get_mut(&id::<MachineId>("m3")).unwrap().hangs = true;
        world.power_off(&id("m1"));
        world.run(WINDOWS_MS);
        assert_eq!(moves(&world), [""; 0]);
        let intent = match proposed(&world) {
            Some((hash, _)) => approve(&hash),
            None => Intent::StartFailover { server: id("web1"), reason: String::new(), hash: None },
        };
        said(&mut world, intent).unwrap();
        world.run_until_served("web1", "m4", 200_000);
        assert!(world.most_effective <= 1);
    }
}
