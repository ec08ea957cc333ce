//! Names of ports that are to be looked at. Bounded: a port stands there once, however many notes come about it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use vocabulary::PortName;

/// Ports that may have been changed by a foreign hand.
#[derive(Default)]
pub struct Suspects {
    names: Mutex<BTreeSet<PortName>>,
    more: Notify,
}

impl Suspects {
    /// These are to be looked at.
    pub fn add<'a>(&self, names: impl IntoIterator<Item = &'a PortName>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(names.into_iter().cloned());
        self.more.notify_one();
    }

    /// Waits for the next one; whoever gets it looks at it.
    pub async fn next(&self) -> PortName {
        loop {
            let first = self.names.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            if let Some(name) = first {
                return name;
            }
            self.more.notified().await;
        }
    }
}
