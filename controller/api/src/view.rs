//! What the API shows. `--output json` prints exactly these. Fields are only ever added.

mod adopt;
mod ladder;
mod report;
mod site;

pub use adopt::{AbsentView, AdoptedView, AdoptionView, BarredView, PlacedView, SeededView, UndecidedView};
pub use ladder::{LadderView, RungView, ShareView};
pub use report::{ChainView, EntryView, FailoverReportView, ObserveReportView, ObservedView, PredictionView, StageView};
pub use site::{LeftOutView, SiteStartView, SiteView, StartedView, TurnView};

use pipeline::plan::{PassedOver, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole estate at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// The estate's UUID.
    pub estate: String,
    /// Number of the newest journal entry.
    pub revision: u64,
    /// What is kept of the journal.
    #[serde(default)]
    pub journal: JournalView,
    /// True while no canary answers: nothing is done.
    pub blind: bool,
    /// Why this store only observes until `understudy adopt`: it came from a backup.
    #[serde(default)]
    pub restored: Option<String>,
    /// Agents that were not heard when it was adopted: their devices are only observed until `understudy adopt` hears them.
    #[serde(default)]
    pub unheard: Vec<String>,
    /// What persons hold: no new effect leaves.
    #[serde(default)]
    pub holds: Vec<HoldView>,
    /// Servers.
    pub servers: Vec<ServerView>,
    /// Machines.
    pub machines: Vec<MachineView>,
    /// Open plans.
    pub plans: Vec<PlanSummary>,
    /// Parts of fences that are not confirmed yet.
    pub standing_orders: Vec<OrderView>,
    /// Routine observations that were dropped because the core did not keep up, since its start.
    #[serde(default)]
    pub dropped: u64,
    /// Whether the watching of BMCs keeps up.
    #[serde(default)]
    pub polls: PollsView,
}

/// What is kept of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Number of the oldest entry that is kept.
    pub first: u64,
    /// Entries that are older are removed, in milliseconds,
    pub history_ms: u64,
    /// but so many of the newest stay.
    pub at_least: u64,
    /// When entries were removed last, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<u64>,
}

/// Polls of all BMCs since the controller's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollsView {
    /// Polls that were answered, be it by a refusal.
    pub answered: u64,
    /// Polls that nothing answered.
    pub silent: u64,
    /// Machines whose BMC did not answer the last time.
    pub unreachable: u64,
    /// How long after it was due an answer was there, of BMCs that had answered before.
    pub late: Vec<LateView>,
}

/// One class of lateness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateView {
    /// Later than the class before, and at most so late, milliseconds; `null`: later than all.
    pub at_most_ms: Option<u64>,
    /// How many polls.
    pub polls: u64,
}

impl PollsView {
    /// The class that this share of the polls does not exceed, milliseconds; `None` if there are none, or it is beyond all classes.
    pub fn late_ms(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.late.iter().map(|class| class.polls).sum();
        let mut seen = 0;
        let reached = self.late.iter().find(|class| {
            seen += class.polls;
            all > 0 && seen.saturating_mul(100) >= all.saturating_mul(percent)
        });
        reached?.at_most_ms
    }

    /// What was counted since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &PollsView) -> PollsView {
        let class =
            |(now, before): (&LateView, &LateView)| LateView { polls: now.polls.saturating_sub(before.polls), ..now.clone() };
        PollsView {
            answered: self.answered.saturating_sub(before.answered),
            silent: self.silent.saturating_sub(before.silent),
            unreachable: self.unreachable,
            late: self.late.iter().zip(&before.late).map(class).collect(),
        }
    }
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Its group and tier.
    pub group: String,
    /// See `group`.
    pub tier: String,
    /// The mode that acts.
    pub mode: String,
    /// The machine that bears it.
    pub machine: Option<String>,
    /// The placement's epoch.
    pub epoch: Option<u64>,
    /// `running`, `stopped`, `never-placed`, `suspect`, `failed`, `held`, or the open plan's kind.
    pub state: String,
    /// Whether it is meant to run.
    pub desired: String,
    /// What each vantage point saw last.
    pub checks: BTreeMap<String, String>,
    /// For how long it has been seen to serve on this machine without a break, milliseconds by the controller's own clock, which no
    /// change of the time of day moves. What was before the controller's start is not known. `null` while it does not serve.
    #[serde(default)]
    pub serving_ms: Option<u64>,
    /// The symptom, if there is one, since when (milliseconds since 1970).
    pub symptom: Option<(u64, String)>,
    /// Why nothing is done although something is wrong.
    pub held: Option<HeldView>,
    /// Its open plan.
    pub plan: Option<PlanSummary>,
    /// That somebody works on it, or on its machine.
    #[serde(default)]
    pub maintenance: Option<MaintenanceView>,
    /// What waits for persons to agree.
    #[serde(default)]
    pub proposal: Option<ProposalView>,
}

/// A failover that waits for persons to agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The hash that is approved.
    pub hash: String,
    /// The machines that will be cut off.
    pub from: Vec<String>,
    /// The spare.
    pub to: String,
    /// Since when it waits, milliseconds since 1970.
    pub since: u64,
    /// Who has agreed, and whose word still holds.
    pub agreed: Vec<AgreedView>,
    /// How many different people have to.
    pub needed: usize,
}

/// That somebody agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedView {
    /// Who.
    pub principal: String,
    /// For how long that still holds, milliseconds.
    pub left_ms: u64,
}

/// The blast-radius guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardView {
    /// For how long no canary has answered, milliseconds: nothing is done. `null`: one does.
    pub blind_ms: Option<u64>,
    /// How many different people have to agree before a domain goes on.
    pub needed: usize,
    /// Every failure domain with suspects.
    pub domains: Vec<DomainView>,
}

/// A failure domain with suspects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// Its name: `rack r1`.
    pub name: String,
    /// True if nothing is done about what fails in it.
    pub held: bool,
    /// Machines that fail together.
    pub suspects: Vec<SuspectView>,
    /// Those of them that persons have let go.
    pub let_go: Vec<String>,
    /// How many machines it has.
    pub machines: usize,
    /// With so many suspects it is held.
    pub held_from: usize,
    /// Within this time, milliseconds.
    pub window_ms: u64,
    /// Who agreed that they be let go, where more must agree.
    pub agreed: Vec<AgreedView>,
}

/// A suspect machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectView {
    /// Which.
    pub machine: String,
    /// The server it bears.
    pub server: Option<String>,
    /// For how long it has been suspect, milliseconds.
    pub for_ms: u64,
}

/// Why with a server is done what is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyView {
    /// Which.
    pub server: String,
    /// From what is seen to what is done.
    pub chain: Vec<WhyLinkView>,
    /// How it could be brought back, and in what time; `null` while nothing is wrong with it.
    #[serde(default)]
    pub ladder: Option<LadderView>,
}

/// One sentence of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyLinkView {
    /// `placed`, `seen`, `concluded`, `guarded`, `ladder`, `decided` or `would`.
    pub link: String,
    /// The sentence.
    pub text: String,
}

/// What a person holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// Which server; `null`: the whole estate.
    pub server: Option<String>,
    /// Who holds it.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// What somebody works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceView {
    /// `server` or `machine`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Who works on it.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
    /// When it ends by itself.
    pub until: u64,
}

/// A wait with its reason and what ends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldView {
    /// Fault code.
    pub code: String,
    /// Why.
    pub reason: String,
    /// What ends it.
    pub ends: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// A machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineView {
    /// Its name.
    pub name: String,
    /// `spare`, `free`, `reserved`, `bearing`, `quarantine`, `not-enrolled`.
    pub state: String,
    /// The server it bears, or bore before its quarantine.
    pub server: Option<String>,
    /// The plan that reserved or fenced it.
    pub plan: Option<String>,
    /// Power as its BMC told last.
    pub power: String,
    /// How long ago that was, milliseconds.
    pub read_ms_ago: Option<u64>,
    /// Why its BMC could not be read.
    pub trouble: Option<String>,
    /// Site, rack, feeds.
    pub place: String,
    /// Serial number by the estate.
    pub serial: String,
    /// True if restore policy AlwaysOff could not be verified.
    pub returns_by_itself: bool,
    /// Health roll-up in the BMC's words.
    pub health: Option<String>,
    /// What its BMC tells of failures to come, by name; nothing is done by it (F0216).
    #[serde(default)]
    pub foretells: BTreeMap<String, String>,
    /// Its ports by role.
    pub ports: BTreeMap<String, String>,
    /// The outlets of its power supplies.
    #[serde(default)]
    pub outlets: Vec<String>,
    /// Why cutting them would not prove it dead; nothing if it would.
    #[serde(default)]
    pub outlets_lack: Option<String>,
    /// The plan that has begun to cut them, until they are fed again.
    #[serde(default)]
    pub outlets_cut: Option<String>,
    /// What persons who stand before it say of it, while a failover waits for a proof and their word holds.
    #[serde(default)]
    pub said: Option<SaidView>,
    /// Open parts of its fence.
    pub standing_orders: Vec<String>,
    /// That somebody works on it.
    #[serde(default)]
    pub maintenance: Option<MaintenanceView>,
}

/// What persons say of a machine that is being fenced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidView {
    /// `off`, `unplugged` or `removed`, by who says so.
    pub people: BTreeMap<String, String>,
    /// How many different people have to.
    pub needed: usize,
}

/// A spare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpareView {
    /// Its name.
    pub machine: String,
    /// Its pools.
    pub pools: Vec<String>,
    /// Servers it could bear now.
    pub fits: Vec<String>,
    /// For every other server of its pools, why not.
    pub lacks: BTreeMap<String, Vec<String>>,
}

/// A plan in one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Its id.
    pub id: String,
    /// What for.
    pub kind: String,
    /// Its server.
    pub server: Option<String>,
    /// Machines to be fenced.
    pub from: Vec<String>,
    /// The target.
    pub to: String,
    /// The stage it is in.
    pub stage: Option<String>,
    /// `open`, `done` or `failed`.
    pub state: String,
    /// How it ended.
    pub result: Option<String>,
    /// When it was sealed, milliseconds since 1970.
    pub sealed: u64,
    /// When it was closed.
    pub closed: Option<u64>,
}

/// A plan in full; a dry run shows the same without an id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanView {
    /// In one line.
    #[serde(flatten)]
    pub summary: PlanSummary,
    /// The hash that is approved.
    pub hash: String,
    /// What is done.
    pub steps: Vec<Step>,
    /// Machines that were not chosen, and why.
    pub passed_over: Vec<PassedOver>,
    /// Documents it rests on.
    pub revisions: BTreeMap<String, String>,
    /// Stages entered, with the time in milliseconds since 1970.
    pub stages: Vec<(String, u64)>,
    /// What each unconfirmed task waits for.
    pub waits: Vec<String>,
    /// What was predicted when it was sealed, or would be now, where it brings a server back.
    #[serde(default)]
    pub ladder: Option<LadderView>,
}

/// A failover with its seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailoverView {
    /// Its plan.
    pub plan: PlanView,
    /// When its symptom was first suspected, milliseconds since 1970.
    pub suspected: Option<u64>,
    /// The verdict and its evidence.
    pub verdict: Option<String>,
    /// See `verdict`.
    pub evidence: Vec<String>,
    /// The proof: machines, sets, evidence.
    pub proof: Option<ProofView>,
    /// What was asked of agents, and what was read back.
    pub operations: Vec<OperationView>,
}

/// A proven fence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProofView {
    /// Which machines.
    pub machines: Vec<String>,
    /// By which sets.
    pub sets: Vec<String>,
    /// On what evidence.
    pub evidence: Vec<String>,
    /// When, milliseconds since 1970.
    pub at: u64,
}

/// One command of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationView {
    /// Its id.
    pub op: String,
    /// The stage.
    pub stage: String,
    /// Who was asked.
    pub agent: String,
    /// What.
    pub what: String,
    /// When it was asked, milliseconds since 1970.
    pub asked: u64,
    /// When the answer was taken in.
    pub answered: Option<u64>,
    /// How long the agent took for it, from request to reply, milliseconds.
    pub took_ms: Option<u64>,
    /// Whether it was done.
    pub ok: Option<bool>,
    /// What was read back, or why not.
    pub read_back: Option<String>,
}

/// A part of a fence that is not confirmed yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderView {
    /// Its plan.
    pub plan: String,
    /// The machine.
    pub machine: String,
    /// What is to be done.
    pub what: String,
    /// Why it is not.
    pub reason: String,
}

/// An agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentStateView {
    /// Its name.
    pub name: String,
    /// Where it listens; `null` for the one inside `serve`.
    pub address: Option<String>,
    /// `trusted`, `untrusted` or `unreachable`.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// Resources its gate keeps.
    pub resources: usize,
    /// How many of them are barred.
    pub barred: usize,
    /// Highest epoch it knows.
    pub epoch: u64,
    /// When the certificate ends that it showed last, milliseconds since 1970.
    pub certificate_until: Option<u64>,
}

/// One line of `watch`: a journal entry as a sentence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchView {
    /// The entry's number: the place to go on from.
    pub revision: u64,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// The record's kind.
    pub kind: String,
    /// The plan, where it belongs to one.
    pub plan: Option<String>,
    /// The stage, where it belongs to one.
    pub stage: Option<String>,
    /// The server or machine it is about.
    pub subject: Option<String>,
    /// In one sentence.
    pub text: String,
}

/// What a request that may open a plan is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AcceptedView {
    /// The plan it opened; `null` if there was nothing to do.
    pub plan: Option<String>,
}
