//! The scenarios that come with the house, embedded so that the binary needs no file of the source tree.

use crate::script::{self, Fault, Scenario};

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../", $name, ".txt")))),+]
    };
}

/// All of them, in the order in which they are run: the quick and common first.
const FILES: &[(&str, &str)] = files![
    "crash",
    "hang",
    "returns",
    "no-spare",
    "reboots-itself",
    "service-dead",
    "bmc-dead",
    "split-brain-control",
    "controller-killed",
    "uefi",
    "san",
    "ipmi",
    "held",
    "maintenance",
    "approved",
    "late-approval",
    "rack-dark",
    "two-at-once",
    "spare-dies",
    "outlets",
    "wrong-outlet",
    "feed-lost",
    "bmc-ignores-off",
    "bmc-says-off",
    "slow-off",
    "already-off",
    "target-restarts",
    "agent-forgets",
    "confirmed-off",
    "cold-start",
    "restored-backup",
    "switch-restarts",
    "config-push",
    "switch-dark",
    "switch-dark-proof",
    "switch-dark-power",
    "switch-lost-midway",
    "switch-lost-one-spare",
    "blind",
    "partitioned",
    "panic-kdump",
    "guest-reboot-slow-post",
    "slow-firmware",
    "storage-dark",
    "boot-dark",
    "storage-session-survives",
    "write-in-flight",
    "two-paths",
    "agent-doubled",
    "agent-copied",
    "foretold",
    "second-estate",
    "stale-controller",
    "stale-bmcs",
    "controller-copied",
    "agent-older-store",
    "agent-older-boot",
];

/// The names.
pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// A scenario by its name; `None` if there is none of that name.
pub fn find(name: &str) -> Option<Result<Scenario, Vec<Fault>>> {
    FILES.iter().find(|(known, _)| *known == name).map(|(name, text)| script::read(name, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Expectation, Step};
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_in_the_list_and_is_read_without_a_fault() {
        let folder = env!("CARGO_MANIFEST_DIR");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".txt").map(str::to_owned))
            .collect();
        assert_eq!(there, names().into_iter().map(str::to_owned).collect());
        for name in names() {
            find(name).unwrap().unwrap();
        }
    }

    #[test]
    fn every_scenario_ends_with_the_oracles_word() {
        for name in names() {
            let last = find(name).unwrap().unwrap().steps.pop().unwrap().step;
            let word = matches!(last, Step::Expect(Expectation::AcknowledgedRecovered | Expectation::SplitBrainCaught));
            assert!(word, "{name} ends with {last:?}");
        }
    }

    #[test]
    fn the_controller_is_killed_in_each_of_the_nine_stages() {
        let steps = find("controller-killed").unwrap().unwrap().steps;
        let killed: Vec<_> = steps
            .iter()
            .filter_map(|step| match step.step {
                Step::RestartController(stage) => stage,
                _ => None,
            })
            .collect();
        assert_eq!(killed, pipeline::stage::Stage::ALL);
    }
}
