//! A failover by hand: the rival's script, run inside a lab, and the times that it tells.

use std::path::Path;

use lab::client::Client;
use lab::exec::Exec;

use crate::limits::HAND;
use crate::trouble::{Done, Trouble, at};

/// A step of the script and when it was done, milliseconds since 1970.
pub type Step = (u64, String);

/// Runs the script to its end. `words` are its arguments after the run folder; `each` hears of a step as it is done.
pub fn failover(run: &Path, words: &[String], mut each: impl FnMut(&Step)) -> Done<Vec<Step>> {
    let script = run.join("failover.sh");
    at(&script, std::fs::write(&script, lab::hand::FAILOVER))?;
    let mut argv = vec!["sh".to_owned(), script.display().to_string(), run.display().to_string()];
    argv.extend(words.iter().cloned());
    let exec = Exec { argv, timeout_ms: u64::try_from(HAND.as_millis()).ok(), ..Exec::default() };
    let (mut steps, mut open, mut told) = (Vec::new(), String::new(), String::new());
    let end = Client::connect(run)?.exec_with(exec, |is_error, text| {
        told.push_str(text);
        if is_error {
            return;
        }
        open.push_str(text);
        while let Some((line, rest)) = open.split_once('\n') {
            if let Some(step) = step(line) {
                each(&step);
                steps.push(step);
            }
            open = rest.to_owned();
        }
    })?;
    if end.is_success() {
        return Ok(steps);
    }
    Err(Trouble::Command { command: format!("failover.sh {}", words.join(" ")), told: format!("{end}: {told}") })
}

fn step(line: &str) -> Option<Step> {
    let (time, name) = line.split_once(' ')?;
    Some((time.parse().ok()?, name.to_owned()))
}

/// When a step was done.
pub fn when(steps: &[Step], name: &str) -> Done<u64> {
    let found = steps.iter().find(|(_, step)| step == name).map(|(at, _)| *at);
    found.ok_or_else(|| Trouble::Wrong(format!("the script told of no step `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_with_a_time_is_a_step() {
        assert_eq!(step("12 ready"), Some((12, "ready".to_owned())));
        assert!(step("noise").is_none() && step("a b").is_none());
        assert!(when(&[(12, "ready".to_owned())], "serves").is_err());
    }
}
