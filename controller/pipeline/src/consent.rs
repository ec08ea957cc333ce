//! What persons agree to, and for how long their word holds: a plan in mode `approve`, and that what the guard holds goes on. A word is about one
//! thing as it was shown, and never about what comes after.

use crate::ledger::{CONSENT_HOLDS, Consented, may_hold};
use crate::record::{Consent, Found};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vocabulary::{Instant, MachineId, ServerId, Span, WallTime};

/// How many different people have to agree.
pub fn needed(state: &State) -> usize {
    let lab = state.life.as_ref().is_some_and(|life| life.lab);
    if lab { 1 } else { state.estate.settings.consent.people.max(1) as usize }
}

/// How many different people have to agree to what a restored store takes upon itself: whatever the documents say, which may be as old.
pub fn needed_to_adopt(state: &State) -> usize {
    let lab = state.life.as_ref().is_some_and(|life| life.lab);
    if lab { 1 } else { 2 }
}

/// Who agreed to this plan, and whose word still holds.
pub fn to_plan(state: &State, server: &ServerId, hash: &str, now: Instant) -> BTreeSet<String> {
    to(state, &Consent::Plan { server: server.clone(), hash: hash.to_owned() }, now)
}

/// Who agreed to this, and whose word still holds.
pub fn to(state: &State, to: &Consent, now: Instant) -> BTreeSet<String> {
    holding(state, now).filter(|given| given.to == *to).map(|given| given.principal.clone()).collect()
}

/// Whether enough persons have looked at this machine and let it go: as a suspect of this domain, or (`None`) of any.
pub fn lets_go(state: &State, domain: Option<&str>, machine: &MachineId, now: Instant) -> bool {
    let meant = |to: &Consent| match to {
        Consent::LetGo { domain: of, machines } => domain.is_none_or(|domain| of == domain) && machines.contains(machine),
        Consent::Plan { .. } | Consent::Adopt { .. } | Consent::SiteStart { .. } | Consent::Off { .. } => false,
    };
    let people: BTreeSet<&str> =
        holding(state, now).filter(|given| meant(&given.to)).map(|given| given.principal.as_str()).collect();
    people.len() >= needed(state)
}

/// What persons say of a machine that they stand before.
#[derive(Debug)]
pub struct Word {
    /// As what each of them has found it.
    pub people: BTreeMap<String, Found>,
    /// When the first of these words was given, by both clocks.
    pub first: Instant,
    /// See `first`.
    pub first_wall: WallTime,
    /// Until when all of them hold.
    pub until: Instant,
    /// When enough of them had given theirs; `None` while one more is needed.
    pub complete: Option<Instant>,
}

impl Word {
    /// What the boldest of them says: if that is not so, somebody stands before another machine.
    pub fn found(&self) -> Found {
        self.people.values().copied().max().unwrap_or(Found::Off)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.people.iter().map(|(who, found)| format!("{found} by the word of {who}")).collect();
        f.pad(&said.join(", "))
    }
}

/// What persons say of this machine, as far as their word still holds; `None` if nobody does.
pub fn that_off(state: &State, machine: &MachineId, now: Instant) -> Option<Word> {
    let mut given: Vec<(Instant, &str, Found)> = Vec::new();
    let (mut first_wall, mut ends) = (WallTime(u64::MAX), Instant(u64::MAX));
    for word in holding(state, now) {
        let Consent::Off { machine: of, found, .. } = &word.to else { continue };
        // its time began when it was given, by this life's clock
        let until = state.watch.consents.get(word).filter(|_| of == machine);
        if let Some(until) = until {
            given.push((Instant(until.0.saturating_sub(CONSENT_HOLDS.0)), &word.principal, *found));
            ends = ends.min(*until);
            first_wall = first_wall.min(word.at);
        }
    }
    given.sort_unstable();
    let first = given.first()?.0;
    let (mut people, mut complete) = (BTreeMap::new(), None);
    for (at, who, found) in given {
        people.insert(who.to_owned(), found);
        if complete.is_none() && people.len() >= needed(state) {
            complete = Some(at);
        }
    }
    Some(Word { people, first, first_wall, until: ends, complete })
}

/// For how long a word still holds; nothing if it does not.
pub fn left(state: &State, given: &Consented, now: Instant) -> Option<Span> {
    let until = *state.watch.consents.get(given)?;
    (now < until).then(|| until.since(now))
}

fn holding(state: &State, now: Instant) -> impl Iterator<Item = &Consented> {
    state.ledger.consents.iter().filter(move |given| left(state, given, now).is_some())
}

/// Begins the time of every new word by this life's own clock, which no change of the time of day moves.
pub fn notice(state: &mut State, now: Instant, wall: WallTime) {
    let (ledger, noticed) = (&state.ledger.consents, &mut state.watch.consents);
    noticed.retain(|given, _| ledger.contains(given));
    for given in ledger {
        let left = if may_hold(given.at, wall) { Span(CONSENT_HOLDS.0 - (wall.0 - given.at.0)) } else { Span(0) };
        noticed.entry(given.clone()).or_insert(now + left);
    }
}
