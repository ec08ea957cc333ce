//! Why something that was asked of Open vSwitch failed, and what that means for whoever asked. Must never call something rejected after
//! anything was changed.

use contract::AgentError;

/// Why a question or a change failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody answered, or what came is no answer.
    #[error("Open vSwitch, {what}: {reason}")]
    Silent {
        /// Who or what was asked.
        what: &'static str,
        /// What came instead.
        reason: String,
    },
    /// The equipment is not what the configuration says, or does not do what is asked for.
    #[error("{0}")]
    Unfit(String),
    /// A foreign hand was faster: nothing was done.
    #[error("another hand changes the database of Open vSwitch at the same time")]
    Raced,
}

impl Trouble {
    /// Nothing was changed before.
    pub fn unread(self) -> AgentError {
        match self {
            Trouble::Unfit(reason) => AgentError::Rejected { reason },
            other => AgentError::Unreachable { reason: other.to_string() },
        }
    }

    /// Something may have been changed before.
    pub fn unconfirmed(self) -> AgentError {
        AgentError::Unconfirmed { reason: self.to_string() }
    }
}

/// Nobody answered, or what came is no answer.
pub fn silent(what: &'static str, reason: impl ToString) -> Trouble {
    Trouble::Silent { what, reason: reason.to_string() }
}
