//! What an agent may be asked, and what its answer is worth, by the ledger. An agent whose memory is not believed only observes and takes
//! away, and its answers confirm nothing. Decides nothing about memories: that does `memory`.

use crate::effect::Agent;
use crate::ledger::Ledger;
use crate::record::Raised;
use crate::watch::Watch;
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::{Epoch, Instant};

/// What an outcome has confirmed beyond what the ledger knows: the gate makes the epoch of every resource durable before it answers.
pub(crate) fn raised(ledger: &Ledger, agent: &Agent, resources: &[Resource], epoch: Epoch) -> Option<Raised> {
    let agent = agent.to_string();
    let new =
        |resource: &&Resource| ledger.confirmed.get(&(agent.clone(), (*resource).clone())).is_none_or(|known| *known < epoch);
    let resources: Vec<Resource> = resources.iter().filter(new).cloned().collect();
    (!resources.is_empty()).then_some(Raised { agent, resources })
}

/// Why an action may not be asked of an agent now; `None` if it may.
pub fn refusal(ledger: &Ledger, agent: &Agent, action: &Action) -> Option<AgentError> {
    if action.is_read() {
        return None;
    }
    if let Some(row) = ledger.overruled.get(&agent.to_string()) {
        return Some(AgentError::Refused { reason: format!("F0302: agent {agent} is only observed: {}", row.evidence) });
    }
    if action.takes_away() {
        return None;
    }
    doubt(ledger, agent).map(|reason| AgentError::Refused { reason })
}

/// What the outcome of something that was asked for at `asked` is worth. An agent with an older memory confirms nothing; and one that was
/// seeded since may have spoken from the memory it had before, so that neither its yes nor its no says anything: it is asked again.
pub(crate) fn worth(
    ledger: &Ledger,
    watch: &Watch,
    agent: &Agent,
    asked: Instant,
    outcome: &Result<Answer, AgentError>,
) -> Result<Answer, AgentError> {
    let name = agent.to_string();
    if watch.readopted.get(&name).is_some_and(|at| *at >= asked) {
        return Err(AgentError::Unconfirmed { reason: format!("agent {name} was seeded while this was under way") });
    }
    match (outcome, doubt(ledger, agent)) {
        (Ok(_), Some(reason)) => Err(AgentError::Unconfirmed { reason }),
        (other, _) => other.clone(),
    }
}

/// Why an agent's memory is not believed. A health check rests on no memory: vantage points are believed.
fn doubt(ledger: &Ledger, agent: &Agent) -> Option<String> {
    if matches!(agent, Agent::Vantage(_)) {
        return None;
    }
    let name = agent.to_string();
    if let Some(row) = ledger.overruled.get(&name) {
        return Some(format!("F0302: agent {name} knows more than this store: {}", row.evidence));
    }
    ledger.older.contains_key(&name).then(|| {
        format!("F1008: the memory of agent {name} is an older copy; it only observes and takes away until `understudy agent readopt {name}`")
    })
}
