//! How the beginning of a process of the controller is folded. Total, and decides nothing.

use super::Ledger;
use crate::record::Fact;
use std::collections::BTreeSet;
use vocabulary::ControllerLife;

/// So many processes of the controller are remembered besides those that agents obeyed when they were heard last. An agent that obeys one that nobody
/// heard of, older than all of these, obeys this store only after `agent readopt`.
pub const CONTROLLERS_KEPT: usize = 1_000;

impl Ledger {
    /// What is known of the processes on this store.
    pub(super) fn apply_controller(&mut self, fact: &Fact) {
        match fact {
            Fact::Began { controller } => self.apply_began(controller),
            Fact::Obeyed { agent, controller } => drop(self.obeyed.insert(agent.clone(), controller.clone())),
            _ => {}
        }
    }

    /// The newest comes last; of many the oldest is forgotten that no agent is known to obey: starts that reach nobody, however many, shut nobody out.
    fn apply_began(&mut self, controller: &ControllerLife) {
        self.controllers.retain(|known| known != controller);
        self.controllers.push_back(controller.clone());
        let obeyed: BTreeSet<&ControllerLife> = self.obeyed.values().collect();
        let is_other = |known: &ControllerLife| !obeyed.contains(known);
        let mut too_many = self.controllers.iter().filter(|known| is_other(known)).count().saturating_sub(CONTROLLERS_KEPT);
        self.controllers.retain(|known| {
            let forgotten = too_many > 0 && is_other(known);
            too_many -= usize::from(forgotten);
            !forgotten
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(number: usize) -> ControllerLife {
        ControllerLife(format!("life {number}"))
    }

    #[test]
    fn the_newest_come_last_and_no_more_than_are_kept() {
        let mut ledger = Ledger::default();
        (0..CONTROLLERS_KEPT + 2).for_each(|number| ledger.apply_began(&life(number)));
        ledger.apply_began(&life(5));
        assert_eq!(ledger.controllers.len(), CONTROLLERS_KEPT);
        assert_eq!((ledger.controllers.front(), ledger.controllers.back()), (Some(&life(2)), Some(&life(5))));
    }

    #[test]
    fn a_process_that_an_agent_obeys_outlives_any_number_of_starts_until_the_agent_obeys_another() {
        let mut ledger = Ledger::default();
        ledger.apply_began(&life(0));
        ledger.obeyed.insert("sw1".to_owned(), life(0));
        ledger.obeyed.insert("sw2".to_owned(), life(0));
        (1..3 * CONTROLLERS_KEPT).for_each(|number| ledger.apply_began(&life(number)));
        assert_eq!(ledger.controllers.len(), CONTROLLERS_KEPT + 1);
        assert_eq!(ledger.controllers.front(), Some(&life(0)));
        ledger.obeyed.insert("sw1".to_owned(), life(3 * CONTROLLERS_KEPT - 1));
        ledger.apply_began(&life(4 * CONTROLLERS_KEPT));
        assert_eq!(ledger.controllers.front(), Some(&life(0)), "the other one obeys it still");
        ledger.obeyed.insert("sw2".to_owned(), life(3 * CONTROLLERS_KEPT - 1));
        (0..3).for_each(|number| ledger.apply_began(&life(5 * CONTROLLERS_KEPT + number)));
        assert!(!ledger.controllers.contains(&life(0)) && ledger.controllers.contains(&life(3 * CONTROLLERS_KEPT - 1)));
        assert!(ledger.controllers.len() <= CONTROLLERS_KEPT + 1);
    }
}
