//! An agent's own clock in a simulated world: ticks of the runtime's time since the agent's start, faster or slower than others' where the
//! world says so. Must never go backwards.

use contract::gate::Clock;
use std::time::Instant;

/// Parts of which a skew counts the millionth.
const MILLION: u128 = 1_000_000;

/// A monotonic clock, counted from its making.
#[derive(Clone, Debug)]
pub struct Ticks {
    begun: Instant,
    /// How many of its milliseconds pass in a million of the world's.
    rate: u32,
}

impl Ticks {
    /// Starts at zero and runs at this rate: in a million milliseconds of the world so many of its own pass.
    pub fn start(rate: u32) -> Ticks {
        Ticks { begun: world::clock::now(), rate }
    }
}

impl Clock for Ticks {
    fn tick(&self) -> u64 {
        let passed = world::clock::now().saturating_duration_since(self.begun).as_millis();
        u64::try_from(passed * u128::from(self.rate) / MILLION).unwrap_or(u64::MAX)
    }
}
