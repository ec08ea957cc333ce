//! `core-worlds`: the core alone in small worlds, many worlds a second: no transport, no agent's code, no store, which the
//! simulator has and this has not. Each world follows from its number. It prints every world in which a law was broken, made as small as it
//! can be, and how many failovers a second one core went through.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a world says by panicking what must not be")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the ban is for the core; this is a program, which asks the time and prints"
)]

#[path = "../tests/small_world/common/mod.rs"]
mod common;
#[path = "../tests/small_world/common/life.rs"]
mod life;

use pipeline::record::Fact;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many breaches are told; a search ends there.
const BREACHES_MAX: usize = 5;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(10);
/// How many lots are tried to make one small.
const SHRINKS: u32 = 2_000;

/// What was met in some worlds.
#[derive(Default)]
struct Sum {
    worlds: u64,
    failovers: u64,
    records: u64,
    simulated_ms: u64,
    ends: BTreeMap<String, u64>,
}

impl Sum {
    fn of(world: &common::World) -> Sum {
        let mut sum = Sum { worlds: 1, records: world.facts.len() as u64, simulated_ms: world.now, ..Sum::default() };
        let mut kinds = BTreeMap::new();
        for fact in &world.facts {
            match fact {
                Fact::Sealed { plan, .. } => drop(kinds.insert(plan.id(), plan.body().kind)),
                Fact::Closed { plan, result } => {
                    let kind = kinds.get(plan).map(|kind| format!("{kind:?}")).unwrap_or_default();
                    let end = result.as_ref().map_or_else(|ended| ended.code.clone(), |_| "done".to_owned());
                    sum.failovers += u64::from(kind == "Failover" && result.is_ok());
                    *sum.ends.entry(format!("{kind} {end}").to_lowercase()).or_default() += 1;
                }
                Fact::Proven { sets, .. } => *sum.ends.entry(format!("proven by {}", sets.join(" and "))).or_default() += 1,
                Fact::Held { code, .. } => *sum.ends.entry(format!("held {code}")).or_default() += 1,
                _ => {}
            }
        }
        sum
    }

    fn add(&mut self, other: Sum) {
        self.worlds += other.worlds;
        self.failovers += other.failovers;
        self.records += other.records;
        self.simulated_ms += other.simulated_ms;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { max_shrink_iters: SHRINKS, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn lived(lot: &life::Lot) -> Result<Sum, String> {
    let said = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "a panic without words".to_owned(), |text| (*text).to_owned()),
    };
    catch_unwind(AssertUnwindSafe(|| life::live(lot).map(|world| Sum::of(&world)))).unwrap_or_else(|panic| Err(said(panic)))
}

/// The world of this number, or how it broke a law.
fn play(seed: u64) -> Result<Sum, String> {
    let mut runner = runner(seed);
    let tree = life::lot().new_tree(&mut runner).unwrap();
    let first = lived(&tree.current());
    if first.is_ok() {
        return first;
    }
    let small = runner.run_one(tree, |lot| lived(&lot).map(drop).map_err(TestCaseError::fail));
    match small {
        Err(TestError::Fail(reason, lot)) => Err(format!("world {seed}, {lot:?}: {reason}")),
        _ => first,
    }
}

/// What may be asked for, each with a whole number.
const OPTIONS: [&str; 3] = ["--seeds", "--from", "--workers"];

/// The options as given; what is none of them, or has no number, is told.
fn options(arguments: &[String]) -> Result<BTreeMap<&str, u64>, String> {
    let mut given = BTreeMap::new();
    for pair in arguments.chunks(2) {
        let number = pair.get(1).and_then(|text| text.parse().ok());
        match (OPTIONS.into_iter().find(|option| *option == pair[0]), number) {
            (Some(option), Some(number)) => drop(given.insert(option, number)),
            (Some(option), None) => return Err(format!("{option} takes a whole number")),
            (None, _) => return Err(format!("`{}` is none of {}", pair[0], OPTIONS.join(", "))),
        }
    }
    Ok(given)
}

fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = match options(&arguments) {
        Ok(given) => given,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let number = |option, otherwise| given.get(option).copied().unwrap_or(otherwise);
    let (from, seeds, workers) = (number("--from", 0), number("--seeds", 10_000), number("--workers", cores).max(1));
    std::panic::set_hook(Box::new(|_| {}));
    let (next, sum, breaches) = (AtomicU64::new(0), Mutex::new(Sum::default()), Mutex::new(Vec::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut own = Sum::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || breaches.lock().unwrap().len() >= BREACHES_MAX {
                        break;
                    }
                    match play(from + seed) {
                        Ok(one) => own.add(one),
                        Err(breach) => {
                            println!("{breach}");
                            breaches.lock().unwrap().push(from + seed);
                        }
                    }
                }
                sum.lock().unwrap().add(own);
            });
        }
        scope.spawn(|| {
            let mut told = Instant::now();
            while next.load(Ordering::Relaxed) < seeds && breaches.lock().unwrap().len() < BREACHES_MAX {
                std::thread::sleep(Duration::from_millis(100));
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    eprintln!("{} of {seeds} worlds, {:.0} s", next.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
                }
            }
        });
    });
    let (sum, breaches, seconds) = (sum.into_inner().unwrap(), breaches.into_inner().unwrap(), begun.elapsed().as_secs_f64());
    for (end, count) in &sum.ends {
        println!("{count:>12} {end}");
    }
    let days = sum.simulated_ms as f64 / 86_400_000.0;
    println!(
        "{} worlds from {from} on, {days:.1} simulated days, {} records, {} failovers",
        sum.worlds, sum.records, sum.failovers
    );
    let a_core = sum.failovers as f64 / seconds / workers as f64;
    println!("{} broke a law; {seconds:.1} s on {workers} threads, {a_core:.0} failovers a second and thread", breaches.len());
    if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
