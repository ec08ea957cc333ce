//! The boot service: who may boot what now, and the protocols by which they do. A process of its own, so that servers boot while the
//! controller is down. It never decides who may boot: permits come through the gate; and whoever has none gets silence.
#![deny(unsafe_code)]

pub mod advertise;
pub mod config;
pub mod contacts;
pub mod desk;
pub mod device;
pub mod dhcp;
pub mod dhcp_wire;
pub mod disk;
pub mod error;
#[cfg(test)]
mod examples;
mod frames;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod http;
pub mod limits;
pub mod outside;
pub mod permits;
mod range;
mod records;
pub mod script;
pub mod service;
pub mod shelf;
mod sockets;
#[expect(unsafe_code, reason = "two system calls have no safe wrapper; each states why it is sound")]
mod sys;
pub mod tftp;
pub mod tokens;

pub use config::Config;
pub use desk::Desk;
pub use device::BootDevice;
pub use error::BootError;
pub use outside::Outside;

/// Unit tests count what a decoder holds.
#[cfg(test)]
#[global_allocator]
static COUNTING: ::hostile::Counting = ::hostile::Counting;
