//! Every promise in the specification is measured by something that exists: a test target that a row names, the module in it, a scenario. It looks
//! for names alone and never judges whether a test shows what the row says.

use super::manifest::Crate;
use super::walk::Files;
use super::{Breach, Law};

/// Where the promises stand.
const PAGE: &str = "controller/docs/SPECIFICATION.md";
/// How a command that plays a scenario begins.
const SCENARIO: &str = "cargo xtask lab e2e ";
/// Where scenarios stand.
const SCENARIOS: &str = "controller/scenarios";

/// Rows that name what is not there.
pub fn check(files: &Files, crates: &[Crate]) -> Vec<Breach> {
    let Some(page) = files.get(PAGE) else { return Vec::new() };
    let mut breaches = Vec::new();
    for (number, line) in page.text.lines().enumerate() {
        for command in line.split('`').skip(1).step_by(2) {
            if let Some(missing) = missing(files, crates, command) {
                let remedy = "name what measures it, or leave the row out";
                breaches.push(Breach::new(Law::Promises, PAGE, number + 1, missing, remedy));
            }
        }
    }
    breaches
}

/// What a command names that does not exist.
fn missing(files: &Files, crates: &[Crate], command: &str) -> Option<String> {
    if let Some(name) = command.strip_prefix(SCENARIO) {
        return files.get(&format!("{SCENARIOS}/{name}.txt")).is_none().then(|| format!("there is no scenario {name}"));
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
    let (package, target) = (after("-p")?, after("--test")?);
    let Some(owner) = crates.iter().find(|one| one.name == package) else {
        return Some(format!("there is no crate {package}"));
    };
    let (file, folder) = (format!("{}/tests/{target}.rs", owner.folder), format!("{}/tests/{target}/", owner.folder));
    if files.get(&file).is_none() && files.get(&format!("{folder}main.rs")).is_none() {
        return Some(format!("crate {package} has no test target {target}"));
    }
    let filter = words.iter().position(|word| *word == target).and_then(|at| words.get(at + 1))?.trim_end_matches(':');
    let is_there = files
        .rust()
        .filter(|one| one.path == file || one.path.starts_with(&folder))
        .any(|one| one.path.ends_with(&format!("/{filter}.rs")) || one.text.contains(&format!("fn {filter}")));
    (!is_there).then(|| format!("test target {target} of crate {package} has nothing named {filter}"))
}
