//! What was recorded, for those who ask: read from the store beside the writer, so that nobody who looks back ever delays the core.
//! Where a plan's story begins is kept, so that the last failover is told as fast as the first.

use journal::{Entry, Reader};
use pipeline::record::Fact;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use vocabulary::{Fault, PlanId, ServerId};

/// What was recorded. Clones share it.
#[derive(Clone)]
pub struct History {
    reader: Arc<Mutex<Box<dyn Reader>>>,
    stories: Arc<Mutex<Stories>>,
}

/// First and last entry of each plan's story.
#[derive(Default)]
struct Stories {
    plans: BTreeMap<PlanId, (u64, u64)>,
    suspected: BTreeMap<ServerId, u64>,
}

impl History {
    /// Over a store's reader; every entry there is has to be noted.
    pub fn new(reader: Box<dyn Reader>) -> History {
        History { reader: Arc::new(Mutex::new(reader)), stories: Arc::default() }
    }

    /// Notes an entry that is durable.
    pub fn note(&self, number: u64, fact: &Fact) {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner).note(number, fact);
    }

    /// The entries between which a plan's story stands: from the first suspicion that led to it on.
    pub fn story(&self, plan: PlanId) -> Option<(u64, u64)> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner).plans.get(&plan).copied()
    }

    /// Entries up to this number are not there any more.
    pub(crate) fn forget_before(&self, number: u64) {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner).forget_before(number);
    }

    /// Reads from the store; blocks on the disk.
    pub(crate) fn with_reader<T>(&self, read: impl FnOnce(&mut dyn Reader) -> T) -> T {
        read(self.reader.lock().unwrap_or_else(PoisonError::into_inner).as_mut())
    }

    /// At most `limit` entries after a number.
    pub async fn page(&self, after: u64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let history = self.clone();
        let read = move || history.with_reader(|reader| reader.page(after, limit));
        let fault = |error: String| Fault::new(1104, error, "look at the disk: space, permissions, file system errors");
        let page = tokio::task::spawn_blocking(read).await.map_err(|error| fault(error.to_string()))?;
        page.map_err(|error| fault(error.to_string()))
    }
}

impl Stories {
    fn note(&mut self, number: u64, fact: &Fact) {
        let plan = match fact {
            Fact::Suspected { server, .. } => {
                self.suspected.entry(server.clone()).or_insert(number);
                return;
            }
            Fact::Cleared { server } => {
                self.suspected.remove(server);
                return;
            }
            Fact::Sealed { plan, .. } => {
                let first = plan.server().and_then(|server| self.suspected.remove(server)).unwrap_or(number);
                self.plans.insert(plan.id(), (first, number));
                return;
            }
            Fact::Entered { plan, .. }
            | Fact::Intent { plan, .. }
            | Fact::Outcome { plan, .. }
            | Fact::Proven { plan, .. }
            | Fact::StandingOrder { plan, .. }
            | Fact::OrderDone { plan, .. }
            | Fact::Closed { plan, .. }
            | Fact::Released { plan, .. } => plan,
            Fact::Owned(ownership) => &ownership.plan,
            _ => return,
        };
        // one that was sealed before the first entry that is kept is told from there on
        self.plans.entry(*plan).or_insert((number, number)).1 = number;
    }

    fn forget_before(&mut self, number: u64) {
        self.plans.retain(|_, (first, last)| {
            *first = (*first).max(number + 1);
            *last > number
        });
        self.suspected.values_mut().for_each(|first| *first = (*first).max(number + 1));
    }
}
