//! What the desk has from outside: its disk, the files that are fetched, time and chance. A program has the machine's, a simulated world
//! its own. Must never be gone around: nothing that the desk, DHCP, HTTP or the gate's device does asks the machine itself.

use crate::config::Config;
use crate::disk::{Disk, Files};
use crate::error::BootError;
use crate::shelf::{FileSystem, Shelf};
use crate::sys;
use rand::RngCore as _;
use std::fmt;
use std::sync::Arc;
use vocabulary::WallTime;

/// Fills bytes with random ones, which nobody can guess where that matters.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Outside {
    /// Where permits and the contact's age are kept.
    pub disk: Arc<dyn Disk>,
    /// The files that machines fetch.
    pub shelf: Arc<dyn Shelf>,
    /// The boot clock: milliseconds since the host booted, suspend included. Never steps, whoever sets the wall clock.
    pub since_boot: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The name of this boot of the host, which no other boot has; empty if nobody knows it.
    pub host_boot: String,
    /// The time of day, which may be wrong and may jump.
    pub wall: Arc<dyn Fn() -> WallTime + Send + Sync>,
    /// Chance.
    pub random: Random,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

impl Outside {
    /// The machine's; permits lie in the configuration's folder.
    pub fn of_the_machine(config: &Config) -> Result<Outside, BootError> {
        Ok(Outside {
            disk: Arc::new(Files::open(&config.state_dir)?),
            shelf: Arc::new(FileSystem),
            since_boot: Arc::new(sys::boottime_ms),
            host_boot: sys::host_boot_id(),
            wall: Arc::new(sys::wall),
            random: Arc::new(|bytes: &mut [u8]| rand::rng().fill_bytes(bytes)),
        })
    }

    /// Bits for a token.
    pub(crate) fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        (self.random)(&mut bytes);
        u128::from_be_bytes(bytes)
    }
}

#[cfg(test)]
#[path = "outside_tests.rs"]
mod tests;
