//! The verdict on a run, as others read it: numbers, intervals and sentences. Pure; what stands in the volumes is handed in.
//!
//! A run that was not seen is never a good run: what was blind is told, and what was lost makes a violation.

use std::collections::BTreeMap;

use serde::Serialize;
use vocabulary::{Mac, MachineId, ServerId};

use crate::arp::{Answers, Contest, Witness};

use crate::fact::Ns;
use crate::judge::{Overlap, Span, Sureness, Timeline, timelines};
use crate::limits::{ANSWER_WINDOW_NS, HAND_WINDOW_NS, SENTENCES_MAX};
use crate::oracle::Run;
use crate::roster::Roster;
use crate::samples::{Rate, Source};
use crate::writes::{self, Acks};

/// The whole verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The most machines ever effective at once as any one server.
    pub effective_max: usize,
    /// Every server.
    pub servers: BTreeMap<ServerId, ServerVerdict>,
    /// Every violation of every server, and of the run as a whole, in sentences.
    pub violations: Vec<String>,
    /// Samples a second of the slowest source that is looked at by a clock.
    pub samples_per_s: f64,
    /// Every source's rate.
    pub sources: BTreeMap<Source, Rate>,
    /// When sources were silent for longer than a second, in sentences.
    pub blind: Vec<String>,
    /// `CLOCK_MONOTONIC` when the run began.
    pub start_ns: Ns,
    /// And when this verdict was taken.
    pub end_ns: Ns,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerVerdict {
    /// The most machines effective at once, for certain; overlaps that a foreign hand made and that ended within 5 s are counted apart.
    pub effective_max: usize,
    /// The same where every doubt about instants is held against the run. More than `effective_max`: facts changed faster than was looked.
    pub possible_max: usize,
    /// Who was effective when, and by which part of the law.
    pub effective_intervals: Vec<Span>,
    /// When more than one machine was.
    pub overlaps: Vec<Overlap>,
    /// When a foreign hand made it so, for not longer than 5 s.
    pub foreign_overlaps: Vec<Overlap>,
    /// Different records acknowledged.
    pub acknowledged: u64,
    /// Of those, records found again in their order.
    pub recovered: u64,
    /// Of what was acknowledged before the instant that was asked about, how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_before: Option<u64>,
    /// And how many of those were found again in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_before: Option<u64>,
    /// Records in the volume.
    pub records: u64,
    /// The records' numbers rise one by one.
    pub in_order: bool,
    /// An incarnation's record stands, or was acknowledged, between another's.
    pub interleaved: bool,
    /// Every MAC address that answered for the server's address, by its first answer.
    pub macs: Vec<MacVerdict>,
    /// Two of them answered in turn.
    pub contested: bool,
    /// What must not be, in sentences.
    pub violations: Vec<String>,
}

/// One MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MacVerdict {
    /// It.
    pub mac: Mac,
    /// Whose it is.
    pub machine: Option<MachineId>,
    /// Its first answer.
    pub first_ns: Ns,
    /// Its last answer.
    pub last_ns: Ns,
    /// How many answers.
    pub answers: u64,
}

/// What the servers' volumes hold: the log of records, or why it cannot be read.
pub type Logs = BTreeMap<ServerId, writes::Log>;

/// Judges a run up to this instant. With `before_ns` it also counts what was acknowledged before then.
#[must_use]
pub fn judge(roster: &Roster, run: &Run, logs: &Logs, end_ns: Ns, before_ns: Option<Ns>) -> Verdict {
    let (changes, hands) = (run.book.changes(), run.book.hands());
    let mut certain = timelines(roster, changes, hands, Sureness::Certain);
    let possible = timelines(roster, changes, hands, Sureness::Possible);
    let mut servers = BTreeMap::new();
    for name in roster.servers.keys() {
        let timeline = certain.remove(name).unwrap_or_default();
        let most = possible.get(name).map_or(0, |timeline| timeline.most(end_ns));
        let log = logs.get(name);
        servers.insert(name.clone(), server(roster, run, name, Judged { timeline, most, log, end_ns, before_ns }));
    }
    let mut violations: Vec<String> = servers.values().flat_map(|server: &ServerVerdict| server.violations.clone()).collect();
    if run.book.is_full() {
        violations.push("more facts changed than are kept: this run cannot be judged to its end".to_owned());
    }
    let blind = run.samples.blind(end_ns).into_iter().map(|(source, from, until)| {
        let (from, until) = (seconds(run.start_ns, from), seconds(run.start_ns, until));
        format!("the {source:?} source was silent from {from:.1} s to {until:.1} s").to_lowercase()
    });
    Verdict {
        effective_max: servers.values().map(|server| server.effective_max).max().unwrap_or(0),
        violations,
        samples_per_s: run.samples.slowest(end_ns),
        sources: run.samples.rates(end_ns),
        blind: blind.collect(),
        start_ns: run.start_ns,
        end_ns,
        servers,
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(start_ns: Ns, at_ns: Ns) -> f64 {
    at_ns.saturating_sub(start_ns) as f64 / 1e9
}

struct Judged<'a> {
    timeline: Timeline,
    most: usize,
    log: Option<&'a writes::Log>,
    end_ns: Ns,
    before_ns: Option<Ns>,
}

fn server(roster: &Roster, run: &Run, name: &ServerId, judged: Judged<'_>) -> ServerVerdict {
    let Judged { timeline, most, log, end_ns, before_ns } = judged;
    let effective_max = timeline.most(end_ns);
    let (overlaps, foreign_overlaps): (Vec<_>, Vec<_>) =
        timeline.overlaps.into_iter().partition(|overlap| overlap.is_violation(end_ns));
    let mut violations: Vec<String> =
        overlaps.iter().take(SENTENCES_MAX).map(|overlap| overlap_sentence(run.start_ns, end_ns, name, overlap)).collect();
    let none = Acks::default();
    let acks = run.acks.get(name).unwrap_or(&none);
    let nothing = Ok(None);
    let log = log.unwrap_or(&nothing);
    let written = writes::judge(name.as_str(), acks, log);
    violations.extend(written.violations.iter().take(SENTENCES_MAX).cloned());
    let before = before_ns.map(|at_ns| writes::judge(name.as_str(), &acks.until(at_ns), log));
    let witness = run.witnesses.get(name);
    let macs: Vec<MacVerdict> =
        witness.into_iter().flat_map(|witness| witness.answers()).map(|answers| mac(roster, &answers)).collect();
    let contests = contests(witness, &foreign_overlaps);
    violations.extend(contest_sentence(roster, run.start_ns, name, &contests));
    ServerVerdict {
        effective_max,
        possible_max: most,
        effective_intervals: timeline.spans,
        overlaps,
        foreign_overlaps,
        acknowledged: written.acknowledged,
        recovered: written.recovered,
        acknowledged_before: before.as_ref().map(|before| before.acknowledged),
        recovered_before: before.as_ref().map(|before| before.recovered),
        records: written.records,
        in_order: written.in_order,
        interleaved: written.interleaved,
        macs,
        contested: !contests.is_empty(),
        violations,
    }
}

fn mac(roster: &Roster, answers: &Answers) -> MacVerdict {
    let machine = roster.machine_of(answers.mac).cloned();
    MacVerdict { mac: answers.mac, machine, first_ns: answers.first_ns, last_ns: answers.last_ns, answers: answers.count }
}

/// The contests over the address, but those that a foreign hand made.
fn contests(witness: Option<&Witness>, foreign: &[Overlap]) -> Vec<Contest> {
    let by_hand = |contest: &&Contest| {
        let within = |overlap: &Overlap| {
            let until = overlap.until_ns.unwrap_or(Ns::MAX).saturating_add(ANSWER_WINDOW_NS);
            (overlap.from_ns.saturating_sub(HAND_WINDOW_NS)..=until).contains(&contest.at_ns)
        };
        foreign.iter().any(within)
    };
    witness.map_or(&[][..], Witness::contests).iter().filter(|contest| !by_hand(contest)).copied().collect()
}

fn contest_sentence(roster: &Roster, start_ns: Ns, name: &ServerId, contests: &[Contest]) -> Option<String> {
    let (contest, server) = (contests.first()?, roster.servers.get(name)?);
    let whose = |mac| roster.machine_of(mac).map_or_else(|| format!("{mac}"), |machine| format!("{mac} ({machine})"));
    Some(format!(
        "{}, the address of {name}, was answered for by {} and {} in turn, {} times, first at {:.1} s",
        server.address,
        whose(contest.again),
        whose(contest.other),
        contests.len(),
        seconds(start_ns, contest.at_ns),
    ))
}

fn overlap_sentence(start_ns: Ns, end_ns: Ns, name: &ServerId, overlap: &Overlap) -> String {
    let machines: Vec<String> =
        overlap.machines.iter().map(|(machine, reasons)| format!("{machine} ({})", reasons.join("; "))).collect();
    let hand = if overlap.foreign { ", made by a foreign hand and not ended within 5 s" } else { "" };
    format!(
        "{name} was effective on {} machines at once for {:.3} s from {:.3} s on{hand}: {}",
        overlap.most,
        seconds(0, overlap.lasted_ns(end_ns)),
        seconds(start_ns, overlap.from_ns),
        machines.join(", ")
    )
}

// their roster is the lab's
#[cfg(feature = "lab")]
#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
