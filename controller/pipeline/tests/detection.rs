//! How long a fault takes to be a verdict at the defaults, whenever it happens between two polls. The figures of SPECIFICATION.md.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{World, id};
use pipeline::record::Fact;
use vocabulary::MachineId;
use vocabulary::estate::Detection;

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
