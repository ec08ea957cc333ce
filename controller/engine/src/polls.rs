//! What is counted of the polls of all BMCs: how many, how many met silence, and how late their answers were. It says whether watching
//! keeps up; it never says anything about a machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of the classes of lateness, milliseconds; what is later than the last is counted apart.
pub const LATE_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Counters since the start of `serve`.
#[derive(Debug, Default)]
pub struct Polls {
    answered: AtomicU64,
    silent: AtomicU64,
    late: [AtomicU64; LATE_MS.len() + 1],
}

/// The counters at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Polls that were answered, be it by a refusal.
    pub answered: u64,
    /// Polls that nothing answered.
    pub silent: u64,
    /// Of the answered ones, by class of lateness: those of [`LATE_MS`] and one above.
    pub late: Vec<u64>,
}

impl Polls {
    /// A poll was answered, so long after the moment at which it was due. `None` for the first one after a silence: what it waited for was
    /// its own BMC.
    pub fn answered(&self, late: Option<Duration>) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let Some(late) = late else { return };
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let class = LATE_MS.partition_point(|most| *most < late_ms);
        if let Some(counter) = self.late.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A poll met silence.
    pub fn silent(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted { answered: read(&self.answered), silent: read(&self.silent), late: self.late.iter().map(read).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_in_its_class() {
        let polls = Polls::default();
        for late_ms in [0, 1, 2, 3, 10_000, 10_001, 99_999] {
            polls.answered(Some(Duration::from_millis(late_ms)));
        }
        polls.answered(None);
        polls.silent();
        let counted = polls.counted();
        assert_eq!((counted.answered, counted.silent), (8, 1));
        assert_eq!(counted.late, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
