//! The switch's facts as they arrive: the newest, every one for followers, every change for the log.
//!
//! Each carries the lab's monotonic time of arrival (`CLOCK_MONOTONIC`, the same for every process of this computer). Nothing is made up:
//! while the switch is silent, the newest fact just grows old. Only where its machine has lost its power there is a fact without its word:
//! from the end of its process until its next report no port of a machine forwards, for no agent runs on it that would open one. Of a switch
//! that is no machine somebody here looks instead (see `open_vswitch`), and the end of the process that forwards is the same fact.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use guest::facts::{Port, Snapshot};
use guest::limits::FACTS_EVERY;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::limits::{FACTS_LINE_BYTES_MAX, FACTS_QUEUE_LINES, READY_POLL};
use crate::open_vswitch::{Sight, Watcher};

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

fn locked(dark: &Dark) -> MutexGuard<'_, Option<Instant>> {
    dark.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Known {
    newest: Option<Fact>,
    followers: Vec<SyncSender<Fact>>,
    hand: Option<UnixStream>,
    generation: u64,
}

/// The log of changes.
struct Changes {
    log: File,
    before: BTreeMap<String, Port>,
}

impl Changes {
    fn open(log: &Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        Ok(Self { log, before: BTreeMap::new() })
    }

    fn note(&mut self, fact: &Fact) -> io::Result<()> {
        if fact.switch.ports != self.before {
            self.before.clone_from(&fact.switch.ports);
            writeln!(self.log, "{}", serde_json::to_string(fact)?)?;
        }
        Ok(())
    }
}

/// Since when the switch has no power, or has not reported since it has.
type Dark = Arc<Mutex<Option<Instant>>>;

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
        let (keeper, socket, dark) = (facts.clone(), socket.to_owned(), Dark::default());
        let (teller, since) = (facts.clone(), dark.clone());
        thread::spawn(move || teller.tell_dark(&since));
        thread::spawn(move || {
            loop {
                if let Ok(stream) = UnixStream::connect(&socket) {
                    match keeper.take_all(&stream, &log, &dark) {
                        // the end of the stream is the end of the process behind it; of one that never reported nothing is known
                        Ok(()) if keeper.newest().is_some() => *locked(&dark) = Some(Instant::now()),
                        Ok(()) => {}
                        Err(error) => tracing::warn!("the switch's facts: {error}"),
                    }
                }
                thread::sleep(READY_POLL);
            }
        });
        facts
    }

    /// Looks at a switch that cannot report by itself, as often as one that is a machine reports, for ever. `forwards` says whether the
    /// process runs without which nothing is forwarded. A look that tells nothing is no fact. Changes are appended to `log`.
    #[must_use]
    pub fn watch(
        log: PathBuf,
        looker: impl FnOnce() -> io::Result<Watcher> + Send + 'static,
        forwards: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        let facts = Self::default();
        let keeper = facts.clone();
        thread::spawn(move || {
            if let Err(error) = looker().and_then(|mut watcher| keeper.look_on(&mut || watcher.look(), &forwards, &log)) {
                tracing::warn!("nobody looks at the switch: {error}");
            }
        });
        facts
    }

    fn look_on(&self, look: &mut dyn FnMut() -> Sight, forwards: &dyn Fn() -> bool, log: &Path) -> io::Result<()> {
        let begun = Instant::now();
        let mut changes = Changes::open(log)?;
        let mut change = 0;
        loop {
            let turn = Instant::now();
            // asked before the look and after it: what was seen of a process that has died meanwhile is not what is
            let ports = match forwards().then(&mut *look) {
                None if self.newest().is_some() => Some(BTreeMap::new()),
                Some(Sight::Ports(ports)) if forwards() => Some(ports),
                _ => None,
            };
            if let Some(ports) = ports {
                change += u64::from(changes.before != ports);
                let at_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let fact = Fact { monotonic_ns: monotonic_ns(), switch: Snapshot { at_ms, change, ports } };
                changes.note(&fact)?;
                self.publish(&fact);
            }
            thread::sleep(FACTS_EVERY.saturating_sub(turn.elapsed()));
        }
    }

    /// While the switch is dark, tells so, as often as it would tell of itself.
    fn tell_dark(&self, dark: &Dark) {
        loop {
            thread::sleep(FACTS_EVERY);
            // held while it is told, so that it is told of no switch that has reported
            let since = locked(dark);
            if let Some(since) = *since {
                // a clock that runs, and is later than the one that the switch begins with
                let at_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let switch = Snapshot { at_ms, ..Snapshot::default() };
                self.publish(&Fact { monotonic_ns: monotonic_ns(), switch });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_all(&self, stream: &UnixStream, log: &Path, dark: &Dark) -> io::Result<()> {
        {
            let mut known = self.lock();
            known.hand = Some(stream.try_clone()?);
            known.generation += 1;
        }
        let mut changes = Changes::open(log)?;
        let mut lines = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            if lines.by_ref().take(FACTS_LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                self.lock().hand = None;
                return Ok(());
            }
            // a line torn by a restart of the switch is no fact
            let Ok(switch) = serde_json::from_slice::<Snapshot>(&line) else { continue };
            *locked(dark) = None;
            let fact = Fact { monotonic_ns: monotonic_ns(), switch };
            changes.note(&fact)?;
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
    fn a_switch_that_is_looked_at_is_dark_when_its_process_has_ended_and_silent_when_nothing_is_seen() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let (facts, log) = (Facts::default(), folder.path().join("log"));
        let (runs, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (keeper, forwards, sees) = (facts.clone(), Arc::clone(&runs), Arc::clone(&seen));
        thread::spawn(move || {
            let ports = || Sight::Ports([("p1".to_owned(), Port { up: true, forwarding: true, ..Port::default() })].into());
            let mut look = || if sees.load(Ordering::SeqCst) { ports() } else { Sight::Silent };
            let _ = keeper.look_on(&mut look, &|| forwards.load(Ordering::SeqCst), &log);
        });
        let within = Duration::from_secs(5);
        assert!(facts.wait_fresh(FACTS_EVERY * 4).is_none(), "of a process that never ran nothing is known");
        runs.store(true, Ordering::SeqCst);
        let first = facts.wait_fresh(within).unwrap().switch;
        assert!(first.ports["p1"].forwarding && first.change == 1);
        seen.store(false, Ordering::SeqCst);
        while facts.wait_fresh(FACTS_EVERY * 4).is_some() {}
        assert!(facts.newest().unwrap().switch.ports["p1"].forwarding, "what was seen last stands, and grows old");
        runs.store(false, Ordering::SeqCst);
        let dark = facts.wait_fresh(within).unwrap().switch;
        assert!(dark.ports.is_empty() && dark.at_ms > first.at_ms && dark.change == 2);
    }

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
        let dark = facts.wait_fresh(Duration::from_secs(5)).unwrap().switch;
        assert!(dark.ports.is_empty(), "a switch without power forwards nothing");
        let (mut again, _) = listener.accept().unwrap();
        assert!(facts.wait_fresh(Duration::from_secs(5)).unwrap().switch.at_ms >= dark.at_ms, "it has not reported yet");
        again.write_all(b"{\"at_ms\":7,\"change\":1,\"ports\":{\"p1\":{\"up\":true,\"forwarding\":true}}}\n").unwrap();
        while facts.newest().is_none_or(|fact| fact.switch.at_ms != 7) {
            thread::sleep(READY_POLL);
        }
        assert!(facts.wait_fresh(FACTS_EVERY * 3).is_none(), "a switch that is merely silent tells nothing");
    }
}
