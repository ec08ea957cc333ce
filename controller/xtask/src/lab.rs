//! `demo`, `lab` and `bench`: prepare, then become `understudy-scenarios` or `understudy-lab`, so that its screen, its signals and its exit code are the verb's own
//! and no process stands between it and Ctrl-C.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cli::{Bench, BenchName, Demo, E2e, Lab};
use crate::compile::{self, LAB_PROGRAM, SCENARIO_PROGRAM};
use crate::consent::Consent;
use crate::packages::Outcome;
use crate::prepare;
use crate::run;
use crate::say;
use crate::signals;
use crate::tree::Tree;

/// Something must be done by a person first, and was said.
pub const EXIT_NOT_READY: u8 = 3;
/// A benchmark that could not run.
const EXIT_NOT_MEASURED: u8 = 2;

/// How long a first run takes on two cores, and later ones.
const FIRST_MINUTES: &str = "8 minutes";
const LATER_MINUTES: &str = "2 minutes";

/// `cargo xtask demo --simulated`: it needs nothing but the programs.
fn simulated(tree: &Tree, demo: &Demo) -> Result<ExitCode> {
    eprintln!("Everything is built; then a hall of {} simulated machines is raised here, one of them dies,", demo.machines);
    eprintln!("and Understudy brings its server back on a spare. Real sockets, no QEMU; nothing is left running.");
    compile::programs_alone(tree)?;
    let mut command = prepare::simulated_command(tree, demo.machines);
    command.args(wishes(demo));
    turn_into(command)
}

fn wishes(demo: &Demo) -> Vec<std::ffi::OsString> {
    let mut arguments = Vec::new();
    if demo.headless {
        arguments.push("--headless".into());
    }
    if demo.keep {
        arguments.push("--keep".into());
    }
    if let Some(file) = &demo.json {
        arguments.push("--json".into());
        arguments.push(file.clone().into_os_string());
    }
    arguments
}

/// `cargo xtask demo`
pub fn demo(tree: &Tree, demo: &Demo) -> Result<ExitCode> {
    if demo.simulated {
        return simulated(tree, demo);
    }
    let minutes = if prepare::is_first(tree) { FIRST_MINUTES } else { LATER_MINUTES };
    eprintln!("In about {minutes}: a data centre is raised here, a server's machine is killed,");
    eprintln!("and Understudy brings the server back on a spare. Nothing is left running.");
    if prepare::is_first(tree) {
        eprintln!("Most of it is the first run's: 80 MB are downloaded and everything is built.");
    }
    let mut command = prepare::scenario_command(tree, "demo");
    command.args(wishes(demo)).args(demo.switch.words());
    prepared(tree, Consent::new(demo.consent.yes), command, EXIT_NOT_READY)
}

/// `cargo xtask lab ...`
pub fn lab(tree: &Tree, lab: &Lab) -> Result<ExitCode> {
    match lab {
        Lab::Up(arguments) => {
            let mut command = prepare::raising_command(tree, "up");
            command.arg("--dir").arg(tree.lab_up()).args(&arguments.rest);
            prepared(tree, Consent::new(arguments.consent.yes), command, EXIT_NOT_READY)
        }
        Lab::Down => {
            if is_up(tree) {
                return turn_into(down_command(tree));
            }
            say!("no lab is up");
            Ok(ExitCode::SUCCESS)
        }
        Lab::Clean => clean(tree),
        Lab::E2e(e2e) if e2e.list => {
            compile::scenario_program(tree)?;
            turn_into(list_command(tree))
        }
        Lab::E2e(e2e) => prepared(tree, Consent::new(e2e.consent.yes), scenarios(tree, e2e), EXIT_NOT_READY),
    }
}

/// A lab that is up has its run folder; without the program none was ever raised.
fn is_up(tree: &Tree) -> bool {
    tree.lab_up().exists() && tree.programs().join(LAB_PROGRAM).exists()
}

fn down_command(tree: &Tree) -> Command {
    let mut command = prepare::lab_command(tree, "down");
    command.arg("--dir").arg(tree.lab_up());
    command
}

/// Takes down the lab that is up and removes what labs keep between runs, downloads included.
fn clean(tree: &Tree) -> Result<ExitCode> {
    if is_up(tree)
        && let Err(error) = run::succeed(&mut down_command(tree))
    {
        say!("{error:#}; its first process is gone, and with it every part");
    }
    match std::fs::remove_dir_all(tree.lab()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", tree.lab().display()))
        }
        _ => {
            say!("{} is gone; the next run downloads and builds its images again", tree.lab().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `cargo xtask bench NAME`
pub fn bench(tree: &Tree, bench: &Bench) -> Result<ExitCode> {
    let mut command = match bench.name {
        BenchName::Failover => prepare::scenario_command(tree, "bench-failover"),
        BenchName::Poll => prepare::scenario_command(tree, "bench-poll"),
    };
    if let Some(file) = &bench.json {
        command.arg("--json").arg(file);
    }
    let outcome = prepared(tree, Consent::new(bench.consent.yes), command, EXIT_NOT_MEASURED);
    outcome.or_else(|error| {
        eprintln!("xtask: {error:#}");
        Ok(ExitCode::from(EXIT_NOT_MEASURED))
    })
}

/// A question that needs no lab goes to the program as it was just built.
fn list_command(tree: &Tree) -> Command {
    let mut command = Command::new(tree.programs().join(SCENARIO_PROGRAM));
    command.args(["e2e", "--list"]);
    command
}

fn scenarios(tree: &Tree, e2e: &E2e) -> Command {
    let mut command = prepare::scenario_command(tree, "e2e");
    command.args(&e2e.scenarios).args(e2e.switch.words());
    if let Some(file) = &e2e.json {
        command.arg("--json").arg(file);
    }
    command
}

fn prepared(tree: &Tree, consent: Consent, command: Command, not_ready: u8) -> Result<ExitCode> {
    match prepare::machine_and_programs(tree, consent)? {
        Outcome::Done(()) => turn_into(command),
        Outcome::Declined => Ok(ExitCode::from(not_ready)),
    }
}

/// Replaces this process; returns only if that fails.
fn turn_into(mut command: Command) -> Result<ExitCode> {
    if signals::interrupted() {
        bail!("interrupted");
    }
    let program = command.get_program().to_owned();
    Err(command.exec()).with_context(|| format!("{} does not start", program.display()))
}
