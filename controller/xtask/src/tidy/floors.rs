//! Imports point down only, between crates: the floors of the house, and the pure core's short list of what it may use.

use super::manifest::{Crate, Dependency};
use super::{Breach, Law};

/// The floor of each top-level folder.
const FLOORS: &[(&str, u8)] = &[("profiles", 1), ("agents", 2), ("pxe", 3), ("hw-fixtures", 3), ("controller", 4)];

/// The pure core, what it may use of ours, and what from outside.
const CORE: &str = "pipeline";
const CORE_OURS: &[&str] = &["vocabulary"];
const CORE_OUTSIDE: &[&str] = &["serde", "serde_json", "thiserror", "sha2", "pathfinding"];

/// The one crate that depends on none of ours, so that it builds at once.
const LIGHT: &str = "xtask";

/// Stands outside of the workspace and drives the decoders of every room: it may depend on all, and none on it.
const OUTSIDE: &str = "fuzz";

/// Breaches between crates.
pub fn check(crates: &[Crate]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for one in crates {
        for dependency in &one.dependencies {
            let ours = crates.iter().find(|other| other.name == dependency.name);
            breaches.extend(ours.and_then(|other| floor(one, other, dependency)));
            breaches.extend(core(one, ours.is_some(), dependency));
        }
    }
    breaches
}

fn floor(one: &Crate, other: &Crate, dependency: &Dependency) -> Option<Breach> {
    let breach = |what: String, remedy: &str| Some(Breach::new(Law::Floors, &one.manifest(), dependency.line, what, remedy));
    if one.name == LIGHT {
        return breach(
            format!("{LIGHT} depends on {}", other.name),
            "xtask depends on no crate of ours: start the program instead",
        );
    }
    if other.name == OUTSIDE {
        return breach(
            format!("{} depends on {OUTSIDE}", one.name),
            "fuzz targets feed decoders and hold no code: feed them yourself",
        );
    }
    if one.name == OUTSIDE {
        return None;
    }
    let (Some(here), Some(there)) = (floor_of(one.top()), floor_of(other.top())) else {
        return breach(format!("{} or {} lies on no floor", one.folder, other.folder), "move it into a room of the house");
    };
    if one.top() == other.top() || there < here {
        return None;
    }
    breach(
        format!("{} (floor {here}, {}) depends on {} (floor {there}, {})", one.name, one.top(), other.name, other.top()),
        if dependency.dev {
            "dependencies point down only, those of tests too: let the test live in the higher crate's tests/"
        } else {
            "dependencies point down only: move what is shared to a lower floor"
        },
    )
}

fn floor_of(top: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == top).map(|(_, floor)| *floor)
}

fn core(one: &Crate, ours: bool, dependency: &Dependency) -> Option<Breach> {
    if one.name != CORE {
        return None;
    }
    let name = dependency.name.as_str();
    let allowed = if ours { CORE_OURS.contains(&name) } else { dependency.dev || CORE_OUTSIDE.contains(&name) };
    (!allowed).then(|| {
        let allowed: Vec<&str> = CORE_OURS.iter().chain(CORE_OUTSIDE).copied().collect();
        Breach::new(
            Law::PureCore,
            &one.manifest(),
            dependency.line,
            format!("{CORE} depends on {name}"),
            format!("the core is pure: it may use only {}; bring the rest in as events", allowed.join(", ")),
        )
    })
}
