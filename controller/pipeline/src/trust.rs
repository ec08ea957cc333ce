//! What an agent may be asked, and what its answer is worth, by the ledger. An agent whose memory is not believed only observes and takes
//! away, and its answers confirm nothing. Decides nothing about memories: that does `memory`.

use crate::effect::Agent;
use crate::ledger::Ledger;
use crate::record::Raised;
use crate::watch::Watch;
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::{Instant, OpId};

/// What an outcome has confirmed beyond what the ledger knows: the gate makes the epoch of every resource durable before it answers, and what
/// became of the command, unless that was to raise the epoch alone.
pub(crate) fn raised(ledger: &Ledger, agent: &Agent, resources: &[Resource], op: OpId, done: bool) -> Option<Raised> {
    let mut raised = Raised { agent: agent.to_string(), resources: Vec::new(), done };
    let mark = raised.mark(op);
    let new = |resource: &&Resource| {
        ledger.confirmed.get(&(raised.agent.clone(), (*resource).clone())).is_none_or(|known| *known < mark)
    };
    raised.resources = resources.iter().filter(new).cloned().collect();
    (!raised.resources.is_empty()).then_some(raised)
}

/// Why an action may not be asked of an agent now; `None` if it may.
pub fn refusal(ledger: &Ledger, agent: &Agent, action: &Action) -> Option<AgentError> {
    if action.is_read() {
        return None;
    }
    if let Some(why) = ledger.unadopted() {
        return Some(AgentError::Refused { reason: format!("F1105: {why}") });
    }
    if let Some(row) = ledger.overruled.get(&agent.to_string()) {
        return Some(AgentError::Refused { reason: format!("F0302: agent {agent} is only observed: {}", row.evidence) });
    }
    if action.takes_away() {
        return None;
    }
    doubt(ledger, agent).map(|reason| AgentError::Refused { reason })
}

/// What this store can say of the memory of an agent whose hello it has heard: that it is current, or an older copy. `None` if the store
/// itself knows less than the agent, or may.
pub fn vouches(ledger: &Ledger, agent: &Agent) -> Option<bool> {
    let name = agent.to_string();
    let may_know_less = ledger.unadopted().is_some() || ledger.overruled.contains_key(&name);
    (!may_know_less).then(|| !ledger.older.contains_key(&name))
}

/// What the outcome of something that was asked for at `asked` is worth. An agent with an older memory confirms nothing; and one that was
/// seeded since may have spoken from the memory it had before, so that neither its yes nor its no says anything: it is asked again. Nor does
/// the yes of a life that is over: whoever lives now may not remember it.
pub(crate) fn worth(
    ledger: &Ledger,
    watch: &Watch,
    agent: &Agent,
    asked: Instant,
    outcome: &Result<Answer, AgentError>,
) -> Result<Answer, AgentError> {
    let name = agent.to_string();
    if rests_on_memory(agent) && watch.readopted.get(&name).is_some_and(|at| *at >= asked) {
        return Err(AgentError::Unconfirmed { reason: format!("agent {name} was seeded while this was under way") });
    }
    let over = watch.lives.get(&name).and_then(|lives| lives.since).is_some_and(|since| since >= asked);
    if outcome.is_ok() && over && rests_on_memory(agent) {
        return Err(AgentError::Unconfirmed { reason: format!("agent {name} began another life while this was under way") });
    }
    match (outcome, doubt(ledger, agent)) {
        (Ok(_), Some(reason)) => Err(AgentError::Unconfirmed { reason }),
        (other, _) => other.clone(),
    }
}

/// A health check rests on no memory: vantage points are believed, though they bear the names of agents that have one.
fn rests_on_memory(agent: &Agent) -> bool {
    !matches!(agent, Agent::Vantage(_))
}

/// Why an agent's memory is not believed.
fn doubt(ledger: &Ledger, agent: &Agent) -> Option<String> {
    if !rests_on_memory(agent) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use vocabulary::AgentBootId;

    #[test]
    fn what_was_asked_before_a_seeding_counts_for_nothing_unless_it_rests_on_no_memory() {
        let (ledger, mut watch) = (Ledger::default(), Watch::default());
        watch.readopted.insert("sw1".to_owned(), Instant(5));
        let worth = |agent: &Agent, asked, outcome: &_| worth(&ledger, &watch, agent, Instant(asked), outcome);
        let (switch, vantage) = (Agent::Switch("sw1".parse().unwrap()), Agent::Vantage("sw1".parse().unwrap()));
        let (yes, no) = (Ok(Answer::Done), Err(AgentError::Foreign { reason: "another lineage".to_owned() }));
        for outcome in [&yes, &no] {
            for asked in [4, 5] {
                assert!(matches!(worth(&switch, asked, outcome), Err(AgentError::Unconfirmed { .. })), "{outcome:?}");
            }
            assert_eq!(&worth(&switch, 6, outcome), outcome);
            assert_eq!(&worth(&vantage, 4, outcome), outcome);
            assert_eq!(&worth(&Agent::Switch("sw2".parse().unwrap()), 4, outcome), outcome);
        }
    }

    #[test]
    fn a_yes_of_a_life_that_is_over_counts_for_nothing() {
        let (ledger, mut watch) = (Ledger::default(), Watch::default());
        let switch = Agent::Switch("sw1".parse().unwrap());
        let (yes, no) = (Ok(Answer::Done), Err(AgentError::Rejected { reason: "the device said no".to_owned() }));
        watch.hears("sw1", &AgentBootId("first".to_owned()), Instant(3), Instant(3));
        assert_eq!(worth(&ledger, &watch, &switch, Instant(2), &yes), yes, "the first that is heard is over for nobody");
        watch.hears("sw1", &AgentBootId("second".to_owned()), Instant(5), Instant(5));
        watch.hears("sw1", &AgentBootId("second".to_owned()), Instant(7), Instant(7));
        for asked in [4, 5] {
            let worth = |outcome| worth(&ledger, &watch, &switch, Instant(asked), outcome);
            assert!(matches!(worth(&yes), Err(AgentError::Unconfirmed { .. })));
            assert_eq!(worth(&no), no);
        }
        assert_eq!(worth(&ledger, &watch, &switch, Instant(6), &yes), yes);
    }
}
