//! The book of facts: it takes what collectors see and keeps what changed.
//!
//! It knows what a machine forgets at power-off, who knows which initiator name, and whose session is whose. It never drops a change in
//! silence: a full book says so.

use std::collections::{BTreeMap, BTreeSet};

use vocabulary::storage::InitiatorName;
use vocabulary::{MachineId, ServerId};

use crate::fact::{Atom, Change, Exported, Holder, Key, Ns, Observation, Seen, State};
use crate::limits::{CHANGES_MAX, ELEMENTS_MAX, HANDS_MAX, INITIATORS_MAX, SESSION_UNKNOWN_NS};
use crate::roster::Roster;

/// Everything seen of one run.
#[derive(Debug, Clone, Default)]
pub struct Book {
    state: State,
    changes: Vec<Change>,
    hands: Vec<(Ns, Key)>,
    /// When each machine was switched on last.
    on_since: BTreeMap<MachineId, Ns>,
    /// The machine that logged in last under a name.
    logins: BTreeMap<InitiatorName, MachineId>,
    /// Whose sessions are, by target and number, and since when they stand.
    sessions: BTreeMap<(String, u64), (Holder, Ns)>,
    full: bool,
}

impl Book {
    /// What is true now, as far as it was seen.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Every change, in the order in which it was seen.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What foreign hands did.
    #[must_use]
    pub fn hands(&self) -> &[(Ns, Key)] {
        &self.hands
    }

    /// The changes that were not taken yet: whoever judges each at once needs them only once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Forgets the deeds of foreign hands before this instant.
    pub fn forget_hands(&mut self, before_ns: Ns) {
        self.hands.retain(|(at_ns, _)| *at_ns >= before_ns);
    }

    /// Whether something was not kept because a bound was reached: then no judgement is worth anything.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Takes what was seen; answers how many changes that made.
    pub fn take(&mut self, roster: &Roster, seen: Seen) -> usize {
        let before = self.changes.len();
        let Seen { after_ns, at_ns, what } = seen;
        match what {
            Observation::Power(machine, on) => self.power(machine, on, after_ns, at_ns),
            Observation::Port(port, vlans) => {
                self.set(Key::Port(port), vlans.into_iter().map(Atom::Vlan).collect(), after_ns, at_ns);
            }
            Observation::Permit(machine, permit) => {
                if let Some((_, initiator)) = &permit {
                    self.knows(initiator, &machine, after_ns, at_ns);
                }
                let atoms = permit.into_iter().map(|(server, _)| Atom::MayBoot(server)).collect();
                self.set(Key::Permit(machine), atoms, after_ns, at_ns);
            }
            Observation::Target(target, exported) => self.target(roster, target, exported, after_ns, at_ns),
            Observation::Ran(machine, server) => self.ran(&machine, server, after_ns, at_ns),
            Observation::Login(machine, initiator, _) => {
                self.knows(&initiator, &machine, after_ns, at_ns);
                if self.logins.len() < INITIATORS_MAX || self.logins.contains_key(&initiator) {
                    self.logins.insert(initiator, machine);
                } else {
                    self.full = true;
                }
            }
            Observation::Hand(key) => {
                if self.hands.len() < HANDS_MAX {
                    self.hands.push((at_ns, key));
                }
            }
        }
        self.changes.len() - before
    }

    fn set(&mut self, key: Key, is: BTreeSet<Atom>, after_ns: Ns, at_ns: Ns) {
        let was = self.state.get(&key).cloned();
        // the first look at something is news even if nothing holds
        if was.as_ref() == Some(&is) {
            return;
        }
        if self.changes.len() >= CHANGES_MAX || is.len() > ELEMENTS_MAX {
            self.full = true;
            return;
        }
        self.state.insert(key.clone(), is.clone());
        self.changes.push(Change { key, was: was.unwrap_or_default(), is, after_ns, at_ns });
    }

    fn add(&mut self, key: Key, atom: Atom, after_ns: Ns, at_ns: Ns) {
        let mut atoms = self.state.get(&key).cloned().unwrap_or_default();
        atoms.insert(atom);
        self.set(key, atoms, after_ns, at_ns);
    }

    fn power(&mut self, machine: MachineId, on: bool, after_ns: Ns, at_ns: Ns) {
        let was = self.state.get(&Key::Power(machine.clone())).is_some_and(|atoms| atoms.contains(&Atom::On));
        if on && !was {
            self.on_since.insert(machine.clone(), at_ns);
        }
        if !on {
            // what has no power has run nothing
            self.set(Key::Ran(machine.clone()), BTreeSet::new(), after_ns, at_ns);
        }
        self.set(Key::Power(machine), on.then_some(Atom::On).into_iter().collect(), after_ns, at_ns);
    }

    /// A sign of a server on a machine. One that may be older than the last power-on proves nothing of this one.
    fn ran(&mut self, machine: &MachineId, server: ServerId, after_ns: Ns, at_ns: Ns) {
        let off = self.state.get(&Key::Power(machine.clone())).is_some_and(|atoms| !atoms.contains(&Atom::On));
        let older = self.on_since.get(machine).is_some_and(|since| after_ns < *since);
        if !off && !older {
            self.add(Key::Ran(machine.clone()), Atom::Ran(server), after_ns, at_ns);
        }
    }

    fn knows(&mut self, initiator: &InitiatorName, machine: &MachineId, after_ns: Ns, at_ns: Ns) {
        let key = Key::Knows(initiator.clone());
        if !self.state.contains_key(&key) && self.state.len() >= INITIATORS_MAX {
            self.full = true;
            return;
        }
        self.add(key, Atom::Machine(machine.clone()), after_ns, at_ns);
    }

    fn target(&mut self, roster: &Roster, target: String, exported: Exported, after_ns: Ns, at_ns: Ns) {
        self.sessions.retain(|(other, number), _| *other != target || exported.sessions.contains_key(number));
        let mut atoms: BTreeSet<Atom> = exported.admitted.into_iter().map(Atom::Admits).collect();
        atoms.extend(exported.open.then_some(Atom::AdmitsAnyone));
        for (number, initiator) in exported.sessions.into_iter().take(ELEMENTS_MAX) {
            let machine = self.holder(&target, number, &initiator, at_ns);
            if let (Holder::Machine(machine), Some(server)) = (&machine, roster.server_of(&target)) {
                // whoever has the server's disk has begun to run it
                self.ran(machine, server.clone(), at_ns, at_ns);
            }
            atoms.insert(Atom::Session { number, initiator, machine });
        }
        self.set(Key::Target(target), atoms, after_ns, at_ns);
    }

    /// Whose session it is: of the machine that logged in last under its name when it was first seen, else of the one that knows the name.
    fn holder(&mut self, target: &str, number: u64, initiator: &InitiatorName, at_ns: Ns) -> Holder {
        let known = self.sessions.get(&(target.to_owned(), number)).cloned();
        let since_ns = known.as_ref().map_or(at_ns, |(_, since)| *since);
        if let Some((holder @ Holder::Machine(_), _)) = known {
            return holder;
        }
        let holder = match self.logins.get(initiator).or_else(|| self.only_knower(initiator)) {
            Some(machine) => Holder::Machine(machine.clone()),
            None if at_ns.saturating_sub(since_ns) > SESSION_UNKNOWN_NS => Holder::Stranger,
            None => Holder::Unnamed,
        };
        self.sessions.insert((target.to_owned(), number), (holder.clone(), since_ns));
        holder
    }

    fn only_knower(&self, initiator: &InitiatorName) -> Option<&MachineId> {
        let mut all = self.state.get(&Key::Knows(initiator.clone()))?.iter();
        match (all.next(), all.next()) {
            (Some(Atom::Machine(machine)), None) => Some(machine),
            _ => None,
        }
    }
}

// their roster is the lab's
#[cfg(feature = "lab")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_lab;

    fn name(text: &str) -> InitiatorName {
        InitiatorName(text.to_owned())
    }

    fn machine(number: u8) -> MachineId {
        format!("m{number}").parse().unwrap()
    }

    fn web1() -> ServerId {
        "web1".parse().unwrap()
    }

    fn sessions(all: &[(u64, &str)]) -> Exported {
        Exported { sessions: all.iter().map(|(number, who)| (*number, name(who))).collect(), ..Exported::default() }
    }

    fn holders(book: &Book, target: &str) -> Vec<Holder> {
        let atoms = book.state().get(&Key::Target(target.to_owned())).cloned().unwrap_or_default();
        atoms.into_iter().filter_map(|atom| if let Atom::Session { machine, .. } = atom { Some(machine) } else { None }).collect()
    }

    const TARGET: &str = "iqn.2026-01.lab.understudy:web1-root";

    #[test]
    fn a_machine_forgets_what_it_ran_when_its_power_goes() {
        let config = for_lab::config(std::path::Path::new("/r"), 3).unwrap().roster;
        let mut book = Book::default();
        let ran = |book: &Book| book.state().get(&Key::Ran(machine(1))).is_some_and(|atoms| !atoms.is_empty());
        book.take(&config, Seen::exactly(10, Observation::Power(machine(1), true)));
        book.take(&config, Seen::between(20, 30, Observation::Ran(machine(1), web1())));
        assert!(ran(&book));
        book.take(&config, Seen::exactly(40, Observation::Power(machine(1), false)));
        assert!(!ran(&book));
        book.take(&config, Seen::between(45, 50, Observation::Ran(machine(1), web1())));
        assert!(!ran(&book), "a machine without power runs nothing");
        book.take(&config, Seen::exactly(60, Observation::Power(machine(1), true)));
        book.take(&config, Seen::between(55, 70, Observation::Ran(machine(1), web1())));
        assert!(!ran(&book), "the line may be older than this power-on");
        book.take(&config, Seen::between(70, 80, Observation::Ran(machine(1), web1())));
        assert!(ran(&book));
    }

    #[test]
    fn a_session_belongs_to_whoever_logged_in_and_stays_its_own() {
        let config = for_lab::config(std::path::Path::new("/r"), 3).unwrap().roster;
        let mut book = Book::default();
        book.take(&config, Seen::exactly(1, Observation::Permit(machine(1), Some((web1(), name("iqn.x:a"))))));
        book.take(&config, Seen::exactly(10, Observation::Target(TARGET.into(), sessions(&[(1, "iqn.x:a")]))));
        assert_eq!(holders(&book, TARGET), [Holder::Machine(machine(1))], "by the permit, if no login was seen");
        book.take(&config, Seen::exactly(20, Observation::Login(machine(3), name("iqn.x:a"), None)));
        book.take(&config, Seen::exactly(30, Observation::Target(TARGET.into(), sessions(&[(1, "iqn.x:a"), (2, "iqn.x:a")]))));
        assert_eq!(holders(&book, TARGET), [Holder::Machine(machine(1)), Holder::Machine(machine(3))]);
    }

    #[test]
    fn a_session_of_nobody_known_counts_as_a_stranger_after_a_while() {
        let config = for_lab::config(std::path::Path::new("/r"), 3).unwrap().roster;
        let mut book = Book::default();
        let look = |book: &mut Book, at| {
            book.take(&config, Seen::exactly(at, Observation::Target(TARGET.into(), sessions(&[(7, "iqn.x:z")]))))
        };
        look(&mut book, 0);
        assert_eq!(holders(&book, TARGET), [Holder::Unnamed]);
        look(&mut book, SESSION_UNKNOWN_NS + 1);
        assert_eq!(holders(&book, TARGET), [Holder::Stranger]);
        book.take(&config, Seen::exactly(SESSION_UNKNOWN_NS + 2, Observation::Login(machine(2), name("iqn.x:z"), None)));
        look(&mut book, SESSION_UNKNOWN_NS + 3);
        assert_eq!(holders(&book, TARGET), [Holder::Machine(machine(2))]);
    }

    #[test]
    fn a_full_book_says_so() {
        let config = for_lab::config(std::path::Path::new("/r"), 3).unwrap().roster;
        let mut book = Book::default();
        for turn in 0..=u64::try_from(CHANGES_MAX).unwrap() {
            assert!(!book.is_full());
            let vlans = [u16::try_from(turn % 2).unwrap()].into();
            book.take(&config, Seen::exactly(turn, Observation::Port("p1".into(), vlans)));
        }
        assert!(book.is_full());
    }
}
