//! Who is told what becomes of the objects: at the end of each call, who can write what by then. It must never tell what is configured and
//! does not hold.

use super::State;
use crate::clock::now;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

/// Who can write an object, by whatever exports of it there are, from then on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Initiators that are admitted by name.
    pub admitted: BTreeSet<String>,
    /// Somebody is admitted by address.
    pub open: bool,
    /// Sessions by the daemon's numbers, and their initiators; one that was cut stands until its last write is done.
    pub sessions: BTreeMap<u64, String>,
}

/// A change of who can write an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accessed {
    /// The object.
    pub object: String,
    /// Who can write it now.
    pub access: Access,
    /// Another hand made it so.
    pub by_hand: bool,
    /// When.
    pub at: Instant,
}

/// Who is told at once who can write what. It is called in the middle of the change, and must not ask the target anything.
pub type Observer = Arc<dyn Fn(Accessed) + Send + Sync>;

/// The target in one call: whoever observes it hears at the end what the call changed.
pub(super) struct Held<'a>(pub(super) MutexGuard<'a, State>);

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.moved || self.0.by_hand {
            self.0.tell(now());
        }
    }
}

impl State {
    /// Tells the observer what has changed.
    pub(super) fn tell(&mut self, at: Instant) {
        let by_hand = std::mem::take(&mut self.by_hand);
        if !std::mem::take(&mut self.moved) {
            return;
        }
        self.printed = None;
        let Some(observer) = self.observer.clone() else { return };
        let mut all: BTreeMap<String, Access> = self.objects.keys().map(|name| (name.clone(), Access::default())).collect();
        for export in self.daemon.iter().flat_map(|daemon| daemon.exports.values()) {
            let objects: BTreeSet<&String> = export.units.values().filter_map(|unit| unit.object.as_ref()).collect();
            for object in objects {
                let access = all.entry(object.clone()).or_default();
                access.admitted.extend(export.names.iter().cloned());
                access.open |= !export.addresses.is_empty();
                let sessions = export.sessions.iter().map(|(number, session)| (*number, session.initiator.name.clone()));
                access.sessions.extend(sessions);
            }
        }
        for (object, access) in all {
            if self.shown.get(&object) != Some(&access) {
                self.shown.insert(object.clone(), access.clone());
                observer(Accessed { object, access, by_hand, at });
            }
        }
    }
}
