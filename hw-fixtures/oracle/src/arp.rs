//! The MAC witness: which MAC addresses answer for a server's address, and when. Pure; the frames come from a collector.
//!
//! A server's address answers from one MAC at any time. It may move, as in a takeover, but never go back and forth.

use std::collections::BTreeMap;

use vocabulary::Mac;

use crate::fact::Ns;
use crate::limits::{ANSWER_WINDOW_NS, CONTESTS_MAX, STAYS_MAX};

/// A time during which one MAC answered and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stay {
    mac: Mac,
    first_ns: Ns,
    last_ns: Ns,
}

/// One MAC's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Who.
    pub mac: Mac,
    /// First answer.
    pub first_ns: Ns,
    /// Last answer.
    pub last_ns: Ns,
    /// How many.
    pub count: u64,
}

/// A MAC that answered again although another one had answered meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contest {
    /// The one that answered again.
    pub again: Mac,
    /// The other.
    pub other: Mac,
    /// When.
    pub at_ns: Ns,
}

/// The witness of one address.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    stays: Vec<Stay>,
    answers: BTreeMap<Mac, Answers>,
    contests: Vec<Contest>,
}

impl Witness {
    /// This MAC answered now. True if the address moved (or was answered for the first time).
    pub fn take(&mut self, mac: Mac, at_ns: Ns) -> bool {
        if self.answers.len() < STAYS_MAX || self.answers.contains_key(&mac) {
            let answers = self.answers.entry(mac).or_insert(Answers { mac, first_ns: at_ns, last_ns: at_ns, count: 0 });
            answers.last_ns = answers.last_ns.max(at_ns);
            answers.count += 1;
        }
        match self.stays.last_mut() {
            Some(stay) if stay.mac == mac => {
                stay.last_ns = stay.last_ns.max(at_ns);
                return false;
            }
            Some(stay) => {
                let other = stay.mac;
                self.contested(mac, other, at_ns);
            }
            None => {}
        }
        if self.stays.len() >= STAYS_MAX {
            // an address that moved so often is judged; only its newest moves are still of interest
            self.stays.drain(..STAYS_MAX / 2);
        }
        self.stays.push(Stay { mac, first_ns: at_ns, last_ns: at_ns });
        true
    }

    fn contested(&mut self, mac: Mac, other: Mac, at_ns: Ns) {
        let lately = |stay: &&Stay| stay.last_ns.saturating_add(ANSWER_WINDOW_NS) >= at_ns;
        if self.stays.iter().rev().take_while(lately).any(|stay| stay.mac == mac) && self.contests.len() < CONTESTS_MAX {
            self.contests.push(Contest { again: mac, other, at_ns });
        }
    }

    /// Every MAC that ever answered, by its first answer.
    #[must_use]
    pub fn answers(&self) -> Vec<Answers> {
        let mut all: Vec<_> = self.answers.values().copied().collect();
        all.sort_by_key(|answers| answers.first_ns);
        all
    }

    /// When MACs answered in turn.
    #[must_use]
    pub fn contests(&self) -> &[Contest] {
        &self.contests
    }

    /// The MACs that answered since this instant.
    #[must_use]
    pub fn since(&self, since_ns: Ns) -> Vec<Mac> {
        self.answers.values().filter(|answers| answers.last_ns >= since_ns).map(|answers| answers.mac).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MILLISECOND_NS, SECOND_NS};
    use proptest::prelude::*;

    const OLD: Mac = Mac([0x52, 0x54, 0, 0x0c, 1, 3]);
    const NEW: Mac = Mac([0x52, 0x54, 0, 0x0c, 3, 3]);

    #[test]
    fn a_takeover_is_no_contest_and_a_return_much_later_is_none_either() {
        let mut witness = Witness::default();
        let moved = [(OLD, 1), (OLD, 2), (NEW, 9), (NEW, 10), (NEW, 40), (OLD, 60), (OLD, 61)];
        let moves: Vec<bool> = moved.iter().map(|(mac, at)| witness.take(*mac, at * SECOND_NS)).collect();
        assert_eq!(moves, [true, false, true, false, false, true, false]);
        assert!(witness.contests().is_empty());
        assert_eq!(witness.answers().iter().map(|one| (one.mac, one.count)).collect::<Vec<_>>(), [(OLD, 4), (NEW, 3)]);
        assert_eq!(witness.since(59 * SECOND_NS), [OLD]);
    }

    #[test]
    fn one_frame_of_a_thawed_machine_after_the_takeover_is_a_contest() {
        let mut witness = Witness::default();
        for (mac, at_ms) in [(OLD, 0), (NEW, 20_000), (NEW, 24_900), (OLD, 25_000)] {
            witness.take(mac, at_ms * MILLISECOND_NS);
        }
        assert!(witness.contests().is_empty(), "the newest answer may be a move back");
        witness.take(NEW, 25_100 * MILLISECOND_NS);
        assert_eq!(witness.contests(), [Contest { again: NEW, other: OLD, at_ns: 25_100 * MILLISECOND_NS }]);
    }

    proptest! {
        /// Two that both answer every probe are seen, however their answers fall; one that hands over once never is.
        #[test]
        fn answering_in_turn_is_seen(order in proptest::collection::vec(any::<bool>(), 4..40)) {
            let (mut turns, mut once) = (Witness::default(), Witness::default());
            for (probe, old_first) in order.iter().enumerate() {
                let at = u64::try_from(probe).unwrap() * 180 * MILLISECOND_NS;
                let pair = if *old_first { [OLD, NEW] } else { [NEW, OLD] };
                for mac in pair {
                    turns.take(mac, at);
                }
                once.take(if probe < order.len() / 2 { OLD } else { NEW }, at);
            }
            prop_assert!(!turns.contests().is_empty());
            prop_assert!(once.contests().is_empty());
        }
    }
}
