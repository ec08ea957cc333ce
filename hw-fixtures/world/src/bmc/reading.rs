//! How a power state reads, and which reading a quirk fixes.
//! Must never know how the machine is.

use crate::bmc::quirks::PowerReading;

/// What a power state reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A value.
    Is(&'static str),
    /// The key with null.
    Null,
    /// No key.
    Missing,
    /// The BMC says it cannot tell (503).
    Unavailable,
}

/// The reading a quirk fixes; None where the truth is to be told.
pub fn fixed(quirk: PowerReading, stuck: Reading) -> Option<Reading> {
    Some(match quirk {
        PowerReading::Truthful => return None,
        PowerReading::Stuck => stuck,
        PowerReading::Null => Reading::Null,
        PowerReading::Missing => Reading::Missing,
        PowerReading::On => Reading::Is("On"),
        PowerReading::Off => Reading::Is("Off"),
        PowerReading::PoweringOn => Reading::Is("PoweringOn"),
        PowerReading::PoweringOff => Reading::Is("PoweringOff"),
        PowerReading::Paused => Reading::Is("Paused"),
    })
}
