//! The assault on one group: its corpus first, then changed inputs until the time is over. Each input is bounded in time and memory, a panic
//! is a failure, and a decoder that no changed input got into is one too: it was not tried. Must never go on after a failure.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::mutate::Mutator;
use crate::{Decoder, Group, corpus, limits, memory};

/// Runs so many seconds instead.
const SECONDS: &str = "UNDERSTUDY_HOSTILE_SECONDS";
/// The seed of a run that is to be repeated.
const SEED: &str = "UNDERSTUDY_HOSTILE_SEED";
/// A file: only this input is tried.
const INPUT: &str = "UNDERSTUDY_HOSTILE_INPUT";

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Tries a group. Panics with the decoder, the reason, the seed and the file of the smallest input that fails.
pub fn run(group: &Group) {
    corpus::expect_target(group);
    run_for(group, number(SECONDS).map_or(limits::RUN, Duration::from_secs), seed());
}

pub(crate) fn run_for(group: &Group, time: Duration, seed: u64) {
    quiet_panics();
    let watch = Watch::start(group);
    if let Some(path) = std::env::var_os(INPUT) {
        let input = std::fs::read(&path);
        assert!(input.is_ok(), "{}: {input:?}", Path::new(&path).display());
        let taken = all(group, &input.unwrap_or_default(), &watch);
        eprintln!("{}: {} got in with {}", group.name, shown(group, &taken), Path::new(&path).display());
        return;
    }
    let files = corpus::read(group);
    eprintln!("{}: {} files, {time:?}, {SEED}={seed}", group.name, files.len());
    let (_, inputs): (Vec<PathBuf>, Vec<Vec<u8>>) = files.into_iter().unzip();
    for input in &inputs {
        all(group, input, &watch);
    }
    let known: HashSet<Vec<u8>> = inputs.iter().cloned().collect();
    let mut mutator = Mutator::new(group, inputs, seed);
    let mut reached = vec![0u64; group.decoders.len()];
    let (mut tried, begun) = (0u64, Instant::now());
    while begun.elapsed() < time {
        let input = mutator.input();
        let taken = all(group, &input, &watch);
        tried += 1;
        if taken.contains(&true) && !known.contains(&input) {
            mutator.keep(&input);
            for (count, taken) in reached.iter_mut().zip(&taken) {
                *count += u64::from(*taken);
            }
        }
    }
    let told: Vec<String> =
        group.decoders.iter().zip(&reached).map(|(decoder, count)| format!("{} {count}", decoder.name)).collect();
    eprintln!("{}: {tried} inputs; got in: {}", group.name, told.join(", "));
    let missed = group.decoders.iter().zip(&reached).find(|(_, count)| **count == 0);
    assert!(
        missed.is_none(),
        "{}: of {tried} changed inputs none got into `{}`: nothing was tried; its corpus lacks an input that it takes ({SEED}={seed})",
        group.name,
        missed.map(|(decoder, _)| decoder.name).unwrap_or_default()
    );
}

/// Tries all decoders of a group with one input: which of them it got into.
fn all(group: &Group, input: &[u8], watch: &Watch) -> Vec<bool> {
    group.decoders.iter().map(|decoder| one(group, decoder, input, watch)).collect()
}

fn one(group: &Group, decoder: &Decoder, input: &[u8], watch: &Watch) -> bool {
    watch.begin(decoder.name, input);
    let outcome = trial(group, decoder, input);
    watch.end();
    let why = match outcome {
        Ok(taken) => return taken,
        Err(why) => why,
    };
    let small = shrunk(group, decoder, input);
    let path = kept(group.name, &small);
    panic_with(format!(
        "{}: `{}` {why}\n{} bytes, {} of them are enough: {}\nagain: {INPUT}={} with this test; mend it and keep the file in tests/corpus/{}",
        group.name,
        decoder.name,
        input.len(),
        small.len(),
        small.escape_ascii(),
        path.display(),
        group.name
    ));
}

/// True if the input got in; else why it failed.
fn trial(group: &Group, decoder: &Decoder, input: &[u8]) -> Result<bool, String> {
    let mut fastest = Duration::MAX;
    for _ in 0..limits::ATTEMPTS {
        let held = memory::begin();
        QUIET.set(true);
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(input)));
        fastest = fastest.min(begun.elapsed());
        QUIET.set(false);
        let memory = memory::most().saturating_sub(held);
        let taken = outcome.map_err(|_| format!("panicked {}", PANIC.take()))?;
        if memory > group.memory_max {
            return Err(format!("held {memory} bytes at once, {} are allowed", group.memory_max));
        }
        if fastest <= limits::INPUT {
            return Ok(taken);
        }
    }
    Err(format!("took {fastest:?}, {:?} are allowed", limits::INPUT))
}

/// A smaller input that fails as well, found by leaving out pieces.
fn shrunk(group: &Group, decoder: &Decoder, input: &[u8]) -> Vec<u8> {
    let (mut small, begun) = (input.to_vec(), Instant::now());
    let mut piece = small.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < small.len() && begun.elapsed() < limits::SHRINK {
            let mut less = small.clone();
            less.drain(at..small.len().min(at + piece));
            if trial(group, decoder, &less).is_err() { small = less } else { at += piece }
        }
        piece /= 2;
    }
    small
}

/// Writes a failing input beside what the compiler made, under a name of its own.
fn kept(group: &str, input: &[u8]) -> PathBuf {
    // FNV-1a
    let hash =
        input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent).and_then(Path::parent).map(|made| made.join("hostile"));
    let folder = folder.filter(|folder| std::fs::create_dir_all(folder).is_ok()).unwrap_or_else(std::env::temp_dir);
    let path = folder.join(format!("{group}-{hash:016x}"));
    if let Err(error) = std::fs::write(&path, input) {
        eprintln!("{}: {error}; its bytes: {}", path.display(), input.escape_ascii());
    }
    path
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{variable}={text} is no number");
    number
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    number(SEED).unwrap_or_else(|| u64::try_from(now % u128::from(u64::MAX)).unwrap_or(0) ^ u64::from(std::process::id()) << 40)
}

fn shown(group: &Group, taken: &[bool]) -> String {
    let names: Vec<&str> = group.decoders.iter().zip(taken).filter(|(_, taken)| **taken).map(|(one, _)| one.name).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn panic_with(text: String) -> ! {
    panic!("{text}")
}

/// While a decoder runs on this thread, what a panic says is kept and not printed: one that the decoder contains is no news.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                return before(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let said = info.payload_as_str().unwrap_or("something that is no text");
            PANIC.replace(format!("at {place}: {said}"));
        }));
    });
}

/// Since when which decoder works on what.
type UnderWay = (Instant, &'static str, Vec<u8>);

/// Looks from another thread whether an input is through: one that never ends cannot tell itself.
struct Watch {
    under_way: Arc<Mutex<Option<UnderWay>>>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start(group: &Group) -> Watch {
        let watch = Watch { under_way: Arc::default(), over: Arc::default() };
        let (under_way, over, group) = (Arc::clone(&watch.under_way), Arc::clone(&watch.over), group.name);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(limits::LOOK);
                let under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((since, decoder, input)) = &*under_way
                    && since.elapsed() > limits::HANG
                {
                    eprintln!("{group}: `{decoder}` does not end; {INPUT}={}", kept(group, input).display());
                    std::process::abort();
                }
            }
        });
        watch
    }

    fn begin(&self, decoder: &'static str, input: &[u8]) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        *under_way = Some((Instant::now(), decoder, input.to_vec()));
    }

    fn end(&self) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
