//! Turns the daemon's counters, which begin anew with each session and wrap at 32 bits, into one number a volume that only grows.
//! Must never shrink while the agent lives, or a reader would take a new session for a silent one.

use super::parse::Served;
use std::collections::HashMap;

/// What was counted for one volume.
#[derive(Debug, Default)]
pub struct Counter {
    total: u64,
    last: HashMap<(u32, u64, u64), (u32, u32)>,
}

impl Counter {
    /// Takes the present rows of a volume's exports and returns the operations counted so far.
    pub fn take(&mut self, rows: &[Served]) -> u64 {
        let mut now = HashMap::with_capacity(rows.len());
        for row in rows {
            let key = (row.tid, row.lun, row.session);
            let (reads, writes) = self.last.get(&key).copied().unwrap_or((0, 0));
            self.total += u64::from(row.reads.wrapping_sub(reads)) + u64::from(row.writes.wrapping_sub(writes));
            now.insert(key, (row.reads, row.writes));
        }
        self.last = now;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(session: u64, reads: u32, writes: u32) -> Served {
        Served { tid: 1, lun: 1, session, reads, writes }
    }

    #[test]
    fn it_counts_over_sessions_and_over_the_wrap() {
        let mut counter = Counter::default();
        assert_eq!(counter.take(&[row(1, 3, u32::MAX)]), 3 + u64::from(u32::MAX));
        let before = counter.take(&[row(1, 3, u32::MAX)]);
        assert_eq!(counter.take(&[row(1, 4, 1)]), before + 3, "the daemon's counter wrapped");
        assert_eq!(counter.take(&[]), before + 3, "a session that ended takes nothing away");
        assert_eq!(counter.take(&[row(2, 1, 1)]), before + 5);
    }

    proptest! {
        #[test]
        fn it_never_shrinks(steps in prop::collection::vec(prop::collection::vec((0u64..4, any::<u32>(), any::<u32>()), 0..4), 0..20)) {
            let mut counter = Counter::default();
            let mut last = 0;
            for step in steps {
                let rows: Vec<Served> = step.into_iter().map(|(session, reads, writes)| row(session, reads, writes)).collect();
                let total = counter.take(&rows);
                prop_assert!(total >= last);
                last = total;
            }
        }
    }
}
