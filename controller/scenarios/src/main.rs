//! `understudy-scenarios`: scenarios, the demo and the failover benchmark in the lab; scenarios in a simulated world too.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 passed, 1 failed, 2 usage or an unknown name, 130 interrupted.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lab::names::SwitchKind;
use scenarios::places::Places;
use scenarios::rig::Make;
use scenarios::{bench, demo, e2e, eyes, library, run, signals, simulated, storage, world};

const EXIT_USAGE: u8 = 2;
/// A benchmark that could not run.
const EXIT_NOT_MEASURED: u8 = 2;

#[derive(Parser)]
#[command(name = "understudy-scenarios", about = "What happens to a data centre, and what Understudy does")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run scenarios, each in a data centre of its own; none named means all
    E2e(E2e),
    /// Play scenarios in a simulated world, where minutes pass in milliseconds; none named means all
    World(World),
    /// Raise a data centre, kill a server's machine, and watch Understudy bring it back
    Demo(Demo),
    /// The same in a simulated hall of many machines, without QEMU
    DemoSimulated(DemoSimulated),
    /// Measure failovers against a hand-written script
    BenchFailover(Bench),
    /// Measure what watching BMCs costs, against ipmipower
    BenchPoll(BenchPoll),
    /// The same, once inside namespaces of its own
    #[command(hide = true)]
    BenchPollInside(BenchPoll),
    /// Ask servers for their answers, for ever; runs inside a lab
    #[command(hide = true)]
    Tick {
        /// NAME=ADDRESS
        #[arg(required = true, value_parser = target)]
        servers: Vec<(String, SocketAddr)>,
    },
    /// Make the threads of a process that read and write files stand still; runs inside a lab
    #[command(hide = true)]
    HoldDisk {
        /// Its number
        process: i32,
        /// For how long, ms
        time_ms: u64,
        /// The file that is made when they do
        held: PathBuf,
    },
    /// Ask a server for something; runs inside a lab
    #[command(hide = true)]
    Post {
        /// Its address
        address: SocketAddr,
        /// What
        path: String,
    },
}

#[derive(Args)]
struct Where {
    /// The unpacked packages
    #[arg(long, value_name = "DIR")]
    packages: PathBuf,
    /// Where images are kept for further labs; run folders lie beside it
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Where our programs are
    #[arg(long, value_name = "DIR")]
    bin_dir: PathBuf,
}

impl Where {
    fn places(&self) -> std::io::Result<Places> {
        std::fs::create_dir_all(&self.cache)?;
        let absolute = |path: &PathBuf| std::fs::canonicalize(path);
        Ok(Places { packages: absolute(&self.packages)?, cache: absolute(&self.cache)?, bin_dir: absolute(&self.bin_dir)? })
    }
}

#[derive(Args)]
struct E2e {
    /// Scenarios by name
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Print the names of all scenarios
    #[arg(long, exclusive = true)]
    list: bool,
    /// Write rows of scenario, passed, total_s, reason
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What the switch is
    #[arg(long, value_enum, default_value = "machine")]
    switch: SwitchKind,
    /// Leave the run folders
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    places: Option<Where>,
}

#[derive(Args)]
struct World {
    /// Scenarios by name
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// What the world draws from: the same seed is the same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tell what the controller recorded
    #[arg(long)]
    story: bool,
    /// Write rows of scenario, passed, total_s, reason
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Demo {
    /// Plain lines instead of a live screen
    #[arg(long)]
    headless: bool,
    /// Write the outcome as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave the data centre up afterwards, to look around
    #[arg(long)]
    keep: bool,
    /// What the switch is
    #[arg(long, value_enum, default_value = "machine")]
    switch: SwitchKind,
    #[command(flatten)]
    places: Where,
}

#[derive(Args)]
struct DemoSimulated {
    /// Plain lines instead of a live screen
    #[arg(long)]
    headless: bool,
    /// Write the outcome as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave the hall up afterwards, to look around
    #[arg(long)]
    keep: bool,
    /// How many machines
    #[arg(long, default_value_t = 1_000, value_parser = machines)]
    machines: usize,
    /// Where our programs are
    #[arg(long, value_name = "DIR")]
    bin_dir: PathBuf,
    /// Where the folders of halls lie that run, and the logs of those that failed
    #[arg(long, value_name = "DIR")]
    halls: PathBuf,
}

#[derive(Args)]
struct Bench {
    /// Write rows of what, ours, peer, unit, ratio, goal, met
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Pairs with S and N as the proof
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Pairs with P alone, which are only reported
    #[arg(long, default_value_t = 3)]
    pairs_by_power: usize,
    #[command(flatten)]
    places: Where,
}

#[derive(Args)]
struct BenchPoll {
    /// Write rows of what, ours, peer, unit, ratio, goal, met
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    places: Where,
}

fn target(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS")?;
    Ok((name.to_owned(), address.parse().map_err(|_| format!("{address} is no address"))?))
}

/// A hall has a server and a spare at least; 16,000 BMCs have an address each.
fn machines(text: &str) -> Result<usize, String> {
    const MACHINES: std::ops::RangeInclusive<usize> = 2..=16_000;
    let machines = text.parse().ok().filter(|number| MACHINES.contains(number));
    machines.ok_or_else(|| format!("write a number from {} to {}", MACHINES.start(), MACHINES.end()))
}

fn main() -> ExitCode {
    let end = perform(Cli::parse().verb);
    if signals::interrupted() { ExitCode::from(signals::EXIT_INTERRUPTED) } else { end }
}

fn perform(verb: Verb) -> ExitCode {
    match verb {
        Verb::Tick { servers } => {
            eyes::tick(&servers);
            ExitCode::SUCCESS
        }
        Verb::HoldDisk { process, time_ms, held } => {
            match storage::hold_threads(process, std::time::Duration::from_millis(time_ms), &held) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("understudy-scenarios: the threads of {process}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Verb::Post { address, path } => {
            if run::post(address, &path) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Verb::E2e(arguments) => scenarios_verb(&arguments),
        Verb::World(arguments) => world_verb(&arguments),
        Verb::Demo(arguments) => demo_verb(&arguments),
        Verb::DemoSimulated(arguments) => simulated_verb(&arguments),
        Verb::BenchFailover(arguments) => bench_verb(&arguments),
        Verb::BenchPoll(_) => bench_inside(),
        Verb::BenchPollInside(arguments) => bench_poll(&arguments),
    }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("understudy-scenarios: {text}");
    ExitCode::from(EXIT_USAGE)
}

/// Where things are; signals are heeded from now on.
fn ready(places: &Where) -> Result<Places, String> {
    let places = places.places().map_err(|error| format!("a folder of the lab: {error}"))?;
    signals::heed().map_err(|error| format!("signals cannot be heeded: {error}"))?;
    Ok(places)
}

fn demo_verb(arguments: &Demo) -> ExitCode {
    let places = match ready(&arguments.places) {
        Ok(places) => places,
        Err(text) => return usage(&text),
    };
    let Demo { headless, keep, switch, .. } = *arguments;
    let wishes = demo::Wishes { headless, json: arguments.json.as_deref(), keep, switch };
    if demo::show(&places, &wishes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulated_verb(arguments: &DemoSimulated) -> ExitCode {
    let made = std::fs::create_dir_all(&arguments.halls);
    let absolute = made.and_then(|()| Ok((arguments.bin_dir.canonicalize()?, arguments.halls.canonicalize()?)));
    let (programs, halls) = match absolute {
        Ok(absolute) => absolute,
        Err(error) => return usage(&format!("a folder of the hall: {error}")),
    };
    if let Err(error) = signals::heed() {
        return usage(&format!("signals cannot be heeded: {error}"));
    }
    let places = simulated::Where { programs: &programs, runs: &halls.join("runs"), failed: &halls.join("failed") };
    let DemoSimulated { headless, keep, machines, .. } = *arguments;
    let wishes = simulated::Wishes { headless, json: arguments.json.as_deref(), keep, machines };
    if simulated::show(&places, &wishes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench_verb(arguments: &Bench) -> ExitCode {
    let places = match ready(&arguments.places) {
        Ok(places) => places,
        Err(text) => return usage(&text),
    };
    let measured = bench::failover::measure(&places, arguments.pairs, arguments.pairs_by_power);
    told(bench::report(measured, arguments.json.as_deref()))
}

fn told(ended: bench::Ended) -> ExitCode {
    match ended {
        bench::Ended::Met => ExitCode::SUCCESS,
        bench::Ended::Missed => ExitCode::FAILURE,
        bench::Ended::NotMeasured => ExitCode::from(EXIT_NOT_MEASURED),
    }
}

/// The same program with the same words in namespaces of its own. It dies with this one, and all that it started with it.
fn bench_inside() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(2).collect();
    let inside = lab::enter::leave_namespaces(!nix::unistd::geteuid().is_root()).map_err(|error| error.to_string());
    let ended = inside.and_then(|()| {
        let mut command = std::process::Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("bench-poll-inside").args(words);
        let die_with_parent = Some(nix::sys::signal::Signal::SIGKILL);
        lab::sys::prepare(&mut command, lab::sys::Preparation { die_with_parent, ..lab::sys::Preparation::default() });
        command.status().map_err(|error| error.to_string())
    });
    match ended {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(text) => {
            eprintln!("understudy-scenarios: {text}");
            ExitCode::from(EXIT_NOT_MEASURED)
        }
    }
}

fn bench_poll(arguments: &BenchPoll) -> ExitCode {
    let places = match arguments.places.places() {
        Ok(places) => places,
        Err(error) => return usage(&format!("a folder of the lab: {error}")),
    };
    let here = std::env::current_dir().unwrap_or_default();
    let written = arguments.json.as_ref().and_then(|file| here.join(file).parent().map(PathBuf::from));
    let mut visible = vec![places.packages.clone(), places.cache.clone(), places.bin_dir.clone(), here];
    visible.extend(written);
    let measured = bench::poll::measure(&places, &visible);
    told(bench::report(measured, arguments.json.as_deref()))
}

fn scenarios_verb(arguments: &E2e) -> ExitCode {
    if arguments.list {
        for name in library::names() {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let chosen = match e2e::chosen(&arguments.scenarios) {
        Ok(chosen) => chosen,
        Err(text) => return usage(&text),
    };
    let Some(places) = &arguments.places else {
        return usage("scenarios need --packages, --cache and --bin-dir");
    };
    let places = match ready(places) {
        Ok(places) => places,
        Err(text) => return usage(&text),
    };
    judged(&e2e::run_all(&places, &chosen, Make { switch: arguments.switch, keep: arguments.keep }), arguments.json.as_deref())
}

fn world_verb(arguments: &World) -> ExitCode {
    match e2e::chosen(&arguments.scenarios) {
        Ok(chosen) => judged(&world::run_all(&chosen, arguments.seed, arguments.story), arguments.json.as_deref()),
        Err(text) => usage(&text),
    }
}

/// Writes the rows where they are wanted; passed or failed.
fn judged(rows: &[e2e::Row], json: Option<&Path>) -> ExitCode {
    if let Some(path) = json
        && let Err(trouble) = e2e::write(path, rows)
    {
        return usage(&trouble.to_string());
    }
    if rows.iter().all(|row| row.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
