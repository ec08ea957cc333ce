//! BMCs that do not exist: Redfish over TLS and IPMI 2.0 on real sockets, each the parent of a process that plays its machine.
//! Must never be honest by accident or lie by accident: without quirks every answer follows the process, with a quirk exactly one thing differs.
//!
//! ```no_run
//! # async fn example() -> Result<(), bmc_sim::Error> {
//! let simulator = bmc_sim::Simulator::start_one(bmc_sim::MachineConfig::for_test("m1")).await?;
//! let url = format!("https://{}/redfish/v1", simulator.address); // user `controller`, password `lab`
//! simulator.control.set_quirks("m1", serde_json::json!({ "power_state": "null" })).await?;
//! simulator.control.perform(bmc_sim::Request::Kill { name: "m1".into() }).await?;
//! simulator.shutdown().await;
//! # let _ = url; Ok(())
//! # }
//! ```

mod bmc;
mod clock;
mod command;
mod config;
mod control;
mod device;
mod error;
mod ipmi;
mod launch;
mod limits;
mod lines;
mod monitor;
mod power;
mod progress;
mod quirks;
mod reading;
mod redfish;
mod rmcp;
mod sensing;
mod server;
mod sessions;
mod simulator;
mod socket;
mod tasks;
mod tls;

pub use self::bmc::Change;
pub use config::{Config, Hardware, MachineConfig, Neighbour, Nic, RestorePolicy, Secret};
pub use control::{Control, Request};
pub use device::Mishap;
pub use error::Error;
#[cfg(any(test, feature = "hostile"))]
pub use ipmi::hostile;
pub use quirks::{
    AccountState, BootPlace, EarlyReading, ErrorScope, EtagBehaviour, EventStream, GuidOrder, ModeFlip, ModeProperty, NoEffect,
    PolicyAttribute, PowerReading, Privilege, Quirks, Reach, RedfishQuirks, ResetBehaviour, ResetTimeReading, RoleHashing,
    SettingBehaviour, StrongSuite, TaskBehaviour,
};
pub use simulator::{Handle, Simulator};

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: ::hostile::Counting = ::hostile::Counting;
