//! Drivers for BMCs: what a controller may ask of a machine's power, boot override and restore policy, spoken in the protocol of the BMC.
//! Must never take `Off` from anything but a fresh answer that says Off, never send a command to a box whose identity was not just read,
//! and never send a command twice because its reply was lost.
#![forbid(unsafe_code)]

pub mod discover;
mod driver;
pub mod fault;
pub mod findings;
mod given;
pub mod inventory;
pub mod ipmi;
pub mod limits;
pub mod outside;
mod processor;
mod quirks;
mod redfish;
pub mod registry;

pub use findings::Findings;
pub use limits::Patience;
pub use outside::Outside;
#[cfg(feature = "hostile")]
pub use redfish::hostile as hostile_redfish;
pub use redfish::transport;
pub use registry::{Door, Driver, Fact, Fleet, Inspection, LogEntry, Probe, Scope, Survey, open, open_in, probe};

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: hostile::Counting = hostile::Counting;
