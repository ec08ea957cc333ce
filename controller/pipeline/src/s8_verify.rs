//! Stage 8: the profile's health checks say whether the server serves. A spare that does not in time has failed; the verdict is about
//! the service alone, never about what a BMC says.

use crate::effect::Agent;
use crate::out::Out;
use crate::stage::Stage;
use crate::state::State;
use crate::watch::vantages;
use crate::work::{Key, Task, Work, limits};
use vocabulary::check::CheckOutcome;
use vocabulary::request::{Action, AgentError, Answer};
use vocabulary::{AgentId, Instant, ServerId, Span};

/// A boot may take this much longer than the last recorded one of this machine.
const BOOT_MARGIN_PERCENT: u64 = 130;

/// Makes a task for each check from each vantage point.
pub fn begin(state: &State, server: &ServerId, work: &mut Work, now: Instant) {
    let checks = state.estate.servers.get(server).map_or(0, |profile| profile.checks.len());
    for vantage in vantages(&state.estate) {
        for index in 0..checks {
            work.want(Key::Check(vantage.clone(), index), now);
        }
    }
}

/// Sends the checks that are due.
pub fn drive(state: &mut State, server: &ServerId, work: &mut Work, out: &mut Out) {
    for key in work.due(out.now) {
        let Key::Check(vantage, index) = &key else { continue };
        let check = state.estate.servers.get(server).and_then(|profile| profile.checks.get(*index)).cloned();
        let Some(check) = check else { continue };
        let agent = Agent::Vantage(vantage.clone());
        work.send(&mut state.ledger, out, key, agent, Stage::Verify, Action::RunCheck { check });
    }
}

/// Folds a check's answer in.
pub fn complete(task: &mut Task, now: Instant, outcome: &Result<Answer, AgentError>) {
    let reason = match outcome {
        Ok(Answer::Check { outcome: CheckOutcome::Healthy }) => return task.confirm(now, "healthy".to_owned()),
        Ok(Answer::Check { outcome: CheckOutcome::Wrong(what) | CheckOutcome::Silent(what) }) => what.clone(),
        Ok(_) => "the agent answered something else".to_owned(),
        Err(error) => error.to_string(),
    };
    task.reason = Some(reason);
    task.again_at(now + limits::VERIFY_EVERY);
}

/// Where verification stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Verification {
    /// Every check was healthy from the vantage points named.
    Serves(Vec<AgentId>),
    /// Not yet; what is missing.
    Waiting(String),
    /// Too late; what was missing.
    Failed(String),
}

/// Judges the checks. The server serves once every check is healthy from one vantage point at least.
pub fn judge(state: &State, server: &ServerId, work: &Work, now: Instant) -> Verification {
    let checks = state.estate.servers.get(server).map_or(0, |profile| profile.checks.len());
    let healthy_from = |vantage: &AgentId| (0..checks).all(|index| work.confirmed(&Key::Check(vantage.clone(), index)));
    let heard: Vec<AgentId> = vantages(&state.estate).into_iter().filter(|vantage| checks > 0 && healthy_from(vantage)).collect();
    if !heard.is_empty() {
        return Verification::Serves(heard);
    }
    let missing = work
        .tasks
        .iter()
        .find_map(|(key, task)| matches!(key, Key::Check(..)).then(|| task.reason.clone()).flatten())
        .unwrap_or_else(|| "no check was answered yet".to_owned());
    let since = work.powered_on.unwrap_or(work.since);
    let limit = patience(state, work);
    if now.since(since) > limit {
        Verification::Failed(format!("no vantage point saw the service within {limit} of power on: {missing}"))
    } else {
        Verification::Waiting(missing)
    }
}

/// How long the target may take from power on to service.
pub fn patience(state: &State, work: &Work) -> Span {
    let recorded = state.ledger.machines.get(work.plan.target()).and_then(|row| row.boot_ms).map(Span::ms);
    let usual = recorded.unwrap_or_default().max(state.estate.settings.detection.boot_time);
    Span::ms(usual.0.saturating_mul(BOOT_MARGIN_PERCENT) / 100)
}
