//! The other backend of scenarios: the same file, step by step, in a simulated world, where minutes pass in milliseconds.
//!
//! The controller is spoken to as its API speaks to it; whether it did right is looked at in the world: at the servers' answers as a client
//! gets them, at the switch, at the machines, and by the judge. It must never tell the product anything, nor wait by the machine's clock.

pub mod agents;
pub mod estate;
pub mod expect;
pub mod eyes;
pub mod network;
pub mod rig;
pub mod rivals;
pub mod run;
pub mod steps;
pub mod storage;
pub mod wait;

use std::time::{Duration, Instant};

use simulator::site::Site;

use crate::e2e::Row;
use crate::script::{Expectation, Scenario, Step};
use crate::trouble::Trouble;
use rig::Rig;
use run::Run;

/// What came of a scenario in one world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Played {
    /// Why it failed, with the step.
    pub ended: Result<(), String>,
    /// What was told on the way: when by the world's clock, and what.
    pub told: Vec<(Duration, String)>,
    /// What the controller recorded, as sentences.
    pub story: Vec<String>,
    /// How long it took by the world's clock.
    pub took: Duration,
}

/// Plays a scenario in the world of a seed.
pub fn play(scenario: &Scenario, seed: u64, tell: &mut dyn FnMut(Duration, &str)) -> Played {
    play_changed(scenario, seed, tell, |_| {})
}

/// The same, in a world in which something was changed before the controller's first start.
pub fn play_changed(
    scenario: &Scenario,
    seed: u64,
    tell: &mut dyn FnMut(Duration, &str),
    change: impl FnOnce(&mut Site),
) -> Played {
    let mut told = Vec::new();
    let mut note = |at: Duration, what: &str| {
        tell(at, what);
        told.push((at, what.to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (ended, story, took) = match runtime {
        Ok(runtime) => runtime.block_on(whole(scenario, seed, &mut note, change)),
        Err(error) => (Err(format!("the world did not begin: {error}")), Vec::new(), Duration::ZERO),
    };
    Played { ended, told, story, took }
}

async fn whole(
    scenario: &Scenario,
    seed: u64,
    note: &mut dyn FnMut(Duration, &str),
    change: impl FnOnce(&mut Site),
) -> (Result<(), String>, Vec<String>, Duration) {
    let begun = tokio::time::Instant::now();
    let mut run =
        match Rig::raise(&scenario.setup, seed, &mut |what: &str| note(begun.elapsed(), &format!("  {what}")), change).await {
            Ok(rig) => Run::new(rig),
            Err(trouble) => return (Err(in_world(&trouble)), Vec::new(), begun.elapsed()),
        };
    let mut ended = Ok(());
    for step in &scenario.steps {
        let done = steps::step(&mut run, step, &mut |what: &str| note(begun.elapsed(), &format!("  {what}"))).await;
        if let Err(trouble) = done {
            ended = Err(format!("{step}: {}", in_world(&trouble)));
            break;
        }
        note(begun.elapsed(), &step.text);
    }
    if ended.is_ok() && !scenario.steps.iter().any(|step| step.step == Step::Expect(Expectation::SplitBrainCaught)) {
        // whatever a scenario asks for: in none but the negative control may a law be broken
        let broken: Vec<String> =
            run.rig.site.judge.end().iter().map(|one| format!("{}: {}", one.invariant, one.sentence)).collect();
        if !broken.is_empty() {
            ended = Err(format!("the judge found: {}", broken.join("; ")));
        }
    }
    (ended, run.rig.story(), begun.elapsed())
}

/// Trouble in this backend's words.
fn in_world(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotUp { reason } => format!("the world did not come up: {reason}"),
        other => other.to_string(),
    }
}

/// Plays scenarios and tells each step as it goes, in the world's seconds.
pub fn run_all(scenarios: &[Scenario], seed: u64, with_story: bool) -> Vec<Row> {
    scenarios
        .iter()
        .map(|scenario| {
            println!("== {}: {} (seed {seed})", scenario.name, scenario.title);
            let start = Instant::now();
            let played = play(scenario, seed, &mut |at, what| println!("{:7.2} s  {what}", at.as_secs_f64()));
            if with_story {
                played.story.iter().for_each(|line| println!("           {line}"));
            }
            let (milliseconds, total_s) = (start.elapsed().as_millis(), (played.took.as_secs_f64() * 100.0).round() / 100.0);
            let reason = played.ended.err().unwrap_or_default();
            let passed = reason.is_empty();
            let word = if passed { "passed".to_owned() } else { format!("FAILED: {reason}") };
            println!("{total_s:7.2} s  {}: {word} ({milliseconds} ms of ours)", scenario.name);
            Row { scenario: scenario.name.clone(), passed, total_s, reason }
        })
        .collect()
}
