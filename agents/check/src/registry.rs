//! Which kinds of check there are: a line a kind. Runs one try of a check and never longer than its deadline.

use crate::kdump::Dumps;
use crate::limits::{DEADLINE_MAX, DEADLINE_MIN};
use crate::plugin::{PluginConfig, Plugins};
use crate::socket::{Source, Tried};
use crate::{http, tcp, tls};
use async_trait::async_trait;
use contract::check::Vantage;
use contract::{Action, AgentError, Answer, Device};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
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
    /// Where it listens for kernels that have crashed and tell that they write their memory away (`fence_kdump`), such as `0.0.0.0:7410`; nowhere if
    /// absent.
    #[serde(default)]
    pub kdump: Option<SocketAddr>,
    /// Plugins that it runs; none if absent. They choose their own source.
    #[serde(default)]
    pub plugins: Option<PluginConfig>,
}

/// A vantage point.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    source: Source,
    plugins: Option<Result<Plugins, String>>,
    dumps: Option<Dumps>,
}

/// The host that a check asks, if it is told by its address.
fn host(check: &Check) -> Option<IpAddr> {
    match check {
        Check::Tcp(tcp) => Some(tcp.address.ip()),
        Check::Tls(tls) => Some(tls.address.ip()),
        Check::Http(http) => http::place(&http.url)?.host.parse().ok(),
        Check::Exec(_) => None,
    }
}

fn deadline(span: Span) -> Duration {
    span.as_duration().clamp(DEADLINE_MIN, DEADLINE_MAX)
}

impl Checker {
    /// A vantage point as configured. `hidden` are files and folders with the secrets of the process, which plugins must not read.
    /// If a plugin is not there, or could not be contained, none is run, and each check by one tells why: an agent that owns more than
    /// this vantage point must not end for it.
    pub async fn open(config: &VantageConfig, hidden: &[PathBuf]) -> Checker {
        let source = Source { address: config.address, interface: config.interface.clone() };
        let plugins = match &config.plugins {
            Some(plugins) => Some(Plugins::open(plugins, hidden).await.map_err(|error| error.to_string())),
            None => None,
        };
        if let Some(Err(error)) = &plugins {
            tracing::error!(error, "no plugin is run here");
        }
        let dumps = match config.kdump {
            Some(at) => {
                Dumps::open(at).await.inspect_err(|error| tracing::error!(%error, %at, "no crashed kernel is heard here")).ok()
            }
            None => None,
        };
        Checker { source, plugins, dumps }
    }

    async fn attempt(&self, check: &Check) -> Tried {
        let outcome = self.tried(check).await?;
        let dumps = |host: IpAddr| self.dumps.as_ref().is_some_and(|dumps| dumps.dumps(host));
        Ok(match outcome {
            // its network may be up as well, and refuse what is asked
            CheckOutcome::Silent(_) | CheckOutcome::Wrong(_) if host(check).is_some_and(dumps) => {
                CheckOutcome::Dumping("its kernel has crashed, and says that it writes its memory away".to_owned())
            }
            other => other,
        })
    }

    async fn tried(&self, check: &Check) -> Tried {
        let deadline = deadline(check.deadline());
        match check {
            Check::Tcp(tcp) => tcp::attempt(&self.source, tcp.address, deadline).await,
            Check::Http(http) => http::attempt(&self.source, http, deadline).await,
            Check::Tls(tls) => tls::attempt(&self.source, tls, deadline).await,
            Check::Exec(exec) => match &self.plugins {
                Some(Ok(plugins)) => plugins.attempt(exec, deadline).await,
                Some(Err(error)) => Err(error.clone()),
                None => Err("it runs no plugins".to_owned()),
            },
        }
    }
}

#[async_trait]
impl Vantage for Checker {
    /// A fault of this vantage point is told as `Unknown`, which accuses nobody and clears nobody.
    async fn run(&self, check: &Check) -> CheckOutcome {
        self.attempt(check).await.unwrap_or_else(|fault| CheckOutcome::Unknown(format!("this vantage point: {fault}")))
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
