//! The words of `cargo xtask`, and nothing else: what each verb does stands in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Checks this machine, gets what is missing, builds, and starts the rest.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Raise the lab, kill a server, and watch it come back on a spare
    Demo(Demo),
    /// What CI checks: format, lints, laws, tests, and lab scenarios
    Test(Yes),
    /// Everything slow: test, all scenarios, benchmarks, and the table for SPECIFICATION.md
    Nightly(Yes),
    /// The QEMU lab
    #[command(subcommand)]
    Lab(Lab),
    /// Measure one thing against its rival
    Bench(Bench),
    /// Play simulated worlds: faults from a seed, judged by an oracle
    Simulate(Simulate),
    /// The laws of the house
    Tidy,
    /// Unpack the lab's Debian packages and the tests' peers, and print where they are
    #[command(hide = true)]
    Packages(Packages),
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Yes {
    /// Do not ask before downloading or installing
    #[arg(long)]
    pub yes: bool,
}

/// Machines of a simulated hall, unless told otherwise.
pub const MACHINES: usize = 1_000;

#[derive(Debug, Args)]
pub struct Demo {
    /// Plain lines instead of a live screen
    #[arg(long)]
    pub headless: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Leave the lab up afterwards, to look around
    #[arg(long)]
    pub keep: bool,
    /// What the lab's switch is
    #[arg(long, value_enum, default_value = "machine", conflicts_with = "simulated")]
    pub switch: Switch,
    /// In a hall of simulated machines on real sockets: without QEMU, without root
    #[arg(long)]
    pub simulated: bool,
    /// How many machines the simulated hall has
    #[arg(long, value_name = "N", requires = "simulated", default_value_t = MACHINES)]
    pub machines: usize,
    #[command(flatten)]
    pub consent: Yes,
}

#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Raise the lab and stay until Ctrl-C or `down`
    Up(LabArgs),
    /// Take down the lab that is up
    Down,
    /// Take down the lab that is up and remove all that labs keep between runs
    Clean,
    /// Run scenarios, each in a lab of its own
    E2e(E2e),
}

#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(flatten)]
    pub consent: Yes,
    /// Further options of the lab itself (see `target/debug/understudy-lab up --help`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    pub rest: Vec<String>,
}

#[derive(Debug, Args)]
pub struct E2e {
    /// Scenarios by name; none means all
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Print the names of all scenarios
    #[arg(long)]
    pub list: bool,
    /// Write rows of scenario, passed, total_s, reason
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What the lab's switch is
    #[arg(long, value_enum, default_value = "machine")]
    pub switch: Switch,
    #[command(flatten)]
    pub consent: Yes,
}

/// What the lab's switch can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// A QEMU machine with a bridge of the Linux kernel
    Machine,
    /// Open vSwitch in user space
    OpenVswitch,
}

impl Switch {
    /// The option as the lab's programs take it.
    pub fn words(self) -> [&'static str; 2] {
        ["--switch", if self == Switch::Machine { "machine" } else { "open-vswitch" }]
    }
}

/// What can be measured; a name appears here with the issue that brings it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BenchName {
    /// A whole failover against a hand-written script on the same lab
    Failover,
    /// What watching BMCs costs, against ipmipower on the same BMCs
    Poll,
}

#[derive(Debug, Args)]
pub struct Bench {
    pub name: BenchName,
    /// Write rows of what, ours, peer, unit, ratio, goal, met
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub consent: Yes,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// Break the product on purpose and see that each fault is found: `--mutants [NAME...] [--list] [--seeds N] [--from SEED] [--json FILE]`
    #[arg(long)]
    pub mutants: bool,
    /// Play small worlds of the core alone, without drivers, agents and store: `--core [--seeds N] [--from SEED] [--workers N]`
    #[arg(long, conflicts_with = "mutants")]
    pub core: bool,
    /// Hide real failures in the noise of machine-years: `--detection [--machine-years N] [--failures N] [--from SEED] [--workers N]`
    #[arg(long, conflicts_with_all = ["mutants", "core"])]
    pub detection: bool,
    /// Options of the search: `--seeds N`, `--from SEED`, `--trace`, `--json FILE`, or files of worlds (`--help` lists all)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    pub rest: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Packages {
    /// Resolve afresh, for instance after a security update
    #[arg(long)]
    pub refresh: bool,
    #[command(flatten)]
    pub consent: Yes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lines_of_the_readme_are_understood() {
        for line in [
            "demo --headless --json out.json",
            "demo --keep --yes",
            "demo --switch machine",
            "demo --simulated",
            "demo --simulated --machines 40 --headless --json out.json",
            "test",
            "nightly --yes",
            "lab e2e crash hang --json rows.json",
            "lab e2e --list",
            "lab e2e crash --switch open-vswitch",
            "lab down",
            "bench failover --json rows.json",
            "bench poll",
            "simulate --seeds 100 --from 7 --trace --json out.json",
            "simulate --core --seeds 1000 --from 7",
            "simulate --detection --machine-years 10",
            "simulate --mutants",
            "simulate --mutants --list",
            "simulate --mutants lower-epoch --seeds 100 --json out.json",
            "tidy",
        ] {
            let words = std::iter::once("xtask").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["xtask", "bench", "coverage"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "demo", "--machines", "40"]).is_err());
    }
}
