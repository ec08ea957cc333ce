//! The lab's door for callers outside its namespaces: JSON lines over a unix socket in the run folder.
//!
//! One request a line; each is answered by one or more lines, of which the last has `ok` or `error`. Requests of one connection go one
//! after the other. Whoever may open the socket (its owner) may do everything in the lab.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::children::{End, signal};
use crate::exec::{Exec, run};
use crate::facts::Facts;
use crate::limits::{CALLERS_MAX, REQUEST_BYTES_MAX};
use crate::names::Machine;
use crate::open_vswitch::Hand;
use crate::qemu::machine_files;
use crate::reply::{Reply, write_reply};
use crate::services::{Service, ServiceError, Services};

/// What a caller may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What the lab is and where its files lie.
    Info,
    /// Run a command inside: its output comes in `out` and `err` lines, the last line's `ok` is its end.
    Exec(Exec),
    /// Every service's standing.
    Services,
    /// Add a service (or replace one that does not run) and start it; answered when it is ready.
    Add {
        /// The row.
        service: Service,
    },
    /// Start a service of the table; answered when it is ready.
    Start {
        /// Its name.
        name: String,
    },
    /// End a service in order, and by force if that takes too long; answered when it is buried.
    Stop {
        /// Its name.
        name: String,
    },
    /// Kill a service (kill -9); answered when it is buried.
    Kill {
        /// Its name.
        name: String,
    },
    /// Send a service a signal: STOP, CONT, TERM, HUP, USR1...
    Signal {
        /// Its name.
        name: String,
        /// The signal, with or without SIG.
        signal: String,
    },
    /// Do something to a machine's QEMU behind its BMC's back.
    Machine {
        /// The machine.
        name: String,
        /// What.
        act: Act,
    },
    /// The newest fact of the switch; with `follow` every one from now on, each as a `fact` line.
    Facts {
        /// Follow.
        #[serde(default)]
        follow: bool,
    },
    /// An order of the foreign hand on the switch.
    Hand {
        /// See `guest::hand::parse`.
        line: String,
    },
    /// Lay a file beside the switch's agent (of a machine, onto its small disk): `bundle.json` makes it one of an estate, and starts it.
    Put {
        /// Its name there.
        name: String,
        /// Its content.
        content: String,
    },
    /// End the lab.
    Down,
}

/// What can happen to a machine without its BMC's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It stands still (SIGSTOP): power on, nothing moves.
    Freeze,
    /// It goes on.
    Thaw,
    /// Its power supply dies (SIGKILL).
    Kill,
    /// Only say which process it is (null: none).
    Pid,
}

/// What tells the lab to end: a signal from the caller's side, the door, or the end of the command.
#[derive(Debug)]
pub enum Ending {
    /// Somebody asked.
    Asked,
    /// The command ended.
    Command(End),
}

/// What the door opens to.
#[derive(Clone)]
pub struct Door {
    /// The processes.
    pub services: Services,
    /// The switch's facts.
    pub facts: Facts,
    /// The foreign hand on a switch that is no machine; without it the orders go to the switch's machine.
    pub hand: Option<Hand>,
    /// The run folder.
    pub run: PathBuf,
    /// What `info` answers.
    pub info: Arc<Value>,
    /// Told when the lab is to end.
    pub down: Sender<Ending>,
}

impl Door {
    /// Opens the door at this path; served by threads until the lab ends.
    pub fn open(self, path: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        thread::spawn(move || {
            let callers = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let (door, callers) = (self.clone(), Arc::clone(&callers));
                if callers.fetch_add(1, Ordering::SeqCst) >= CALLERS_MAX {
                    callers.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                thread::spawn(move || {
                    if let Err(error) = door.serve(&stream) {
                        tracing::debug!("a caller: {error}");
                    }
                    callers.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(())
    }

    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            if lines.by_ref().take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let reply = match serde_json::from_slice(&line) {
                Ok(Request::Exec(exec)) => match run(&self.services, exec, stream) {
                    Ok(end) => Reply::Ok(json!(end)),
                    Err(error) => Reply::Error(error.to_string()),
                },
                Ok(Request::Facts { follow: true }) => self.follow(stream)?,
                Ok(request) => self.answer(request).map_or_else(Reply::Error, Reply::Ok),
                Err(error) => Reply::Error(format!("not understood: {error}")),
            };
            write_reply(stream, &reply)?;
        }
    }

    fn follow(&self, stream: &UnixStream) -> io::Result<Reply> {
        for fact in self.facts.follow() {
            write_reply(stream, &Reply::Fact(fact))?;
        }
        Ok(Reply::Error("you read too slowly; facts were missed".to_owned()))
    }

    fn answer(&self, request: Request) -> Result<Value, String> {
        let told = |error: ServiceError| error.to_string();
        match request {
            // its answer is a stream and was given by the caller of this function
            Request::Exec(_) => Err("a command has no single answer".to_owned()),
            Request::Info => Ok((*self.info).clone()),
            Request::Services => Ok(json!(self.services.list())),
            Request::Add { service } => {
                let name = service.name.clone();
                self.services.add(service, Vec::new()).map_err(told)?;
                self.services.standing(&name).map(|standing| json!(standing)).map_err(told)
            }
            Request::Start { name } => {
                self.services.start(&name).map_err(told)?;
                self.services.standing(&name).map(|standing| json!(standing)).map_err(told)
            }
            Request::Stop { name } => self.services.stop(&name, true).map(|standing| json!(standing)).map_err(told),
            Request::Kill { name } => self.services.stop(&name, false).map(|standing| json!(standing)).map_err(told),
            Request::Signal { name, signal } => {
                let which = signal_named(&signal).ok_or_else(|| format!("{signal:?} is no signal"))?;
                self.services.signal(&name, which).map(|()| Value::Null).map_err(told)
            }
            Request::Machine { name, act } => self.machine(&name, act),
            Request::Facts { .. } => Ok(json!(self.facts.newest())),
            Request::Hand { line } => {
                guest::hand::parse(&line)
                    .ok_or_else(|| format!("{line:?}: access PORT VID, down PORT, put NAME HEX, kill-agent or reboot"))?;
                self.order(&line)
            }
            Request::Put { name, content } => {
                let line = guest::hand::put_line(&name, content.as_bytes());
                guest::hand::parse(&line)
                    .ok_or_else(|| format!("{name:?}: a plain file name and a file that is not empty are wanted"))?;
                self.order(&line)
            }
            Request::Down => self.down.send(Ending::Asked).map(|()| Value::Null).map_err(|error| error.to_string()),
        }
    }

    fn order(&self, line: &str) -> Result<Value, String> {
        let done = match &self.hand {
            Some(hand) => hand.order(line),
            None => self.facts.order(line).map_err(|error| error.to_string()),
        };
        done.map(|()| Value::Null)
    }

    fn machine(&self, name: &str, act: Act) -> Result<Value, String> {
        let pid = machine_pid(&self.run, name)?;
        if act == Act::Pid {
            return Ok(json!(pid));
        }
        let pid = pid.ok_or_else(|| format!("{name} has no power: there is no QEMU of it"))?;
        signal(
            pid,
            match act {
                Act::Freeze => Signal::SIGSTOP,
                Act::Thaw => Signal::SIGCONT,
                Act::Kill | Act::Pid => Signal::SIGKILL,
            },
        );
        Ok(json!(pid))
    }
}

/// The process of a machine: what its pid file names, if that still is this machine's QEMU.
fn machine_pid(run: &Path, name: &str) -> Result<Option<i32>, String> {
    let number = name
        .strip_prefix('m')
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("{name:?} is no machine of this lab (m1, m2...)"))?;
    let file = machine_files(run, Machine(number)).pid;
    let Some(pid) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok()) else {
        return Ok(None);
    };
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let ours = words.windows(2).any(|pair| matches!(pair, [flag, value] if *flag == b"-name" && *value == name.as_bytes()));
    Ok(ours.then_some(pid))
}

fn signal_named(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_written_in_the_manual() {
        let read = |text: &str| serde_json::from_str::<Request>(text);
        assert!(matches!(read(r#"{"do":"info"}"#), Ok(Request::Info)));
        assert!(matches!(read(r#"{"do":"exec","argv":["tgtadm"]}"#), Ok(Request::Exec(exec)) if exec.argv == ["tgtadm"]));
        assert!(matches!(read(r#"{"do":"machine","name":"m1","act":"freeze"}"#), Ok(Request::Machine { act: Act::Freeze, .. })));
        assert!(matches!(read(r#"{"do":"facts"}"#), Ok(Request::Facts { follow: false })));
        assert!(read(r#"{"do":"machine","name":"m1","act":"explode"}"#).is_err());
        assert!(read(r#"{"do":"kill","name":"serve","why":"x"}"#).is_err(), "unknown keys are errors");
    }

    #[test]
    fn signals_are_named_either_way() {
        assert_eq!(signal_named("STOP"), Some(Signal::SIGSTOP));
        assert_eq!(signal_named("sigterm"), Some(Signal::SIGTERM));
        assert_eq!(signal_named("NOPE"), None);
    }

    #[test]
    fn a_pid_file_that_names_another_process_is_no_machine() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(machine_pid(run.path(), "m1"), Ok(None));
        std::fs::write(run.path().join("m1.pid"), std::process::id().to_string()).unwrap();
        assert_eq!(machine_pid(run.path(), "m1"), Ok(None), "this test is no QEMU");
        assert!(machine_pid(run.path(), "../x").is_err());
    }
}
