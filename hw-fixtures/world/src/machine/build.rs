//! What a machine is made of, how long things take in it, and who sees its console. It must never hold what changes while a machine lives.

use super::cables::Mac;
use std::time::Duration;

/// What firmware can boot from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BootDevice {
    /// iPXE on the first NIC.
    Network,
    /// UEFI's HTTP boot on the first NIC.
    Http,
    /// What a system installed on the local disk.
    Disk,
}

/// From the least to the most; each is drawn when it is due.
pub type Between = (Duration, Duration);

/// How long things take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Times {
    /// Firmware's test of itself.
    pub post: Between,
    /// From a cut of the power until it is gone: the machine runs on for so long.
    pub falls: Between,
    /// Pause of the firmware after it tried all boot devices.
    pub between_boots: Between,
    /// A kernel's begin, until it looks for its root.
    pub kernel: Between,
    /// From the root to the service.
    pub system: Between,
    /// An orderly stop.
    pub stop: Between,
    /// Between two records.
    pub record_every: Duration,
    /// How long a read or write waits for a new session.
    pub replacement: Duration,
}

impl Default for Times {
    fn default() -> Times {
        let s = Duration::from_secs;
        Times {
            post: (s(40), s(300)),
            falls: (Duration::ZERO, Duration::from_millis(300)),
            between_boots: (s(1), s(10)),
            kernel: (s(2), s(15)),
            system: (s(5), s(40)),
            stop: (s(2), s(30)),
            record_every: Duration::from_millis(100),
            replacement: s(5),
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Build {
    /// For people.
    pub name: String,
    /// Its NICs in the order of their slots; firmware boots over the first.
    pub nics: Vec<Mac>,
    /// The boot devices in firmware's order, after an override.
    pub order: Vec<BootDevice>,
    /// It has a local disk, on which a system keeps what it was told: a machine that needs no network to know who it was.
    pub local_disk: bool,
    /// How long things take.
    pub times: Times,
}

/// How far a boot has come, for whoever sees the console.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Its firmware shows itself.
    HardwareInitialized,
    /// Its system begins.
    SystemStarted,
    /// Its system is there.
    SystemRuns,
}

/// Who sees the console of one start.
pub trait Console: Send + Sync {
    /// The machine was reset, by this cause in Redfish's words: a new boot has begun.
    fn reset(&self, cause: &'static str);
    /// Its boot has come so far.
    fn reached(&self, stage: Stage);
}

/// Nobody.
impl Console for () {
    fn reset(&self, _: &'static str) {}
    fn reached(&self, _: Stage) {}
}
