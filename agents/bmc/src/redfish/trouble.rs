//! What can go wrong between this client and a BMC, and which of the four answers a caller gets for it.
//! Must never carry a password, a token or a whole body.

use vocabulary::request::AgentError;

/// Why one exchange with a BMC did not yield what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection, no answer in time, or a connection that broke.
    #[error("{0}")]
    Silent(String),
    /// The box behind the address showed another certificate than the pinned one.
    #[error(
        "the BMC shows certificate {seen}, pinned is {pinned}; if it was renewed on purpose, enrol the machine again, else find out \
         who answers at this address"
    )]
    Certificate {
        /// SHA-256 of what was shown.
        seen: String,
        /// SHA-256 of what was expected.
        pinned: String,
    },
    /// The BMC does not take the account.
    #[error("the BMC does not take the account ({0}); check user and password of the machine's `bmc`")]
    Account(String),
    /// The session is not known to the BMC any more. The request that met this was not carried out.
    #[error("the session was lost")]
    SessionLost,
    /// The box behind the address is not the expected machine, or does not say who it is.
    #[error("{0}")]
    Identity(String),
    /// The BMC answered with an error or with something that is no answer.
    #[error("{0}")]
    Answer(String),
    /// The device cannot do it; nothing was sent.
    #[error("{0}")]
    Unsupported(String),
    /// It was sent and answered, but what came after does not confirm it.
    #[error("{0}")]
    Unconfirmed(String),
}

impl Trouble {
    /// The answer for a caller; `address` says where.
    pub fn told(self, address: &str) -> AgentError {
        let reason = format!("BMC {address}: {self}");
        match self {
            Trouble::Silent(_) => AgentError::Unreachable { reason },
            Trouble::Unconfirmed(_) => AgentError::Unconfirmed { reason },
            Trouble::SessionLost
            | Trouble::Certificate { .. }
            | Trouble::Account(_)
            | Trouble::Identity(_)
            | Trouble::Answer(_)
            | Trouble::Unsupported(_) => AgentError::Rejected { reason },
        }
    }
}
