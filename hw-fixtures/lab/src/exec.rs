//! Commands that a caller outside runs inside the lab, with their output on the way.
//!
//! A command dies with its caller: nothing that was asked for by somebody who has gone away goes on in a lab.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::children::{End, signal_group, wait};
use crate::limits::{EXEC_TIMEOUT, OUTPUT_PIECE_BYTES, READY_POLL, STOP_GRACE};
use crate::reply::{Reply, write_reply};
use crate::services::{Namespace, Services};
use crate::sys::{Preparation, prepare};

/// A command to run inside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the lab's (which has the packages' and our programs in PATH).
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Its standard input.
    #[serde(default)]
    pub stdin: String,
    /// Its network.
    #[serde(default)]
    pub namespace: Namespace,
    /// The longest it may take.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs a command to its end.
pub(crate) fn run(services: &Services, exec: Exec, caller: &UnixStream) -> io::Result<End> {
    let (program, arguments) =
        exec.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command line is empty"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(services.environment())
        .envs(&exec.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(cwd) = &exec.cwd {
        command.current_dir(cwd);
    }
    let network = services.network(exec.namespace)?;
    prepare(&mut command, Preparation { network, own_session: true, ..Preparation::default() });
    let mut running =
        services.children().start(&mut command).map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let (sender, pieces) = sync_channel(16);
    if let Some(stdout) = running.stdout.take() {
        pass_on(stdout, sender.clone(), Piece::Out);
    }
    if let Some(stderr) = running.stderr.take() {
        pass_on(stderr, sender, Piece::Err);
    }
    if let Some(mut stdin) = running.stdin.take() {
        let text = exec.stdin;
        // a command that does not want its input may close it
        thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    }
    let deadline = Instant::now() + exec.timeout_ms.map_or(EXEC_TIMEOUT, Duration::from_millis);
    let stopped = loop {
        match pieces.recv_timeout(READY_POLL * 5) {
            Ok(Piece::Out(bytes)) if write_reply(caller, &Reply::Out(String::from_utf8_lossy(&bytes).into_owned())).is_err() => {
                break Some("the caller is gone");
            }
            Ok(Piece::Err(bytes)) if write_reply(caller, &Reply::Err(String::from_utf8_lossy(&bytes).into_owned())).is_err() => {
                break Some("the caller is gone");
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) if is_gone(caller) => break Some("the caller is gone"),
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => break Some("it took too long"),
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    if let Some(reason) = stopped {
        signal_group(running.pid, Signal::SIGKILL);
        return Err(io::Error::other(format!("{program}: killed: {reason}")));
    }
    // its output is closed; the command itself may go on for a moment
    let left = deadline.saturating_duration_since(Instant::now()).max(STOP_GRACE);
    wait(&running.ended, left).ok_or_else(|| {
        signal_group(running.pid, Signal::SIGKILL);
        io::Error::other(format!("{program}: killed: it closed its output and took too long"))
    })
}

fn is_gone(caller: &UnixStream) -> bool {
    let mut look = [PollFd::new(caller.as_fd(), PollFlags::empty())];
    poll(&mut look, PollTimeout::ZERO).is_ok_and(|_| {
        look.first().and_then(PollFd::revents).is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
    })
}

fn pass_on(mut stream: impl Read + Send + 'static, to: SyncSender<Piece>, kind: fn(Vec<u8>) -> Piece) {
    thread::spawn(move || {
        let mut buffer = vec![0; OUTPUT_PIECE_BYTES];
        while let Ok(got) = stream.read(&mut buffer) {
            let piece = buffer.get(..got).unwrap_or_default().to_vec();
            if got == 0 || to.send(kind(piece)).is_err() {
                return;
            }
        }
    });
}
