//! The machines' power, told by their parent process as it changes: on when the process was born, off when it was buried.

use std::io;

use serde::Deserialize;
use serde_json::Value;
use vocabulary::MachineId;

use super::Shared;
use super::lines::{Line, Lines};
use crate::fact::{Ns, Observation, Seen};
use crate::limits::POWER_OFF_MARGIN_NS;
use crate::samples::Source;
use crate::sys::now_ns;

const WATCH: &str = r#"{"verb":"watch"}"#;
const PIDS: &str = r#"{"verb":"pids"}"#;

#[derive(Debug, Deserialize)]
struct Told {
    monotonic_ns: Ns,
    name: MachineId,
    what: String,
    #[serde(default)]
    cause: String,
}

/// Follows the machines' parent until it ends.
pub fn follow(shared: &Shared) -> io::Result<()> {
    let socket = &shared.config.sources.bmc;
    let mut lines = Lines::ask(socket, WATCH)?;
    answer(&mut lines)?;
    // asked after the watch began, so that no change falls between
    let asked_ns = now_ns();
    let pids = answer(&mut Lines::ask(socket, PIDS)?)?;
    let known_ns = now_ns();
    {
        let mut oracle = shared.lock();
        for (name, pid) in pids.as_object().into_iter().flatten() {
            if let Some(machine) = name.parse().ok().filter(|machine| shared.config.roster.machines.contains_key(machine)) {
                oracle.see(Seen::between(asked_ns, known_ns, Observation::Power(machine, !pid.is_null())));
            }
        }
    }
    loop {
        let line = lines.wait()?;
        let mut oracle = shared.lock();
        oracle.sample(Source::Power, now_ns());
        let line = match line {
            Line::Whole(line) => line,
            Line::Silence => continue,
            Line::End => return Ok(()),
        };
        match serde_json::from_slice::<Told>(&line) {
            // what is older than the look at all machines was part of it
            Ok(told) if told.monotonic_ns < asked_ns => {}
            Ok(told) => {
                oracle.note(told.monotonic_ns, &format!("{} {} {}", told.name, told.what, told.cause));
                if let Some(seen) = power(told) {
                    oracle.see(seen);
                }
            }
            // it says how many changes it did not tell: everything is looked at again
            Err(_) => return Err(io::Error::other(format!("changes were missed: {}", String::from_utf8_lossy(&line)))),
        }
    }
}

fn power(told: Told) -> Option<Seen> {
    let at_ns = told.monotonic_ns;
    match told.what.as_str() {
        "on" => Some(Seen::exactly(at_ns, Observation::Power(told.name, true))),
        "off" => Some(Seen::between(at_ns.saturating_sub(POWER_OFF_MARGIN_NS), at_ns, Observation::Power(told.name, false))),
        // frozen, thawed, reset: it has power as before
        _ => None,
    }
}

fn answer(lines: &mut Lines) -> io::Result<Value> {
    match lines.wait()? {
        Line::Whole(line) => Ok(serde_json::from_slice(&line)?),
        Line::Silence | Line::End => Err(io::Error::other("the machines' parent does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_birth_and_burial_change_power() {
        let told = |what: &str| {
            let line = format!(r#"{{"monotonic_ns":50000000,"name":"m1","what":"{what}","pid":7,"cause":"x"}}"#);
            power(serde_json::from_str(&line).unwrap())
        };
        assert_eq!(told("on").unwrap().what, Observation::Power("m1".parse().unwrap(), true));
        let off = told("off").unwrap();
        assert_eq!((off.after_ns, off.at_ns), (30_000_000, 50_000_000));
        for other in ["frozen", "thawed", "reset", "bmc_down"] {
            assert_eq!(told(other), None);
        }
    }
}
