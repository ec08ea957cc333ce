//! What a gate allows: pure questions to its memory. Nothing here changes anything, reads a clock or waits.
//!
//! Order of the questions (the gate asks them in this order): the token's estate, lineage, agent life and expiry; the epoch of every
//! resource; the recorded outcome of the same command; trust; bars and holders.

use super::memory::{Kept, Memory, OpRecord};
use crate::limits;
use vocabulary::request::{Action, AgentError, Answer, Holder, Resource, Token};
use vocabulary::{AgentBootId, ControllerLife, Epoch, EstateUuid, Lineage};

/// A refusal in words for people; callers branch on the kind only.
pub(crate) fn refused(reason: impl Into<String>) -> AgentError {
    AgentError::Refused { reason: reason.into() }
}

/// The refusal of a command that another estate, another store or another plan of the same epoch has made.
pub(crate) fn foreign(reason: impl Into<String>) -> AgentError {
    AgentError::Foreign { reason: reason.into() }
}

/// How a command ended that was in flight when the agent stopped.
pub(crate) fn interrupted() -> AgentError {
    AgentError::Unconfirmed {
        reason: "the agent restarted while this command was in flight: read the device, then use a new op".to_owned(),
    }
}

/// A resource's name for people.
pub(crate) fn name(resource: &Resource) -> String {
    resource.to_string()
}

/// Is this command meant for this agent, in this life, now?
pub(crate) fn addressed(memory: &Memory, boot: &AgentBootId, tick: u64, token: &Token) -> Result<(), AgentError> {
    if token.estate != memory.estate {
        return Err(foreign("foreign estate: this agent is enrolled elsewhere"));
    }
    if token.lineage != memory.lineage {
        return Err(foreign(
            "foreign lineage: the controller's store is not the one this agent obeys; adopt it, then `agent readopt`",
        ));
    }
    if token.agent_boot != *boot {
        return Err(refused("another life of the agent: it restarted since this command was made; say Hello and make it anew"));
    }
    obeyed(memory, &token.controller)?;
    if tick > token.expires_tick {
        return Err(refused(format!("expired: valid until tick {}, it is {tick}", token.expires_tick)));
    }
    if token.op.epoch != token.epoch {
        return Err(refused(format!("malformed: op {} does not belong to epoch {}", token.op, token.epoch)));
    }
    if token.step.len() > limits::TOKEN_TEXT_BYTES_MAX {
        return Err(refused("malformed: the step's text is too long"));
    }
    Ok(())
}

/// Is this the process that is obeyed? In this life of the agent it has introduced itself. Whoever obeys nobody in particular has not heard of
/// processes with names yet.
pub(crate) fn obeyed(memory: &Memory, controller: &ControllerLife) -> Result<(), AgentError> {
    match &memory.controller {
        Some(obeyed) if obeyed != controller => {
            Err(foreign("another controller: a process on another copy of this store has taken its place here"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Does this word on the memory come from a controller of this estate and store, about this life?
pub(crate) fn vouched(
    memory: &Memory,
    boot: &AgentBootId,
    said: (&AgentBootId, &EstateUuid, &Lineage, &ControllerLife),
) -> Result<(), AgentError> {
    let (of, estate, lineage, controller) = said;
    if *estate != memory.estate || *lineage != memory.lineage {
        return Err(foreign("foreign: another estate's or another store's controller says nothing of this memory"));
    }
    if of != boot {
        return Err(refused("another life of the agent: it restarted since it was heard; say Hello anew"));
    }
    obeyed(memory, controller)
}

/// Is the plan's epoch the highest ever seen on this resource, and this plan's own?
pub(crate) fn epoch(memory: &Memory, resource: &Resource, token: &Token) -> Result<(), AgentError> {
    let kept = memory.kept.get(resource);
    let highest = kept.map_or(Epoch::default(), |k| k.epoch).max(memory.floor);
    if token.epoch < highest {
        let who = name(resource);
        let reason = format!("lower epoch: {who} has seen {highest}, this command bears {}", token.epoch);
        return Err(AgentError::LowerEpoch { highest, reason });
    }
    let owner = kept.filter(|k| k.epoch == token.epoch).and_then(|k| k.plan);
    match owner {
        Some(plan) if plan != token.plan => {
            let who = name(resource);
            Err(foreign(format!(
                "equal epoch of another plan: {} of {who} belongs to {plan}, not to {}",
                token.epoch, token.plan
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is known of the same command.
pub(crate) enum Recorded {
    /// Never heard of it.
    New,
    /// It ended like this; the answer to a retry, and never evidence.
    Ended(Result<Answer, AgentError>),
}

/// Looks the command up among those of its epoch.
pub(crate) fn recorded(kept: Option<&Kept>, token: &Token, digest: &str) -> Result<Recorded, AgentError> {
    let Some(kept) = kept.filter(|k| k.epoch == token.epoch) else { return Ok(Recorded::New) };
    match kept.ops.iter().find(|record| record.op == token.op) {
        Some(OpRecord { digest: other, .. }) if other != digest => {
            Err(refused(format!("op {} was another command; number commands durably", token.op)))
        }
        Some(OpRecord { outcome: Some(outcome), .. }) => Ok(Recorded::Ended(outcome.clone())),
        Some(OpRecord { outcome: None, .. }) => Ok(Recorded::Ended(Err(interrupted()))),
        None if kept.forgotten.is_some_and(|number| token.op.number <= number) => {
            Err(refused(format!("op {} is older than what this gate remembers: read the device, then use a new op", token.op)))
        }
        None => Ok(Recorded::New),
    }
}

/// Do the resource's bar and holder allow this action?
pub(crate) fn bar_and_holder(kept: Option<&Kept>, resource: &Resource, token: &Token, action: &Action) -> Result<(), AgentError> {
    let bar = kept.and_then(|k| k.barred);
    let holder = kept.and_then(|k| k.holder.as_ref());
    match (action, bar) {
        (
            Action::PowerOn { .. }
            | Action::SetBootTarget { .. }
            | Action::JoinPort { .. }
            | Action::GrantPermit { .. }
            | Action::FeedOutlet { .. },
            Some(at),
        ) => Err(refused(format!("barred: {} is barred since {at}; only a release lifts it", name(resource)))),
        // A release bars again what it is about to lift: what no older plan has reached yet bears the release's own epoch, and it must be
        // able to lift that too. An equal epoch is this plan's own (asked before), and of all plans only a release lifts bars; those of outlets
        // also an enrolment that has tried them, and a failover that has cut them in vain.
        (Action::LiftBar { .. }, Some(at)) if token.epoch < at => Err(refused(format!(
            "barred: {} is barred at {at}; a release needs an epoch no lower, not {}",
            name(resource),
            token.epoch
        ))),
        (Action::ParkPort { .. }, Some(at)) if token.epoch <= at => Err(refused(format!(
            "barred: {} is barred at {at}; parking it needs a higher epoch, not {}",
            name(resource),
            token.epoch
        ))),
        (Action::GrantVolume { holder: wanted, .. }, _) => free_for(holder, wanted, resource),
        (Action::RevokeVolume { keep: Some(_), .. }, _) if holder.is_none_or(|h| h.plan != token.plan) => {
            Err(refused(format!("keep: {} is not held by {}; revoke it without `keep`", name(resource), token.plan)))
        }
        _ => Ok(()),
    }
}

fn free_for(holder: Option<&Holder>, wanted: &Holder, resource: &Resource) -> Result<(), AgentError> {
    match holder {
        Some(now) if now != wanted => Err(refused(format!(
            "held: {} is held by {} on {} ({}); revoke it first",
            name(resource),
            now.server,
            now.machine,
            now.plan
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The holder that an action grants to.
pub(crate) fn grants_to(action: &Action) -> Option<Holder> {
    match action {
        Action::JoinPort { holder, .. } | Action::GrantVolume { holder, .. } => Some(holder.clone()),
        Action::GrantPermit { permit } => {
            Some(Holder { server: permit.server.clone(), machine: permit.machine.clone(), plan: permit.plan })
        }
        _ => None,
    }
}

/// True if the action puts a bar on its resource.
pub(crate) fn bars(action: &Action) -> bool {
    matches!(action, Action::PowerOff { .. } | Action::BarPort { .. } | Action::RevokePermit { .. } | Action::CutOutlet { .. })
}

/// True if its confirmed success leaves the resource without a holder.
pub(crate) fn frees(action: &Action) -> bool {
    matches!(
        action,
        Action::BarPort { .. } | Action::ParkPort { .. } | Action::RevokeVolume { keep: None, .. } | Action::RevokePermit { .. }
    )
}
