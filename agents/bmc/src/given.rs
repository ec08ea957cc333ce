//! Time and chance, which are given to every driver: a program has the machine's, a simulated world its own. No other file may ask the machine
//! for either.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngCore as _;
use vocabulary::WallTime;

/// Now, as the runtime counts it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long ago that was.
pub(crate) fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}

/// Fills bytes with random ones, which nobody can guess where that matters.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Given {
    /// The time of day.
    pub wall: Arc<dyn Fn() -> WallTime + Send + Sync>,
    /// Chance.
    pub random: Random,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

impl Given {
    /// The machine's.
    pub fn by_the_machine() -> Given {
        let wall = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        };
        Given { wall: Arc::new(wall), random: Arc::new(|bytes: &mut [u8]| rand::rng().fill_bytes(bytes)) }
    }

    /// A number up to the most, included.
    pub(crate) fn number(&self, most: u32) -> u32 {
        let mut bytes = [0; 8];
        (self.random)(&mut bytes);
        // 64 bits over at most 32: no number is noticeably likelier than another
        u32::try_from(u64::from_le_bytes(bytes) % (u64::from(most) + 1)).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_bound() {
        let given = Given::by_the_machine();
        let drawn: std::collections::BTreeSet<u32> = (0..1_000).map(|_| given.number(9)).collect();
        assert_eq!(drawn, (0..=9).collect());
        assert_eq!(given.number(0), 0);
        let full = Given { random: Arc::new(|bytes: &mut [u8]| bytes.fill(0xff)), ..given };
        assert_eq!((full.number(u32::MAX), full.number(0)), (u32::MAX, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_the_runtimes() {
        let begun = now();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(since(begun), Duration::from_secs(3_600));
    }
}
