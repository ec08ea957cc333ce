//! A site whose power was gone is started again: in the order that was shown, nothing moved, never too many at once, and nothing that is not seen off.

use crate::common::{World, id};
use pipeline::cold_start::{self, INRUSH_PAUSE, PATIENCE, TURN_PATIENCE};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ledger::ColdStart;
use pipeline::plan::Kind;
use pipeline::record::Fact;
use std::collections::BTreeMap;
use vocabulary::estate::{Group, Tier};
use vocabulary::{Epoch, GroupId, MachineId, PlanId, ServerId, SiteId};

const LONG_MS: u64 = 60_000;

/// web1 and web2 need web4; web3 belongs to a lower tier. One spare.
fn up() -> World {
    let mut world = World::with_spares(5, 1);
    world.estate.tiers.insert(id("silver"), Tier { rank: 2, ..world.estate.tiers[&id("gold")].clone() });
    let web = world.estate.groups[&id::<GroupId>("web")].clone();
    world.estate.groups.insert(id("web"), Group { after: vec![id("db")], ..web.clone() });
    world.estate.groups.insert(id("db"), Group { tier: id("silver"), ..web.clone() });
    world.estate.groups.insert(id("archive"), Group { tier: id("silver"), ..web });
    for (server, group) in [("web3", "archive"), ("web4", "db")] {
        world.estate.servers.get_mut(&id::<ServerId>(server)).unwrap().group = id(group);
    }
    world.boot_core();
    world.run(2_000);
    world.start_servers();
    world.run(5_000);
    world
}

fn machines() -> Vec<MachineId> {
    (1..=4).map(|n| id(&format!("m{n}"))).collect()
}

fn placements(world: &World) -> BTreeMap<ServerId, (MachineId, Epoch)> {
    let of = |(server, row): (&ServerId, &pipeline::ledger::ServerRow)| {
        let placement = row.placement.as_ref().unwrap();
        (server.clone(), (placement.machine.clone(), placement.epoch))
    };
    world.state().ledger.servers.iter().map(of).collect()
}

/// All power goes; the guard holds.
fn dark(world: &mut World) {
    machines().iter().for_each(|machine| world.power_off(machine));
    world.run(10_000);
}

fn site() -> SiteId {
    id("lab")
}

fn shown(world: &World) -> (Vec<String>, Vec<String>, String) {
    let (order, left_out) = cold_start::propose(world.state(), &site(), vocabulary::Instant(world.now));
    let turns = order.turns.iter().map(|turn| turn.server.to_string()).collect();
    (turns, left_out.values().cloned().collect(), order.hash())
}

fn agree_by(world: &mut World, principal: &str, hash: &str) -> Result<Option<PlanId>, u16> {
    let intent = Intent::StartSite { site: site(), hash: hash.to_owned(), reason: "power is back".to_owned() };
    let ticket = world.intent_of(principal, intent);
    world.replies[&ticket].clone().map_err(|fault| fault.code.0)
}

fn agree(world: &mut World) {
    let hash = shown(world).2;
    agree_by(world, "uid 0", &hash).unwrap();
}

fn start(world: &World) -> &ColdStart {
    &world.state().ledger.cold_starts[&site()]
}

fn held(world: &World, server: &str) -> Option<String> {
    world.state().ledger.servers[&id::<ServerId>(server)].held.as_ref().map(|(code, ..)| code.clone())
}

/// Restarts in the order in which they were sealed: server, when, and when they ended.
fn restarts(world: &World) -> Vec<(String, u64, Option<u64>)> {
    let plans = world.state().ledger.plans.values().filter(|row| row.plan.body().kind == Kind::Restart);
    plans.map(|row| (row.plan.server().unwrap().to_string(), row.times.0.0, row.times.1.map(|at| at.0))).collect()
}

fn names(world: &World) -> Vec<String> {
    restarts(world).into_iter().map(|(server, ..)| server).collect()
}

fn moved(world: &World) -> bool {
    world.facts.iter().any(|fact| matches!(fact, Fact::Owned(owned) if owned.from.is_some()))
}

#[test]
fn all_serve_again_in_order_where_they_were() {
    let mut world = up();
    let before = placements(&world);
    dark(&mut world);
    let (turns, left_out, _) = shown(&world);
    assert_eq!((turns, left_out.len()), (vec!["web3".into(), "web4".into(), "web1".into(), "web2".into()], 0));
    assert_eq!(held(&world, "web1").as_deref(), Some("F0202"), "{}", world.story());
    agree(&mut world);
    world.run(600);
    assert_eq!(held(&world, "web1").as_deref(), Some("F0214"), "{}", world.story());
    world.run(LONG_MS);
    assert_eq!(start(&world).ended.as_ref().unwrap().1, "4 of 4 servers were started", "{}", world.story());
    assert_eq!(placements(&world), before, "{}", world.story());
    assert!(!moved(&world));
    for server in ["web1", "web2", "web3", "web4"] {
        assert_eq!(world.look(&id(server)), vocabulary::check::CheckOutcome::Healthy, "{server}");
    }
    let all = restarts(&world);
    let of = |name: &str| all.iter().find(|(server, ..)| server == name).unwrap();
    assert!(of("web1").1 >= of("web4").2.unwrap(), "web1 began before web4 was there: {all:?}");
    for pair in all.windows(2) {
        assert!(pair[1].1 - pair[0].1 >= INRUSH_PAUSE.0, "{all:?}");
    }
}

#[test]
fn never_more_at_once_than_the_inrush_limit() {
    let mut world = up();
    world.estate.settings.guard.inrush = 1;
    world.boot_core();
    world.run(2_000);
    dark(&mut world);
    agree(&mut world);
    world.run(2 * LONG_MS);
    let all = restarts(&world);
    assert_eq!(all.len(), 4, "{}", world.story());
    assert!(all.windows(2).all(|pair| pair[1].1 >= pair[0].2.unwrap()), "{all:?}");
}

#[test]
fn what_is_not_seen_off_or_has_no_volume_waits_and_what_is_on_is_passed_over() {
    let mut world = up();
    dark(&mut world);
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc_dead = true;
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.run(10_000);
    agree(&mut world);
    world.run(LONG_MS);
    assert_eq!(names(&world), [""; 0], "nobody can read a volume: {}", world.story());
    // one comes back by itself meanwhile
    world.power_on(&id("m1"));
    world.run(2_000);
    let waits = |world: &World, server: &str| {
        let all = cold_start::progress(world.state(), start(world), vocabulary::Instant(world.now));
        all.into_iter().find(|(turn, _)| turn.server.as_str() == server).unwrap().1
    };
    assert_eq!(waits(&world, "web1"), cold_start::Stands::Waits("web4 comes first".to_owned()));
    world.run(4_000);
    assert!(start(&world).passed[&id::<ServerId>("web1")].contains("it serves"), "{}", world.story());
    world.dead_agents.clear();
    world.run(LONG_MS);
    assert_eq!(names(&world), ["web4", "web2"], "the BMC of m3 does not answer: {}", world.story());
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc_dead = false;
    world.run(LONG_MS);
    assert_eq!(names(&world), ["web4", "web2", "web3"]);
    assert_eq!(start(&world).ended.as_ref().unwrap().1, "3 of 4 servers were started");
}

#[test]
fn a_hold_of_everything_ends_it_and_one_of_a_server_passes_that_over() {
    let mut world = up();
    world.estate.settings.guard.inrush = 1;
    world.boot_core();
    world.run(2_000);
    dark(&mut world);
    agree(&mut world);
    world.run(400);
    world.intent(Intent::Hold { server: Some(id("web4")), reason: "its owner looks".to_owned() });
    world.run(3_000);
    assert!(start(&world).passed[&id::<ServerId>("web4")].contains("its owner looks"), "{}", world.story());
    world.intent(Intent::Hold { server: None, reason: "smoke".to_owned() });
    world.run(LONG_MS);
    let begun = names(&world);
    assert!(start(&world).ended.as_ref().unwrap().1.contains("holds everything: smoke"), "{}", world.story());
    assert!(begun.len() < 3, "{begun:?}");
    let hash = shown(&world).2;
    assert_eq!(agree_by(&mut world, "uid 0", &hash), Err(207));
    world.intent(Intent::Resume { server: None, reason: String::new() });
    world.run(LONG_MS);
    assert_eq!(names(&world), begun, "what had not begun is not begun by a resume");
}

#[test]
fn another_order_than_the_one_shown_or_too_few_people_start_nothing() {
    let mut world = up();
    world.lab = false;
    world.estate.settings.consent.people = 2;
    world.boot_core();
    world.intent(Intent::SetTierMode { tier: id("gold"), mode: vocabulary::estate::Mode::Auto });
    world.intent(Intent::SetTierMode { tier: id("silver"), mode: vocabulary::estate::Mode::Auto });
    world.run(2_000);
    let hash = shown(&world).2;
    assert_eq!(agree_by(&mut world, "uid 1", &hash), Err(215), "nothing is off");
    dark(&mut world);
    assert_eq!(agree_by(&mut world, "uid 1", &hash), Err(67));
    let hash = shown(&world).2;
    agree_by(&mut world, "uid 1", &hash).unwrap();
    agree_by(&mut world, "uid 1", &hash).unwrap();
    world.run(LONG_MS);
    assert!(world.state().ledger.cold_starts.is_empty() && names(&world).is_empty());
    agree_by(&mut world, "uid 2", &hash).unwrap();
    assert_eq!(agree_by(&mut world, "uid 2", &hash), Err(215), "it is under way");
    world.run(LONG_MS);
    assert_eq!(names(&world).len(), 4, "{}", world.story());
    let unknown = world.intent(Intent::StartSite { site: id("lima"), hash, reason: String::new() });
    assert_eq!(world.replies[&unknown].clone().unwrap_err().code.0, 77);
}

#[test]
fn it_goes_on_after_a_restart_of_the_controller_whenever_that_comes() {
    for after_ms in (0..14_000).step_by(700) {
        let mut world = up();
        let before = placements(&world);
        dark(&mut world);
        agree(&mut world);
        world.run(after_ms);
        world.boot_core();
        world.run(2 * LONG_MS);
        assert_eq!(start(&world).ended.as_ref().unwrap().1, "4 of 4 servers were started", "{after_ms}: {}", world.story());
        let mut all = names(&world);
        all.sort();
        assert_eq!(all, ["web1", "web2", "web3", "web4"], "{after_ms}: each once");
        assert_eq!((placements(&world), moved(&world), asked_to_stop(&world)), (before, false, 0), "{after_ms}");
    }
}

/// Machines that were asked to stop.
fn asked_to_stop(world: &World) -> usize {
    let asked = |fact: &&Fact| matches!(fact, Fact::Intent { what, .. } if what.starts_with("ask the operating system"));
    world.facts.iter().filter(asked).count()
}

#[test]
fn words_that_have_started_a_site_start_it_no_second_time() {
    let mut world = up();
    world.lab = false;
    world.estate.settings.consent.people = 2;
    world.boot_core();
    for tier in ["gold", "silver"] {
        world.intent(Intent::SetTierMode { tier: id(tier), mode: vocabulary::estate::Mode::Auto });
    }
    world.run(2_000);
    dark(&mut world);
    // nobody's turn comes
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.run(10_000);
    let hash = shown(&world).2;
    agree_by(&mut world, "uid 1", &hash).unwrap();
    agree_by(&mut world, "uid 2", &hash).unwrap();
    world.intent(Intent::Hold { server: None, reason: "smoke".to_owned() });
    world.run(3_000);
    world.intent(Intent::Resume { server: None, reason: String::new() });
    world.dead_agents.clear();
    world.run(5_000);
    let hash = shown(&world).2;
    agree_by(&mut world, "uid 1", &hash).unwrap();
    world.run(LONG_MS);
    assert!(start(&world).ended.is_some() && names(&world).is_empty(), "{}", world.story());
}

#[test]
fn a_blind_controller_switches_nothing_on() {
    let mut world = up();
    dark(&mut world);
    agree(&mut world);
    world.canaries = false;
    world.run(LONG_MS);
    assert!(names(&world).len() <= 1, "{}", world.story());
    world.canaries = true;
    world.run(LONG_MS);
    assert_eq!(names(&world).len(), 4, "{}", world.story());
}

#[test]
fn one_that_does_not_come_up_holds_nobody_up_for_ever_and_what_never_answers_is_given_up() {
    let mut world = up();
    dark(&mut world);
    world.machines.get_mut(&id::<MachineId>("m4")).unwrap().hangs = true;
    world.machines.get_mut(&id::<MachineId>("m2")).unwrap().bmc_dead = true;
    agree(&mut world);
    world.run(2 * LONG_MS);
    assert_eq!(names(&world), ["web3", "web4", "web1"], "{}", world.story());
    assert!(start(&world).ended.is_none());
    world.run(TURN_PATIENCE.0);
    let passed = &start(&world).passed[&id::<ServerId>("web2")];
    assert!(passed.contains("the BMC of m2 does not say Off, for 10m"), "{passed}");
    assert_eq!(start(&world).ended.as_ref().unwrap().1, "2 of 4 servers were started");
}

#[test]
fn a_start_that_was_agreed_to_long_ago_is_not_taken_up_again() {
    let mut world = up();
    dark(&mut world);
    world.dead_agents.insert(Agent::Storage(id("store1")));
    world.run(10_000);
    agree(&mut world);
    // the controller is away for an hour
    world.dead_agents.clear();
    world.wall_ahead += 2 * PATIENCE.0;
    world.boot_core();
    world.run(LONG_MS);
    assert!(names(&world).is_empty(), "{}", world.story());
    assert!(start(&world).ended.as_ref().unwrap().1.contains("nothing has moved"));
}

#[test]
fn who_lacked_something_in_one_start_has_all_its_time_in_the_next() {
    let mut world = up();
    // nothing is moved by itself meanwhile
    world.intent(Intent::SetTierMode { tier: id("silver"), mode: vocabulary::estate::Mode::Manual });
    dark(&mut world);
    world.machines.get_mut(&id::<MachineId>("m3")).unwrap().bmc_dead = true;
    world.run(10_000);
    agree(&mut world);
    world.run(LONG_MS);
    world.intent(Intent::Hold { server: None, reason: "smoke".to_owned() });
    world.run(2_000);
    world.intent(Intent::Resume { server: None, reason: String::new() });
    world.run(TURN_PATIENCE.0);
    agree(&mut world);
    world.run(5_000);
    assert!(start(&world).passed.is_empty() && start(&world).ended.is_none(), "{}", world.story());
}
