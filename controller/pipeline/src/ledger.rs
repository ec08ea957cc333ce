//! The durable part of the core's state: what folding the journal yields, and nothing else. `apply` is total; it decides nothing.

mod adopted;
mod controllers;
mod memories;
mod pairs;
mod persons;
mod retention;
mod sites;
mod times;

pub use memories::Overruled;
pub use retention::{Pruned, ROWS_KEPT};
pub use sites::ColdStart;
pub use times::{Start, Usual};

use crate::basis::{Basis, MachineBasis, ServerBasis};
use crate::ladder::Ladder;
use crate::plan::{Body, Kind, Plan};
use crate::record::{Consent, Ended, Fact, Ownership, Record, Subject};
use crate::stage::Stage;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vocabulary::estate::Mode;
use vocabulary::power::Identity;
use vocabulary::request::Resource;
use vocabulary::{
    AgentId, ControllerLife, Epoch, MachineId, OpId, OutletId, PlanId, PoolId, ServerId, SiteId, Span, TierId, VolumeId, WallTime,
};

/// Everything that survives a restart. Stores keep it as JSON in place of records that were removed: a field that is added later, here or in a row, needs
/// a value where older versions wrote none (`serde(default)`), and one that is renamed makes it unreadable.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// The last epoch drawn. One counter for the whole estate.
    pub epoch: Epoch,
    /// When the newest record was written, by the wall clock that was ahead most.
    pub newest: WallTime,
    /// Machines.
    pub machines: BTreeMap<MachineId, MachineRow>,
    /// Servers.
    pub servers: BTreeMap<ServerId, ServerRow>,
    /// Who owns each volume: the key makes a second owner unwritable.
    #[serde(with = "pairs")]
    pub volumes: BTreeMap<VolumeId, (ServerId, MachineId, Epoch)>,
    /// Ceilings of tiers.
    pub ceilings: BTreeMap<TierId, Mode>,
    /// Agents that were ever enrolled.
    pub agents: BTreeSet<AgentId>,
    /// The processes of the controller on this store, the newest last; of many the newest [`controllers::CONTROLLERS_KEPT`], and those that agents obey.
    pub controllers: VecDeque<ControllerLife>,
    /// The process on this store that each agent obeyed when it was heard last.
    pub obeyed: BTreeMap<String, ControllerLife>,
    /// All plans.
    pub plans: BTreeMap<PlanId, PlanRow>,
    /// Those that are open: who looks for one does not walk through years of others.
    open: BTreeSet<PlanId>,
    /// Parts of fences that are not confirmed yet, with the reason.
    #[serde(with = "pairs")]
    pub orders: BTreeMap<(PlanId, MachineId, String), String>,
    /// The newest command that an agent's gate ever confirmed to keep, by agent and resource; number 0 where it is only its epoch.
    #[serde(with = "pairs")]
    pub confirmed: BTreeMap<(String, Resource), OpId>,
    /// Machines whose BMC tells of failures to come.
    pub foretold: BTreeMap<MachineId, Foretold>,
    /// Agents whose memory was found to be an older copy, with the evidence; until they are re-seeded.
    pub older: BTreeMap<String, Vec<String>>,
    /// Agents whose gates know more than this store, and are only observed.
    pub overruled: BTreeMap<String, Overruled>,
    /// What a person holds: servers, or (`None`) the whole estate.
    #[serde(with = "pairs")]
    pub holds: BTreeMap<Option<ServerId>, Hold>,
    /// What persons have agreed to lately, oldest first. Whether it still holds, `consent` says.
    pub consents: Vec<Consented>,
    /// What somebody works on.
    #[serde(with = "pairs")]
    pub maintenance: BTreeMap<Subject, Maintenance>,
    /// The estate's counter when an agent was last seeded: a person has vouched for what it kept of before.
    pub seeded: BTreeMap<String, Epoch>,
    /// Servers that nobody could place when this store was adopted, and every machine that may bear each.
    pub unclear: BTreeMap<ServerId, BTreeSet<MachineId>>,
    /// The start of each site that was ever started as a whole: the last one.
    pub cold_starts: BTreeMap<SiteId, ColdStart>,
    /// The backup that this store was made from, until what happened since was adopted.
    pub restored: Option<Restored>,
    /// Up to where records were removed, where some were.
    pub pruned: Option<Pruned>,
}

/// A backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// How many entries it had.
    pub entries: u64,
    /// When it was taken.
    pub taken: WallTime,
}

/// A hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Who.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// For how long a person's word holds: what was true when it was given may not be true later.
pub const CONSENT_HOLDS: Span = Span::seconds(900);
/// As what a plan ends before its ownership transaction whose target cannot be used.
const SPARE_AT_FAULT: &str = "F0406";
/// So many words are kept at most, the newest.
const CONSENTS_MAX: usize = 256;

/// Whether a word given then may hold at a later time, by the wall clock: one that is set back makes no word younger.
pub fn may_hold(given: WallTime, now: WallTime) -> bool {
    given.0 <= now.0 && now.0 - given.0 < CONSENT_HOLDS.0
}

/// That a person agreed to something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consented {
    /// To what.
    pub to: Consent,
    /// Who.
    pub principal: String,
    /// When.
    pub at: WallTime,
}

/// What would be done if enough persons agree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The plan.
    pub body: Body,
    /// Its hash.
    pub hash: String,
    /// Since when.
    pub since: WallTime,
}

/// A maintenance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Who.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
    /// When it ends by itself, by the controller's wall clock.
    pub until: WallTime,
}

/// What a machine is now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Standing {
    /// Bears no server and no bar.
    #[default]
    Free,
    /// An open plan works on it.
    Reserved(PlanId),
    /// Bears a server.
    Bearing(ServerId),
    /// Fenced; barred until it is released.
    Quarantined {
        /// The server it bore.
        server: Option<ServerId>,
        /// The plan that fenced it.
        plan: PlanId,
    },
}

/// A machine's row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineRow {
    /// Set by `machine enroll`.
    pub enrolled: Option<Enrolment>,
    /// What it is now.
    pub standing: Standing,
    /// What the last plan on it rested on.
    pub basis: Option<MachineBasis>,
    /// The pool it was released into, where the estate does not name one.
    pub pool: Option<PoolId>,
    /// Its last recorded time from power on to service.
    pub boot_ms: Option<u64>,
    /// Its last recorded times from power on to its first contact with a boot service, oldest first.
    pub posts: VecDeque<Span>,
    /// The epoch at which its agents barred it by a plan that this store does not have, while it bears a server.
    pub cut: Option<Epoch>,
    /// The plan that has begun to cut its outlets, until they are fed again.
    pub outlets_cut: Option<PlanId>,
}

/// What enrolment found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Identity.
    pub identity: Identity,
    /// Pinned certificate.
    pub certificate: Option<String>,
    /// True if restore policy AlwaysOff could not be verified.
    pub returns_by_itself: bool,
    /// As what it was taken in; `None` in records of before it was kept.
    pub basis: Option<MachineBasis>,
    /// The outlets that were seen to darken it.
    pub outlets: BTreeSet<OutletId>,
}

/// A server's placement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// On which machine.
    pub machine: MachineId,
    /// The epoch of the plan that made it.
    pub epoch: Epoch,
}

/// What a machine's BMC tells of failures to come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foretold {
    /// Since when, without a break.
    pub since: WallTime,
    /// By name, with what was told of each.
    pub signs: BTreeMap<String, String>,
}

/// When a server was heard last, since which boot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// On which machine.
    pub machine: MachineId,
    /// The machine's last reset at that time.
    pub last_reset: Option<String>,
    /// From where.
    pub vantages: Vec<AgentId>,
}

/// A server's row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerRow {
    /// Where it is.
    pub placement: Option<Placement>,
    /// What the last plan for it rested on.
    pub basis: Option<ServerBasis>,
    /// Whether it is meant to run.
    pub desired: bool,
    /// Every machine that ever held it and was not released, the present one included.
    pub past: BTreeSet<MachineId>,
    /// When it was heard since its machine's last boot.
    pub heard: Option<Heard>,
    /// When failovers were sealed.
    pub failovers: Vec<WallTime>,
    /// Its last starts with their times, oldest first.
    pub starts: VecDeque<Start>,
    /// Since when a symptom is suspected, and which.
    pub suspected: Option<(WallTime, String)>,
    /// The last verdict.
    pub verdict: Option<(WallTime, String)>,
    /// Why nothing is done: code, reason, what ends it, since when.
    pub held: Option<(String, String, String, WallTime)>,
    /// The hash of the last plan that `observe` reported.
    pub would_have: Option<String>,
    /// What waits for persons to agree.
    pub proposed: Option<Proposal>,
}

/// A plan's row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// The plan.
    pub plan: Plan,
    /// Stages entered, with the time.
    pub entered: Vec<(Stage, WallTime)>,
    /// The first number that no mutating command of this plan has borne.
    pub next_op: u64,
    /// Nobody asked for it: a verdict did.
    pub by_verdict: bool,
    /// A command beyond AdvanceEpoch was sent in the fence stage, or for a restart in the boot stage: from here the plan is carried through.
    pub begun: bool,
    /// The ownership transaction is done.
    pub owned: bool,
    /// A power-on of the target was sent.
    pub power_on_sent: bool,
    /// Who had agreed to it when it was sealed.
    pub agreed: BTreeSet<String>,
    /// What was predicted when it was sealed.
    pub ladder: Option<Box<Ladder>>,
    /// How it ended.
    pub closed: Option<Result<String, Ended>>,
    /// When it was sealed and closed.
    pub times: (WallTime, Option<WallTime>),
}

impl PlanRow {
    /// True until it is closed.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
    /// Every machine the plan works on.
    pub fn machines(&self) -> BTreeSet<&MachineId> {
        self.plan.body().fence.iter().chain([self.plan.target()]).collect()
    }
}

impl Ledger {
    /// The open plan of a server, if there is one.
    pub fn open_plan_of(&self, server: &ServerId) -> Option<&PlanRow> {
        self.open_plans().find(|row| row.plan.server() == Some(server))
    }
    /// The open plan that works on a machine, if there is one.
    pub fn open_plan_on(&self, machine: &MachineId) -> Option<&PlanRow> {
        self.open_plans().find(|row| row.machines().contains(machine))
    }
    /// All open plans.
    pub fn open_plans(&self) -> impl Iterator<Item = &PlanRow> {
        self.open.iter().filter_map(|plan| self.plans.get(plan))
    }
    /// A server's placement.
    pub fn placement(&self, server: &ServerId) -> Option<&Placement> {
        self.servers.get(server)?.placement.as_ref()
    }
    /// What a machine is now.
    pub fn standing(&self, machine: &MachineId) -> Standing {
        self.machines.get(machine).map(|row| row.standing.clone()).unwrap_or_default()
    }

    fn server(&mut self, id: &ServerId) -> &mut ServerRow {
        self.servers.entry(id.clone()).or_default()
    }
    fn machine(&mut self, id: &MachineId) -> &mut MachineRow {
        self.machines.entry(id.clone()).or_default()
    }

    /// Folds one record in.
    pub fn apply(&mut self, record: &Record) {
        self.newest = self.newest.max(record.at);
        match &record.fact {
            Fact::Intended { .. } | Fact::Estate { .. } | Fact::Proven { .. } | Fact::Alarm { .. } => {}
            Fact::Outcome { op, raised, .. } => self.apply_raised(*op, raised.as_ref()),
            of_a_memory @ (Fact::OlderMemory { .. }
            | Fact::Readopted { .. }
            | Fact::Overruled { .. }
            | Fact::OverruledNoMore { .. }) => self.apply_memory(of_a_memory),
            Fact::Enrolled { machine, identity, certificate, returns_by_itself, outlets } => {
                let row = self.machine(machine);
                row.outlets_cut = None;
                row.enrolled = Some(Enrolment {
                    identity: identity.clone(),
                    certificate: certificate.clone(),
                    returns_by_itself: *returns_by_itself,
                    basis: row.basis.clone(),
                    outlets: outlets.clone(),
                });
            }
            of_a_machine @ (Fact::OutletsCut { .. }
            | Fact::OutletsFed { .. }
            | Fact::OutletsDoubted { .. }
            | Fact::OffContradicted { .. }) => self.apply_mains(of_a_machine),
            of_a_controller @ (Fact::Began { .. } | Fact::Obeyed { .. }) => self.apply_controller(of_a_controller),
            Fact::AgentEnrolled { agent } => {
                self.agents.insert(agent.clone());
            }
            Fact::Ceiling { tier, mode } => {
                self.ceilings.insert(tier.clone(), *mode);
            }
            Fact::Intent { plan, stage, op, what, .. } => self.apply_intent(plan, *stage, op.number, what),
            Fact::Sealed { plan, basis, by_verdict, ladder } => {
                self.apply_sealed(plan, basis, *by_verdict, record.at);
                if let Some(row) = self.plans.get_mut(&plan.id()) {
                    row.ladder = ladder.clone();
                }
            }
            Fact::Entered { plan, stage } => {
                if let Some(row) = self.plans.get_mut(plan) {
                    row.entered.push((*stage, record.at));
                }
            }
            Fact::Owned(ownership) => self.apply_owned(ownership),
            Fact::StandingOrder { plan, machine, what, reason } => {
                // an order of an older plan on the same thing has passed to this one
                self.orders.retain(|(of, on, order), _| (on, order) != (machine, what) || of >= plan);
                self.orders.insert((*plan, machine.clone(), what.clone()), reason.clone());
            }
            Fact::OrderDone { plan, machine, what } => {
                self.orders.remove(&(*plan, machine.clone(), what.clone()));
            }
            Fact::Closed { plan, result } => self.apply_closed(plan, result, record.at),
            Fact::Released { machine, pool, .. } => self.apply_released(machine, pool),
            brake @ (Fact::Hold { .. } | Fact::Resumed { .. } | Fact::Maintenance { .. } | Fact::MaintenanceEnded { .. }) => {
                self.apply_brake(brake, record.at);
            }
            of_a_site @ (Fact::ColdStart { .. } | Fact::ColdStartPassed { .. } | Fact::ColdStartEnded { .. }) => {
                self.apply_site(of_a_site, record.at);
            }
            Fact::Consented { to, principal, .. } => self.apply_consented(to, principal, record.at),
            Fact::Foretold { machine, signs } => self.apply_foretold(machine, signs, record.at),
            Fact::Restored { entries, taken, .. } => self.apply_restored(*entries, *taken),
            Fact::Pruned { entries, before, plans, .. } => self.apply_pruned(*entries, *before, record.at, plans),
            Fact::Adopted { adoption, .. } => self.apply_adopted(adoption),
            about_server => self.apply_server(about_server, record.at),
        }
    }

    fn apply_foretold(&mut self, machine: &MachineId, signs: &BTreeMap<String, String>, at: WallTime) {
        let known = self.foretold.remove(machine);
        if !signs.is_empty() {
            let since = known.map_or(at, |row| row.since);
            self.foretold.insert(machine.clone(), Foretold { since, signs: signs.clone() });
        }
    }

    fn apply_mains(&mut self, fact: &Fact) {
        match fact {
            Fact::OutletsCut { plan, machine } => self.machine(machine).outlets_cut = Some(*plan),
            Fact::OffContradicted { machine, .. } => self.forget_off(machine),
            Fact::OutletsFed { machine, .. } => self.machine(machine).outlets_cut = None,
            Fact::OutletsDoubted { machine, .. } => {
                if let Some(enrolled) = &mut self.machine(machine).enrolled {
                    enrolled.outlets.clear();
                }
            }
            _ => {}
        }
    }

    /// What persons said of a machine is no longer worth anything: it has shown that it lives, or is about to be used.
    fn forget_off(&mut self, machine: &MachineId) {
        self.consents.retain(|given| !matches!(&given.to, Consent::Off { machine: of, .. } if of == machine));
    }

    /// The reason for a wait may be gone: if it is not, the next look tells it again.
    fn forget_held(&mut self, code: &str) {
        for row in self.servers.values_mut().filter(|row| row.held.as_ref().is_some_and(|(held, ..)| held == code)) {
            row.held = None;
        }
    }

    fn apply_server(&mut self, fact: &Fact, at: WallTime) {
        match fact {
            Fact::Desired { server, running } => self.server(server).desired = *running,
            Fact::Heard { .. } => self.apply_heard(fact),
            Fact::Suspected { server, symptom, .. } => self.server(server).suspected = Some((at, symptom.clone())),
            Fact::Cleared { server } => {
                let row = self.server(server);
                row.suspected = None;
                row.verdict = None;
                row.held = None;
                row.would_have = None;
                row.proposed = None;
                row.past.clone().iter().for_each(|machine| self.forget_off(machine));
                self.forget_consents(server);
            }
            Fact::Verdict { server, symptom, .. } => self.server(server).verdict = Some((at, symptom.clone())),
            Fact::Held { server, code, reason, ends } => {
                self.server(server).held = Some((code.clone(), reason.clone(), ends.clone(), at));
            }
            Fact::WouldHave { server, plan, .. } => self.server(server).would_have = Some(plan.hash().to_owned()),
            Fact::Proposed { server, body, .. } => {
                let proposal = Proposal { body: (**body).clone(), hash: body.hash(), since: at };
                let row = self.server(server);
                row.proposed = Some(proposal);
                if row.held.as_ref().is_some_and(|(code, ..)| code == "F0204") {
                    row.held = None;
                }
            }
            _ => {}
        }
    }

    fn apply_intent(&mut self, plan: &PlanId, stage: Stage, number: u64, what: &str) {
        if let Some(row) = self.plans.get_mut(plan) {
            row.next_op = row.next_op.max(number + 1);
            let first = if row.plan.body().kind == Kind::Restart { Stage::Boot } else { Stage::Fence };
            row.begun |= stage == first && what != crate::words::ADVANCE;
            row.power_on_sent |= what == crate::words::POWER_ON;
        }
    }

    fn apply_sealed(&mut self, plan: &Plan, basis: &Basis, by_verdict: bool, at: WallTime) {
        self.epoch = self.epoch.max(plan.epoch());
        for (machine, basis) in &basis.machines {
            self.machine(machine).basis = Some(basis.clone());
        }
        let mut agreed = BTreeSet::new();
        if let Some(server) = plan.server() {
            let to_this = |to: &Consent| matches!(to, Consent::Plan { hash, .. } if hash == plan.hash());
            let given = self.forget_consents(server).into_iter();
            agreed.extend(given.filter(|given| to_this(&given.to) && may_hold(given.at, at)).map(|given| given.principal));
            let row = self.server(server);
            row.held = None;
            row.proposed = None;
            row.basis = basis.server.clone().or(row.basis.take());
            if plan.body().kind == Kind::Failover {
                row.failovers.push(at);
            }
        }
        self.take_turn(plan, at);
        // what is to be used will not stay off
        self.forget_off(plan.target());
        if self.standing(plan.target()) == Standing::Free {
            self.machine(plan.target()).standing = Standing::Reserved(plan.id());
        }
        let row = PlanRow {
            plan: plan.clone(),
            entered: Vec::new(),
            next_op: 1,
            by_verdict,
            begun: false,
            owned: false,
            power_on_sent: false,
            agreed,
            ladder: None,
            closed: None,
            times: (at, None),
        };
        self.plans.insert(plan.id(), row);
        self.open.insert(plan.id());
    }

    fn apply_owned(&mut self, ownership: &Ownership) {
        let Ownership { plan, server, to, epoch, volumes, .. } = ownership;
        let previous: Vec<MachineId> = self.server(server).past.iter().filter(|old| *old != to).cloned().collect();
        for old in previous {
            let row = self.machine(&old);
            (row.standing, row.cut) = (Standing::Quarantined { server: Some(server.clone()), plan: *plan }, None);
        }
        self.machine(to).standing = Standing::Bearing(server.clone());
        self.unclear.remove(server);
        let row = self.server(server);
        row.placement = Some(Placement { machine: to.clone(), epoch: *epoch });
        row.past.insert(to.clone());
        row.heard = None;
        for volume in volumes {
            self.volumes.insert(volume.clone(), (server.clone(), to.clone(), *epoch));
        }
        if let Some(row) = self.plans.get_mut(plan) {
            row.owned = true;
        }
    }

    fn apply_closed(&mut self, plan: &PlanId, result: &Result<String, Ended>, at: WallTime) {
        let Some(row) = self.plans.get_mut(plan) else { return };
        self.open.remove(plan);
        row.closed = Some(result.clone());
        row.times.1 = Some(at);
        let (target, begun, fence) = (row.plan.target().clone(), row.begun, row.plan.body().fence.clone());
        // only a spare that is at fault leaves what was said of the machine as true as it was
        if matches!(result, Err(ended) if ended.code != SPARE_AT_FAULT && !row.owned) {
            fence.iter().for_each(|machine| self.forget_off(machine));
        }
        let Some(row) = self.plans.get(plan) else { return };
        let kind = row.plan.body().kind;
        let server = row.plan.server().cloned();
        if self.standing(&target) == Standing::Reserved(*plan) {
            self.machine(&target).standing = Standing::Free;
        }
        if let Some(server) = server {
            let row = self.server(&server);
            row.suspected = None;
            row.verdict = None;
        }
        // a machine that was being fenced when the plan ended stays barred: nobody may take it for a spare
        for machine in fence.iter().filter(|_| begun && kind == Kind::Failover) {
            if self.standing(machine) == Standing::Free {
                self.machine(machine).standing = Standing::Quarantined { server: None, plan: *plan };
            }
        }
    }

    fn apply_released(&mut self, machine: &MachineId, pool: &PoolId) {
        for row in self.servers.values_mut() {
            row.past.remove(machine);
        }
        self.orders.retain(|(_, ordered, _), _| ordered != machine);
        let row = self.machine(machine);
        (row.standing, row.cut, row.outlets_cut) = (Standing::Free, None, None);
        row.pool = Some(pool.clone());
    }
}
