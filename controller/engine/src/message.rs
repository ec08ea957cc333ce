//! What the core's thread is told.

use journal::Entry;
use pipeline::State;
use pipeline::event::{Intent, What};
use std::sync::Arc;
use tokio::sync::oneshot;
use vocabulary::{Fault, PlanId};

/// A question on the state.
pub type Question = Box<dyn FnOnce(&State) + Send>;

/// What the core's thread is told.
pub enum Message {
    /// Something happened.
    Event(What),
    /// Somebody wants something.
    Intent {
        /// Who.
        principal: String,
        /// What.
        intent: Intent,
        /// Where the answer goes, once it is durable.
        reply: oneshot::Sender<Result<Option<PlanId>, Fault>>,
    },
    /// Somebody asks.
    Query(Question),
    /// Somebody wants entries after a number.
    Entries {
        /// After which.
        after: u64,
        /// How many at most.
        limit: usize,
        /// Where they go.
        reply: oneshot::Sender<Vec<Arc<Entry>>>,
    },
    /// The process ends.
    Stop,
}
