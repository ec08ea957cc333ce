//! Data to standard output, talk to standard error. A reader that went away ends the command quietly, never with a panic.

use crate::exit::{Exit, Failure};
use serde::Serialize;
use std::io::Write;
use vocabulary::Fault;

fn broken(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::silent(Exit::Done);
    }
    let remedy = "look at where standard output goes: a full disk, a closed file";
    Failure::new(Exit::No, Fault::new(64, format!("the output cannot be written: {error}"), remedy))
}

/// A line of data. A text of several lines is written as it is.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| broken(&error))
}

/// A document of data.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Talk: lost if nobody listens.
pub fn talk(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}").and_then(|()| stderr.flush());
}
