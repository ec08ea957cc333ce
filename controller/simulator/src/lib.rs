//! The whole system under one seed: pipeline, journal, engine, gates and drivers as they are, above a world of simulated equipment, in one
//! thread and in a time of its own. It must never decide anything for either side: a driver is told what its device says, a device is asked
//! what its driver asks, and nothing tells the product what the world knows.
#![forbid(unsafe_code)]

pub mod agents;
pub mod boot_server;
pub mod clients;
pub mod clock;
pub mod coverage;
pub mod deed;
pub mod disk;
pub mod door;
pub mod eyes;
pub mod fabric;
pub mod fate;
pub mod hall;
pub mod hand;
pub mod host;
pub mod images;
pub mod judge;
pub mod life;
pub mod limits;
pub mod link;
pub mod loopback;
pub mod mains;
pub mod management;
pub mod outlets;
pub mod permits;
pub mod plant;
pub mod play;
pub mod search;
pub mod served;
pub mod site;
pub mod storage;
pub mod store;
pub mod switch;
pub mod temper;

use std::time::{SystemTime, UNIX_EPOCH};
use vocabulary::WallTime;

/// A world's time of day, as agents write it.
fn wall(wall: &world::Wall) -> WallTime {
    let since = wall.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// When a world begins, unless it is told otherwise: some day after all dates that matter.
pub fn first_day() -> world::Wall {
    world::Wall::from(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000))
}
