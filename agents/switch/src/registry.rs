//! Which drivers there are: a line a driver. Nothing above this file names one.

use crate::by_program::{ProgramConfig, SwitchProgram};
use crate::kept::{Kept, OpenError};
use crate::linux_bridge::{LinuxBridge, LinuxBridgeConfig};
use crate::open_vswitch::{OpenVswitch, OpenVswitchConfig};
use serde::Deserialize;
use std::sync::Arc;
use vocabulary::SwitchId;

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
    /// A bridge of Open vSwitch on this host, by its database and its own sockets.
    #[serde(rename = "open-vswitch")]
    Openvswitch(OpenVswitchConfig),
    /// A program of the site, which is asked line by line.
    Program(ProgramConfig),
}

/// Opens the driver and begins to listen for changes. Touches no port yet. Needs a running tokio runtime.
pub fn open(config: &SwitchConfig) -> Result<Arc<dyn Kept>, OpenError> {
    match &config.driver {
        Driver::LinuxBridge(bridge) => Ok(Arc::new(LinuxBridge::open(config.switch.clone(), bridge.clone())?)),
        Driver::Openvswitch(bridge) => Ok(Arc::new(OpenVswitch::open(config.switch.clone(), bridge.clone())?)),
        Driver::Program(program) => Ok(Arc::new(SwitchProgram::open(config.switch.clone(), program.clone())?)),
    }
}
