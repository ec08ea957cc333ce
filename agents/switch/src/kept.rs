//! What the registry and every driver speak of: a switch that forgets, and why one could not be opened. Names no driver.

use crate::limits::WATCH_PERIOD;
use async_trait::async_trait;
use contract::AgentError;
use contract::switch::Switch;
use std::time::Duration;
use vocabulary::network::PortReading;
use vocabulary::{PortName, SwitchId};

/// Why a switch could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("switch `{switch}`: {reason}; correct the agent's configuration")]
pub struct OpenError {
    /// Which.
    pub switch: SwitchId,
    /// What is wrong.
    pub reason: String,
}

/// A switch that forgets: what its ports carry is kept by the agent.
#[async_trait]
pub trait Kept: Switch {
    /// The ports that the agent owns.
    fn ports(&self) -> Vec<PortName>;
    /// Takes every VLAN off a port and puts it down: what becomes of a port about which nothing is known.
    async fn shut(&self, port: &PortName) -> Result<PortReading, AgentError>;
    /// True if the switch can restart while its agent runs on: then the agent's memory saves nothing, and only what the switch itself says
    /// that it has saved is saved.
    fn restarts_alone(&self) -> bool {
        false
    }
    /// How often barred ports are read by the clock.
    fn watch_period(&self) -> Duration {
        WATCH_PERIOD
    }
}
