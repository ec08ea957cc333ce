//! The core by example, by property and by golden stories: one program, since its small world takes longer to build than to play.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod adopt;
mod agents;
mod brakes;
#[path = "common/cases.rs"]
mod cases;
mod cold_start;
mod commands;
mod common;
mod consent;
mod detection;
mod failover;
mod golden;
mod growth;
mod guard;
mod human;
mod ladder;
#[path = "common/life.rs"]
mod life;
mod lives;
mod mayhem;
mod memory;
mod outlets;
mod plugins;
mod reload;
mod reseed;
mod restart;
mod retention;
mod signs;
mod target;
mod why;
