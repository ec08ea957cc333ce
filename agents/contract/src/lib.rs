//! What may be asked of equipment, and who may ask it: small driver traits, the gate in front of them, the wire between controller
//! and agents, and the suite that every driver passes. Nothing here knows that failover exists.
#![forbid(unsafe_code)]

pub mod agent;
pub mod bmc;
pub mod boot;
pub mod check;
pub mod conformance;
pub mod gate;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod limits;
pub mod outlet;
pub mod storage;
pub mod switch;
pub mod wire;

pub use agent::{Client, Device, Readopt, Standing};
pub use gate::Gate;
pub use vocabulary::request::{Action, AgentError, Answer, Request};

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: ::hostile::Counting = ::hostile::Counting;
