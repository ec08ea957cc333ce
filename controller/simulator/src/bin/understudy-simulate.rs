//! `understudy-simulate`: plays the worlds of many seeds, and tells of every one in which a law was broken: the seed, a short story, and a file
//! that plays it again. What it prints of a seed is the same on every machine.

use clap::Parser;
use contract::wire::enrol::Authority;
use serde_json::json;
use simulator::coverage::Coverage;
use simulator::fate::Told;
use simulator::search::{Outcome, play, shrunk};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use vocabulary::{EstateUuid, Lineage};

/// How many worlds are played to make one story short.
const SHRINKS: usize = 200;
/// How many breaches are told of; a search ends there.
const BREACHES_MAX: usize = 10;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);

/// Plays the worlds of many seeds and tells in which a law was broken.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after this time, once `--least` seeds were played.
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// However long they take.
    #[arg(long, default_value_t = 0)]
    least: u64,
    /// How many worlds at once; the machine's cores if not given.
    #[arg(long)]
    workers: Option<usize>,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// Tell the end of each world.
    #[arg(long)]
    each: bool,
    /// Write the summary here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Stop at the first breach, and do not make its story short.
    #[arg(long)]
    first: bool,
    /// Do not fail for what was met too seldom.
    #[arg(long)]
    no_floors: bool,
    /// Play nothing: print the file of the first world.
    #[arg(long)]
    print: bool,
    /// Where files of worlds with a breach are put.
    #[arg(long, value_name = "FOLDER", default_value = "target/simulate")]
    found: PathBuf,
    /// Play these files of worlds instead of seeds.
    #[arg(value_name = "FILE")]
    worlds: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // nothing is lost if it stays
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority() -> Result<Arc<Authority>, Error> {
    let folder = Folder(std::env::temp_dir().join(format!("understudy-simulate-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    Ok(Arc::new(Authority::open(&folder.0, EstateUuid("simulated".into()), Lineage("simulated".into()))?))
}

fn run(arguments: &Arguments) -> Result<bool, Error> {
    if arguments.print {
        print!("{}", Told::of(arguments.from));
        return Ok(true);
    }
    let authority = authority()?;
    let worlds = if arguments.worlds.is_empty() { None } else { Some(files(&arguments.worlds)?) };
    // a panic in a world is told with its seed
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let mut search = Search {
        arguments,
        authority: &authority,
        begun,
        played: 0,
        age: Duration::ZERO,
        coverage: Coverage::default(),
        found: Vec::new(),
    };
    search.all(worlds.as_deref())?;
    search.end(worlds.is_some())
}

fn files(paths: &[PathBuf]) -> Result<Vec<Told>, Error> {
    let one = |path: &PathBuf| -> Result<Told, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(text.parse::<Told>().map_err(|error| format!("{}: {error}", path.display()))?)
    };
    paths.iter().map(one).collect()
}

struct Search<'a> {
    arguments: &'a Arguments,
    authority: &'a Arc<Authority>,
    begun: Instant,
    played: u64,
    age: Duration,
    coverage: Coverage,
    found: Vec<Outcome>,
}

impl Search<'_> {
    /// Plays all, on so many threads; takes what they bring in the order in which it comes.
    fn all(&mut self, worlds: Option<&[Told]>) -> Result<(), Error> {
        let Arguments { seeds, from, within, least, workers, .. } = *self.arguments;
        let count = worlds.map_or(seeds, |worlds| worlds.len().try_into().unwrap_or(u64::MAX));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (authority, begun) = (self.authority.clone(), self.begun);
        let within = within.map(Duration::from_secs);
        let (send, receive) = mpsc::sync_channel::<Outcome>(64);
        std::thread::scope(|scope| -> Result<(), Error> {
            for _ in 0..workers.unwrap_or(cores).max(1) {
                let (send, authority, next, stop) = (send.clone(), &authority, &next, &stop);
                scope.spawn(move || {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let late = within.is_some_and(|within| begun.elapsed() >= within) && place >= least;
                        if place >= count || late || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let told = usize::try_from(place).ok().and_then(|place| worlds.and_then(|worlds| worlds.get(place)));
                        let outcome = match told {
                            Some(told) => play(told, authority),
                            None => play(&Told::of(from.wrapping_add(place)), authority),
                        };
                        if send.send(outcome).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let mut told = Instant::now();
            for outcome in receive {
                self.take(outcome)?;
                if self.found.len() >= BREACHES_MAX || (self.arguments.first && !self.found.is_empty()) {
                    stop.store(true, Ordering::Relaxed);
                }
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    self.progress(count);
                }
            }
            Ok(())
        })
    }

    fn progress(&self, count: u64) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let failovers = self.coverage.of("failover");
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = self.played as f64 / seconds;
        eprintln!("{} of {count} worlds, {rate:.0} a second, {failovers} failovers, {} breaches", self.played, self.found.len());
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.played += 1;
        self.age += outcome.age;
        self.coverage.add(&outcome.coverage);
        let mut out = std::io::stdout().lock();
        if self.arguments.each {
            let (deeds, failovers, age) = (outcome.told.fate.deeds.len(), outcome.failovers(), outcome.age.as_secs());
            writeln!(
                out,
                "seed {}: {deeds} deeds, {failovers} failovers, {age} s, {} breaches",
                outcome.told.seed,
                outcome.breaches.len()
            )?;
        }
        if self.arguments.trace {
            outcome.trace().iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        if !outcome.breaches.is_empty() {
            for breach in &outcome.breaches {
                writeln!(out, "seed {}: {breach}", outcome.told.seed)?;
            }
            self.found.push(outcome);
        }
        Ok(())
    }

    /// Tells of every breach in short, and sums up. True if all is well.
    fn end(&mut self, files: bool) -> Result<bool, Error> {
        let found = std::mem::take(&mut self.found);
        let mut violations = Vec::new();
        for outcome in found {
            let (seed, law) = (outcome.told.seed, outcome.breaches.first().map(|breach| breach.law.clone()).unwrap_or_default());
            violations.push(json!({ "seed": seed, "invariant": law }));
            if self.arguments.first {
                continue;
            }
            let short = shrunk(outcome, SHRINKS, self.authority);
            self.tell(&short, &law)?;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let failovers = self.coverage.of("failover");
        let scarce = if files || self.arguments.no_floors || !violations.is_empty() {
            Vec::new()
        } else {
            self.coverage.scarce(self.played)
        };
        println!(
            "{} worlds from seed {}, {:.1} simulated days, {failovers} failovers, {} with a breach, {seconds:.1} s",
            self.played,
            self.arguments.from,
            self.age.as_secs_f64() / 86_400.0,
            violations.len(),
        );
        for (what, times, least) in &scarce {
            println!("met too seldom: {what}: {times} times, at least {least} are wanted");
        }
        if let Some(path) = &self.arguments.json {
            let scarce: Vec<_> =
                scarce.iter().map(|(what, times, least)| json!({ "what": what, "times": times, "least": least })).collect();
            let summary = json!({
                "seeds": self.played, "from": self.arguments.from, "failovers": failovers, "violations": violations, "seconds": seconds,
                "simulated_seconds": self.age.as_secs(), "coverage": self.coverage.all(), "scarce": scarce,
            });
            std::fs::write(path, format!("{summary:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(violations.is_empty() && scarce.is_empty())
    }

    fn tell(&self, short: &Outcome, law: &str) -> Result<(), Error> {
        let path = write(&self.arguments.found, short, law)?;
        println!("\nThe shortest story found of seed {}, which breaks {law}:", short.told.seed);
        for (at, line) in &short.story {
            println!("  {:>10.3} s  {line}", at.as_secs_f64());
        }
        for breach in &short.breaches {
            println!("  {breach}");
        }
        println!("It is played again by `cargo xtask simulate {}` (with `--trace`: everything).\n", path.display());
        Ok(())
    }
}

fn write(folder: &Path, short: &Outcome, law: &str) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("seed-{}.world", short.told.seed));
    let why: String = short.breaches.iter().map(|breach| format!("# {breach}\n")).collect();
    std::fs::write(&path, format!("# A world in which {law} was broken.\n{why}{}", short.told))?;
    Ok(path)
}
