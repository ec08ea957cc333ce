//! Sensors that follow the machine: the power unit (the rail), the temperature of the incoming air, the watchdog.
//! Must never read warm for a machine that has been off for long, nor a rail that the chassis would not tell.

use std::time::{Duration, Instant};

use super::{Call, Told, code};
use crate::bmc::{Reading, State};

pub const POWER_UNIT: u8 = 0x01;
pub const TEMPERATURE: u8 = 0x02;
pub const WATCHDOG: u8 = 0x03;

/// Degrees when the machine has been off for long, and when it has been on for long.
pub const COLD: u8 = 22;
pub const WARM: u8 = 36;
/// From here on it is too warm, and much too warm; degrees.
pub const UPPER_NON_CRITICAL: u8 = 50;
pub const UPPER_CRITICAL: u8 = 60;
/// One degree takes so long.
const DEGREE: Duration = Duration::from_secs(5);
/// Events and scanning are on.
const SCANNING: u8 = 0xc0;
/// Scanning is on, but there is no reading.
const NO_READING: u8 = 0xe0;
/// The byte of the higher states has this bit set always.
const HIGH: u8 = 0x80;

pub fn reading(call: &Call<'_>) -> Told {
    let [number] = call.exactly()?;
    let state = call.bmc.state();
    match number {
        POWER_UNIT => Ok(match state.chassis_power() {
            // state 0: power off
            Reading::Is("Off") => vec![0, SCANNING, 0x01, HIGH],
            Reading::Is(_) => vec![0, SCANNING, 0x00, HIGH],
            Reading::Null | Reading::Missing | Reading::Unavailable => vec![0, NO_READING, 0x00, HIGH],
        }),
        TEMPERATURE => Ok(vec![temperature(&state, Instant::now()), SCANNING, 0x00, HIGH]),
        WATCHDOG => Ok(vec![0, SCANNING, 0x00, HIGH]),
        _ => Err(code::ABSENT),
    }
}

pub fn thresholds(call: &Call<'_>) -> Told {
    match call.exactly()? {
        // which can be read, then from the lowest to the highest
        [TEMPERATURE] => Ok(vec![0x18, 0, 0, 0, UPPER_NON_CRITICAL, UPPER_CRITICAL, 0]),
        [POWER_UNIT | WATCHDOG] => Err(code::STATE),
        _ => Err(code::ABSENT),
    }
}

/// It goes up after a power-on and down after a power-off.
fn temperature(state: &State, now: Instant) -> u8 {
    let since = now.saturating_duration_since(state.moved_at).as_secs() / DEGREE.as_secs();
    let way = u8::try_from(since).unwrap_or(u8::MAX).min(WARM - COLD);
    if state.process.is_some() {
        COLD + way
    } else if state.generation == 0 {
        // it never ran
        COLD
    } else {
        WARM - way
    }
}
