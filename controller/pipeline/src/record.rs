//! What the journal keeps: verdicts with evidence, sealed plans, intents, outcomes, proofs, ownership, bars, operators' intents.
//! Never routine observations, never secrets. Variants are only ever added.

use crate::adoption::Adoption;
use crate::basis::Basis;
use crate::ladder::Ladder;
use crate::plan::{Body, Plan};
use crate::stage::Stage;
use crate::start_order::StartOrder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vocabulary::estate::Mode;
use vocabulary::power::Identity;
use vocabulary::request::Resource;
use vocabulary::{
    AgentId, ControllerLife, Epoch, MachineId, OpId, OutletId, PlanId, PoolId, ServerId, SiteId, Span, TierId, VolumeId, WallTime,
};

/// What is so seldom that it is written only where it is.
fn is_no(value: &bool) -> bool {
    !*value
}

/// One record, as the core wrote it. The journal adds its number and the hash of the one before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When, by the controller's wall clock; for people.
    pub at: WallTime,
    /// What.
    pub fact: Fact,
}

/// What happened or was decided.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Fact {
    /// An operator's intent was accepted.
    Intended { principal: String, what: String },
    /// A process of the controller began. Agents obey one process at a time, and let its place be taken only by one on a store that knows it.
    Began { controller: ControllerLife },
    /// An agent obeys this process of the controller, whose name must not be forgotten while it does.
    Obeyed { agent: String, controller: ControllerLife },
    /// The estate in force changed: hash over all documents.
    Estate { revision: String },
    /// A machine was taken in.
    /// `outlets` are those that were seen to darken it.
    Enrolled {
        machine: MachineId,
        identity: Identity,
        certificate: Option<String>,
        returns_by_itself: bool,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        outlets: BTreeSet<OutletId>,
    },
    /// An agent was given a certificate; the first time it may begin with an empty memory.
    AgentEnrolled { agent: AgentId },
    /// A tier's ceiling was set.
    Ceiling { tier: TierId, mode: Mode },
    /// Whether a server is meant to run.
    Desired { server: ServerId, running: bool },
    /// A person has stopped every new effect for a server, or for the whole estate.
    Hold { server: Option<ServerId>, principal: String, reason: String },
    /// A person has let go a hold.
    Resumed { server: Option<ServerId>, principal: String, reason: String },
    /// Somebody works on a machine or server: nothing is done about it by itself, until that time at the latest.
    Maintenance { subject: Subject, until: WallTime, principal: String, reason: String },
    /// That is over: by whom, or since its time is over.
    MaintenanceEnded { subject: Subject, by: String },
    /// A server was heard on its machine since that machine's last boot. Where a plan has just started it: how long that took, `boot_ms` from power
    /// on to the service, `post_ms` of it to the first contact with a boot service, and before it `stop_ms` from being asked to stop to Off.
    Heard {
        server: ServerId,
        machine: MachineId,
        last_reset: Option<String>,
        vantages: Vec<AgentId>,
        boot_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        post_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_ms: Option<u64>,
    },
    /// A symptom began.
    Suspected { server: ServerId, machine: MachineId, symptom: String, evidence: Vec<String> },
    /// A symptom ended without action.
    Cleared { server: ServerId },
    /// What was concluded, and from what.
    Verdict { server: ServerId, machine: MachineId, symptom: String, evidence: Vec<String> },
    /// Its machine lives and its service does not, by this evidence: it is to be restarted where it is.
    ServiceDown { server: ServerId, machine: MachineId, evidence: Vec<String> },
    /// Enough persons have agreed that the servers of a site are started in this order.
    ColdStart { order: Box<StartOrder>, principals: BTreeSet<String> },
    /// One of them was not started.
    ColdStartPassed { site: SiteId, server: ServerId, reason: String },
    /// The start of the site has come to its end.
    ColdStartEnded { site: SiteId, text: String },
    /// What would be done is not: the reason, and what ends the wait.
    Held { server: ServerId, code: String, reason: String, ends: String },
    /// In `observe`: what would have been done.
    WouldHave { server: ServerId, plan: Box<Plan>, reason: String },
    /// In `approve`: what would be done if enough persons agree. Nothing is reserved by it.
    Proposed { server: ServerId, body: Box<Body>, reason: String },
    /// A person agrees.
    Consented { to: Consent, principal: String, reason: String },
    /// A plan was sealed and its epoch drawn; its machines are reserved. `basis` is what of the documents it rests on: as long as something
    /// of it is in use, the documents may not move it.
    Sealed {
        plan: Box<Plan>,
        #[serde(default, skip_serializing_if = "Basis::is_empty")]
        basis: Box<Basis>,
        /// Nobody asked for it: a verdict did.
        #[serde(default, skip_serializing_if = "is_no")]
        by_verdict: bool,
        /// What was predicted of it and of what was not done, where it brings a server back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ladder: Option<Box<Ladder>>,
    },
    /// A plan entered a stage.
    Entered { plan: PlanId, stage: Stage },
    /// A command is about to be sent.
    Intent { plan: PlanId, stage: Stage, op: OpId, agent: String, what: String },
    /// Its outcome, with what was read back, and how long the agent took from request to reply. `raised` is set where the agent's gate has thereby
    /// confirmed more than it had before.
    Outcome {
        plan: PlanId,
        op: OpId,
        ok: bool,
        read_back: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raised: Option<Raised>,
        #[serde(default)]
        took: Span,
    },
    /// A fence was proven: by which sets, on what evidence.
    Proven { plan: PlanId, machines: Vec<MachineId>, sets: Vec<String>, evidence: Vec<String> },
    /// A plan is about to cut a machine's outlets.
    OutletsCut { plan: PlanId, machine: MachineId },
    /// Outlets that were not a machine's have their power back.
    OutletsFed { plan: PlanId, machine: MachineId },
    /// A machine lived on although its outlets were cut: they prove nothing until they are tried anew.
    OutletsDoubted { machine: MachineId, why: String },
    /// A machine that persons said was off showed a sign of life: their word is worth nothing any more.
    OffContradicted { machine: MachineId, sign: String },
    /// The one ownership transaction.
    Owned(Ownership),
    /// A part of a fence that is not confirmed yet; retried for ever.
    StandingOrder { plan: PlanId, machine: MachineId, what: String, reason: String },
    /// A standing order was confirmed.
    OrderDone { plan: PlanId, machine: MachineId, what: String },
    /// A plan ended.
    Closed { plan: PlanId, result: Result<String, Ended> },
    /// A quarantine was lifted.
    Released { machine: MachineId, pool: PoolId, plan: PlanId },
    /// An agent's gate has forgotten what it had confirmed: its file is an older copy. Until it is re-seeded it only observes and
    /// takes away, and nothing it says counts.
    OlderMemory { agent: String, evidence: Vec<String> },
    /// An agent's gate knows what this store never drew: a higher epoch, or another store. Its devices are only observed from here on:
    /// no epoch is drawn to overtake it. `drawn` is the highest epoch that was ours there; `store` whom it obeys, if that is the cause; `rival`
    /// the process on a copy of this store that it obeys.
    Overruled {
        agent: String,
        drawn: Epoch,
        store: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rival: Option<ControllerLife>,
        evidence: String,
    },
    /// It says something else now: it may be asked again.
    OverruledNoMore { agent: String },
    /// What a machine's BMC tells of failures to come, by name; empty: nothing any more. Nothing is done by it.
    Foretold { machine: MachineId, signs: BTreeMap<String, String> },
    /// An operator had an agent's memory seeded from the ledger.
    Readopted { agent: String, principal: String },
    /// This store was made from a backup that ended at that entry. It only observes until it is adopted.
    Restored { entries: u64, hash: String, taken: WallTime },
    /// What a restored store has taken from the agents, and who agreed. Its unfinished plans and orders are at an end.
    Adopted { adoption: Box<Adoption>, principals: BTreeSet<String> },
    /// Records up to this number are no longer kept, being older than that: in their place the store holds what folding them yields, by that
    /// SHA-256. These plans are forgotten with them.
    Pruned { entries: u64, before: WallTime, base: String, plans: BTreeSet<PlanId> },
    /// Something a person should know, which changes nothing.
    Alarm { subject: String, code: String, text: String },
}

/// What an agent's gate keeps durably from that answer on: the epoch of the plan, and the command, unless it only raised the epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Raised {
    /// The agent.
    pub agent: String,
    /// The resources.
    pub resources: Vec<Resource>,
    /// True if the gate keeps the command as well.
    #[serde(default, skip_serializing_if = "is_no")]
    pub done: bool,
}

impl Raised {
    /// What each of the resources is confirmed to be at; number 0 where only the epoch was raised.
    pub fn mark(&self, op: OpId) -> OpId {
        OpId { number: if self.done { op.number } else { 0 }, ..op }
    }
}

/// How a plan ended without its goal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Fault code.
    pub code: String,
    /// Why.
    pub reason: String,
    /// True if the target failed after the ownership transaction: it is to be fenced and the next one tried.
    pub target_failed: bool,
}

/// The ownership transaction: the server row, the old machine's row, the target's row and every volume's row change together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ownership {
    /// Which plan.
    pub plan: PlanId,
    /// Which server.
    pub server: ServerId,
    /// The placement before; `None` at a first start.
    pub from: Option<(MachineId, Epoch)>,
    /// The machine that owns it now.
    pub to: MachineId,
    /// The placement's epoch.
    pub epoch: Epoch,
    /// Its volumes.
    pub volumes: Vec<VolumeId>,
}

/// What a person agrees to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// This plan for this server, and no other.
    Plan {
        /// Which server.
        server: ServerId,
        /// The plan's hash.
        hash: String,
    },
    /// That these machines of a failure domain have failed, and that the guard lets them go.
    LetGo {
        /// The domain, as the guard names it: `rack r1`.
        domain: String,
        /// Machines of it.
        machines: BTreeSet<MachineId>,
    },
    /// That a restored store takes this, and nothing else, from the agents.
    Adopt {
        /// The hash of what is taken.
        hash: String,
    },
    /// That the servers of a site are started in this order, and in no other.
    SiteStart {
        /// Which site.
        site: SiteId,
        /// The order's hash.
        hash: String,
    },
    /// Not that anything may be done, but that a machine is off: who says so stands before it.
    Off {
        /// Which.
        machine: MachineId,
        /// The serial number that was read off the box.
        serial: String,
        /// As what it was found, or left.
        found: Found,
    },
}

/// As what a person finds a machine that nobody can ask, or leaves it; each says more than the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It is off by its power button, and still has mains.
    Off,
    /// Every power cord is pulled.
    Unplugged,
    /// It is out of its rack.
    Removed,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Found::Off => "off",
            Found::Unplugged => "unplugged",
            Found::Removed => "removed",
        })
    }
}

/// What somebody works on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A server, wherever it is.
    Server(ServerId),
    /// A machine, whatever is on it.
    Machine(MachineId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Server(server) => write!(f, "server {server}"),
            Subject::Machine(machine) => write!(f, "machine {machine}"),
        }
    }
}
