//! The driver and the device, against simulated units: behind the seam, in simulated time, and over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bench;
mod config;
mod device;
mod driver;
mod udp;
