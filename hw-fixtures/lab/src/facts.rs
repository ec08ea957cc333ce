//! The switch's facts as they arrive: the newest, every one for followers, every change for the log.
//!
//! Each carries the lab's monotonic time of arrival (`CLOCK_MONOTONIC`, the same for every process of this computer). Nothing is made up:
//! while the switch is silent, the newest fact just grows old.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use guest::facts::{Port, Snapshot};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::limits::{FACTS_LINE_BYTES_MAX, FACTS_QUEUE_LINES, READY_POLL};

/// One report of the switch, and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// `CLOCK_MONOTONIC` at arrival, nanoseconds.
    pub monotonic_ns: u64,
    /// The report.
    pub switch: Snapshot,
}

/// `CLOCK_MONOTONIC` now, nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

#[derive(Default)]
struct Known {
    newest: Option<Fact>,
    followers: Vec<SyncSender<Fact>>,
    hand: Option<UnixStream>,
    generation: u64,
}

/// The facts of the switch, kept by a thread of their own.
#[derive(Clone, Default)]
pub struct Facts {
    known: Arc<(Mutex<Known>, Condvar)>,
}

impl Facts {
    /// Connects to the switch's facts port whenever it is there, and listens for ever. Changes are appended to `log`.
    #[must_use]
    pub fn listen(socket: &Path, log: PathBuf) -> Self {
        let facts = Self::default();
        let (keeper, socket) = (facts.clone(), socket.to_owned());
        thread::spawn(move || {
            loop {
                if let Ok(stream) = UnixStream::connect(&socket)
                    && let Err(error) = keeper.take_all(&stream, &log)
                {
                    tracing::warn!("the switch's facts: {error}");
                }
                thread::sleep(READY_POLL);
            }
        });
        facts
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_all(&self, stream: &UnixStream, log: &Path) -> io::Result<()> {
        {
            let mut known = self.lock();
            known.hand = Some(stream.try_clone()?);
            known.generation += 1;
        }
        let mut log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut lines = BufReader::new(stream);
        let mut before: BTreeMap<String, Port> = BTreeMap::new();
        loop {
            let mut line = Vec::new();
            if lines.by_ref().take(FACTS_LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                self.lock().hand = None;
                return Ok(());
            }
            // a line torn by a restart of the switch is no fact
            let Ok(switch) = serde_json::from_slice::<Snapshot>(&line) else { continue };
            let fact = Fact { monotonic_ns: monotonic_ns(), switch };
            if fact.switch.ports != before {
                before.clone_from(&fact.switch.ports);
                writeln!(log, "{}", serde_json::to_string(&fact)?)?;
            }
            self.publish(&fact);
        }
    }

    fn publish(&self, fact: &Fact) {
        let mut known = self.lock();
        // a follower that does not keep up is dropped: it must see that it missed something
        known.followers.retain(|follower| {
            !matches!(follower.try_send(fact.clone()), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
        });
        known.newest = Some(fact.clone());
        self.known.1.notify_all();
    }

    /// The newest fact, if the switch ever reported.
    #[must_use]
    pub fn newest(&self) -> Option<Fact> {
        self.lock().newest.clone()
    }

    /// Every fact from now on. The channel ends if the reader falls behind.
    #[must_use]
    pub fn follow(&self) -> Receiver<Fact> {
        let (sender, receiver) = sync_channel(FACTS_QUEUE_LINES);
        self.lock().followers.push(sender);
        receiver
    }

    /// Waits for a fact that arrives after this call.
    #[must_use]
    pub fn wait_fresh(&self, at_most: Duration) -> Option<Fact> {
        let (since, start) = (monotonic_ns(), Instant::now());
        let mut known = self.lock();
        loop {
            if let Some(fact) = known.newest.as_ref().filter(|fact| fact.monotonic_ns > since) {
                return Some(fact.clone());
            }
            let left = at_most.saturating_sub(start.elapsed());
            if left.is_zero() {
                return None;
            }
            known = self.known.1.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives the switch an order of the foreign hand (see `guest::hand`).
    pub fn order(&self, line: &str) -> io::Result<()> {
        let known = self.lock();
        let Some(mut hand) = known.hand.as_ref() else {
            return Err(io::Error::other("the switch is not running"));
        };
        hand.write_all(format!("{line}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn facts_arrive_noise_does_not_and_orders_go_out() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, log) = (folder.path().join("s"), folder.path().join("log"));
        let listener = UnixListener::bind(&socket).unwrap();
        let facts = Facts::listen(&socket, log.clone());
        let (mut switch, _) = listener.accept().unwrap();
        let follower = facts.follow();
        switch.write_all(b"torn\r\n{\"at_ms\":1,\"change\":1,\"ports\":{\"p1\":{\"up\":true,\"forwarding\":true}}}\n").unwrap();
        let fact = follower.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(fact.switch.ports["p1"].up && fact.monotonic_ns > 0);
        switch.write_all(b"{\"at_ms\":80,\"change\":1,\"ports\":{\"p1\":{\"up\":true,\"forwarding\":true}}}\n").unwrap();
        assert_eq!(follower.recv_timeout(Duration::from_secs(5)).unwrap().switch.at_ms, 80);
        assert_eq!(facts.newest().unwrap().switch.at_ms, 80);
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1, "only changes are logged");
        facts.order("down p1").unwrap();
        let mut order = [0; 8];
        switch.read_exact(&mut order).unwrap();
        assert_eq!(&order, b"down p1\n");
        drop(switch);
        assert!(facts.wait_fresh(Duration::from_millis(50)).is_none());
    }
}
