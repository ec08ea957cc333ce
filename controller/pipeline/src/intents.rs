//! What operators and programs ask for: accepted, with the plan it opens, or refused with the reason. Nothing here touches a device.

use crate::event::Intent;
use crate::ledger::Standing;
use crate::out::Out;
use crate::plan::Body;
use crate::record::Fact;
use crate::s4_place;
use crate::state::State;
use crate::{s3_fence, work::Work};
use vocabulary::estate::Mode;
use vocabulary::{Fault, MachineId, PlanId, PoolId, ServerId, TierId};

/// Accepts or refuses an intent.
pub fn accept(state: &mut State, out: &mut Out, principal: &str, intent: Intent) -> Result<Option<PlanId>, Fault> {
    match intent {
        Intent::EnrolAgent { agent } => {
            let what = format!("agent enroll {agent}");
            out.record(&mut state.ledger, Fact::Intended { principal: principal.to_owned(), what });
            out.record(&mut state.ledger, Fact::AgentEnrolled { agent });
            Ok(None)
        }
        Intent::EnrolMachine { machine } => {
            let body = enrol(state, &machine)?;
            open(state, out, principal, format!("machine enroll {machine}"), body)
        }
        Intent::StartServer { server } => start(state, out, principal, &server),
        Intent::StopServer { server } => stop(state, out, principal, &server),
        Intent::RestartServer { server } => {
            let placement = placed(state, &server)?;
            let body = s4_place::restart(state, &server, &placement);
            free_server(state, &server)?;
            desire(state, out, &server, true);
            open(state, out, principal, format!("server restart {server}"), body)
        }
        Intent::StartFailover { server, reason } => {
            free_server(state, &server)?;
            let body = s4_place::failover(state, &server, out.now)?;
            desire(state, out, &server, true);
            open(state, out, principal, format!("failover start {server}: {reason}"), body)
        }
        Intent::ReleaseMachine { machine } => {
            let body = release(state, &machine)?;
            open(state, out, principal, format!("machine release {machine}"), body)
        }
        Intent::SetTierMode { tier, mode } => set_mode(state, out, principal, &tier, mode),
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
    Err(Fault::new(
        54,
        format!("there is no machine `{machine}` in the estate"),
        "`understudy machine list` shows those there are",
    ))
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
    let what = format!("server start {server}");
    match state.ledger.placement(server).cloned() {
        None => {
            let body = s4_place::first_start(state, server, out.now)?;
            desire(state, out, server, true);
            open(state, out, principal, what, body)
        }
        Some(placement) => {
            busy(state, &placement.machine)?;
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
    busy(state, &placement.machine)?;
    desire(state, out, server, false);
    let body = s4_place::stop(state, server, &placement);
    open(state, out, principal, format!("server stop {server}"), body)
}

fn release(state: &State, machine: &MachineId) -> Result<Body, Fault> {
    known(state, machine)?;
    busy(state, machine)?;
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
