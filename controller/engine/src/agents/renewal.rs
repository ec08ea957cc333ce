//! Agents get new certificates long before theirs end, while they serve. Nothing else waits for it, and an agent that does not take one
//! goes on with the one it has: a person is told when that becomes urgent.

use super::{Agents, Link};
use crate::limits;
use contract::wire::Authority;
use pipeline::effect::Agent;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::{AgentId, WallTime};

const DAY_SECONDS: u64 = 86_400;

/// When a renewal was tried last, and why it did not succeed.
#[derive(Default)]
pub(super) struct Tried(Mutex<Option<(Instant, String)>>);

impl Tried {
    fn last(&self) -> Option<(Instant, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, outcome: &Result<(), String>) {
        let why = outcome.as_ref().err().cloned().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why));
    }
}

/// How long a certificate is still good for.
fn left(until: WallTime, now: WallTime) -> Duration {
    Duration::from_millis(until.0.saturating_sub(now.0))
}

impl Agents {
    /// Renews the agent's certificate if it is due and was not tried lately.
    pub(super) async fn renew(&self, agent: &Agent, link: &Link) {
        let Some((authority, until)) = self.authority.as_ref().zip(link.client.certificate_until()) else { return };
        let lately = link.renewal.last().is_some_and(|(at, _)| at.elapsed() < limits::RENEWAL_TRIED_EVERY);
        if left(until, self.ear.clock.wall()) >= limits::RENEWAL_DUE || lately {
            return;
        }
        let outcome = renewed(authority, agent, link).await;
        match &outcome {
            Ok(()) => tracing::info!(%agent, "its certificate was renewed"),
            Err(reason) => tracing::warn!(%agent, reason, "F1019: its certificate was not renewed; it is tried again"),
        }
        link.renewal.note(&outcome);
    }

    /// Why the agent's certificate is not renewed, if a person should see to it.
    pub(super) fn not_renewed(&self, link: &Link) -> Option<String> {
        let left = left(link.client.certificate_until()?, self.ear.clock.wall());
        if self.authority.is_none() || left >= limits::RENEWAL_URGENT {
            return None;
        }
        let why = link.renewal.last().map_or_else(|| "it was not tried yet".to_owned(), |(_, why)| why);
        Some(format!("F1019: its certificate ends in {} days and is not renewed: {why}", left.as_secs() / DAY_SECONDS))
    }
}

async fn renewed(authority: &Authority, agent: &Agent, link: &Link) -> Result<(), String> {
    let name: AgentId = agent.to_string().parse().map_err(|_| format!("{agent} is no agent's name"))?;
    let request = link.client.propose_certificate().await.map_err(|error| error.to_string())?;
    let certificate = authority.renew_agent(&name, &request).map_err(|error| error.to_string())?;
    link.client.take_certificate(certificate).await.map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "renewal_tests.rs"]
mod tests;
