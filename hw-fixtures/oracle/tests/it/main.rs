//! The oracle as a process with its real sockets, in namespaces of its own; the test plays switch, target, machines' parent and machines.
//! Must never reach anything outside its namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod process;
mod stage;
