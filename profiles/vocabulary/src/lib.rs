//! The nouns of Understudy: ids, time as data, power, health, network, storage, boot, estate, requests, fault codes.
//! Floor 1. No I/O, no async, no clock, no decision is ever made here.
#![forbid(unsafe_code)]

pub mod boot;
pub mod check;
pub mod estate;
pub mod fault;
pub mod findings;
pub mod ids;
pub mod lack;
pub mod light;
pub mod network;
pub mod outlet;
pub mod power;
pub mod quantity;
pub mod request;
pub mod secret;
pub mod storage;
pub mod survey;
pub mod time;

pub use fault::Fault;
pub use ids::*;
pub use network::{Mac, PortSetting, VlanId};
pub use secret::Secret;
pub use time::{Instant, Span, WallTime};
