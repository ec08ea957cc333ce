//! When a BMC is looked at next: at the estate's interval; less often where its own answers take long, or where it has been silent for a
//! while. Each BMC has a pace of its own, so that none delays another. Pure: it is told what happened and how long it took.

use crate::limits;
use std::time::Duration;

/// How a look ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Something answered, be it a refusal.
    Answered,
    /// Nothing did.
    Silent,
}

/// The pace of one BMC. Its size does not grow with its history.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    /// How long its answers take: a quarter of the newest one, three of all before.
    usual: Duration,
    /// Looks in a row that met silence.
    silent: u32,
    /// Looks that are to follow quickly.
    close: u32,
}

impl Pace {
    /// Of a BMC of which nothing is known yet.
    pub fn new(interval: Duration) -> Pace {
        Pace { interval, usual: Duration::ZERO, silent: 0, close: 0 }
    }

    /// A look has ended. How long a silence took says nothing of the answers: it took as long as we wait.
    pub fn looked(&mut self, took: Duration, look: Look) {
        self.close = self.close.saturating_sub(1);
        match look {
            Look::Answered => {
                self.silent = 0;
                self.usual = (self.usual * 3 + took) / 4;
            }
            Look::Silent => self.silent = self.silent.saturating_add(1),
        }
    }

    /// Its machine's power is another than it was: it is looked at closely for a while.
    pub fn changed(&mut self) {
        self.close = limits::CLOSE_LOOKS;
    }

    /// From the start of one look to the start of the next. After a change [`limits::CLOSE_GAP`], of a slow BMC more; else never less than the interval; of a BMC that answers never more than
    /// [`limits::SLOW_INTERVALS_MAX`] intervals, so that its last reading is not too old for the detection when the next one comes; of a
    /// silent one never more than [`limits::SILENT_INTERVALS_MAX`].
    pub fn gap(&self) -> Duration {
        if self.close > 0 && self.silent == 0 {
            return limits::CLOSE_GAP.max(self.usual * limits::BUSY_SHARE).min(self.interval);
        }
        let slowest = self.interval.saturating_mul(limits::SLOW_INTERVALS_MAX);
        let own = self.interval.max((self.usual * limits::BUSY_SHARE).min(slowest));
        let doublings = self.silent.saturating_sub(limits::SILENT_LOOKS).min(limits::SILENT_INTERVALS_MAX.ilog2() + 1);
        let spared = self.interval.saturating_mul(1 << doublings);
        own.max(spared.min(self.interval.saturating_mul(limits::SILENT_INTERVALS_MAX)))
    }

    /// From the start of a look that the BMC itself asked for to the next such look: [`limits::WAKE_GAP`], of a slow BMC more, so that
    /// one that always has something to say has as much of its time for itself as any other.
    pub fn wake_gap(&self) -> Duration {
        limits::WAKE_GAP.max(self.usual * limits::BUSY_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(looks: &[(Duration, Look)]) -> Duration {
        let mut pace = Pace::new(5 * SECOND);
        looks.iter().for_each(|(took, look)| pace.looked(*took, *look));
        pace.gap()
    }

    #[test]
    fn a_quick_bmc_is_looked_at_at_the_interval() {
        assert_eq!(after(&[]), 5 * SECOND);
        assert_eq!(after(&[(SECOND / 100, Look::Answered); 50]), 5 * SECOND);
    }

    #[test]
    fn after_a_change_it_is_looked_at_closely_for_a_while() {
        let mut pace = Pace::new(5 * SECOND);
        pace.changed();
        for _ in 0..limits::CLOSE_LOOKS {
            assert_eq!(pace.gap(), limits::CLOSE_GAP);
            pace.looked(SECOND / 100, Look::Answered);
        }
        assert_eq!(pace.gap(), 5 * SECOND);
        // a slow one is given its time, and a silent one is not pressed
        pace.changed();
        (0..4).for_each(|_| pace.looked(3 * SECOND, Look::Answered));
        assert!(pace.gap() > 3 * SECOND && pace.gap() <= 5 * SECOND, "{:?}", pace.gap());
        pace.changed();
        pace.looked(4 * SECOND, Look::Silent);
        assert_eq!(pace.gap(), 5 * SECOND);
        // and none less often than it would be without
        let mut quick = Pace::new(SECOND / 2);
        quick.changed();
        assert_eq!(quick.gap(), SECOND / 2);
    }

    #[test]
    fn a_slow_bmc_has_half_of_its_time_for_itself() {
        let gap = after(&[(4 * SECOND, Look::Answered); 50]);
        assert!(gap > 7 * SECOND && gap <= 8 * SECOND, "{gap:?}");
        // but its readings stay young enough to be believed
        assert_eq!(after(&[(60 * SECOND, Look::Answered); 50]), 15 * SECOND);
        // one slow answer changes little
        assert_eq!(after(&[(4 * SECOND, Look::Answered)]), 5 * SECOND);
    }

    #[test]
    fn a_bmc_that_always_has_something_to_say_is_looked_at_once_a_second_and_a_slow_one_less() {
        let gap = |took| {
            let mut pace = Pace::new(5 * SECOND);
            (0..50).for_each(|_| pace.looked(took, Look::Answered));
            pace.wake_gap()
        };
        assert_eq!(gap(SECOND / 100), limits::WAKE_GAP);
        assert!(gap(4 * SECOND) > 7 * SECOND, "{:?}", gap(4 * SECOND));
    }

    #[test]
    fn a_silent_bmc_is_spared_and_is_back_at_its_first_answer() {
        let silent = (8 * SECOND, Look::Silent);
        // what the detection counts on comes at the usual pace
        assert_eq!(after(&[silent; 5]), 5 * SECOND);
        assert_eq!(after(&[silent; 6]), 10 * SECOND);
        assert_eq!(after(&[silent; 7]), 20 * SECOND);
        assert_eq!(after(&[silent; 8]), 30 * SECOND);
        assert_eq!(after(&[silent; 1000]), 30 * SECOND);
        let mut back = vec![silent; 1000];
        back.push((SECOND / 10, Look::Answered));
        assert_eq!(after(&back), 5 * SECOND);
    }

    proptest! {
        #[test]
        fn it_is_bounded_whatever_happens(
            interval_ms in 1u64..600_000,
            looks in proptest::collection::vec((0u64..100_000, any::<bool>()), 0..60),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let mut pace = Pace::new(interval);
            for (took_ms, answered) in &looks {
                pace.looked(Duration::from_millis(*took_ms), if *answered { Look::Answered } else { Look::Silent });
            }
            let answers = looks.last().is_none_or(|(_, answered)| *answered);
            let intervals = if answers { limits::SLOW_INTERVALS_MAX } else { limits::SILENT_INTERVALS_MAX };
            prop_assert!(pace.gap() >= interval && pace.gap() <= interval * intervals, "{:?}", pace.gap());
        }
    }
}
