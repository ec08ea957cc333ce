//! The simulator on real sockets with real children. Must never leave a process behind: every test's handle kills its own.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic: that is how they fail")]

mod account;
mod faults;
mod fence;
mod ipmitool;
mod monitor;
mod outsiders;
mod power;
mod process;
mod recording;
mod redfish;
mod scale;
mod support;
mod thousands;
mod validator;
