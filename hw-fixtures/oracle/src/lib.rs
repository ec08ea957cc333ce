//! The judge of the lab: which machines are effective as which server, which acknowledged writes are there, which MAC addresses answer.
//!
//! It judges from facts alone (ports, sessions, permits, power, consoles, frames) and must never ask the controller, nor believe it. What it
//! did not see it calls unseen, never harmless. Floors: `limits`, `roster`, `fact` at the bottom; `judge`, `writes`, `arp` are pure;
//! `book` makes changes out of observations; `oracle` holds one run together. So far it judges a simulated world as well. What only the lab
//! of QEMU machines has (feature `lab`): `config`, `collect` and `query`, its eyes and its mouth.

pub mod arp;
pub mod book;
pub mod fact;
pub mod judge;
pub mod limits;
pub mod oracle;
pub mod roster;
pub mod samples;
pub mod verdict;
pub mod writes;

#[cfg(feature = "lab")]
pub mod collect;
#[cfg(feature = "lab")]
pub mod config;
#[cfg(feature = "lab")]
pub mod for_lab;
#[cfg(feature = "lab")]
pub mod frames;
#[cfg(feature = "lab")]
pub mod query;
#[cfg(feature = "lab")]
pub mod sys;
#[cfg(feature = "lab")]
pub mod tgt;
#[cfg(feature = "lab")]
pub mod volume;
