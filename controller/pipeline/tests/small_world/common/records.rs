//! The small world's journal: what it comes to, and what its removal does. It holds no more than a store would.

use super::World;
use pipeline::Record;
use pipeline::event::What;
use pipeline::ledger::{Ledger, ROWS_KEPT};
use pipeline::record::Fact;
use vocabulary::WallTime;

impl World {
    /// What these records come to.
    pub fn folded(&self, records: &[Record]) -> Ledger {
        let mut ledger = Ledger::default();
        records.iter().for_each(|record| ledger.apply(record));
        ledger
    }

    /// All records that there are grow old at once, and are removed.
    pub fn prune(&mut self) {
        let older = self.folded(&self.records);
        let before = WallTime(self.wall() + 1);
        let long_after = WallTime(before.0 + ROWS_KEPT.0);
        let plans = self.state().ledger.forgettable(&older, before, long_after);
        let fact = Fact::Pruned { entries: self.records.len() as u64, before, base: String::new(), plans };
        let record = Record { at: WallTime(self.wall()), fact };
        self.records.push(record.clone());
        self.tell(What::Replayed(Box::new(record)));
    }
}
