//! `simulate`: builds and starts the search over simulated worlds. Which seeds a run of `test` plays follows from the commit, so that every
//! commit plays new ones and anyone can play them again.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cli::Simulate;
use crate::run;
use crate::say;
use crate::tree::Tree;

/// The program that plays worlds.
pub const PROGRAM: &str = "understudy-simulate";
/// Its crate.
pub const PACKAGE: &str = "simulator";
/// Worlds in which a law was once broken; every run of `test` plays them again.
const FOUND: &str = "controller/simulator/found";
/// Fresh seeds of a `test`, the time they may take, s, and how many are played however long they take.
const FRESH: [&str; 6] = ["--seeds", "10000", "--within", "120", "--least", "2000"];
/// The program that plays small worlds of the core alone, and how many of them a night.
const CORE_PROGRAM: &str = "core-worlds";
const CORE: [&str; 2] = ["--seeds", "50000"];
/// The program that looks for real failures in noise, and how much noise a `test` and a night have.
const DETECTION_PROGRAM: &str = "detection";
const DETECTION: [&str; 4] = ["--failures", "300", "--machine-years", "10"];
const DETECTION_NIGHTLY: [&str; 4] = ["--failures", "1000", "--machine-years", "1000"];
/// How many digits of a commit's hash make its first seed.
const DIGITS: usize = 8;
/// Between two first seeds lie two to the power of this many: more than any search plays.
const FOLLOWING: u32 = 28;

/// `cargo xtask simulate`
pub fn simulate(tree: &Tree, wanted: &Simulate) -> Result<ExitCode> {
    build(tree)?;
    let status = run::status(program(tree).args(&wanted.rest))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `cargo xtask simulate --core`
pub fn core(tree: &Tree, options: &[String]) -> Result<ExitCode> {
    build_example(tree, CORE_PROGRAM)?;
    let status = run::status(example(tree, CORE_PROGRAM).args(options))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `cargo xtask simulate --detection`
pub fn detection(tree: &Tree, options: &[String]) -> Result<ExitCode> {
    build_example(tree, DETECTION_PROGRAM)?;
    let status = run::status(example(tree, DETECTION_PROGRAM).args(options))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Real failures in noise that no earlier commit has seen: each must become a verdict in time, and nothing else may.
pub fn fresh_detection(tree: &Tree, nightly: bool) -> Result<()> {
    build_example(tree, DETECTION_PROGRAM)?;
    let much = if nightly { DETECTION_NIGHTLY } else { DETECTION };
    run::succeed(example(tree, DETECTION_PROGRAM).args(much).args(["--from", &first_seed(tree).to_string()]))
}

/// Small worlds of the core alone that no earlier commit has played.
pub fn fresh_core(tree: &Tree) -> Result<()> {
    build_example(tree, CORE_PROGRAM)?;
    let from = first_seed(tree);
    run::succeed(example(tree, CORE_PROGRAM).args(CORE).args(["--from", &from.to_string()]))
}

/// With the whole workspace: alone it would be built with other features.
fn build_example(tree: &Tree, name: &str) -> Result<()> {
    run::succeed(run::cargo(tree).args(["build", "--quiet", "--workspace", "--example", name]))
}

fn example(tree: &Tree, name: &str) -> Command {
    let mut command = Command::new(tree.programs().join("examples").join(name));
    command.current_dir(tree.root());
    command
}

/// With all other programs: alone it would be built with other features, and everything below it once more.
fn build(tree: &Tree) -> Result<()> {
    run::succeed(run::cargo(tree).args(["build", "--quiet"]))
}

fn program(tree: &Tree) -> Command {
    let mut command = Command::new(tree.programs().join(PROGRAM));
    command.current_dir(tree.root());
    command
}

/// Worlds in which something was once found.
pub fn found(tree: &Tree) -> Result<()> {
    let folder = tree.root().join(FOUND);
    let mut worlds = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("{FOUND} cannot be read"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "world") {
            worlds.push(path);
        }
    }
    worlds.sort();
    anyhow::ensure!(!worlds.is_empty(), "{FOUND} holds no world");
    build(tree)?;
    run::succeed(program(tree).args(worlds))
}

/// Seeds that no earlier commit has played.
pub fn fresh(tree: &Tree, json: &Path) -> Result<()> {
    let from = first_seed(tree);
    say!("worlds from seed {from} on");
    build(tree)?;
    run::succeed(program(tree).args(FRESH).args(["--from", &from.to_string()]).arg("--json").arg(json))
}

/// From the commit's hash: seeds of one commit follow each other, those of two do not meet. Outside of a clone from the time of day.
fn first_seed(tree: &Tree) -> u64 {
    let asked = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(tree.root()).stderr(Stdio::null()).output();
    let commit = asked.ok().and_then(|output| seed_of(&String::from_utf8_lossy(&output.stdout)));
    commit.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() << FOLLOWING
    })
}

fn seed_of(commit: &str) -> Option<u64> {
    let digits = commit.trim().get(..DIGITS)?;
    Some(u64::from_str_radix(digits, 16).ok()? << FOLLOWING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_its_own_seeds() {
        assert_eq!(seed_of("0000000a11111111\n"), Some(10 << FOLLOWING));
        assert_eq!((seed_of("xyz"), seed_of("")), (None, None));
        assert_ne!(seed_of("0123456789"), seed_of("1123456789"));
    }
}
