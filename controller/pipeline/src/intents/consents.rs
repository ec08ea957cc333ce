//! What persons say to what is about to be done: yes to a plan, no to one, yes to what the guard holds, that a machine is off. It must never do anything itself: what is
//! agreed to is decided upon anew.

use super::brakes;
use crate::consent;
use crate::ledger::PlanRow;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::{Consent, Ended, Fact, Found};
use crate::s2_decide::guard::{self, Domain};
use crate::state::State;
use crate::{s4_place, s9_return};
use std::collections::BTreeSet;
use vocabulary::estate::ProofChoice;
use vocabulary::{Fault, MachineId, PlanId, ServerId};

/// A person agrees to the plan that was shown for the server, and to no other.
pub fn approve(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    server: &ServerId,
    hash: String,
    reason: String,
) -> Result<(), Fault> {
    if !state.estate.servers.contains_key(server) {
        return Err(s4_place::unknown(server));
    }
    let Some(proposal) = state.ledger.servers.get(server).and_then(|row| row.proposed.as_ref()) else {
        return Err(Fault::new(
            211,
            format!("no failover of {server} waits to be approved"),
            format!("`understudy server why {server}` tells what is done about it, and why"),
        ));
    };
    if proposal.hash != hash {
        return Err(Fault::new(
            67,
            format!("the plan for {server} is no longer the one that was shown: its hash is {} now", proposal.hash),
            format!("look at the new plan, then approve that one: `understudy failover approve {server}`"),
        ));
    }
    let to = Consent::Plan { server: server.clone(), hash };
    out.record(&mut state.ledger, Fact::Consented { to, principal: principal.to_owned(), reason });
    consent::notice(state, out.now, out.wall);
    Ok(())
}

/// A failover that has cut nothing off is given up, and the server is held: else it would be begun again at once.
pub fn abort(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    server: &ServerId,
    reason: String,
) -> Result<Option<PlanId>, Fault> {
    let open = state.ledger.open_plan_of(server).filter(|row| row.plan.body().kind == Kind::Failover);
    let waits = state.ledger.servers.get(server).is_some_and(|row| row.proposed.is_some());
    let (id, begun) = match open {
        Some(row) => (Some(row.plan.id()), row.begun || row.owned),
        None if waits => (None, false),
        None => {
            return Err(Fault::new(
                211,
                format!("no failover of {server} is open or waits to be approved"),
                "`understudy status` shows what is under way; `understudy hold SERVER` keeps anything new from being begun",
            ));
        }
    };
    if let Some(id) = id.filter(|_| begun) {
        return Err(Fault::new(
            307,
            format!("{id} has begun to cut off the machine of {server}: bars stay, and there is only forward"),
            format!("`understudy hold {server}` stops it at its next step; `understudy plan show {id}` shows where it is"),
        ));
    }
    brakes::hold(state, out, principal, Some(server.clone()), true, reason.clone())?;
    if let Some(mut work) = id.and_then(|id| state.works.remove(&id)) {
        let reason = format!("given up by {principal}: {reason}");
        let ended = Ended { code: "F0306".to_owned(), reason, target_failed: true };
        s9_return::close(state, &mut work, out, Err(ended));
        super::keep(state, work);
    }
    Ok(id)
}

/// A person agrees that the machines which are suspect together in this domain are let go by the guard.
pub fn resume_guard(state: &mut State, out: &mut Out, principal: &str, domain: String, reason: String) -> Result<(), Fault> {
    let held: Vec<Domain> = guard::troubled(state, out.now).into_iter().filter(Domain::is_held).collect();
    let Some(found) = held.iter().find(|held| held.shared.to_string() == domain) else {
        let names: Vec<String> = held.iter().map(|held| format!("`{}`", held.shared)).collect();
        let list = if names.is_empty() { "it holds nothing".to_owned() } else { format!("it holds {}", names.join(", ")) };
        return Err(Fault::new(
            213,
            format!("the guard does not hold `{domain}`: {list}"),
            "`understudy guard show` shows every domain with suspects",
        ));
    };
    let machines: BTreeSet<MachineId> = found.suspects.clone();
    let to = Consent::LetGo { domain, machines };
    out.record(&mut state.ledger, Fact::Consented { to, principal: principal.to_owned(), reason });
    consent::notice(state, out.now, out.wall);
    Ok(())
}

/// So many characters of a wrong serial number are told.
const SERIAL_SHOWN_MAX: usize = 64;

/// A person stands before a machine that is being fenced, and says that it is off. Whoever types the serial number of another box stands before that.
pub fn confirm_off(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    (machine, serial, found): (MachineId, String, Found),
    reason: String,
) -> Result<(), Fault> {
    let Some(document) = state.estate.machines.get(&machine) else { return Err(s4_place::unknown_machine(&machine)) };
    if state.estate.settings.fencing.proof != ProofChoice::Any {
        return Err(Fault::new(
            311,
            "`fencing.proof` of this estate leaves the word of persons out",
            "set it to `any` in the estate's document, if that is what the site wants",
        ));
    }
    let fences = |row: &&PlanRow| row.plan.body().kind == Kind::Failover && row.plan.body().fence.contains(&machine);
    let Some(plan) = state.ledger.open_plans().find(fences).map(|row| row.plan.id()) else {
        return Err(Fault::new(
            311,
            format!("no failover waits for a proof that {machine} is off"),
            "`understudy failover start SERVER` begins one; `understudy status` shows what is under way",
        ));
    };
    if reason.trim().is_empty() {
        let remedy = "say how you know: who pulled which cords, and the ticket";
        return Err(Fault::new(73, "a word that stands for a proof needs a reason", remedy));
    }
    let same = !document.serial.trim().is_empty() && document.serial.trim().eq_ignore_ascii_case(serial.trim());
    if !same {
        let read: String = serial.trim().chars().take(SERIAL_SHOWN_MAX).flat_map(char::escape_debug).collect();
        return Err(Fault::new(
            312,
            format!("the serial number of {machine} is not `{read}`: you may stand before another machine"),
            format!(
                "read it off the box that you have looked at; `understudy machine show {machine}` tells where {machine} stands"
            ),
        ));
    }
    let what = format!("machine confirm-off {machine} ({plan})");
    out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
    let to = Consent::Off { machine, serial: serial.trim().to_owned(), found };
    out.record(&mut state.ledger, Fact::Consented { to, principal: principal.to_owned(), reason });
    consent::notice(state, out.now, out.wall);
    Ok(())
}
