//! A driver of schema 1 (docs/drivers.md) for power distribution units, whose hands are an installed fence agent of ClusterLabs: it switches and
//! tells its status, and a second program reads what fence agents cannot tell. Must never leave a fence agent behind that still runs.
#![forbid(unsafe_code)]

mod config;
mod driver;
mod limits;
mod metadata;
mod run;

use driver::{Driver, Question};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, getpid, setpgid};
use serde_json::json;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

fn say(line: &serde_json::Value) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn serve() -> Result<(), String> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: fence-agents FILE.json (docs/drivers.md)".to_owned());
    };
    // what is ended is this group, and nobody else is to be in it
    if getpgrp() != getpid() {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|error| format!("it can lead no process group: {error}"))?;
    }
    let mut driver = Driver::new(config::load(Path::new(&file))?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    say(&json!({"understudy-driver": program::SCHEMA, "kind": program::Kind::Outlets}))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let asked: Question = serde_json::from_str(&line).map_err(|error| format!("a question is not understood: {error}"))?;
        let id = asked.id;
        match runtime.block_on(driver.answer(&asked)) {
            Ok(answer) => say(&json!({"id": id, "answer": answer}))?,
            Err(no) => {
                say(&json!({"id": id, "error": no.error, "reason": no.reason}))?;
                if no.astray {
                    // with all that it has started, and this program too: it is started anew for the next question
                    return killpg(getpgrp(), Signal::SIGKILL).map_err(|error| error.to_string());
                }
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // a driver's standard error is logged by the agent
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}
