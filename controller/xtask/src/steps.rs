//! A list of steps, each timed and each run even if another failed, and the table at the end. A step that could not run counts as failed:
//! nothing is passed over in silence.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::run::Tests;
use crate::say;
use crate::signals;

/// Whether a step builds or tests; the two times are told apart at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Build,
    Test,
}

/// What became of a step.
#[derive(Debug)]
struct Done {
    name: String,
    kind: Kind,
    took: Duration,
    tests: Option<Tests>,
    failure: Option<String>,
}

/// The steps run so far.
#[derive(Debug, Default)]
pub struct Steps {
    done: Vec<Done>,
}

impl Steps {
    /// Runs one step; says whether it passed.
    pub fn run(&mut self, kind: Kind, name: &str, step: impl FnOnce() -> Result<()>) -> bool {
        self.count(kind, name, || step().map(|()| None))
    }

    /// Runs one step that runs tests.
    pub fn run_tests(&mut self, name: &str, step: impl FnOnce() -> Result<Tests>) -> bool {
        self.count(Kind::Test, name, || step().map(Some))
    }

    /// Notes a step that cannot run, with the reason.
    pub fn cannot(&mut self, kind: Kind, name: &str, reason: &str) {
        self.count(kind, name, || bail!("not run: {reason}"));
    }

    fn count(&mut self, kind: Kind, name: &str, step: impl FnOnce() -> Result<Option<Tests>>) -> bool {
        say!("--- {name}");
        let begin = Instant::now();
        let outcome = if signals::interrupted() { Err(anyhow::anyhow!("not run: interrupted")) } else { step() };
        let (tests, failure) = match outcome {
            Ok(tests) => (tests, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        if let Some(reason) = &failure {
            say!("{name} FAILED: {reason}");
        }
        let passed = failure.is_none();
        self.done.push(Done { name: name.to_owned(), kind, took: begin.elapsed(), tests, failure });
        passed
    }

    /// How many steps failed.
    pub fn failed(&self) -> usize {
        self.done.iter().filter(|done| done.failure.is_some()).count()
    }

    /// The table: a line a step, the two times, and last `N passed, N failed`.
    pub fn table(&self) -> String {
        let mut lines = vec![String::new()];
        for done in &self.done {
            let verdict = if done.failure.is_none() { "ok" } else { "FAILED" };
            let tests = done.tests.map(|tests| format!("{} tests", tests.passed)).unwrap_or_default();
            lines.push(format!("{:<28} {:<6} {:>9}  {tests}", done.name, verdict, seconds(done.took)));
            if let Some(first) = done.failure.as_deref().and_then(|failure| failure.lines().next()) {
                lines.push(format!("    {first}"));
            }
        }
        let total = |kind: Kind| self.done.iter().filter(|done| done.kind == kind).map(|done| done.took).sum();
        lines.push(format!("build time {}, test time {}", seconds(total(Kind::Build)), seconds(total(Kind::Test))));
        lines.push(format!("{} passed, {} failed", self.done.len() - self.failed(), self.failed()));
        lines.join("\n")
    }
}

fn seconds(duration: Duration) -> String {
    const MINUTE_S: u64 = 60;
    let whole = duration.as_secs();
    if whole < MINUTE_S {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / MINUTE_S, whole % MINUTE_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_nothing_and_is_counted() {
        let mut steps = Steps::default();
        assert!(steps.run(Kind::Build, "first", || Ok(())));
        assert!(!steps.run(Kind::Test, "second", || bail!("broken\nin two lines")));
        assert!(steps.run_tests("third", || Ok(Tests { passed: 7, failed: 0 })));
        steps.cannot(Kind::Test, "fourth", "the build failed");
        assert_eq!(steps.failed(), 2);
        let table = steps.table();
        assert!(table.ends_with("2 passed, 2 failed"), "{table}");
        assert!(
            table.contains("7 tests") && table.contains("    broken\n") && table.contains("not run: the build failed"),
            "{table}"
        );
    }

    #[test]
    fn times_are_told_apart() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}
