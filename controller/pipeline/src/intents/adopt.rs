//! Persons agree that a restored store takes upon itself what the agents say happened since. Nothing is asked of any device by it.

use crate::adopt;
use crate::adoption::{Adoption, Undecided};
use crate::consent;
use crate::event::Intent;
use crate::out::Out;
use crate::record::{Consent, Ended, Fact};
use crate::state::State;
use std::collections::BTreeSet;
use vocabulary::{AgentId, Fault, PlanId};

/// A person agrees to what was shown, and to nothing else. When enough have, it is taken.
pub fn adopt(state: &mut State, out: &mut Out, principal: &str, hash: &str, reason: String) -> Result<(), Fault> {
    if !state.ledger.has_to_adopt() {
        return Err(adopt::nothing());
    }
    let adoption = adopt::read(state, out.now);
    if let Some(first) = adoption.strange.first() {
        return Err(Fault::new(
            1107,
            format!("the documents are older than what runs: {first}, and {} more", adoption.strange.len() - 1),
            "start `serve` on the documents that were in force last; nothing is taken before they name all that is in use",
        ));
    }
    let now = adoption.hash();
    if now != hash {
        return Err(Fault::new(
            67,
            format!("what would be adopted is no longer what was shown: its hash is {now} now"),
            "look at it again: `understudy adopt`; if it goes on changing, another controller is still at work: stop it",
        ));
    }
    let to = Consent::Adopt { hash: now };
    out.record(&mut state.ledger, Fact::Consented { to: to.clone(), principal: principal.to_owned(), reason });
    consent::notice(state, out.now, out.wall);
    let principals = consent::to(state, &to, out.now);
    if principals.len() >= consent::needed_to_adopt(state) {
        take(state, out, adoption, principals);
    }
    Ok(())
}

/// How the reason of a hold begins that only says what an adoption could not.
const UNPLACED: &str = "nobody can say where it is";

fn take(state: &mut State, out: &mut Out, adoption: Adoption, principals: BTreeSet<String>) {
    if state.ledger.restored.is_some() {
        let open: Vec<PlanId> = state.ledger.open_plans().map(|row| row.plan.id()).collect();
        for plan in open {
            let reason = "it was under way when the backup was taken from which this store was restored".to_owned();
            let ended = Ended { code: "F0308".to_owned(), reason, target_failed: false };
            out.record(&mut state.ledger, Fact::Closed { plan, result: Err(ended) });
        }
        state.works.clear();
    }
    for placed in &adoption.placed {
        if let Some(watch) = state.watch.servers.get_mut(&placed.server) {
            watch.forget();
        }
    }
    let by = principals.iter().cloned().collect::<Vec<_>>().join(" and ");
    let (undecided, settled) = (adoption.undecided.clone(), adoption.settled.clone());
    out.record(&mut state.ledger, Fact::Adopted { adoption: Box::new(adoption), principals });
    for (server, Undecided { why, .. }) in undecided {
        let server = Some(server);
        if !state.ledger.holds.contains_key(&server) {
            let reason = format!("{UNPLACED}: {why}");
            out.record(&mut state.ledger, Fact::Hold { server, principal: by.clone(), reason });
        }
    }
    for server in settled.into_iter().map(Some) {
        if state.ledger.holds.get(&server).is_some_and(|hold| hold.reason.starts_with(UNPLACED)) {
            let reason = "it is known where it is".to_owned();
            out.record(&mut state.ledger, Fact::Resumed { server, principal: by.clone(), reason });
        }
    }
    state.watch.drawn_before = state.ledger.epoch;
}

/// A store that was not adopted decides nothing, and an agent that was not heard then is not told what it has to remember.
pub fn is_first(state: &State, intent: &Intent) -> Result<(), Fault> {
    match intent {
        Intent::ReadoptAgent { agent } => may_be_seeded(state, agent)?,
        Intent::EnrolMachine { .. }
        | Intent::StartServer { .. }
        | Intent::StopServer { .. }
        | Intent::RestartServer { .. }
        | Intent::StartFailover { .. }
        | Intent::ApproveFailover { .. }
        | Intent::AbortFailover { .. }
        | Intent::ConfirmOff { .. }
        | Intent::StartSite { .. }
        | Intent::ReleaseMachine { .. } => {}
        Intent::EnrolAgent { .. }
        | Intent::Adopt { .. }
        | Intent::SetTierMode { .. }
        | Intent::ResumeGuard { .. }
        | Intent::Hold { .. }
        | Intent::Resume { .. }
        | Intent::Maintain { .. }
        | Intent::EndMaintenance { .. } => return Ok(()),
    }
    match state.ledger.unadopted() {
        None => Ok(()),
        Some(why) => Err(Fault::new(1105, why, "`understudy adopt` shows what they know, and takes it over")),
    }
}

fn may_be_seeded(state: &State, agent: &AgentId) -> Result<(), Fault> {
    let waits = state.ledger.overruled.get(agent.as_str()).is_some_and(|row| row.until_seeded);
    let knows = state.watch.gates.get(agent.as_str()).is_some_and(|gate| gate.hello.trusted && gate.forgotten.is_empty());
    if waits && knows {
        return Err(Fault::new(
            1108,
            format!("agent {agent} was not heard when this store was adopted, and may know what this store does not"),
            "`understudy adopt` shows what it knows, takes that over and seeds it",
        ));
    }
    Ok(())
}
