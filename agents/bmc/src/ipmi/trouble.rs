//! What becomes of something that is asked of a BMC over IPMI: why it did not come to it, and what the BMC answered to a command.
//! Must never call done what was only accepted, nor undone what nobody answered.

use vocabulary::power::BootTarget;
use vocabulary::request::AgentError;

use super::fault::Fault;
use crate::fault::{Kind, Refusal};

/// Why something did not come to what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The account may not do this.
    #[error("{0}")]
    Rights(String),
    /// A command was sent, and no answer came.
    #[error("{0}; whether it was done is unknown")]
    BrokenOff(String),
    /// Not the expected machine.
    #[error("{0}")]
    Identity(String),
    /// The BMC said no.
    #[error("{0}")]
    Answer(String),
    /// It cannot be done; nothing was sent.
    #[error("{0}; nothing was sent")]
    Unsupported(String),
    /// Sent and answered, but not confirmed.
    #[error("{1}")]
    Unconfirmed(Kind, String),
    /// The whole took too long.
    #[error("{0}")]
    Late(String),
}

impl Trouble {
    /// What a refusal by completion code means.
    pub fn refused(refusal: &Refusal, text: String) -> Trouble {
        if refusal.kind == Kind::TooFewRights { Trouble::Rights(text) } else { Trouble::Answer(text) }
    }

    /// What a person would mend.
    pub fn kind(&self) -> Kind {
        match self {
            Trouble::Fault(fault) => fault.kind(),
            Trouble::Rights(_) => Kind::TooFewRights,
            Trouble::BrokenOff(_) => Kind::Restarts,
            Trouble::Identity(_) => Kind::Stranger,
            Trouble::Answer(_) | Trouble::Unsupported(_) => Kind::Answer,
            Trouble::Unconfirmed(kind, _) => *kind,
            Trouble::Late(_) => Kind::Silent,
        }
    }

    pub fn told(self, address: &str) -> AgentError {
        let reason = self.kind().reason(address, &self.to_string());
        match self {
            Trouble::Fault(Fault::Silent(_) | Fault::Broken | Fault::NoSocket(_)) | Trouble::BrokenOff(_) | Trouble::Late(_) => {
                AgentError::Unreachable { reason }
            }
            Trouble::Unconfirmed(..) => AgentError::Unconfirmed { reason },
            Trouble::Fault(_) | Trouble::Rights(_) | Trouble::Identity(_) | Trouble::Answer(_) | Trouble::Unsupported(_) => {
                AgentError::Rejected { reason }
            }
        }
    }
}

/// What is set, and then read back.
#[derive(Clone, Copy, Debug)]
pub enum Setting {
    /// The next boot's target, and whether it is a UEFI one.
    Boot(BootTarget, bool),
    /// Restore policy AlwaysOff.
    StayOff,
}

/// What a BMC answered to a command.
#[derive(Debug)]
pub enum Verdict {
    /// It reads as wanted already: nothing was sent.
    NotNeeded,
    Accepted,
    /// Nothing was done, because it is not possible in the present state.
    NotYet(Refusal),
    /// Nothing was done.
    Denied(Refusal),
    /// Whether it was done is unknown.
    Failed(String),
}

impl Verdict {
    /// A setting that was not taken is an error.
    pub fn taken(self, what: &str) -> Result<(), Trouble> {
        match self {
            Verdict::NotNeeded | Verdict::Accepted => Ok(()),
            Verdict::NotYet(why) | Verdict::Denied(why) => Err(Trouble::refused(&why, format!("{what} is answered: {why}"))),
            Verdict::Failed(why) => Err(Trouble::Unconfirmed(Kind::Answer, format!("{what} is answered: {why}"))),
        }
    }
}
