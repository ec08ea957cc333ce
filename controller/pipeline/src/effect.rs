//! All that the core may ask of the shell. Commands have no public constructor: a grant is made only by the stage that owns it.

use crate::plan::Plan;
use crate::record::Record;
use crate::stage::Stage;
use vocabulary::estate::{Estate, INSIDE};
use vocabulary::request::Action;
use vocabulary::{BootServiceId, Fault, Instant, MachineId, OpId, PduId, PlanId, Span, StorageId, SwitchId};

/// One effect. The shell makes all records of a step durable, in one transaction, before it performs any other effect of that step.
#[derive(Clone, Debug)]
pub enum Effect {
    /// To be appended to the journal.
    Record(Box<Record>),
    /// To be sent to an agent.
    Command(Box<Command>),
    /// To be woken at that time at the latest.
    Wake(Instant),
    /// The answer to an intent.
    Reply {
        /// Which intent.
        ticket: u64,
        /// Accepted (with the plan it opened, if it did), or why not.
        answer: Result<Option<PlanId>, Fault>,
    },
}

/// Which agent owns a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Agent {
    /// An agent that owns BMCs; `None`: the one inside `serve`.
    Bmc(Option<vocabulary::AgentId>),
    /// A switch's.
    Switch(SwitchId),
    /// A storage target's.
    Storage(StorageId),
    /// A boot service's.
    Boot(BootServiceId),
    /// A power distribution unit's.
    Outlets(PduId),
    /// A vantage point.
    Vantage(vocabulary::AgentId),
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Agent::Bmc(None) => f.write_str(INSIDE),
            Agent::Bmc(Some(id)) => write!(f, "{id}"),
            Agent::Switch(id) => write!(f, "{id}"),
            Agent::Storage(id) => write!(f, "{id}"),
            Agent::Boot(id) => write!(f, "{id}"),
            Agent::Outlets(id) => write!(f, "{id}"),
            Agent::Vantage(id) => write!(f, "{id}"),
        }
    }
}

impl Agent {
    /// The agent that owns this machine's BMC.
    pub fn of_bmc(estate: &Estate, machine: &MachineId) -> Agent {
        Agent::Bmc(estate.bmc_agent_of(machine).cloned())
    }

    /// All agents outside this process that the documents name and that keep a gate.
    pub fn outside(estate: &Estate) -> impl Iterator<Item = Agent> {
        let switches = estate.switches.keys().map(|id| Agent::Switch(id.clone()));
        let storages = estate.storages.keys().map(|id| Agent::Storage(id.clone()));
        let services = estate.boot_services.keys().map(|id| Agent::Boot(id.clone()));
        let pdus = estate.pdus.keys().map(|id| Agent::Outlets(id.clone()));
        let bmcs = estate.bmc_agents.keys().map(|id| Agent::Bmc(Some(id.clone())));
        switches.chain(storages).chain(services).chain(pdus).chain(bmcs)
    }

    /// The same, and the one inside.
    pub fn all(estate: &Estate) -> impl Iterator<Item = Agent> {
        Agent::outside(estate).chain([Agent::Bmc(None)])
    }
}

/// One request to one agent, within one plan. The shell adds estate, lineage, the agent's boot id and expiry, and sends it as it is.
#[derive(Clone, Debug)]
pub struct Command {
    /// To whom.
    pub agent: Agent,
    /// Which; the answer comes back under it.
    pub op: OpId,
    /// The plan.
    pub plan: PlanId,
    /// The stage, for records.
    pub stage: Stage,
    /// After this the answer is `Unreachable`.
    pub deadline: Span,
    action: Action,
}

impl Command {
    /// What is asked.
    pub fn action(&self) -> &Action {
        &self.action
    }

    pub(crate) fn new(agent: Agent, plan: &Plan, op: OpId, stage: Stage, deadline: Span, action: Action) -> Command {
        Command { agent, op, plan: plan.id(), stage, deadline, action }
    }
}
