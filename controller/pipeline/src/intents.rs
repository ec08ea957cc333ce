//! What operators and programs ask for: accepted, with the plan it opens, or refused with the reason. Nothing here touches a device.

mod adopt;
pub mod brakes;
mod consents;
pub mod sites;

use crate::brake;
use crate::event::Intent;
use crate::ledger::Standing;
use crate::out::Out;
use crate::overrule;
use crate::plan::Body;
use crate::record::Fact;
use crate::state::State;
use crate::work::Work;
use crate::{reseed, s2_decide, s3_fence, s4_place};
use vocabulary::estate::Mode;
use vocabulary::{Fault, MachineId, PlanId, PoolId, ServerId, TierId};

/// Accepts or refuses an intent.
pub fn accept(state: &mut State, out: &mut Out, principal: &str, intent: Intent) -> Result<Option<PlanId>, Fault> {
    brief(&intent)?;
    adopt::is_first(state, &intent)?;
    not_overruled(state, &intent)?;
    not_held(state, &intent)?;
    match intent {
        Intent::EnrolAgent { agent } => {
            let what = format!("agent enroll {agent}");
            out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
            out.record(&mut state.ledger, Fact::AgentEnrolled { agent });
            Ok(None)
        }
        Intent::ReadoptAgent { agent } => {
            let what = format!("agent readopt {agent}");
            out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
            Ok(None)
        }
        Intent::EnrolMachine { machine } => {
            // in `observe` its plan only reads
            let body = enrol(state, &machine)?;
            open(state, out, principal, format!("machine enroll {machine}"), body)
        }
        Intent::StartServer { server } => start(state, out, principal, &server),
        Intent::StopServer { server } => stop(state, out, principal, &server),
        Intent::RestartServer { server } => {
            let placement = placed(state, &server)?;
            may_touch(state, &server)?;
            not_cut(state, &server, &placement.machine)?;
            let body = s4_place::restart(state, &server, &placement);
            desire(state, out, &server, true);
            open(state, out, principal, format!("server restart {server}"), body)
        }
        Intent::StartFailover { server, reason, hash } => {
            free_server(state, &server)?;
            may_touch(state, &server)?;
            let body = s4_place::failover(state, &server, out.now)?;
            as_shown(&server, hash.as_deref(), &body)?;
            desire(state, out, &server, true);
            open(state, out, principal, format!("failover start {server}: {reason}"), body)
        }
        Intent::ReleaseMachine { machine } => {
            let body = release(state, &machine)?;
            open(state, out, principal, format!("machine release {machine}"), body)
        }
        Intent::ApproveFailover { server, hash, reason } => {
            consents::approve(state, out, principal, &server, hash, reason).map(|()| None)
        }
        Intent::AbortFailover { server, reason } => consents::abort(state, out, principal, &server, reason),
        Intent::Adopt { hash, reason } => adopt::adopt(state, out, principal, &hash, reason).map(|()| None),
        Intent::StartSite { site, hash, reason } => sites::start(state, out, principal, site, (hash, reason)).map(|()| None),
        Intent::ResumeGuard { domain, reason } => consents::resume_guard(state, out, principal, domain, reason).map(|()| None),
        Intent::ConfirmOff { machine, serial, found, reason } => {
            consents::confirm_off(state, out, principal, (machine, serial, found), reason).map(|()| None)
        }
        Intent::Hold { server, reason } => brakes::hold(state, out, principal, server, true, reason).map(|()| None),
        Intent::Resume { server, reason } => brakes::hold(state, out, principal, server, false, reason).map(|()| None),
        Intent::Maintain { subject, lasts, reason } => {
            brakes::maintain(state, out, principal, subject, lasts, reason).map(|()| None)
        }
        Intent::EndMaintenance { subject } => brakes::end(state, out, principal, subject).map(|()| None),
        Intent::SetTierMode { tier, mode } => set_mode(state, out, principal, &tier, mode),
    }
}

/// Longest reason that a person can give, bytes: it is recorded, and shown in one line.
const REASON_MAX: usize = 1_000;

fn brief(intent: &Intent) -> Result<(), Fault> {
    let reason = match intent {
        Intent::StartFailover { reason, .. }
        | Intent::ApproveFailover { reason, .. }
        | Intent::AbortFailover { reason, .. }
        | Intent::ResumeGuard { reason, .. }
        | Intent::Adopt { reason, .. }
        | Intent::StartSite { reason, .. }
        | Intent::ConfirmOff { reason, .. }
        | Intent::Hold { reason, .. }
        | Intent::Resume { reason, .. }
        | Intent::Maintain { reason, .. } => reason,
        Intent::EnrolAgent { .. }
        | Intent::ReadoptAgent { .. }
        | Intent::EnrolMachine { .. }
        | Intent::StartServer { .. }
        | Intent::StopServer { .. }
        | Intent::RestartServer { .. }
        | Intent::ReleaseMachine { .. }
        | Intent::EndMaintenance { .. }
        | Intent::SetTierMode { .. } => return Ok(()),
    };
    if reason.len() <= REASON_MAX {
        return Ok(());
    }
    Err(Fault::new(
        73,
        format!("the reason has {} bytes, and {REASON_MAX} at most are recorded", reason.len()),
        "say it in a sentence, and where the rest stands: a ticket, a page",
    ))
}

/// What a person holds is not begun by another one's command either.
fn not_held(state: &State, intent: &Intent) -> Result<(), Fault> {
    let server = match intent {
        Intent::EnrolMachine { .. } | Intent::ReleaseMachine { .. } | Intent::StartSite { .. } => None,
        Intent::StartServer { server }
        | Intent::StopServer { server }
        | Intent::RestartServer { server }
        | Intent::StartFailover { server, .. }
        | Intent::ApproveFailover { server, .. } => Some(server),
        Intent::EnrolAgent { .. }
        | Intent::ReadoptAgent { .. }
        | Intent::SetTierMode { .. }
        | Intent::AbortFailover { .. }
        | Intent::ResumeGuard { .. }
        | Intent::Adopt { .. }
        | Intent::ConfirmOff { .. }
        | Intent::Hold { .. }
        | Intent::Resume { .. }
        | Intent::Maintain { .. }
        | Intent::EndMaintenance { .. } => return Ok(()),
    };
    match brake::held(&state.ledger, server) {
        None => Ok(()),
        Some((hold, ends)) => Err(Fault::new(
            207,
            format!("{} holds what would be done: {}", hold.principal, hold.reason),
            format!("`{ends}` lets it go, if that is right now"),
        )),
    }
}

/// No epoch is drawn against an agent that knows more than this store, not even on an operator's command.
fn not_overruled(state: &State, intent: &Intent) -> Result<(), Fault> {
    let overruler = match intent {
        Intent::EnrolMachine { machine } | Intent::ReleaseMachine { machine } => overrule::forbids(state, [machine], None),
        Intent::StartServer { server }
        | Intent::StopServer { server }
        | Intent::RestartServer { server }
        | Intent::StartFailover { server, .. }
        | Intent::ApproveFailover { server, .. } => {
            let past = state.ledger.servers.get(server).into_iter().flat_map(|row| &row.past);
            let home = state.estate.servers.get(server).map(|profile| &profile.home);
            overrule::forbids(state, past.chain(home), Some(server))
        }
        Intent::EnrolAgent { .. }
        | Intent::ReadoptAgent { .. }
        | Intent::SetTierMode { .. }
        | Intent::AbortFailover { .. }
        | Intent::ResumeGuard { .. }
        | Intent::Adopt { .. }
        | Intent::StartSite { .. }
        | Intent::ConfirmOff { .. }
        | Intent::Hold { .. }
        | Intent::Resume { .. }
        | Intent::Maintain { .. }
        | Intent::EndMaintenance { .. } => None,
    };
    match overruler {
        None => Ok(()),
        Some((agent, evidence)) => Err(Fault::new(
            302,
            format!("agent {agent} knows more than this store, and is only observed: {evidence}"),
            format!(
                "look for a second controller or a restored backup and put the right store in force; if {agent} only obeys another \
                 lineage: `understudy agent readopt {agent}`"
            ),
        )),
    }
}

/// Opens a plan for an accepted intent.
fn open(state: &mut State, out: &mut Out, principal: &str, what: String, body: Body) -> Result<Option<PlanId>, Fault> {
    out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
    let mut work = s4_place::seal(state, out, body, false);
    s3_fence::begin(state, &mut work, out.now);
    Ok(Some(keep(state, work)))
}

/// Keeps a work under its plan's id.
pub fn keep(state: &mut State, work: Work) -> PlanId {
    let id = work.plan.id();
    state.works.insert(id, work);
    id
}

fn known(state: &State, machine: &MachineId) -> Result<(), Fault> {
    if state.estate.machines.contains_key(machine) {
        return Ok(());
    }
    Err(s4_place::unknown_machine(machine))
}

fn busy(state: &State, machine: &MachineId) -> Result<(), Fault> {
    match state.ledger.open_plan_on(machine) {
        None => Ok(()),
        Some(row) => Err(Fault::new(
            405,
            format!("plan {} ({}) is open on {machine}", row.plan.id(), row.plan.body().kind),
            format!("`understudy plan show {}` shows it; try again when it is closed", row.plan.id()),
        )),
    }
}

fn free_server(state: &State, server: &ServerId) -> Result<(), Fault> {
    if !state.estate.servers.contains_key(server) {
        return Err(s4_place::unknown(server));
    }
    match state.ledger.open_plan_of(server) {
        None => Ok(()),
        Some(row) => Err(Fault::new(
            405,
            format!("plan {} ({}) is open for {server}", row.plan.id(), row.plan.body().kind),
            format!("`understudy plan show {}` shows it; try again when it is closed", row.plan.id()),
        )),
    }
}

/// In `observe` nothing of the server is touched, not even on an operator's command.
fn may_touch(state: &State, server: &ServerId) -> Result<(), Fault> {
    if s2_decide::mode(state, server) != Mode::Observe {
        return Ok(());
    }
    let tier = state.estate.tier_of(server).map_or_else(|| "TIER".to_owned(), |(id, _)| id.to_string());
    Err(Fault::new(
        206,
        format!("{server} is only observed: nothing of it is touched while the ceiling or the mode of tier {tier} is `observe`"),
        format!(
            "`understudy tier mode {tier} manual` lets it act on commands, `auto` also by itself; see also `mode` in the documents"
        ),
    ))
}

/// In `observe` nothing of the machine is touched, not even its identify light.
pub fn may_touch_machine(state: &State, machine: &MachineId) -> Result<(), Fault> {
    not_held(state, &Intent::ReleaseMachine { machine: machine.clone() })?;
    if s2_decide::machine_mode(state, machine) != Mode::Observe {
        return Ok(());
    }
    Err(Fault::new(
        206,
        format!("{machine} is only observed: no server that may be on it has a mode other than `observe`"),
        "`understudy tier mode TIER manual` lets a tier act on commands, `auto` also by itself; see also `mode` in the documents",
    ))
}

/// The plan that a person has seen is the one that is sealed, or none.
fn as_shown(server: &ServerId, hash: Option<&str>, body: &Body) -> Result<(), Fault> {
    let now = body.hash();
    if hash.is_none_or(|shown| shown == now) {
        return Ok(());
    }
    Err(Fault::new(
        67,
        format!("the plan for {server} is no longer the one that was shown: its hash is {now} now"),
        "look at the new plan above, then start the failover again",
    ))
}

fn placed(state: &State, server: &ServerId) -> Result<crate::ledger::Placement, Fault> {
    free_server(state, server)?;
    state.ledger.placement(server).cloned().ok_or_else(|| {
        Fault::new(
            402,
            format!("{server} was never placed"),
            format!("`understudy server start {server}` makes its first placement"),
        )
    })
}

/// A failover that has cut the server's machine off and came to no spare leaves its bars: nothing starts there any more.
fn not_cut(state: &State, server: &ServerId, machine: &MachineId) -> Result<(), Fault> {
    match reseed::bearing(&state.ledger, machine).1 {
        None => Ok(()),
        Some(epoch) => Err(Fault::new(
            407,
            format!(
                "{machine} was cut off by plan {}, whose failover came to no spare, so that {server} cannot start there",
                PlanId(epoch)
            ),
            "`understudy spare list` says what is wrong with each spare; when one fits, the failover goes on by itself",
        )),
    }
}

fn desire(state: &mut State, out: &mut Out, server: &ServerId, running: bool) {
    if state.ledger.servers.get(server).is_none_or(|row| row.desired != running) {
        out.record(&mut state.ledger, Fact::Desired { server: server.clone(), running });
    }
}

fn enrol(state: &State, machine: &MachineId) -> Result<Body, Fault> {
    known(state, machine)?;
    busy(state, machine)?;
    match state.ledger.standing(machine) {
        Standing::Free => Ok(s4_place::enrol(state, machine)),
        Standing::Reserved(_) | Standing::Bearing(_) | Standing::Quarantined { .. } => Err(Fault::new(
            406,
            format!("{machine} bears a server or is in quarantine: enrolling parks its ports"),
            format!("`understudy machine show {machine}` tells; release it first"),
        )),
    }
}

fn start(state: &mut State, out: &mut Out, principal: &str, server: &ServerId) -> Result<Option<PlanId>, Fault> {
    free_server(state, server)?;
    may_touch(state, server)?;
    let what = format!("server start {server}");
    match state.ledger.placement(server).cloned() {
        None => {
            let body = s4_place::first_start(state, server, out.now)?;
            desire(state, out, server, true);
            open(state, out, principal, what, body)
        }
        Some(placement) => {
            busy(state, &placement.machine)?;
            not_cut(state, server, &placement.machine)?;
            let off =
                state.watch.machines.get(&placement.machine).and_then(|w| w.last.as_ref()).is_some_and(|(_, r)| r.all_off());
            desire(state, out, server, true);
            if !off {
                // it is on, or nobody knows: nothing is powered on blindly; detection tells whether it serves
                out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
                return Ok(None);
            }
            let body = s4_place::restart(state, server, &placement);
            open(state, out, principal, what, body)
        }
    }
}

fn stop(state: &mut State, out: &mut Out, principal: &str, server: &ServerId) -> Result<Option<PlanId>, Fault> {
    let placement = placed(state, server)?;
    may_touch(state, server)?;
    busy(state, &placement.machine)?;
    // it is wanted until it has stopped: one that does not stop is watched on
    let body = s4_place::stop(state, server, &placement);
    open(state, out, principal, format!("server stop {server}"), body)
}

fn release(state: &State, machine: &MachineId) -> Result<Body, Fault> {
    known(state, machine)?;
    busy(state, machine)?;
    may_touch_machine(state, machine)?;
    let Standing::Quarantined { .. } = state.ledger.standing(machine) else {
        return Err(Fault::new(
            902,
            format!("{machine} is not in quarantine"),
            format!("`understudy machine show {machine}` tells what it is"),
        ));
    };
    pool_for(state, machine)?;
    Ok(s4_place::release(state, machine))
}

/// The pool that a released machine joins: the one that names it, else that of the server it bore.
pub fn pool_for(state: &State, machine: &MachineId) -> Result<PoolId, Fault> {
    let named = state.estate.pools.iter().find(|(_, pool)| pool.machines.contains(machine)).map(|(id, _)| id.clone());
    let bore = match state.ledger.standing(machine) {
        Standing::Quarantined { server: Some(server), .. } => {
            state.estate.servers.get(&server).map(|profile| profile.pool.clone())
        }
        _ => None,
    };
    named.or(bore).ok_or_else(|| {
        Fault::new(903, format!("no pool would take {machine}"), "name the machine in a `pool:` document, then release it")
    })
}

fn set_mode(state: &mut State, out: &mut Out, principal: &str, tier: &TierId, mode: Mode) -> Result<Option<PlanId>, Fault> {
    if !state.estate.tiers.contains_key(tier) {
        return Err(Fault::new(
            55,
            format!("there is no tier `{tier}` in the estate"),
            "look at the `tier:` documents of the estate",
        ));
    }
    out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what: format!("tier mode {tier} {mode:?}") });
    out.record(&mut state.ledger, Fact::Ceiling { tier: tier.clone(), mode });
    Ok(None)
}
