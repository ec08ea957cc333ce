//! Which kinds of check there are: a line a kind. Runs one try of a check and never longer than its deadline.

use crate::limits::{DEADLINE_MAX, DEADLINE_MIN};
use crate::socket::{Source, Tried};
use crate::{http, tcp};
use async_trait::async_trait;
use contract::check::Vantage;
use contract::{Action, AgentError, Answer, Device};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use vocabulary::Span;
use vocabulary::check::{Check, CheckOutcome};
use vocabulary::request::Resource;

/// From where this vantage point looks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VantageConfig {
    /// Source address of its connections; the system's choice if absent.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Interface that its connections must leave by; the system's choice if absent.
    #[serde(default)]
    pub interface: Option<String>,
}

/// A vantage point.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    source: Source,
}

fn deadline(span: Span) -> Duration {
    span.as_duration().clamp(DEADLINE_MIN, DEADLINE_MAX)
}

impl Checker {
    /// A vantage point as configured.
    pub fn new(config: &VantageConfig) -> Checker {
        Checker { source: Source { address: config.address, interface: config.interface.clone() } }
    }

    async fn attempt(&self, check: &Check) -> Tried {
        match check {
            Check::Tcp(tcp) => tcp::attempt(&self.source, tcp.address, deadline(tcp.deadline)).await,
            Check::Http(http) => http::attempt(&self.source, http, deadline(http.deadline)).await,
        }
    }
}

#[async_trait]
impl Vantage for Checker {
    /// A fault of this vantage point is told as `Wrong`, which accuses nobody of being dead.
    async fn run(&self, check: &Check) -> CheckOutcome {
        self.attempt(check).await.unwrap_or_else(|fault| CheckOutcome::Wrong(format!("this vantage point: {fault}")))
    }
}

/// Behind a gate it owns nothing and answers `RunCheck`; a fault of its own is an error there, and no outcome.
#[async_trait]
impl Device for Checker {
    fn owns(&self, _resource: &Resource) -> bool {
        false
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::RunCheck { check } => match self.attempt(check).await {
                Ok(outcome) => Ok(Answer::Check { outcome }),
                Err(fault) => Err(AgentError::Rejected { reason: format!("this vantage point: {fault}") }),
            },
            _ => Err(AgentError::Rejected { reason: "a vantage point only runs checks".into() }),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
