//! The binary as operators and scripts meet it: exit codes, output, faults, and a real controller on a fresh lab estate whose
//! equipment is all out of reach. Nothing here leaves the loopback interface.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod backup;
mod controller;
mod discover;
mod driver;
mod files;
mod probe;
mod support;
mod usage;
