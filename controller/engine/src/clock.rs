//! Time and chance of one engine, both given from outside: a program has the machine's, a simulated engine those of its world.
//! Nothing else in this crate may ask the machine for either.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vocabulary::{Instant, WallTime};

/// Monotonic time since the engine's start, and the time of day. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    begun: tokio::time::Instant,
    wall: Arc<dyn Fn() -> WallTime + Send + Sync>,
}

impl Clock {
    /// The machine's, begun now.
    pub fn of_the_machine() -> Clock {
        Clock::with(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            WallTime(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
        })
    }

    /// With another time of day, which may be wrong and may jump. The monotonic part is the runtime's.
    pub fn with(wall: impl Fn() -> WallTime + Send + Sync + 'static) -> Clock {
        Clock { begun: tokio::time::Instant::now(), wall: Arc::new(wall) }
    }

    /// Now, since the start.
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time of day.
    pub fn wall(&self) -> WallTime {
        (self.wall)()
    }

    /// A moment of this clock as the runtime names it.
    pub fn at(&self, moment: Instant) -> tokio::time::Instant {
        self.begun + Duration::from_millis(moment.0)
    }

    /// When it began.
    pub fn begun(&self) -> tokio::time::Instant {
        self.begun
    }
}

/// Where jitter comes from. Clones draw from the same.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// The machine's.
    pub fn of_the_machine() -> Chance {
        Chance(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    /// The same draws for the same seed.
    pub fn of(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A name that nobody else draws: 128 bits.
    pub fn name(&self) -> String {
        let bits: u128 = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        format!("{bits:032x}")
    }

    /// Something from nothing to the most, inclusive, in whole milliseconds.
    pub fn up_to(&self, most: Duration) -> Duration {
        let most_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..=most_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_the_start_and_the_day_is_as_it_is_told() {
        let clock = Clock::with(|| WallTime(7));
        assert_eq!(clock.at(Instant(1_500)) - clock.begun(), Duration::from_millis(1_500));
        let earlier = clock.now();
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.clone().now() >= Instant(earlier.0 + 5));
        assert!(clock.wall() == WallTime(7) && Clock::of_the_machine().wall() > WallTime(0));
    }

    #[test]
    fn the_same_seed_draws_the_same_and_never_too_much() {
        const MOST: Duration = Duration::from_millis(20);
        let draws = |chance: Chance| (0..100).map(|_| chance.up_to(MOST)).collect::<Vec<_>>();
        let drawn = draws(Chance::of(1));
        assert_eq!(drawn, draws(Chance::of(1)));
        assert_ne!(drawn, draws(Chance::of(2)));
        assert!(drawn.iter().all(|draw| *draw <= MOST) && draws(Chance::of_the_machine()).iter().all(|draw| *draw <= MOST));
        assert_eq!(Chance::of(1).up_to(Duration::ZERO), Duration::ZERO);
    }
}
