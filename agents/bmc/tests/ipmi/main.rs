//! The IPMI driver against OpenIPMI's `ipmi_sim`, a BMC that nobody here wrote, over real sockets, and `ipmitool` as a second opinion.
//! Must never leave a simulator behind, and never speak to anything but loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod conforms;
mod faults;
mod noise;
mod proxy;
mod sim;
