//! The agent's own clock: ticks since the agent's start. It knows nothing of wall-clock time, which an operator or NTP may set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Tells the agent's tick: milliseconds since its start, never backwards.
pub trait Clock: Send + Sync {
    /// The tick now.
    fn tick(&self) -> u64;
}

/// The system's monotonic clock, counted from its making.
pub struct Monotonic(Instant);

impl Monotonic {
    /// Starts at zero.
    pub fn start() -> Monotonic {
        Monotonic(Instant::now())
    }
}

impl Clock for Monotonic {
    fn tick(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that a test or a simulation sets by hand.
#[derive(Default)]
pub struct Manual(AtomicU64);

impl Manual {
    /// Moves the clock on.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn tick(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
