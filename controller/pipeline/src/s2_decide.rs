//! Stage 2: symptoms become verdicts, or reasons why not. The guard lives here: a mass of suspicions is an outage of something else,
//! and a controller whose own gateways are silent is blind and does nothing.

use crate::brake;
use crate::overrule;
use crate::s1_detect::{Kind, Symptom, is_suspicion, symptom};
use crate::state::State;
use crate::watch::Suspicion;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::Mode;
use vocabulary::{Instant, MachineId, ServerId, Span, StorageId, WallTime};

/// A day, for the limit of failovers.
const DAY: Span = Span::seconds(86_400);
/// A rack or feed is held from this many suspects on, if they are also this share of its machines.
const RACK_COUNT: usize = 2;
/// See `RACK_COUNT`; also the share of a switch or storage target.
const DOMAIN_PERCENT: usize = 20;
/// A switch or storage target is held above this many suspects.
const SWITCH_COUNT: usize = 3;
/// A suspicion that pauses for less is one: a dead machine whose BMC misses a reading has not died anew.
const SAME_SUSPICION: Span = Span::seconds(30);

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
    /// Failed: it is to be failed over, if a spare fits.
    Failed(Symptom),
    /// Failed or ill, and held.
    Held(Symptom, Hold),
    /// Failed; in this mode it is only said what would be done.
    WouldHave(Symptom),
}

/// Concludes about one server.
pub fn decide(state: &State, server: &ServerId, now: Instant, wall: WallTime) -> Decision {
    if state.ledger.open_plan_of(server).is_some() {
        return Decision::Fine;
    }
    let Some(symptom) = symptom(state, server, now) else { return Decision::Fine };
    if !symptom.failed {
        let missing = symptom.lacks.map(|witness| format!(": {} speaks alone, and {witness}", symptom.kind));
        if missing.is_none() && symptom.kind != Kind::ServiceDown {
            return Decision::Suspect(symptom);
        }
        let unproven = Hold::new(
            "F0205",
            format!(
                "{server} does not answer as it should, but its machine is not proven to be dead{}",
                missing.unwrap_or_default()
            ),
            format!("`understudy server restart {server}`, or `understudy failover start {server}`"),
        );
        let machine = symptom.machine.clone();
        // what a rival store or a person explains is no service that is ill
        return Decision::Held(symptom, overruled(state, server).or_else(|| braked(state, server, &machine)).unwrap_or(unproven));
    }
    if let Some(hold) = hold(state, server, &symptom, now, wall) {
        return Decision::Held(symptom, hold);
    }
    match mode(state, server) {
        Mode::Auto => Decision::Failed(symptom),
        Mode::Observe => Decision::WouldHave(symptom),
        mode @ (Mode::Manual | Mode::Approve) => {
            let word = if mode == Mode::Manual { "manual" } else { "approve" };
            let hold = Hold::new(
                "F0204",
                format!("{server} failed, and its tier's mode is `{word}`"),
                format!("`understudy failover start {server}`"),
            );
            Decision::Held(symptom, hold)
        }
    }
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
    if mode(state, server) != Mode::Auto {
        return Err(format!("the mode of {server} is no longer `auto`"));
    }
    let Some(symptom) = symptom(state, server, now) else { return Err("the server was seen alive again".to_owned()) };
    if !symptom.failed {
        return Err(format!("the verdict no longer stands: {}", symptom.evidence.join("; ")));
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
        .or_else(|| guard(state, &symptom.machine, now))
        .or_else(|| rate(state, server, wall))
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

/// An agent that the failover would need knows more than this store: no epoch is drawn against it.
fn overruled(state: &State, server: &ServerId) -> Option<Hold> {
    let row = state.ledger.servers.get(server)?;
    let (agent, evidence) = overrule::overruler(state, &row.past, Some(server))?;
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

/// The machines of a domain that fail together with this one, itself included: suspect within the window, and each since within the
/// window of when another of them began. One that has been dead for weeks is no part of what happens now.
fn together<'a>(state: &State, machine: &'a MachineId, members: &BTreeSet<&'a MachineId>, window: Span, now: Instant) -> usize {
    let own = state.watch.suspicions.get(machine).map_or(now, |suspicion| suspicion.first);
    let others = state.watch.suspicions.iter().filter(|(id, _)| *id != machine && members.contains(id));
    let mut begun: Vec<Instant> =
        others.filter(|(_, s)| now.since(s.last) <= window).map(|(_, s)| s.first).chain([own]).collect();
    begun.sort();
    let near = |pair: &&[Instant]| matches!(pair, [before, after] if after.since(*before) <= window);
    let at = begun.partition_point(|first| *first < own);
    let (earlier, later) = (begun.get(..=at).unwrap_or_default(), begun.get(at..).unwrap_or_default());
    let before = earlier.windows(2).rev().take_while(near).count();
    before + 1 + later.windows(2).take_while(near).count()
}

/// How a failure domain of a machine stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// What it is: `rack r1`.
    pub name: String,
    /// Machines of it that fail together with this one, itself included.
    pub suspects: usize,
    /// All its machines.
    pub machines: usize,
    /// With so many suspects it is held.
    pub held_from: usize,
    /// Within this time.
    pub window: Span,
}

impl Domain {
    /// True if what fails in it is held.
    pub fn is_held(&self) -> bool {
        self.suspects >= self.held_from
    }
}

/// Every failure domain of a suspect machine, the smallest first.
pub fn domains(state: &State, machine: &MachineId, now: Instant) -> Vec<Domain> {
    let settings = &state.estate.settings.guard;
    let counted = |(name, members): (String, BTreeSet<&MachineId>)| {
        let machines = members.len();
        let shared = name.starts_with("rack") || name.starts_with("feed");
        let held_from = if shared {
            RACK_COUNT.max((machines * DOMAIN_PERCENT).div_ceil(100))
        } else {
            SWITCH_COUNT.max(machines * DOMAIN_PERCENT / 100) + 1
        };
        let suspects = together(state, machine, &members, settings.window, now);
        Domain { name, suspects, machines, held_from, window: settings.window }
    };
    let mut domains: Vec<Domain> = members(state, machine).into_iter().map(counted).collect();
    domains.extend(state.estate.machines.get(machine).map(|document| {
        let of_site = state.estate.machines.iter().filter(|(_, other)| other.site == document.site);
        let members: BTreeSet<&MachineId> = of_site.map(|(id, _)| id).collect();
        let (machines, window) = (members.len(), settings.site_window);
        let held_from = (settings.site_count as usize).max(machines * settings.site_percent as usize / 100) + 1;
        let suspects = together(state, machine, &members, window, now);
        Domain { name: format!("site {}", document.site), suspects, machines, held_from, window }
    }));
    domains
}

/// The blast-radius guard: counts suspicions per failure domain within the window. `None` lets pass.
pub fn guard(state: &State, machine: &MachineId, now: Instant) -> Option<Hold> {
    let held = domains(state, machine, now).into_iter().find(Domain::is_held)?;
    let Domain { name, suspects, machines, window, .. } = held;
    let text = format!("{suspects} of {machines} machines of {name} are suspects within {window}: it is held");
    Some(Hold::new("F0202", text, "by itself, when fewer are suspects"))
}

/// The feeds, the rack, the storage targets and the switches that a machine hangs on, in this order, with all machines that do.
fn members<'a>(state: &'a State, machine: &MachineId) -> Vec<(String, BTreeSet<&'a MachineId>)> {
    let Some(own) = state.estate.machines.get(machine) else { return Vec::new() };
    let all = |member: &dyn Fn(&vocabulary::estate::Machine) -> bool| -> BTreeSet<&'a MachineId> {
        state.estate.machines.iter().filter(|(_, other)| member(other)).map(|(id, _)| id).collect()
    };
    let mut domains = Vec::new();
    for feed in own.feeds.iter().collect::<BTreeSet<_>>() {
        domains.push((format!("feed {feed}"), all(&|other| other.feeds.contains(feed))));
    }
    domains.push((format!("rack {}", own.rack), all(&|other| other.rack == own.rack)));
    let mut storages: BTreeMap<&StorageId, BTreeSet<&MachineId>> = BTreeMap::new();
    for (server, row) in &state.ledger.servers {
        let (Some(placement), Some(profile)) = (&row.placement, state.estate.servers.get(server)) else { continue };
        let Some((bearer, _)) = state.estate.machines.get_key_value(&placement.machine) else { continue };
        for volume in &profile.volumes {
            storages.entry(&volume.storage).or_default().insert(bearer);
        }
    }
    let on_its = storages.into_iter().filter(|(_, members)| members.contains(machine));
    domains.extend(on_its.map(|(storage, members)| (format!("storage {storage}"), members)));
    for switch in own.nics.iter().map(|nic| &nic.switch).collect::<BTreeSet<_>>() {
        domains.push((format!("switch {switch}"), all(&|other| other.nics.iter().any(|nic| nic.switch == *switch))));
    }
    domains
}

/// Keeps the guard's memory: who is suspect since when, and was last. A suspicion is renewed as long as the symptom lasts, so that a hold
/// of a dark domain does not end by itself; it is forgotten the longest window after its end.
pub fn remember(state: &mut State, found: Option<&Symptom>, now: Instant) {
    let longest = state.estate.settings.guard.window.max(state.estate.settings.guard.site_window);
    state.watch.suspicions.retain(|_, suspicion| now.since(suspicion.last) <= longest);
    // what somebody works on falls silent for that reason
    let counts = |symptom: &&Symptom| is_suspicion(symptom.kind) && brake::worked_on(&state.ledger, &symptom.machine).is_none();
    if let Some(symptom) = found.filter(counts) {
        let before = state.watch.suspicions.get(&symptom.machine).filter(|before| now.since(before.last) <= SAME_SUSPICION);
        let first = before.map_or(now, |before| before.first);
        state.watch.suspicions.insert(symptom.machine.clone(), Suspicion { first, last: now });
    }
}
