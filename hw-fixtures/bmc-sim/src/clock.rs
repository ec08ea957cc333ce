//! Monotonic nanoseconds for the oracle: the number that every observer on this machine has.
//! Must never feed a decision: times here are only told.

/// The system's monotonic clock, ns: the same number in every process of the machine, so that observers can put events in order.
pub fn monotonic_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    })
}
