//! Worlds that are played, each for one thing: one program, since it takes longer to link than to play.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bmc;
mod failover;
mod judge;
mod later;
mod search;
