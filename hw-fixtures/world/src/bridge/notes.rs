//! The notes by which the bridge tells of changed ports: each listener has its own queue, bounded, in which notes may be late.
//! Must never tell what changed, only where to look.

use super::{Bridge, Error};
use crate::clock::now;
use crate::limits::NOTES_MAX;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// The port of this name may have changed.
    Changed(String),
    /// The queue ran over: any port may have changed.
    Missed,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Instant, u64), String>,
    told: u64,
    missed: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Notify,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bridge's end.
pub(super) struct Listener(Arc<Shared>);

impl Listener {
    pub fn tell(&self, port: &str, due: Instant) {
        let mut queue = self.0.queue();
        if queue.waiting.len() >= NOTES_MAX {
            queue.waiting.clear();
            queue.missed = true;
        }
        queue.told += 1;
        let key = (due, queue.told);
        queue.waiting.insert(key, port.to_owned());
        drop(queue);
        self.0.more.notify_one();
    }

    pub fn close(&self) {
        self.0.queue().closed = true;
        self.0.more.notify_one();
    }

    pub fn listens(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The listener's end.
pub struct Notes(Arc<Shared>);

impl Notes {
    /// The next note; `None` once the switch went down.
    pub async fn next(&mut self) -> Option<Note> {
        loop {
            let due = {
                let mut queue = self.0.queue();
                if queue.closed {
                    return None;
                }
                if std::mem::take(&mut queue.missed) {
                    return Some(Note::Missed);
                }
                match queue.waiting.first_entry() {
                    Some(first) if first.key().0 <= now() => return Some(Note::Changed(first.remove())),
                    Some(first) => Some(first.key().0),
                    None => None,
                }
            };
            match due {
                // whichever comes first, the queue is looked at again
                Some(due) => drop(tokio::time::timeout_at(due.into(), self.0.more.notified()).await),
                None => self.0.more.notified().await,
            }
        }
    }
}

impl Bridge {
    /// Listens to what changes from now on.
    pub fn listen(&self) -> Result<Notes, Error> {
        let mut state = self.lock();
        if !state.running() {
            return Err(Error::Gone);
        }
        let shared = Arc::new(Shared::default());
        state.listeners.push(Listener(shared.clone()));
        Ok(Notes(shared))
    }
}
