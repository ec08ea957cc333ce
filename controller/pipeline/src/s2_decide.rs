//! Stage 2: symptoms become verdicts, or reasons why not: what a person holds, what the guard holds, what mode and limits say. A controller
//! whose own gateways are silent is blind and does nothing.

pub mod guard;
pub mod ladder;
pub mod restart;

use crate::brake;
use crate::consent;
use crate::ledger::PlanRow;
use crate::overrule;
use crate::plan;
use crate::s1_detect::{Kind, Symptom, symptom};
use crate::state::State;
use guard::guard;
use restart::Advice;
use vocabulary::estate::Mode;
use vocabulary::{Instant, MachineId, ServerId, Span, WallTime};

/// A day, for the limit of failovers.
const DAY: Span = Span::seconds(86_400);

/// Why nothing is done although something is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Fault code.
    pub code: &'static str,
    /// Why.
    pub reason: String,
    /// What ends it.
    pub ends: String,
}

impl Hold {
    fn new(code: &'static str, reason: impl Into<String>, ends: impl Into<String>) -> Hold {
        Hold { code, reason: reason.into(), ends: ends.into() }
    }
}

/// What is concluded about one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Nothing is wrong, or it is being worked on.
    Fine,
    /// Something may be wrong; windows are not full, or domains do not agree.
    Suspect(Symptom),
    /// Its machine lives and its service does not: it is to be restarted where it is.
    Restart(Symptom),
    /// Failed: it is to be failed over, if a spare fits.
    Failed(Symptom),
    /// Failed or ill, and held.
    Held(Symptom, Hold),
    /// Failed: persons are to agree to what would be done.
    Asks(Symptom),
    /// Failed; in this mode it is only said what would be done.
    WouldHave(Symptom),
}

/// Concludes about one server.
pub fn decide(state: &State, server: &ServerId, now: Instant, wall: WallTime) -> Decision {
    if state.ledger.open_plan_of(server).is_some() {
        return Decision::Fine;
    }
    let Some(symptom) = symptom(state, server, now) else { return Decision::Fine };
    if let Some(site) = state.ledger.waits_for_turn(server) {
        let text = format!("{server} waits for its turn in the start of site {site}");
        return Decision::Held(symptom, Hold::new("F0214", text, "by itself, when its turn comes or that start has ended"));
    }
    if !symptom.failed {
        let missing = symptom.lacks.map(|witness| format!(": {} speaks alone, and {witness}", symptom.kind));
        if missing.is_none() && symptom.kind != Kind::ServiceDown {
            return Decision::Suspect(symptom);
        }
        return ill(state, server, symptom, missing, now, wall);
    }
    if let Some(hold) = hold(state, server, &symptom, now, wall) {
        return Decision::Held(symptom, hold);
    }
    match mode(state, server) {
        Mode::Observe => Decision::WouldHave(symptom),
        Mode::Auto => Decision::Failed(symptom),
        // whoever wanted it moved wants it served: one more spare is the same failover
        Mode::Approve | Mode::Manual if symptom.kind == Kind::SpareFailed => Decision::Failed(symptom),
        Mode::Approve => Decision::Asks(symptom),
        Mode::Manual => {
            let hold = Hold::new(
                "F0204",
                format!("{server} failed, and its tier's mode is `manual`"),
                format!("`understudy failover start {server}`"),
            );
            Decision::Held(symptom, hold)
        }
    }
}

/// As what a service is held that is ill on a machine that is not proven to be dead.
pub const ILL: &str = "F0205";

/// It does not answer as it should, and its machine is not proven to be dead: it is restarted where it is, or a person is asked.
fn ill(state: &State, server: &ServerId, symptom: Symptom, missing: Option<String>, now: Instant, wall: WallTime) -> Decision {
    // what a rival store or a person explains is no service that is ill
    if let Some(hold) = overruled(state, server).or_else(|| braked(state, server, &symptom.machine)) {
        return Decision::Held(symptom, hold);
    }
    let why_not = match restart::advice(state, server, &symptom, now, wall) {
        Advice::Restart => {
            return match ladder::skipped(state, server, &symptom, now, wall) {
                Some(hold) => Decision::Held(symptom, hold),
                None => Decision::Restart(symptom),
            };
        }
        Advice::Watch => return Decision::Suspect(symptom),
        Advice::NoCase => String::new(),
        Advice::Not(why) => format!("; it is not restarted by itself: {why}"),
    };
    let text = format!(
        "{server} does not answer as it should, but its machine is not proven to be dead{}{why_not}",
        missing.unwrap_or_default()
    );
    let ends = format!("`understudy server restart {server}`, or `understudy failover start {server}`");
    Decision::Held(symptom, Hold::new(ILL, text, ends))
}

/// Whether enough persons have agreed to this plan for the server.
pub fn is_approved(state: &State, server: &ServerId, hash: &str, now: Instant) -> bool {
    consent::to_plan(state, server, hash, now).len() >= consent::needed(state)
}

/// What is told while persons are to agree.
pub fn unapproved(state: &State, server: &ServerId, target: &MachineId, hash: &str) -> Hold {
    let short: String = hash.chars().take(12).collect();
    let people = match consent::needed(state) {
        1 => "a person".to_owned(),
        people => format!("{people} people"),
    };
    Hold::new(
        "F0204",
        format!("{server} failed, and its tier's mode is `approve`: {people} must agree to move it to {target} (plan {short})"),
        format!("`understudy failover approve {server}`"),
    )
}

/// The mode that acts: the most cautious of ceiling, tier and server.
pub fn mode(state: &State, server: &ServerId) -> Mode {
    let Some((tier_id, tier)) = state.estate.tier_of(server) else { return Mode::Observe };
    let ceiling = state.ledger.ceilings.get(tier_id).copied().unwrap_or_else(|| default_mode(state));
    let own = state.estate.servers.get(server).and_then(|profile| profile.mode).unwrap_or(tier.mode);
    ceiling.min(tier.mode).min(own)
}

/// The ceiling of a tier that was never set.
fn default_mode(state: &State) -> Mode {
    let lab = state.life.as_ref().is_some_and(|life| life.lab);
    if lab { Mode::Auto } else { Mode::Observe }
}

/// The mode of a machine: the boldest of the servers that are on it, may be placed on it, or were; of nobody's machine, the default of
/// the estate. In `observe` it is only read.
pub fn machine_mode(state: &State, machine: &MachineId) -> Mode {
    let pooled = |pool: &vocabulary::PoolId| {
        let listed = state.estate.pools.get(pool).is_some_and(|document| document.machines.contains(machine));
        listed || state.ledger.machines.get(machine).is_some_and(|row| row.pool.as_ref() == Some(pool))
    };
    let held = |server: &ServerId| state.ledger.servers.get(server).is_some_and(|row| row.past.contains(machine));
    let servers = state.estate.servers.iter();
    let users = servers.filter(|(id, profile)| &profile.home == machine || pooled(&profile.pool) || held(id));
    users.map(|(id, _)| mode(state, id)).max().unwrap_or_else(|| default_mode(state))
}

/// Asked again right before the first fencing effect: does the verdict still stand, and would it still be acted on?
pub fn stands(state: &State, server: &ServerId, now: Instant) -> Result<(), String> {
    if let Some(hold) = blind(state, now) {
        return Err(hold.reason);
    }
    let Some(symptom) = symptom(state, server, now) else { return Err("the server was seen alive again".to_owned()) };
    if !symptom.failed {
        return Err(format!("the verdict no longer stands: {}", symptom.evidence.join("; ")));
    }
    let agreed = || state.ledger.open_plan_of(server).is_some_and(|row| row.agreed.len() >= consent::needed(state));
    let may = match mode(state, server) {
        Mode::Auto => true,
        Mode::Approve => symptom.kind == Kind::SpareFailed || agreed(),
        Mode::Manual => symptom.kind == Kind::SpareFailed,
        Mode::Observe => false,
    };
    if !may {
        return Err(format!("the mode of {server} is `{}` now", mode(state, server).word()));
    }
    match braked(state, server, &symptom.machine).or_else(|| guard(state, &symptom.machine, now)) {
        Some(hold) => Err(hold.reason),
        None => Ok(()),
    }
}

fn hold(state: &State, server: &ServerId, symptom: &Symptom, now: Instant, wall: WallTime) -> Option<Hold> {
    blind(state, now)
        .or_else(|| overruled(state, server))
        .or_else(|| braked(state, server, &symptom.machine))
        .or_else(|| poisonous(state, server, symptom))
        .or_else(|| guard(state, &symptom.machine, now))
        .or_else(|| rate(state, server, wall))
}

/// So many spares that come up without the service, one after the other, say that it is the image, and no spare.
const POISONED: usize = 2;

/// An image that no spare brings into service uses up no more of them.
fn poisonous(state: &State, server: &ServerId, symptom: &Symptom) -> Option<Hold> {
    if symptom.kind != Kind::SpareFailed {
        return None;
    }
    let failovers = state.ledger.plans.values().rev().filter(|row| is_failover(row, server) && row.owned);
    let in_vain = |row: &&PlanRow| matches!(&row.closed, Some(Err(ended)) if ended.code == NO_SERVICE);
    let spares: Vec<String> = failovers.take_while(in_vain).map(|row| row.plan.target().to_string()).collect();
    (spares.len() >= POISONED).then(|| {
        let text = format!(
            "{server} came into service on none of {}, one after the other: it is its image or its data, and no more spares are used up",
            spares.join(", ")
        );
        Hold::new("F0212", text, format!("when the image is mended: `understudy failover start {server}`"))
    })
}

/// As what a plan ends whose target was powered on and did not serve.
pub const NO_SERVICE: &str = "F0801";

fn is_failover(row: &PlanRow, server: &ServerId) -> bool {
    row.plan.server() == Some(server) && row.plan.body().kind == plan::Kind::Failover
}

fn blind(state: &State, now: Instant) -> Option<Hold> {
    let since = state.watch.blind_since?;
    let text = format!("no canary answers since {}: the controller may be the isolated one", now.since(since));
    Some(Hold::new("F0201", text, "by itself, when a canary answers"))
}

/// A person holds it, or works on it.
fn braked(state: &State, server: &ServerId, machine: &MachineId) -> Option<Hold> {
    if let Some((hold, ends)) = brake::held(&state.ledger, Some(server)) {
        let text = format!("{} holds what would be done for {server}: {}", hold.principal, hold.reason);
        return Some(Hold::new("F0207", text, format!("`{ends}`")));
    }
    let (subject, maintenance) = brake::worked_on(&state.ledger, machine)?;
    let text = format!("{subject} is in maintenance by {}: {}", maintenance.principal, maintenance.reason);
    Some(Hold::new(
        "F0208",
        text,
        format!("by itself, when the time set for it is over, or `understudy maintenance end {subject}`"),
    ))
}

/// An agent that the failover would need knows more than this store, or any agent obeys a process on a copy of it: no epoch is drawn against it.
fn overruled(state: &State, server: &ServerId) -> Option<Hold> {
    if let Some(why) = state.ledger.unadopted() {
        return Some(Hold::new("F1105", why, "`understudy adopt`"));
    }
    let row = state.ledger.servers.get(server)?;
    let (agent, evidence) = overrule::forbids(state, &row.past, Some(server))?;
    Some(Hold::new(
        "F0302",
        format!("agent {agent} knows more than this store, so that {server} is only observed: {evidence}"),
        format!(
            "when the right store is in force, or by `understudy agent readopt {agent}`, or when {agent} says something else"
        ),
    ))
}

/// The most that a wall clock may have been set back without a failover being forgotten.
const CLOCK_ERROR: Span = Span::seconds(300);

fn rate(state: &State, server: &ServerId, wall: WallTime) -> Option<Hold> {
    let guard = &state.estate.settings.guard;
    let made = &state.ledger.servers.get(server)?.failovers;
    // a plan that came to nothing before its first fencing effect, and one more spare within a failover, are not counted
    let counted: Vec<WallTime> = made.iter().copied().filter(|at| counts(state, server, *at)).collect();
    // a clock that was far ahead once must not hold a server until it is right again
    let real = |at: &&WallTime| at.0 <= wall.0.saturating_add(CLOCK_ERROR.0);
    let within = |span: Span| counted.iter().filter(real).filter(|at| wall.0.saturating_sub(at.0) < span.0).count();
    if within(guard.server_interval) >= 1 {
        let text = format!("{server} was failed over less than {} ago", guard.server_interval);
        return Some(Hold::new("F0203", text, format!("by itself, {} after the last failover", guard.server_interval)));
    }
    let today = within(DAY);
    (today >= guard.server_per_day as usize).then(|| {
        Hold::new(
            "F0203",
            format!("{server} was failed over {today} times within a day"),
            "by itself, a day after the first of them",
        )
    })
}

fn counts(state: &State, server: &ServerId, at: WallTime) -> bool {
    let of_server = |row: &&crate::ledger::PlanRow| row.plan.server() == Some(server) && row.times.0 == at;
    state.ledger.plans.values().find(of_server).is_none_or(|row| match &row.closed {
        // one that another store's epoch stopped before the server moved is held by that, and no failover
        Some(Err(ended)) => row.begun && !ended.target_failed && (row.owned || ended.code != "F0302"),
        Some(Ok(_)) | None => true,
    })
}
