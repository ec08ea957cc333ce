//! Drives switches: exactly which VLANs a port carries, read back from forwarding state.
//! Must never leave a VLAN on a port that was not asked for, and never let a port up before its setting is known.
#![forbid(unsafe_code)]

mod by_program;
pub mod device;
mod kept;
mod limits;
pub mod linux_bridge;
pub mod open_vswitch;
pub mod registry;
mod suspects;
pub mod vlans;

pub use by_program::{ProgramConfig, SwitchProgram};
pub use device::SwitchDevice;
pub use kept::{Kept, OpenError};
pub use registry::{SwitchConfig, open};

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: ::hostile::Counting = ::hostile::Counting;
