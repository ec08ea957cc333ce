//! What machines foretell: it is told once, it ends when it is gone, it kills nobody, and such a spare comes last.

use crate::common::{World, id};
use pipeline::event::{Observation, What};
use pipeline::record::Fact;
use std::collections::BTreeMap;
use vocabulary::{MachineId, ServerId};

const SENSORS: &str = "health by sensors";

fn up(machines: usize, spares: usize) -> World {
    let mut world = World::with_spares(machines, spares);
    world.start_servers();
    world.run_until_served("web1", "m1", 60_000);
    world
}

fn look(world: &mut World, machine: &str, signs: &[(&str, &str)]) {
    let signs = signs.iter().map(|(name, told)| ((*name).to_owned(), (*told).to_owned())).collect();
    world.tell(What::Observed(Observation::Signs { machine: id(machine), signs }));
}

fn told(world: &World) -> Vec<(MachineId, BTreeMap<String, String>)> {
    let of = |fact: &Fact| match fact {
        Fact::Foretold { machine, signs } => Some((machine.clone(), signs.clone())),
        _ => None,
    };
    world.facts.iter().filter_map(of).collect()
}

fn on(world: &World) -> MachineId {
    world.state().ledger.placement(&id::<ServerId>("web1")).unwrap().machine.clone()
}

#[test]
fn a_sign_is_told_once_and_moves_nothing() {
    let mut world = up(3, 1);
    for degrees in ["71 °C", "72 °C", "70 °C"] {
        look(&mut world, "m1", &[(SENSORS, &format!("Critical: inlet {degrees}"))]);
        world.run(1_800_000);
    }
    assert_eq!(told(&world).len(), 1, "what is measured changes, the sign does not:\n{}", world.story());
    assert!(
        world
            .story()
            .contains("m1 foretells a failure (F0216), and nothing is done by it: health by sensors: Critical: inlet 71")
    );
    assert_eq!(on(&world), id::<MachineId>("m1"));
    assert!(!world.facts.iter().any(|fact| matches!(fact, Fact::Verdict { .. } | Fact::Held { .. } | Fact::Suspected { .. })));
    look(&mut world, "m1", &[(SENSORS, "Critical: inlet 71 °C"), ("event log", "memory: uncorrectable error")]);
    assert_eq!(told(&world).len(), 2, "another sign is news at once");
    look(&mut world, "m2", &[(SENSORS, "Warning: fan 2")]);
    look(&mut world, "m2", &[(SENSORS, "Critical: supply 1")]);
    look(&mut world, "m2", &[(SENSORS, "Warning: fan 2")]);
    look(&mut world, "m2", &[(SENSORS, "Critical: supply 1")]);
    assert_eq!(told(&world).len(), 4, "what has become worse is news, once");
    world.boot_core();
    look(&mut world, "m1", &[(SENSORS, "Critical: inlet 71 °C"), ("event log", "memory: uncorrectable error")]);
    assert_eq!(told(&world).len(), 4, "a restart does not forget it");
}

#[test]
fn it_is_over_when_two_looks_in_a_row_find_it_gone() {
    let mut world = up(3, 1);
    let sign: [(&str, &str); 1] = [(SENSORS, "Warning: fan 2")];
    look(&mut world, "m1", &sign);
    for _ in 0..3 {
        look(&mut world, "m1", &[]);
        look(&mut world, "m1", &sign);
    }
    assert_eq!(told(&world).len(), 1, "one that flaps is told once");
    look(&mut world, "m1", &[]);
    look(&mut world, "m1", &[]);
    assert_eq!((told(&world).len(), world.state().ledger.foretold.len()), (2, 0));
    assert!(world.story().contains("m1 foretells no failure any more"));
    look(&mut world, "m1", &[]);
    look(&mut world, "nowhere", &sign);
    assert_eq!(told(&world).len(), 2, "nothing is no news, nor is a machine that is not in the estate");
}

#[test]
fn a_spare_that_foretells_a_failure_comes_after_one_that_does_not_and_before_none() {
    for (spares, foretelling, taken) in [(2, "m2", "m3"), (2, "m3", "m2"), (1, "m2", "m2")] {
        let mut world = up(1 + spares, spares);
        look(&mut world, foretelling, &[(SENSORS, "Warning: power redundancy")]);
        world.power_off(&id("m1"));
        world.run_until_served("web1", taken, 600_000);
        assert_eq!(on(&world), id::<MachineId>(taken), "{}", world.story());
    }
}
