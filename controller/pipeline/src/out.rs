//! The sink into which one step writes its effects.

use crate::effect::Effect;
use crate::ledger::Ledger;
use crate::record::{Fact, Record};
use vocabulary::{Instant, WallTime};

/// The clocks of the present event and the effects gathered so far.
#[derive(Debug)]
pub struct Out {
    /// Monotonic now.
    pub now: Instant,
    /// Wall clock now.
    pub wall: WallTime,
    /// Effects in order.
    pub effects: Vec<Effect>,
    wake: Option<Instant>,
}

impl Out {
    /// An empty sink for one event.
    pub fn new(now: Instant, wall: WallTime) -> Out {
        Out { now, wall, effects: Vec::new(), wake: None }
    }
    /// Records a fact: it is applied to the ledger at once and made durable by the shell before any other effect of this step.
    pub fn record(&mut self, ledger: &mut Ledger, fact: Fact) {
        let record = Record { at: self.wall, fact };
        ledger.apply(&record);
        self.effects.push(Effect::Record(Box::new(record)));
    }
    /// Asks to be woken at this time at the latest.
    pub fn wake(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |already| already.min(at)));
    }
    /// All effects, the wake-up last.
    pub fn finish(mut self) -> Vec<Effect> {
        if let Some(at) = self.wake {
            self.effects.push(Effect::Wake(at));
        }
        self.effects
    }
}
