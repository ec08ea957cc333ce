//! What is forgotten with old records, and what never is.

use crate::common::{World, id};
use pipeline::event::Intent;
use pipeline::ledger::Ledger;
use pipeline::record::Fact;
use proptest::prelude::*;
use std::collections::BTreeSet;
use vocabulary::*;

/// Within it a server is not failed over twice.
const HALF_AN_HOUR: u64 = 1_800_000;

fn plans(world: &World) -> BTreeSet<u64> {
    world.state().ledger.plans.keys().map(|plan| plan.0.0).collect()
}

/// web1 goes from m1 to m3, m1 is released, and it goes back there.
fn there_and_back() -> World {
    let mut world = World::new(3);
    world.start_servers();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 60_000);
    world.power_on(&id("m1"));
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(60_000);
    world
}

#[test]
fn plans_that_nothing_refers_to_are_forgotten_and_the_others_stay() {
    let mut world = there_and_back();
    let before = plans(&world);
    world.prune();
    let kept = plans(&world);
    let placed: BTreeSet<u64> =
        world.state().ledger.servers.values().map(|row| row.placement.as_ref().unwrap().epoch.0).collect();
    assert!(kept.is_superset(&placed), "where servers are: {kept:?} {placed:?}");
    assert!(kept.len() < before.len(), "{kept:?} of {before:?}");
    let gone: Vec<&u64> = before.difference(&kept).collect();
    assert!(gone.iter().all(|plan| world.state().ledger.may_have_forgotten(PlanId(Epoch(**plan)))));
    // and life goes on
    world.boot_core();
    world.run(HALF_AN_HOUR);
    world.power_off(&id("m3"));
    world.run_until_served("web1", "m1", 60_000);
}

#[test]
fn a_machine_in_quarantine_keeps_the_plan_that_fenced_it() {
    let mut world = World::new(3);
    world.start_servers();
    world.power_off(&id("m1"));
    world.run_until_served("web1", "m3", 60_000);
    let fenced_by = world.state().ledger.open_plan_of(&id("web1")).map(|row| row.plan.id());
    assert_eq!(fenced_by, None);
    let newest = *plans(&world).last().unwrap();
    world.prune();
    assert!(plans(&world).contains(&newest));
    world.boot_core();
    world.run(5_000);
    world.power_on(&id("m1"));
    world.intent(Intent::ReleaseMachine { machine: id("m1") });
    world.run(60_000);
    assert_eq!(world.state().ledger.standing(&id("m1")), pipeline::ledger::Standing::Free, "{}", world.story());
}

#[test]
fn what_is_young_is_kept_whatever_is_to_be_forgotten() {
    let world = there_and_back();
    let ledger = &world.state().ledger;
    let now = WallTime(world.wall());
    let far = WallTime(u64::MAX);
    assert_eq!(ledger.forgettable(ledger, far, now), BTreeSet::new(), "all of it was done within a day");
    assert_eq!(ledger.forgettable(&Ledger::default(), far, far), BTreeSet::new(), "and ended in no record that goes");
    assert!(!ledger.forgettable(ledger, far, far).is_empty());
}

#[test]
fn an_agent_that_keeps_what_a_forgotten_plan_gave_overrules_nobody() {
    let mut world = there_and_back();
    world.prune();
    world.boot_core();
    world.run(5_000);
    assert!(!world.records.iter().any(|record| matches!(record.fact, Fact::Overruled { .. })), "{}", world.story());
}

/// What this version's first base looked like, of a world in which much had happened. It is never written anew: stores hold such texts.
const FIRST: &str = include_str!("../golden/ledger-1.json");

#[test]
fn a_base_of_the_first_version_is_read_for_ever() {
    let ledger = Ledger::from_text(FIRST).unwrap_or_else(|error| panic!("what stores hold is unreadable: {error}"));
    let rows = [
        ("machines", ledger.machines.len()),
        ("enrolments", ledger.machines.values().filter(|row| row.enrolled.is_some()).count()),
        ("placements", ledger.servers.values().filter(|row| row.placement.is_some()).count()),
        ("plans", ledger.plans.len()),
        ("confirmed", ledger.confirmed.len()),
        ("volumes", ledger.volumes.len()),
        ("holds", ledger.holds.len()),
        ("maintenance", ledger.maintenance.len()),
        ("pruned", ledger.pruned.iter().count()),
    ];
    let empty: Vec<&str> = rows.iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect();
    assert_eq!(empty, Vec::<&str>::new(), "the text has some of each");
    assert_eq!(Ledger::from_text(&ledger.to_text().unwrap()).unwrap(), ledger);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, .. ProptestConfig::default() })]

    /// Whatever stands in a store is an error or a ledger that reads back as it is: nothing panics, and no key is dropped.
    #[test]
    fn a_changed_text_is_an_error_or_reads_back(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let text = TEXT.get_or_init(|| there_and_back().state().ledger.to_text().unwrap());
        let mut text = text.clone().into_bytes();
        let at = place.index(text.len());
        text[at] = byte;
        if let Some(read) = String::from_utf8(text).ok().and_then(|text| Ledger::from_text(&text).ok()) {
            prop_assert_eq!(Ledger::from_text(&read.to_text().unwrap()).unwrap(), read);
        }
    }
}
