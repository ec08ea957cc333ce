//! What the core's thread is told.

use pipeline::State;
use pipeline::event::{Intent, What};
use tokio::sync::oneshot;
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Fault, OpId, PlanId, Span};

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
    /// A command was answered, or is known not to be.
    Answer {
        /// The core's life in which it was sent: an answer to an earlier one is to nobody's question.
        life: u64,
        /// Which.
        op: OpId,
        /// How.
        outcome: Result<Answer, AgentError>,
        /// From the request to the reply.
        took: Span,
    },
    /// The process ends.
    Stop,
}
