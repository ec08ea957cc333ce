//! BMCs that do not exist, those of [`world::bmc`]: Redfish over TLS and IPMI 2.0 on real sockets, each the parent of a process that
//! plays its machine; and power distribution units, those of [`world::outlet`], by SNMP.
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

mod berth;
mod clock;
mod config;
mod control;
#[cfg(test)]
mod corpus;
mod error;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod launch;
mod limits;
mod lines;
mod mains;
mod monitor;
pub mod pdu;
mod process;
mod progress;
#[cfg(test)]
mod rmcp_tests;
mod server;
mod simulator;
mod socket;
mod station;
mod tls;
mod udp;

pub use berth::Berth;
pub use config::{Config, MachineConfig};
pub use control::{Control, Request};
pub use error::Error;
pub use mains::PduConfig;
pub use simulator::{Handle, Simulator};
pub use world::bmc::{
    AccountState, BootPlace, Change, EarlyReading, ErrorScope, EtagBehaviour, EventStream, GuidOrder, Hardware, Mishap, ModeFlip,
    ModeProperty, Neighbour, Nic, NoEffect, PolicyAttribute, PowerReading, Privilege, Quirks, Reach, RedfishQuirks,
    ResetBehaviour, ResetTimeReading, RestorePolicy, RoleHashing, Secret, SettingBehaviour, StrongSuite, TaskBehaviour,
};

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: ::hostile::Counting = ::hostile::Counting;
