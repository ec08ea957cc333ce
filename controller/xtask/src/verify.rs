//! `test` and `nightly`: every check as a step of its own, builds and tests timed apart. A step that finds nothing to run has failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cli::{MACHINES, Switch};
use crate::compile;
use crate::consent::Consent;
use crate::install;
use crate::lab::EXIT_NOT_READY;
use crate::leftovers;
use crate::packages::{self, Outcome};
use crate::prepare;
use crate::readme;
use crate::report;
use crate::run;
use crate::say;
use crate::simulate;
use crate::steps::{Kind, Steps};
use crate::tidy;
use crate::tree::Tree;

/// Tests whose cases are counted by the environment: package, program, tests in it, variable, cases in a nightly run.
const LONG_TESTS: [(&str, &str, &str, &str, &str); 2] = [
    ("pipeline", "small_world", "mayhem::", "PROPTEST_CASES", "3000"),
    ("journal", "powercut", "", "UNDERSTUDY_POWER_CUTS", "3000"),
];

/// Scenarios that are played on the lab's other switch too: a failover, the oracle's negative control, and what concerns the switch itself.
const ON_OPEN_VSWITCH: [&str; 5] = ["crash", "split-brain-control", "config-push", "switch-restarts", "switch-dark"];

/// Benchmarks, by their subcommand.
const BENCHES: [&str; 2] = ["bench-failover", "bench-poll"];

/// Crates whose decoders are tried with hostile bytes, and for how many seconds a group in a nightly run.
const HOSTILE_CRATES: [&str; 4] = ["bmc", "contract", "boot", "bmc-sim"];
const HOSTILE_SECONDS: &str = "60";

/// Machines of the simulated hall that every test raises.
const FEW_MACHINES: usize = 40;

/// How long it takes on two cores, clean and warm.
const TEST_MINUTES: &str = "about 45 minutes on a clean checkout, 13 once built";
const NIGHTLY_MINUTES: &str = "about 75 minutes";

/// `cargo xtask test`
pub fn test(tree: &Tree, consent: Consent) -> Result<ExitCode> {
    say!("test: format, lints, laws, tests, the README's commands (among them the demo); {TEST_MINUTES}");
    if !ready(tree, consent)? {
        return Ok(ExitCode::from(EXIT_NOT_READY));
    }
    let mut steps = Steps::default();
    common(tree, &mut steps);
    finish(&steps)
}

/// `cargo xtask nightly`
pub fn nightly(tree: &Tree, consent: Consent) -> Result<ExitCode> {
    say!("nightly: test, all lab scenarios, benchmarks, the table for SPECIFICATION.md; {NIGHTLY_MINUTES}");
    if !ready(tree, consent)? {
        return Ok(ExitCode::from(EXIT_NOT_READY));
    }
    let mut steps = Steps::default();
    let programs = common(tree, &mut steps);
    for (package, program, tests, variable, cases) in LONG_TESTS {
        steps.run_tests(&format!("{program} {tests} {cases} cases"), || {
            run::tests(run::cargo(tree).args(["test", "-p", package, "--test", program, tests]).env(variable, cases))
        });
    }
    steps.run(Kind::Test, "small worlds of the core alone", || simulate::fresh_core(tree));
    steps.run(Kind::Test, "failures in much noise", || simulate::fresh_detection(tree, true));
    steps.run_tests(&format!("hostile bytes, {HOSTILE_SECONDS} s a group"), || {
        let packages = HOSTILE_CRATES.iter().flat_map(|name| ["-p", name]);
        let mut command = run::cargo(tree);
        run::tests(
            command.arg("test").args(packages).args(["--lib", "hostile"]).env("UNDERSTUDY_HOSTILE_SECONDS", HOSTILE_SECONDS),
        )
    });
    in_hall(tree, &mut steps, programs, MACHINES);
    let mut rows = Vec::new();
    in_lab(&mut steps, programs, "lab scenarios", || {
        rows = lab_scenarios(tree, "e2e.json", &[])?;
        Ok(())
    });
    in_lab(&mut steps, programs, "lab scenarios, Open vSwitch", || {
        let words: Vec<&str> = ON_OPEN_VSWITCH.into_iter().chain(Switch::OpenVswitch.words()).collect();
        lab_scenarios(tree, "e2e-open-vswitch.json", &words).map(drop)
    });
    let mut measures = Vec::new();
    for name in BENCHES {
        let measured = result_file(tree, &format!("{name}.json"));
        in_lab(&mut steps, programs, name, || {
            remove_stale(&measured)?;
            let mut command = prepare::scenario_command(tree, name);
            run::succeed(command.arg("--json").arg(&measured))
        });
        measures.extend(report::read_measures(&measured));
    }
    println!("{}", report::specification(&rows, &measures));
    finish(&steps)
}

fn ready(tree: &Tree, consent: Consent) -> Result<bool> {
    let machine = matches!(prepare::machine(tree, consent)?, Outcome::Done(()));
    Ok(machine
        && matches!(install::ensure_components(consent)?, Outcome::Done(()))
        && matches!(packages::ensure_peers(tree, consent)?, Outcome::Done(_)))
}

fn finish(steps: &Steps) -> Result<ExitCode> {
    println!("{}", steps.table());
    Ok(if steps.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `test` and `nightly` share. Says whether there are programs to go on with.
fn common(tree: &Tree, steps: &mut Steps) -> bool {
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
    // of the whole workspace: of some crates alone they would be built with other features
    steps.run_tests("doc tests of the laws", || {
        run::tests(run::cargo(tree).args(["test", "--doc", "--workspace", "--no-fail-fast"]))
    });
    steps.run(Kind::Test, "worlds in which something was found", || simulate::found(tree));
    let worlds = result_file(tree, "simulate.json");
    steps.run(Kind::Test, "fresh worlds", || {
        remove_stale(&worlds)?;
        simulate::fresh(tree, &worlds)
    });
    steps.run(Kind::Test, "failures in noise", || simulate::fresh_detection(tree, false));
    let outcome = result_file(tree, "demo.json");
    in_lab(steps, programs, "README: try it", || {
        remove_stale(&outcome)?;
        readme::try_it(tree, &outcome)
    });
    in_hall(tree, steps, programs, FEW_MACHINES);
    in_lab(steps, programs, "README: a real estate", || readme::real_estate(tree));
    in_lab(steps, programs, "a killed run leaves nothing", || leftovers::check(tree));
    programs
}

/// A step that needs our programs.
fn in_lab(steps: &mut Steps, programs: bool, name: &str, step: impl FnOnce() -> Result<()>) {
    if programs {
        steps.run(Kind::Test, name, step);
    } else {
        steps.cannot(Kind::Test, name, "the programs do not build");
    }
}

/// The demo in a simulated hall of so many machines; only what it wrote is believed.
fn in_hall(tree: &Tree, steps: &mut Steps, programs: bool, machines: usize) {
    let outcome = result_file(tree, &format!("demo-simulated-{machines}.json"));
    in_lab(steps, programs, &format!("demo, {machines} simulated machines"), || {
        remove_stale(&outcome)?;
        run::succeed(prepare::simulated_command(tree, machines).arg("--headless").arg("--json").arg(&outcome))?;
        report::read_demo(&outcome)?.check_hall(machines)
    });
}

/// Everything but doc tests, which have a step of their own.
fn scope(nextest: bool) -> &'static [&'static str] {
    if nextest { &["--workspace"] } else { &["--workspace", "--lib", "--bins", "--tests"] }
}

/// Runs scenarios in the lab, all if none is named, and believes only the rows it wrote.
fn lab_scenarios(tree: &Tree, file: &str, words: &[&str]) -> Result<Vec<report::Scenario>> {
    let file = result_file(tree, file);
    remove_stale(&file)?;
    let mut command = prepare::scenario_command(tree, "e2e");
    let status = run::status(command.args(words).arg("--json").arg(&file))?;
    let rows: Vec<report::Scenario> = read_rows(&file)?;
    let failed: Vec<String> = rows.iter().filter(|row| !row.passed).map(report::Scenario::sentence).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    if rows.is_empty() {
        bail!("the lab reported no scenario: no proof that anything ran");
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
