//! Scenarios one after the other, each in a data centre of its own, and the table of what came of them.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::library;
use crate::places::Places;
use crate::rig::Make;
use crate::run::{self, Run};
use crate::script::Scenario;
use crate::signals;
use crate::steps;
use crate::trouble::{Done, Trouble, at};

/// What came of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// How long it took, seconds.
    pub total_s: f64,
    /// Why it failed; empty if it did not.
    pub reason: String,
}

/// Runs scenarios and tells each step as it goes.
pub fn run_all(places: &Places, scenarios: &[Scenario], make: Make) -> Vec<Row> {
    scenarios
        .iter()
        .take_while(|_| !signals::interrupted())
        .map(|scenario| {
            println!("== {}: {} (switch: {})", scenario.name, scenario.title, make.switch.word());
            let start = Instant::now();
            let ended = one(places, scenario, make, start);
            let total_s = (start.elapsed().as_secs_f64() * 100.0).round() / 100.0;
            let reason = ended.err().unwrap_or_default();
            let passed = reason.is_empty();
            let word = if passed { "passed".to_owned() } else { format!("FAILED: {reason}") };
            println!("{total_s:7.2} s  {}: {word}", scenario.name);
            Row { scenario: scenario.name.clone(), passed, total_s, reason }
        })
        .collect()
}

fn one(places: &Places, scenario: &Scenario, make: Make, start: Instant) -> Result<(), String> {
    let tell = |what: &str| println!("{:7.2} s    {what}", start.elapsed().as_secs_f64());
    let mut run = run::up(places, scenario, make, &tell).map_err(|trouble| trouble.to_string())?;
    for step in &scenario.steps {
        if let Err(trouble) = steps::step(&mut run, step, &tell) {
            if signals::interrupted() {
                return Err(Trouble::Interrupted.to_string());
            }
            let mut reason = format!("{step}: {trouble}");
            if let Some(words) = run.rig.lab_ended() {
                reason.push_str(&format!("; the lab has ended: {words}"));
            }
            if let Some(logs) = logs(&run, places, &scenario.name) {
                reason.push_str(&format!("; logs: {logs}"));
            }
            return Err(reason);
        }
        println!("{:7.2} s  {}", start.elapsed().as_secs_f64(), step.text);
    }
    Ok(())
}

/// Keeps the logs of something that failed, with the controller's story beside them; answers where they are.
pub fn logs(run: &Run<'_>, places: &Places, name: &str) -> Option<String> {
    let folder = run.rig.keep_logs(places, name)?;
    let story: Vec<String> = run.rig.product.story().iter().filter_map(|line| serde_json::to_string(line).ok()).collect();
    // the logs are there; the story beside them is a help
    let _ = std::fs::write(folder.join("watch.jsonl"), story.join("\n") + "\n");
    Some(folder.display().to_string())
}

/// Reads scenarios by name; none means all. `Err` has what to tell.
pub fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    let all = library::names();
    let names: Vec<&str> = if names.is_empty() { all.clone() } else { names.iter().map(String::as_str).collect() };
    names
        .into_iter()
        .map(|name| match library::find(name) {
            Some(Ok(scenario)) => Ok(scenario),
            Some(Err(faults)) => Err(faults.iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n")),
            None => Err(format!("there is no scenario `{name}`; there are {}", all.join(", "))),
        })
        .collect()
}

/// Writes rows as JSON.
pub fn write(path: &Path, rows: &[Row]) -> Done {
    let text = serde_json::to_string_pretty(rows).unwrap_or_default() + "\n";
    at(path, std::fs::write(path, text))
}
