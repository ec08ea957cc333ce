//! What only the end shows: acknowledged writes against what stands in the volumes (I3, I10), the stream of records (I2, I5), its chain (I12),
//! and the state that the records make (I9). It must never ask a controller; what the store holds is enough.

use super::{Inner, Judge};
use journal::chain::{Head, Line};
use oracle::roster::ServerConfig;
use oracle::writes::{self, Writes};
use pipeline::event::What;
use pipeline::{Event, State, invariants, step};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vocabulary::{Instant, ServerId};

/// Every server's log of records, as it lies in its volume.
pub(super) type Logs = BTreeMap<ServerId, writes::Log>;

impl Judge {
    /// The log of each server as it lies in its first volume: the block of each record bears its incarnation.
    pub(super) fn logs(&self) -> Logs {
        let (roster, target) = {
            let inner = self.inner();
            (inner.roster.clone(), inner.target.clone())
        };
        let log = |server: &ServerId, config: &ServerConfig| {
            let Some(volume) = config.volumes.first() else { return Ok(None) };
            let mut log = String::new();
            for (number, incarnation) in target.content(&volume.image.to_string_lossy()) {
                // a String takes everything
                let _ = writeln!(log, "{server} {incarnation:x} {number}");
            }
            Ok(Some(log))
        };
        roster.servers.iter().map(|(server, config)| (server.clone(), log(server, config))).collect()
    }
}

impl Inner {
    pub(super) fn writes(&self, logs: &Logs) -> BTreeMap<ServerId, Writes> {
        let judged = |(server, log): (&ServerId, &writes::Log)| {
            let acks = self.acks.get(server).cloned().unwrap_or_default();
            (server.clone(), writes::judge(server.as_str(), &acks, log))
        };
        logs.iter().map(judged).collect()
    }

    pub(super) fn after(&mut self, logs: &Logs) {
        let at_ns = self.now_ns();
        for (server, written) in self.writes(logs) {
            if written.violations.is_empty() {
                continue;
            }
            let sentence = written.violations.join("; ");
            let lost = written.recovered < written.acknowledged || !written.in_order;
            if written.interleaved {
                self.violated("I3", at_ns, server.to_string(), sentence.clone());
            }
            if lost || !written.interleaved {
                self.violated("I10", at_ns, server.to_string(), sentence);
            }
        }
        let entries = self.store.entries();
        for sentence in invariants::stream_breaches(entries.iter().map(|entry| &entry.record.fact)) {
            let invariant = if sentence.starts_with("op ") { "I5" } else { "I2" };
            self.violated(invariant, at_ns, "store".to_owned(), sentence);
        }
        let (mut head, mut state) = (Head::default(), State::new());
        for entry in &entries {
            let text = serde_json::to_string(&entry.record).unwrap_or_default();
            match head.verify(&Line { number: entry.number, hash: entry.hash.clone(), text }) {
                Ok((_, next)) => head = next,
                Err(sentence) => {
                    self.violated("I12", at_ns, "store".to_owned(), sentence);
                    break;
                }
            }
            let what = What::Replayed(Box::new(entry.record.clone()));
            state = step(state, Event { now: Instant(0), wall: entry.record.at, what }).0;
        }
        for sentence in super::blast::beyond(&entries, &self.lives, &self.racks) {
            self.violated("I11", at_ns, "store".to_owned(), sentence);
        }
        for sentence in invariants::breaches(&state) {
            self.violated("I9", at_ns, "store".to_owned(), sentence);
        }
    }
}
