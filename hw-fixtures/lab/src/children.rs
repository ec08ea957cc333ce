//! Processes of the lab: started here, and all buried here, the orphans too, since the supervisor is the first process of its namespace.
//!
//! Nobody else in this program may wait for a child: the one reaper would take its end away.

use std::collections::HashMap;
use std::io::{self, Read};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::limits::{HELPER_TIMEOUT, READY_POLL};
use crate::sys::{Preparation, prepare};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// Whether it ended by itself, with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// A running child, with whatever ends of pipes were asked for.
#[derive(Debug)]
pub struct Running {
    /// Its process id in the lab.
    pub pid: i32,
    /// Tells its end, once.
    pub ended: Receiver<End>,
    /// Its standard input.
    pub stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: Option<ChildStdout>,
    /// Its standard error.
    pub stderr: Option<ChildStderr>,
}

/// Starts children and buries all.
#[derive(Debug, Clone, Default)]
pub struct Children {
    // held over every start, so that the reaper never takes a child that is not in the map yet
    known: Arc<Mutex<HashMap<i32, Sender<End>>>>,
}

impl Children {
    /// Starts the reaper's thread. Only the first process of a namespace may do this, and only once.
    #[must_use]
    pub fn reap() -> Self {
        let children = Self::default();
        let reaper = children.clone();
        thread::spawn(move || reaper.bury_for_ever());
        children
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Sender<End>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury_for_ever(&self) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => self.bury(pid),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => thread::sleep(READY_POLL),
            }
        }
    }

    fn bury(&self, pid: Pid) {
        let mut known = self.lock();
        let end = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => End::Code(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => End::Signal(signal as i32),
            // a start that failed at exec was buried by the standard library itself
            Ok(_) | Err(_) => return,
        };
        if let Some(tell) = known.remove(&pid.as_raw()) {
            // nobody may be waiting for it
            let _ = tell.send(end);
        }
    }

    /// Starts a child.
    pub fn start(&self, command: &mut Command) -> io::Result<Running> {
        prepare(command, Preparation::default());
        let mut known = self.lock();
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let (tell, ended) = channel();
        known.insert(pid, tell);
        Ok(Running { pid, ended, stdin: child.stdin.take(), stdout: child.stdout.take(), stderr: child.stderr.take() })
    }

    /// Runs a helper program to its end, with this text as its input; answers what it wrote. A failure carries what it complained of.
    pub fn output(&self, command: &mut Command, input: &str) -> io::Result<String> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = self.start(command).map_err(|error| io::Error::other(format!("{program}: {error}")))?;
        if let Some(mut stdin) = running.stdin.take() {
            io::Write::write_all(&mut stdin, input.as_bytes())?;
        }
        let errors = running.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = Vec::new();
                // what cannot be read of a complaint is left out
                let _ = stderr.read_to_end(&mut text);
                text
            })
        });
        let mut text = Vec::new();
        if let Some(mut stdout) = running.stdout.take() {
            stdout.read_to_end(&mut text)?;
        }
        let complaint = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
        match running.ended.recv_timeout(HELPER_TIMEOUT) {
            Ok(end) if end.is_success() => Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(end) => Err(io::Error::other(format!("{program}: {end}: {}", String::from_utf8_lossy(&complaint).trim()))),
            Err(_) => {
                signal(running.pid, Signal::SIGKILL);
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program}: no end after {} s", HELPER_TIMEOUT.as_secs())))
            }
        }
    }
}

/// Sends a signal to a process; one that is gone already needs none.
pub fn signal(pid: i32, signal: Signal) {
    if pid > 1 {
        // the process may have ended in between, which is what the signal wanted or makes it needless
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Sends a signal to a whole process group.
pub fn signal_group(pid: i32, signal: Signal) {
    if pid > 1 {
        // as above
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Waits for an end, at most this long.
#[must_use]
pub fn wait(ended: &Receiver<End>, at_most: Duration) -> Option<End> {
    ended.recv_timeout(at_most).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    // one test only: the reaper takes every child of this process
    #[test]
    fn children_are_started_told_of_and_buried() {
        let children = Children::reap();
        let text = children.output(Command::new("sh").args(["-c", "cat; echo more"]), "in\n").unwrap();
        assert_eq!(text, "in\nmore\n");
        let error = children.output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), "").unwrap_err().to_string();
        assert!(error.contains("exit code 3: why"), "{error}");
        assert!(children.output(&mut Command::new("/nowhere/at-all"), "").is_err());
        let mut blocked = nix::sys::signal::SigSet::empty();
        blocked.add(Signal::SIGTERM);
        blocked.thread_block().unwrap();
        let running = children.start(Command::new("sleep").arg("60")).unwrap();
        signal(running.pid, Signal::SIGTERM);
        assert_eq!(wait(&running.ended, Duration::from_secs(5)), Some(End::Signal(15)), "a child hears what its parent blocks");
        let running = children.start(Command::new("sleep").arg("60")).unwrap();
        signal(running.pid, Signal::SIGKILL);
        assert_eq!(wait(&running.ended, Duration::from_secs(5)), Some(End::Signal(9)));
        let start = Instant::now();
        while std::path::Path::new(&format!("/proc/{}", running.pid)).exists() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(READY_POLL);
        }
        assert!(kill(Pid::from_raw(running.pid), None).is_err(), "a dead child is buried, not a zombie");
        assert_eq!(End::Signal(9).to_string(), "killed by SIGKILL");
    }
}
