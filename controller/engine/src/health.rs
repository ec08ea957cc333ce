//! The health checks of one server from one vantage point, told as one observation. Plugins are run at a pace of their own beside the other
//! checks, and only what speaks against a server is remembered of them: what one saw earlier is no sign of life now.

use crate::eyes::{Eyes, every, other};
use crate::limits;
use pipeline::effect::Agent;
use pipeline::event::Observation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;
use vocabulary::check::{Check, CheckOutcome};
use vocabulary::request::{Action, AgentError, Answer};
use vocabulary::{AgentId, ServerId, Span};

/// One server as one vantage point sees it.
#[derive(Clone)]
struct View {
    eyes: Eyes,
    server: ServerId,
    vantage: AgentId,
    failing: Arc<Mutex<Failing>>,
}

/// What is remembered of the checks, by their place in the profile.
#[derive(Default)]
struct Failing {
    /// What plugins said last, where it was against the server.
    against: BTreeMap<usize, CheckOutcome>,
    /// Checks that could tell nothing when they were run last.
    mute: BTreeSet<usize>,
}

impl Failing {
    /// A plugin was run, or could not be.
    fn said(&mut self, place: usize, outcome: CheckOutcome) {
        self.against.remove(&place);
        if matches!(outcome, CheckOutcome::Failed(_)) {
            self.against.insert(place, outcome);
        }
    }

    /// A check was run. True if it can no longer tell, and could before.
    fn tells(&mut self, place: usize, it_tells: bool) -> bool {
        if it_tells {
            self.mute.remove(&place);
        }
        !it_tells && self.mute.insert(place)
    }

    /// What a look at the server comes to beside it. Once nothing answers, what plugins said was of something that is gone.
    fn beside(&mut self, seen: CheckOutcome) -> CheckOutcome {
        if matches!(seen, CheckOutcome::Silent(_)) {
            self.against.clear();
        }
        self.against.values().cloned().fold(seen, CheckOutcome::and)
    }
}

/// Runs the checks again and again.
pub fn follow(eyes: &Eyes, server: &ServerId, checks: &[Check], vantage: &AgentId, interval: Span) -> Vec<JoinHandle<()>> {
    let view = View { eyes: eyes.clone(), server: server.clone(), vantage: vantage.clone(), failing: Arc::default() };
    let (plugins, others): (Vec<_>, Vec<_>) =
        checks.iter().cloned().enumerate().partition(|(_, check)| matches!(check, Check::Exec(_)));
    let mut watchers = Vec::new();
    for (place, check) in plugins {
        let pace = if let Check::Exec(exec) = &check { exec.every } else { interval };
        let view = view.clone();
        watchers.push(every(pace, &eyes.chance, move || view.clone().plugin(place, check.clone())));
    }
    watchers.push(every(interval, &eyes.chance, move || view.clone().look(others.clone())));
    watchers
}

impl View {
    /// All checks that are no plugins.
    async fn look(self, checks: Vec<(usize, Check)>) {
        let mut seen: Option<CheckOutcome> = None;
        for (place, check) in checks {
            let Some(outcome) = self.ask(place, check).await else { return };
            seen = Some(seen.map_or(outcome.clone(), |known| known.and(outcome)));
        }
        if let Some(seen) = seen {
            let outcome = self.failing().beside(seen);
            let (server, vantage) = (self.server.clone(), self.vantage.clone());
            self.eyes.tell(Observation::Check { server, vantage, outcome });
        }
    }

    /// One plugin.
    async fn plugin(self, place: usize, check: Check) {
        let outcome = self.ask(place, check).await.unwrap_or(CheckOutcome::Unknown("its agent cannot be asked".to_owned()));
        self.failing().said(place, outcome);
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        // every change is complete before the lock is given back
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if the vantage point cannot be asked: it saw nothing. What it cannot do is `Unknown`, and told of once.
    async fn ask(&self, place: usize, check: Check) -> Option<CheckOutcome> {
        let agent = Agent::Vantage(self.vantage.clone());
        let outcome = match self.eyes.agents.read(&agent, Action::RunCheck { check }, limits::POLL_DEADLINE).await {
            Ok(Answer::Check { outcome }) => outcome,
            Ok(answer) => CheckOutcome::Unknown(other::<()>(&answer).err()?.to_string()),
            Err(AgentError::Unreachable { .. }) => return None,
            Err(error) => CheckOutcome::Unknown(error.to_string()),
        };
        let cannot_tell = if let CheckOutcome::Unknown(why) = &outcome { Some(why) } else { None };
        let news = self.failing().tells(place, cannot_tell.is_none());
        if let Some(why) = cannot_tell.filter(|_| news) {
            tracing::warn!(server = %self.server, vantage = %self.vantage, why, "a health check tells nothing");
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckOutcome::{Failed, Healthy, Partly, Silent, Unknown};

    fn text() -> String {
        "x".to_owned()
    }

    #[test]
    fn only_what_a_plugin_said_against_a_server_is_remembered_until_it_is_gone() {
        let mut failing = Failing::default();
        failing.said(1, Healthy);
        assert_eq!(failing.beside(Silent(text())), Silent(text()), "an earlier run is no sign of life now");
        failing.said(1, Failed(text()));
        assert_eq!(failing.beside(Healthy), Partly(text()));
        failing.said(2, Failed(text()));
        failing.said(1, Unknown(text()));
        assert_eq!(failing.beside(Healthy), Partly(text()), "each plugin speaks for itself");
        failing.said(2, Healthy);
        assert_eq!(failing.beside(Healthy), Healthy);
        failing.said(2, Failed(text()));
        assert_eq!(failing.beside(Silent(text())), Silent(text()), "nor is it a sign of life");
        assert_eq!(failing.beside(Healthy), Healthy, "what answers after a silence is another start of it, or another machine");
    }

    #[test]
    fn a_check_that_falls_mute_is_told_of_once() {
        let mut failing = Failing::default();
        assert!(!failing.tells(1, true) && failing.tells(1, false) && !failing.tells(1, false));
        assert!(!failing.tells(1, true) && failing.tells(1, false), "and again after it could tell");
    }
}
