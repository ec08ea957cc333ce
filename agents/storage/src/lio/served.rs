//! Turns the kernel's counters of commands, which begin anew with each backstore, into one number a volume that only grows.
//! Must never shrink while the agent lives, or a reader would take a new backstore for a silent one.

use std::collections::HashMap;

/// What was counted for one volume.
#[derive(Debug, Default)]
pub(super) struct Counter {
    total: u64,
    last: HashMap<String, u64>,
}

impl Counter {
    /// Takes the present counters of a volume's backstores and returns the commands counted so far.
    pub fn take(&mut self, present: Vec<(String, u64)>) -> u64 {
        for (store, now) in &present {
            let before = self.last.get(store).copied().filter(|before| before <= now).unwrap_or(0);
            self.total = self.total.saturating_add(now - before);
        }
        self.last = present.into_iter().collect();
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_backstore_that_was_made_anew_goes_on_counting() {
        let mut counter = Counter::default();
        let one = |n| vec![("core/fileio_0/a".to_owned(), n)];
        assert_eq!((counter.take(one(3)), counter.take(one(3)), counter.take(one(5))), (3, 3, 5));
        assert_eq!((counter.take(one(1)), counter.take(vec![]), counter.take(one(1))), (6, 6, 7));
    }

    proptest! {
        #[test]
        fn it_never_shrinks(steps in prop::collection::vec(prop::collection::vec((0u8..3, any::<u32>()), 0..3), 0..20)) {
            let mut counter = Counter::default();
            let mut last = 0;
            for step in steps {
                let total = counter.take(step.into_iter().map(|(store, n)| (store.to_string(), u64::from(n))).collect());
                prop_assert!(total >= last);
                last = total;
            }
        }
    }
}
