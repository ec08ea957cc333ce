//! What a BMC keeps beside the power of its machine: event log, watchdog, marks of the boot options, the light.
//! Must never act: it is kept here, the other files act.

mod log;
mod mishap;
mod watchdog;

use std::time::Instant;

use crate::clock::now;

pub use log::{Entry, Log, Record};
pub use mishap::{Mishap, Supply};
pub use watchdog::{Action, Watchdog};

/// The identify light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Until then.
    Until(Instant),
    /// Until it is put out.
    Steady,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Device {
    /// The event log.
    pub log: Log,
    /// The watchdog.
    pub watchdog: Watchdog,
    /// The identify light; None: out.
    pub light: Option<Light>,
    /// Boot option 0 as it was written.
    pub set_in_progress: u8,
    /// Boot option 3: what does not clear the "valid" mark of the boot flags.
    pub valid_clearing: u8,
    /// The reservation of the sensor data repository.
    pub repository: u16,
    /// Parts of records that were read under it.
    pub repository_reads: u8,
    /// The second power supply.
    pub second_supply: Supply,
}

impl Device {
    /// What is told of the light: 0 out, 1 for a while, 2 steady.
    pub fn light_state(&self) -> u8 {
        match self.light {
            Some(Light::Until(at)) if now() < at => 1,
            Some(Light::Steady) => 2,
            Some(Light::Until(_)) | None => 0,
        }
    }

    /// The BMC restarted: what it keeps only in memory is gone.
    pub fn restart(&mut self) {
        self.watchdog = Watchdog::default();
        (self.light, self.set_in_progress, self.repository) = (None, 0, 0);
        self.log.unreserve();
    }
}
