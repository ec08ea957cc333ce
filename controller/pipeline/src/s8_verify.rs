//! Stage 8: the profile's health checks say whether the server serves. A spare that does not in time has failed; the verdict is about
//! the service alone, never about what a BMC says.

use crate::effect::Agent;
use crate::out::Out;
use crate::stage::Stage;
use crate::state::State;
use crate::watch::vantages;
use crate::work::{Key, Progress, Task, Work, limits};
use vocabulary::check::{Check, CheckOutcome};
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
pub fn complete(task: &mut Task, now: Instant, outcome: &Result<Answer, AgentError>, pause: Span) {
    task.told_nothing = false;
    let reason = match outcome {
        Ok(Answer::Check { outcome: CheckOutcome::Healthy }) => return task.confirm(now, "healthy".to_owned()),
        Ok(Answer::Check {
            outcome:
                CheckOutcome::Wrong(what)
                | CheckOutcome::Partly(what)
                | CheckOutcome::Silent(what)
                | CheckOutcome::Dumping(what)
                | CheckOutcome::Failed(what),
        }) => what.clone(),
        Ok(Answer::Check { outcome: CheckOutcome::Unknown(why) }) => {
            task.told_nothing = true;
            why.clone()
        }
        Ok(_) => "the agent answered something else".to_owned(),
        Err(error) => {
            task.told_nothing = true;
            error.to_string()
        }
    };
    task.reason = Some(reason);
    task.again_at(now + pause);
}

/// The pause between two tries of a check: each of a plugin is a process.
pub fn pause(check: &Check) -> Span {
    if matches!(check, Check::Exec(_)) { limits::VERIFY_PLUGIN_EVERY } else { limits::VERIFY_EVERY }
}

/// Where verification stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Verification {
    /// Every check was healthy, or could be told by nobody; the vantage points from which the server itself was heard.
    Serves(Vec<AgentId>),
    /// Not yet; what is missing.
    Waiting(String),
    /// Too late; what was missing.
    Failed(String),
    /// Too late, and nobody could look at all: that speaks against no machine.
    Unseen(String),
}

/// Judges the checks. The server serves once every check is healthy from some vantage point, and all that are no plugins from one and the
/// same. Once the time is over a check that no vantage point could run is left aside, if another was healthy.
pub fn judge(state: &State, server: &ServerId, work: &Work, now: Instant) -> Verification {
    let checks: &[Check] = state.estate.servers.get(server).map_or(&[], |profile| &profile.checks);
    let vantages = vantages(&state.estate);
    let task = |vantage: &AgentId, index| work.tasks.get(&Key::Check(vantage.clone(), index));
    let healthy = |index| vantages.iter().any(|vantage| task(vantage, index).is_some_and(Task::is_confirmed));
    let mute = |index| vantages.iter().filter_map(|vantage| task(vantage, index)).all(|task| task.told_nothing);
    // from where the server itself was heard: what a plugin says does not tell that
    let plugin = |index: usize| matches!(checks.get(index), Some(Check::Exec(_)));
    let hears = |left_aside: bool| {
        let hears = |vantage: &&AgentId| {
            let own = (0..checks.len()).filter(|index| !(plugin(*index) || left_aside && mute(*index)));
            let mut all = own.map(|index| task(vantage, index).is_some_and(Task::is_confirmed)).peekable();
            all.peek().is_some() && all.all(|confirmed| confirmed)
        };
        vantages.iter().filter(hears).cloned().collect::<Vec<AgentId>>()
    };
    let heard = hears(false);
    if !heard.is_empty() && (0..checks.len()).all(healthy) {
        return Verification::Serves(heard);
    }
    let open = |index: &usize| !healthy(*index);
    let reason = |index| vantages.iter().find_map(|vantage| task(vantage, index).and_then(|task| task.reason.clone()));
    let missing = (0..checks.len()).filter(open).find_map(reason).unwrap_or_else(|| "no check was answered yet".to_owned());
    let since = work.powered_on.unwrap_or(work.since);
    let limit = patience(state, work);
    if now.since(since) <= limit {
        return Verification::Waiting(missing);
    }
    let heard = hears(true);
    match (0..checks.len()).filter(open).all(mute) {
        true if !heard.is_empty() => Verification::Serves(heard),
        true if !checks.is_empty() => {
            Verification::Unseen(format!("nobody could look at the service within {limit} of power on: {missing}"))
        }
        _ => Verification::Failed(format!("no vantage point saw the service within {limit} of power on: {missing}")),
    }
}

/// How long the target may take from power on to service.
pub fn patience(state: &State, work: &Work) -> Span {
    let recorded = state.ledger.machines.get(work.plan.target()).and_then(|row| row.boot_ms).map(Span::ms);
    let usual = recorded.unwrap_or_default().max(state.estate.settings.detection.boot_time);
    Span::ms(usual.0.saturating_mul(BOOT_MARGIN_PERCENT) / 100)
}

/// How long a start took, as far as it was seen by one life of the controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Took {
    /// From power on to the service.
    pub whole: Option<Span>,
    /// From power on to the first contact with a boot service.
    pub post: Option<Span>,
    /// From being asked to stop to Off, where it was.
    pub stop: Option<Span>,
}

/// How long the start took that is verified now. Only whoever has powered the target on knows: for one that found it on, as after a restart of
/// the controller, it began at a time that nobody has seen, and a boot that is remembered too short makes a machine that boots look dead.
pub fn took(state: &State, work: &Work, now: Instant) -> Took {
    let sent = work.tasks.get(&Key::PowerOn).and_then(|task| task.acted_at);
    let (Some(sent), Some(on)) = (sent, work.powered_on) else { return Took::default() };
    let contacts = state.watch.machines.get(work.plan.target()).into_iter().flat_map(|watch| &watch.contacts);
    let first = contacts.map(|(at, _)| *at).find(|at| *at >= sent);
    let since = |key| match work.tasks.get(&key).map(|task| &task.progress) {
        Some(Progress::Confirmed(at)) => Some(*at),
        _ => None,
    };
    let stop = since(Key::ShutDown).zip(since(Key::WaitOff)).map(|(asked, off)| off.since(asked));
    Took { whole: Some(now.since(on)), post: first.map(|at| at.since(on)), stop }
}
