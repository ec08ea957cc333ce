//! The judge of the lab: which machines are effective as which server, which acknowledged writes are there, which MAC addresses answer.
//!
//! It judges from facts alone (ports, sessions, permits, power, consoles, frames) and must never ask the controller, nor believe it. What it
//! did not see it calls unseen, never harmless. Floors: `limits`, `config`, `fact` at the bottom; `judge`, `writes`, `arp` are pure;
//! `book` makes changes out of observations; `oracle` holds one run together; `collect` and `query` are its eyes and its mouth.

pub mod arp;
pub mod book;
pub mod collect;
pub mod config;
pub mod fact;
pub mod for_lab;
pub mod frames;
pub mod judge;
pub mod limits;
pub mod oracle;
pub mod query;
pub mod samples;
pub mod sys;
pub mod tgt;
pub mod verdict;
pub mod volume;
pub mod writes;
