//! One run under judgement: everything that collectors saw, and what is true now.
//!
//! It only takes in and writes down; the judging is `judge`'s, `writes`' and `arp`'s. Its log is bounded, and says when it ends early.

use std::collections::BTreeMap;
use std::io::Write;

use guest::records::Record;
use serde_json::{Value, json};
use vocabulary::{Mac, ServerId};

use crate::arp::Witness;
use crate::book::Book;
use crate::fact::{Ns, Observation, Seen};
use crate::judge::{Actor, Effective, effective};
use crate::limits::{ACKS_LOG_EVERY_NS, ANSWERS_NOW_NS, LOG_LINES_MAX, MILLISECOND_NS};
use crate::roster::Roster;
use crate::samples::{Samples, Source};
use crate::writes::Acks;

/// Where facts and judgements are written, one JSON object a line.
pub type Log = Box<dyn Write + Send>;

/// What was seen of a run: all that a verdict stands on.
#[derive(Debug, Clone)]
pub struct Run {
    /// When it began.
    pub start_ns: Ns,
    /// Facts.
    pub book: Book,
    /// Acknowledgements.
    pub acks: BTreeMap<ServerId, Acks>,
    /// Who answered for the servers' addresses.
    pub witnesses: BTreeMap<ServerId, Witness>,
    /// How often sources were looked at.
    pub samples: Samples,
}

impl Run {
    /// Nothing was seen yet.
    #[must_use]
    pub fn from(roster: &Roster, start_ns: Ns) -> Self {
        Self {
            start_ns,
            book: Book::default(),
            acks: roster.servers.keys().map(|name| (name.clone(), Acks::default())).collect(),
            witnesses: roster.servers.keys().map(|name| (name.clone(), Witness::default())).collect(),
            samples: Samples::from(start_ns),
        }
    }
}

/// A run in the making.
pub struct Oracle {
    roster: Roster,
    run: Run,
    /// Who is effective now, and since when.
    live: BTreeMap<ServerId, BTreeMap<Actor, Ns>>,
    acks_logged_ns: Ns,
    log: Log,
    lines: u64,
}

impl Oracle {
    /// A run that begins at this instant.
    #[must_use]
    pub fn begin(roster: Roster, start_ns: Ns, log: Log) -> Self {
        let run = Run::from(&roster, start_ns);
        let mut oracle = Self { roster, run, live: BTreeMap::new(), acks_logged_ns: start_ns, log, lines: 0 };
        oracle.write(
            start_ns,
            "begin",
            &json!({"servers": oracle.roster.servers.len(), "machines": oracle.roster.machines.len()}),
        );
        oracle
    }

    /// What was seen so far.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Takes a fact, and judges at once if it changed anything.
    pub fn see(&mut self, seen: Seen) {
        let at_ns = seen.at_ns;
        if let Observation::Hand(key) = &seen.what {
            let told = json!({"key": key.to_string()});
            self.write(at_ns, "hand", &told);
        }
        let new = self.run.book.take(&self.roster, seen);
        if new == 0 {
            return;
        }
        let all = self.run.book.changes();
        let told: Vec<Value> = all.iter().skip(all.len().saturating_sub(new)).map(|change| json!(change)).collect();
        for change in told {
            self.write(at_ns, "fact", &change);
        }
        self.judge(at_ns);
    }

    fn judge(&mut self, at_ns: Ns) {
        let names: Vec<ServerId> = self.roster.servers.keys().cloned().collect();
        for name in names {
            let now = effective(&self.roster, self.run.book.state(), &name);
            let before = self.live.entry(name.clone()).or_default();
            if now.keys().eq(before.keys()) {
                continue;
            }
            *before = now.keys().map(|actor| (actor.clone(), before.get(actor).copied().unwrap_or(at_ns))).collect();
            self.write(at_ns, "effective", &json!({"server": name, "machines": texts(&now)}));
        }
    }

    /// A source was looked at, or heard.
    pub fn sample(&mut self, source: Source, at_ns: Ns) {
        self.run.samples.note(source, at_ns);
    }

    /// An acknowledgement arrived.
    pub fn acknowledged(&mut self, record: &Record, at_ns: Ns) {
        let Some(acks) = record.server.parse::<ServerId>().ok().and_then(|server| self.run.acks.get_mut(&server)) else { return };
        acks.take(record, at_ns);
        if at_ns.saturating_sub(self.acks_logged_ns) >= ACKS_LOG_EVERY_NS {
            self.acks_logged_ns = at_ns;
            let last: BTreeMap<String, Value> = self
                .run
                .acks
                .iter()
                .map(|(server, acks)| (server.to_string(), json!({"count": acks.len(), "last": acks.last()})))
                .collect();
            self.write(at_ns, "acknowledged", &json!(last));
        }
    }

    /// An acknowledgement passed by on the wire: its machine runs the server.
    pub fn acknowledged_by(&mut self, mac: Mac, record: &Record, at_ns: Ns) {
        let (Some(machine), Ok(server)) = (self.roster.machine_of(mac).cloned(), record.server.parse::<ServerId>()) else {
            return;
        };
        if self.roster.servers.contains_key(&server) {
            self.see(Seen::exactly(at_ns, Observation::Ran(machine, server)));
        }
    }

    /// A MAC address said that it has this server's address.
    pub fn answered(&mut self, server: &ServerId, mac: Mac, at_ns: Ns) {
        if self.run.witnesses.get_mut(server).is_some_and(|witness| witness.take(mac, at_ns)) {
            let told = json!({"server": server, "mac": mac, "machine": self.roster.machine_of(mac)});
            self.write(at_ns, "answers", &told);
        }
    }

    /// Something worth knowing that is no fact of the law.
    pub fn note(&mut self, at_ns: Ns, text: &str) {
        self.write(at_ns, "note", &json!({"text": text}));
    }

    /// What is true now, for tickers and for those who wait.
    #[must_use]
    pub fn now(&self, now_ns: Ns) -> Value {
        let servers: BTreeMap<String, Value> =
            self.roster.servers.keys().map(|name| (name.to_string(), self.server_now(name, now_ns))).collect();
        json!({
            "now_ns": now_ns, "start_ns": self.run.start_ns, "samples_per_s": self.run.samples.slowest(now_ns), "servers": servers,
        })
    }

    fn server_now(&self, name: &ServerId, now_ns: Ns) -> Value {
        let since = self.live.get(name);
        let machines: Vec<Value> = effective(&self.roster, self.run.book.state(), name)
            .into_iter()
            .map(|(actor, reasons)| {
                let since_ns = since.and_then(|live| live.get(&actor)).copied();
                let reasons: Vec<String> = reasons.into_iter().map(|reason| reason.text).collect();
                json!({"machine": actor, "since_ns": since_ns, "reasons": reasons})
            })
            .collect();
        let acks = self.run.acks.get(name);
        let last = acks.and_then(Acks::last).map(|last| {
            let age_ms = now_ns.saturating_sub(last.at_ns) / MILLISECOND_NS;
            json!({"incarnation": last.incarnation, "number": last.number, "at_ns": last.at_ns, "age_ms": age_ms})
        });
        let answering = self.run.witnesses.get(name).map(|witness| witness.since(now_ns.saturating_sub(ANSWERS_NOW_NS)));
        let answering: Vec<Value> =
            answering.into_iter().flatten().map(|mac| json!({"mac": mac, "machine": self.roster.machine_of(mac)})).collect();
        json!({
            "effective": machines, "acknowledged": acks.map_or(0, Acks::len), "last_ack": last, "answering": answering,
        })
    }

    fn write(&mut self, at_ns: Ns, what: &str, value: &Value) {
        if self.lines >= LOG_LINES_MAX {
            return;
        }
        self.lines += 1;
        let what = if self.lines == LOG_LINES_MAX { "log ends here: it has reached its bound" } else { what };
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let seconds = at_ns.saturating_sub(self.run.start_ns) as f64 / 1e9;
        let line = json!({"at_ns": at_ns, "s": (seconds * 1000.0).round() / 1000.0, what: value});
        // a log that cannot be written must not end the judging; the verdict does not stand on it
        if let Err(error) = writeln!(self.log, "{line}") {
            tracing::error!(%error, "the log of facts cannot be written");
            self.lines = LOG_LINES_MAX;
        }
    }
}

fn texts(effective: &Effective) -> BTreeMap<&Actor, Vec<&str>> {
    effective.iter().map(|(actor, reasons)| (actor, reasons.iter().map(|reason| reason.text.as_str()).collect())).collect()
}
