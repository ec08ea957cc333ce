//! Which drivers there are: a line a driver. Nothing above this file names one.

use crate::linux_bridge::{LinuxBridge, LinuxBridgeConfig};
use async_trait::async_trait;
use contract::AgentError;
use contract::switch::Switch;
use serde::Deserialize;
use std::sync::Arc;
use vocabulary::network::PortReading;
use vocabulary::{PortName, SwitchId};

/// A switch as an agent's configuration describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchConfig {
    /// The switch's name in the estate.
    pub switch: SwitchId,
    /// The driver and what it needs.
    pub driver: Driver,
}

/// The drivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// A VLAN-filtering bridge of the Linux kernel on this host.
    LinuxBridge(LinuxBridgeConfig),
}

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
}

/// Opens the driver and begins to listen for changes. Touches no port yet. Needs a running tokio runtime.
pub fn open(config: &SwitchConfig) -> Result<Arc<dyn Kept>, OpenError> {
    match &config.driver {
        Driver::LinuxBridge(bridge) => Ok(Arc::new(LinuxBridge::open(config.switch.clone(), bridge.clone())?)),
    }
}
