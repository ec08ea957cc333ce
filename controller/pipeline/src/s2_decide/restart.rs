//! Restart in place: a machine that answers, whose service does not, is restarted where it is, if its profile wants that. It must never touch a
//! machine of which nobody can say that it lives, nor one whose service may be well, nor many at once: what ails many services together is
//! seldom cured by stopping their machines.

use super::{CLOCK_ERROR, DAY, blind, braked, guard::guard, mode, overruled};
use crate::ledger::PlanRow;
use crate::plan;
use crate::reseed;
use crate::s1_detect::{self, Kind, Symptom, symptom};
use crate::state::State;
use vocabulary::estate::{Mode, ServiceDown};
use vocabulary::{Instant, MachineId, PlanId, ServerId, Span, WallTime};

/// What is to be done about a service that is ill.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// It is no case for a restart by itself, or its profile does not want one.
    NoCase,
    /// It is one, if it stays so until the window is full.
    Watch,
    /// Restart it.
    Restart,
    /// It would be restarted, were it not for this.
    Not(String),
}

/// Whether a server is to be restarted where it is.
pub(super) fn advice(state: &State, server: &ServerId, symptom: &Symptom, now: Instant, wall: WallTime) -> Advice {
    let wants = |profile: &vocabulary::estate::Server| profile.service_down == ServiceDown::Restart;
    if symptom.kind != Kind::ServiceDown || !state.estate.servers.get(server).is_some_and(wants) {
        return Advice::NoCase;
    }
    let since = match s1_detect::ill_since(state, server, &symptom.machine, now) {
        Ok(since) => since,
        Err(why) => return Advice::Not(why),
    };
    if now.since(since) < state.estate.settings.detection.hung_window {
        return Advice::Watch;
    }
    match crowded(state).or_else(|| rate(state, server, wall)).or_else(|| may(state, server, symptom, now)) {
        Some(why) => Advice::Not(why),
        None => Advice::Restart,
    }
}

/// Asked again right before its operating system is told to stop.
pub fn stands(state: &State, server: &ServerId, now: Instant) -> Result<(), String> {
    let Some(symptom) = symptom(state, server, now).filter(|symptom| symptom.kind == Kind::ServiceDown) else {
        return Err("its service is not down any more, or there is more to it than that".to_owned());
    };
    let since = s1_detect::ill_since(state, server, &symptom.machine, now)?;
    if now.since(since) < state.estate.settings.detection.hung_window {
        return Err("its service was seen well meanwhile".to_owned());
    }
    may(state, server, &symptom, now).map_or(Ok(()), Err)
}

/// What holds a failover holds a restart as well.
fn may(state: &State, server: &ServerId, symptom: &Symptom, now: Instant) -> Option<String> {
    let mode = mode(state, server);
    if mode != Mode::Auto {
        return Some(format!("its mode is `{}`", mode.word()));
    }
    let machine = &symptom.machine;
    if let Some(cut) = reseed::bearing(&state.ledger, machine).1 {
        return Some(format!("{machine} was cut off by plan {}", PlanId(cut)));
    }
    if let Some(row) = state.ledger.open_plan_on(machine).filter(|row| row.plan.server() != Some(server)) {
        return Some(format!("plan {} ({}) works on {machine}", row.plan.id(), row.plan.body().kind));
    }
    let hold = blind(state, now)
        .or_else(|| overruled(state, server))
        .or_else(|| braked(state, server, &symptom.machine))
        .or_else(|| guard(state, &symptom.machine, now));
    hold.map(|hold| hold.reason)
}

/// One at a time, and none where many are ill together.
fn crowded(state: &State) -> Option<String> {
    if let Some(row) = state.ledger.open_plans().find(|row| row.plan.body().kind == plan::Kind::Restart) {
        let other = row.plan.server().map_or_else(String::new, |server| format!(" of {server}"));
        return Some(format!("one restart at a time: {}{other} is open", row.plan.id()));
    }
    let ill = state.watch.ill.len();
    let settings = &state.estate.settings.guard;
    let most = (settings.site_count as usize).max(state.estate.servers.len() * settings.site_percent as usize / 100);
    (ill > most).then(|| format!("{ill} services are ill at once, more than {most}: it is something that they share"))
}

/// How long a restart that is due has waited for others alone, one being made at a time.
pub(super) fn waited(state: &State, server: &ServerId, machine: &MachineId, now: Instant, wall: WallTime) -> Span {
    let Ok(since) = s1_detect::ill_since(state, server, machine, now) else { return Span(0) };
    let due = now.since(since).0.saturating_sub(state.estate.settings.detection.hung_window.0);
    let from = wall.0.saturating_sub(due);
    let plans = state.ledger.plans.values().rev().filter(|row| row.plan.body().kind == plan::Kind::Restart);
    let others = plans.filter(|row| row.plan.server() != Some(server));
    let open = |row: &PlanRow| row.times.1.unwrap_or(wall).0.min(wall.0).saturating_sub(row.times.0.0.max(from));
    Span(others.map(open).fold(0, u64::saturating_add).min(due))
}

/// One restart that did not help is no reason for the next.
fn rate(state: &State, server: &ServerId, wall: WallTime) -> Option<String> {
    let guard = &state.estate.settings.guard;
    let of_server = |row: &&PlanRow| {
        let kind = row.plan.body().kind;
        // one that could not be begun is not tried again at once either
        let in_vain = matches!(&row.closed, Some(Err(ended)) if ended.code == "F0702");
        let touched = row.begun || row.is_open() || in_vain;
        touched && row.plan.server() == Some(server) && matches!(kind, plan::Kind::Restart | plan::Kind::Failover)
    };
    // a clock that was far ahead once bars nothing until it is right again
    let real = |at: &WallTime| at.0 <= wall.0.saturating_add(CLOCK_ERROR.0);
    let made: Vec<WallTime> = state.ledger.plans.values().rev().filter(of_server).map(|row| row.times.0).filter(real).collect();
    let within = |span: Span| made.iter().filter(|at| wall.0.saturating_sub(at.0) < span.0).count();
    if within(guard.server_interval) >= 1 {
        return Some(format!(
            "it was restarted or moved less than {} ago, or that was tried, and it did not cure it",
            guard.server_interval
        ));
    }
    let today = within(DAY);
    (today >= guard.server_per_day as usize).then(|| format!("it was restarted or moved {today} times within a day"))
}
