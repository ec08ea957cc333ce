//! What reports show: one failover with everything that is known of it, and what a tier that is only observed would have done.

use super::FailoverView;
use serde::{Deserialize, Serialize};

/// One failover's evidence pack: a view of the one chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailoverReportView {
    /// The estate's UUID.
    pub estate: String,
    /// Plan, verdict, proof, operations.
    #[serde(flatten)]
    pub failover: FailoverView,
    /// Who had agreed to it, where its mode wanted that.
    pub agreed: Vec<String>,
    /// Where the time went.
    pub stages: Vec<StageView>,
    /// From the first suspicion, or where a person began it from its seal, until its server was seen to serve; milliseconds. `null` if it did not come
    /// to that.
    pub restored_ms: Option<u64>,
    /// Parts of the fence that are still not confirmed.
    pub open_orders: Vec<String>,
    /// Every entry of the journal that is about it, in order.
    pub entries: Vec<EntryView>,
    /// Where it stands in the chain.
    pub chain: ChainView,
}

/// A stage with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// Which.
    pub stage: String,
    /// From when, milliseconds since 1970.
    pub start: u64,
    /// Until when; stages may overlap.
    pub end: u64,
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    /// Its number.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// The record's kind.
    pub kind: String,
    /// In one sentence.
    pub text: String,
    /// Its hash in the chain.
    pub hash: String,
}

/// The part of the chain that was read. Each entry was verified against the one before on the way: a chain that is broken there is an error, and no
/// report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainView {
    /// The first entry that was read.
    pub first: u64,
    /// The hash of the entry before it.
    pub previous: String,
    /// The last one.
    pub last: u64,
    /// Its hash.
    pub hash: String,
    /// How many of the entries between them are about something else.
    pub others: u64,
}

/// What would have been done where it is only observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveReportView {
    /// From when, milliseconds since 1970.
    pub since: u64,
    /// Until when.
    pub until: u64,
    /// Servers that were meant, and are only observed now.
    pub observed: Vec<String>,
    /// Every outage that was concluded, oldest first.
    pub outages: Vec<ObservedView>,
    /// True if there were more, and these are the newest.
    pub cut_short: bool,
}

/// An outage, and what would have been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedView {
    /// Which server.
    pub server: String,
    /// On which machine.
    pub machine: String,
    /// What was concluded.
    pub symptom: String,
    /// From what.
    pub evidence: Vec<String>,
    /// When it was first suspected, milliseconds since 1970.
    pub suspected: u64,
    /// When it was concluded.
    pub concluded: u64,
    /// When it ended; `null`: it lasts.
    pub ended: Option<u64>,
    /// How: `by-itself`, `by-hand` (somebody began a plan), or `null`.
    pub end: Option<String>,
    /// The spare it would have gone to; `null`: nothing would have been done.
    pub to: Option<String>,
    /// The plan's hash.
    pub hash: Option<String>,
    /// Why nothing, or not at once: code and reason.
    pub held: Vec<String>,
    /// How long it would have taken; `null` as well where no proof that the machine was harmless could have been had.
    pub prediction: Option<PredictionView>,
}

/// How long a failover would have taken, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionView {
    /// From the first suspicion to what was concluded, as it was.
    pub detect_ms: u64,
    /// From there to a spare that is wired: by the quickest proof that can be had, and the rewiring.
    pub fence_ms: u64,
    /// From power on to service.
    pub boot_ms: u64,
    /// True if it is on record how long this server takes on that spare, or the server anywhere and the spare with anything; else a part of it is by the
    /// estate's `detection.boot_time`.
    pub boot_recorded: bool,
    /// Together.
    pub total_ms: u64,
}
