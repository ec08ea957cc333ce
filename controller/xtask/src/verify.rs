//! `test` and `nightly`: every check as a step of its own, builds and tests timed apart. A step that finds nothing to run has failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::compile;
use crate::consent::Consent;
use crate::install;
use crate::lab::EXIT_NOT_READY;
use crate::packages::Outcome;
use crate::prepare;
use crate::report;
use crate::run::{self, Tests};
use crate::say;
use crate::steps::{Kind, Steps};
use crate::tidy;
use crate::tree::Tree;

/// The lab scenarios that `test` runs; `nightly` runs all.
const SCENARIOS_OF_TEST: &[&str] = &["crash"];

/// Crates whose compile_fail doc tests hold the safety laws.
const LAW_CRATES: &[&str] = &["pipeline", "vocabulary", "contract"];

/// How long it takes on two cores, clean and warm.
const TEST_MINUTES: &str = "about 25 minutes on a clean checkout, 5 once built";
const NIGHTLY_MINUTES: &str = "about an hour";

/// `cargo xtask test`
pub fn test(tree: &Tree, consent: Consent) -> Result<ExitCode> {
    say!("test: format, lints, laws, tests, lab scenarios {}; {TEST_MINUTES}", SCENARIOS_OF_TEST.join(", "));
    if !ready(tree, consent)? {
        return Ok(ExitCode::from(EXIT_NOT_READY));
    }
    let mut steps = Steps::default();
    common(tree, &mut steps, SCENARIOS_OF_TEST);
    finish(&steps)
}

/// `cargo xtask nightly`
pub fn nightly(tree: &Tree, consent: Consent) -> Result<ExitCode> {
    say!("nightly: test, all lab scenarios, benchmarks, the table for SPECIFICATION.md; {NIGHTLY_MINUTES}");
    if !ready(tree, consent)? {
        return Ok(ExitCode::from(EXIT_NOT_READY));
    }
    let mut steps = Steps::default();
    let rows = common(tree, &mut steps, &[]);
    let measured = result_file(tree, "bench-failover.json");
    steps.run(Kind::Test, "bench failover", || {
        remove_stale(&measured)?;
        let mut command = prepare::scenario_command(tree, "bench-failover");
        run::succeed(command.arg("--json").arg(&measured))
    });
    println!("{}", report::specification(&rows.unwrap_or_default(), &report::read_measures(&measured)));
    finish(&steps)
}

fn ready(tree: &Tree, consent: Consent) -> Result<bool> {
    let machine = matches!(prepare::machine(tree, consent)?, Outcome::Done(()));
    Ok(machine && matches!(install::ensure_components(consent)?, Outcome::Done(())))
}

fn finish(steps: &Steps) -> Result<ExitCode> {
    println!("{}", steps.table());
    Ok(if steps.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `test` and `nightly` share; an empty list of scenarios means all. Returns the rows of the scenarios, if they ran.
fn common(tree: &Tree, steps: &mut Steps, scenarios: &[&str]) -> Option<Vec<report::Scenario>> {
    steps.run(Kind::Test, "format", || run::succeed(run::cargo(tree).args(["fmt", "--all", "--check"])));
    steps.run(Kind::Test, "tidy", || tidy::check(tree));
    steps.run(Kind::Build, "lints", || {
        run::succeed(run::cargo(tree).args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    let programs = steps.run(Kind::Build, "build programs", || compile::all(tree));
    let nextest = run::answers("cargo", &["nextest", "--version"]);
    let runner: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    let built = steps
        .run(Kind::Build, "build tests", || run::succeed(run::cargo(tree).args(runner).args(scope(nextest)).arg("--no-run")));
    if built {
        steps.run_tests("tests", || {
            // a failing crate must not hide the others
            run::tests(run::cargo(tree).args(runner).args(scope(nextest)).arg("--no-fail-fast"))
        });
    } else {
        steps.cannot(Kind::Test, "tests", "they do not build");
    }
    steps.run_tests("doc tests of the laws", || {
        run::tests(run::cargo(tree).args(["test", "--doc"]).args(LAW_CRATES.iter().flat_map(|name| ["-p", name])))
    });
    let mut rows = None;
    if programs {
        steps.run_tests("lab scenarios", || {
            let ran = lab_scenarios(tree, scenarios)?;
            let tests = Tests { passed: ran.len() as u64, failed: 0 };
            rows = Some(ran);
            Ok(tests)
        });
    } else {
        steps.cannot(Kind::Test, "lab scenarios", "the programs do not build");
    }
    rows
}

/// Everything but doc tests, which have a step of their own.
fn scope(nextest: bool) -> &'static [&'static str] {
    if nextest { &["--workspace"] } else { &["--workspace", "--lib", "--bins", "--tests"] }
}

/// Runs scenarios in the lab and believes only the rows it wrote.
fn lab_scenarios(tree: &Tree, names: &[&str]) -> Result<Vec<report::Scenario>> {
    let file = result_file(tree, "e2e.json");
    remove_stale(&file)?;
    let mut command = prepare::scenario_command(tree, "e2e");
    let status = run::status(command.args(names).arg("--json").arg(&file))?;
    let rows: Vec<report::Scenario> = read_rows(&file)?;
    let failed: Vec<String> = rows.iter().filter(|row| !row.passed).map(report::Scenario::sentence).collect();
    let absent: Vec<&&str> = names.iter().filter(|name| !rows.iter().any(|row| row.scenario == **name)).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    if rows.is_empty() || !absent.is_empty() {
        bail!("the lab did not report {absent:?}: no proof that anything ran");
    }
    if !status.success() {
        bail!("the lab ended with {status} although no scenario failed");
    }
    Ok(rows)
}

fn read_rows<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<T> {
    let bytes = std::fs::read(file).with_context(|| format!("the lab left no {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not what the lab promises", file.display()))
}

fn result_file(tree: &Tree, name: &str) -> PathBuf {
    tree.lab().join("results").join(name)
}

/// A result of an earlier run must never be taken for this one's.
fn remove_stale(file: &Path) -> Result<()> {
    let folder = file.parent().context("a result lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("an old result cannot be removed"),
        _ => Ok(()),
    }
}
