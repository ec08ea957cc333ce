//! How the beginning of a process of the controller is folded. Total, and decides nothing.

use super::Ledger;
use vocabulary::ControllerLife;

/// So many processes of the controller are remembered. An agent that none of them has reached obeys this store only after `agent readopt`.
pub const CONTROLLERS_KEPT: usize = 1_000;

impl Ledger {
    /// The newest comes last; of many the oldest is forgotten.
    pub(super) fn apply_began(&mut self, controller: &ControllerLife) {
        self.controllers.retain(|known| known != controller);
        self.controllers.push_back(controller.clone());
        if self.controllers.len() > CONTROLLERS_KEPT {
            self.controllers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_last_and_no_more_than_are_kept() {
        let mut ledger = Ledger::default();
        let life = |number: usize| ControllerLife(format!("life {number}"));
        (0..CONTROLLERS_KEPT + 2).for_each(|number| ledger.apply_began(&life(number)));
        ledger.apply_began(&life(5));
        assert_eq!(ledger.controllers.len(), CONTROLLERS_KEPT);
        assert_eq!((ledger.controllers.front(), ledger.controllers.back()), (Some(&life(2)), Some(&life(5))));
    }
}
