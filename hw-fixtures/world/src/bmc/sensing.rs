//! What the machine's sensors measure, whoever asks by whichever protocol: air, processor, power drawn.
//! Must never read warm for a machine that has been off for long.

use std::time::{Duration, Instant};

use crate::bmc::State;
use crate::clock::now;

/// Watts drawn by a machine that is on, and by the BMC alone.
pub const DRAWN_ON: u16 = 212;
pub const DRAWN_OFF: u16 = 12;
/// A processor at work is so much warmer than the air.
const WARMER: u8 = 24;

/// Degrees when the machine has been off for long, and when it has been on for long.
pub const COLD: u8 = 22;
pub const WARM: u8 = 36;
/// From here on it is too warm, and much too warm; degrees.
pub const UPPER_NON_CRITICAL: u8 = 50;
pub const UPPER_CRITICAL: u8 = 60;
/// One degree takes so long.
const DEGREE: Duration = Duration::from_secs(5);

/// Degrees of the air: it goes up after a power-on and down after a power-off.
pub fn temperature(state: &State, now: Instant) -> u8 {
    let since = now.saturating_duration_since(state.moved_at).as_secs() / DEGREE.as_secs();
    let way = u8::try_from(since).unwrap_or(u8::MAX).min(WARM - COLD);
    if state.run.is_some() {
        COLD + way
    } else if state.generation == 0 {
        // it never ran
        COLD
    } else {
        WARM - way
    }
}

/// Degrees of the processor.
pub fn processor(state: &State) -> u8 {
    let air = temperature(state, now());
    if state.run.is_some() { air + WARMER } else { air }
}

/// Watts drawn now.
pub fn watts(state: &State) -> u16 {
    if state.run.is_some() { DRAWN_ON } else { DRAWN_OFF }
}
