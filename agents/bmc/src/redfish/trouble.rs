//! What can go wrong between this client and a BMC, and which of the four answers a caller gets for it.
//! Must never carry a password, a token or a whole body.

use serde_json::Value;
use vocabulary::Fault;
use vocabulary::request::AgentError;

use super::view;
use crate::fault::{Kind, Refusal};

/// Why one exchange with a BMC did not yield what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection, no answer in time, or a connection that broke.
    #[error("{0}")]
    Silent(String),
    /// The same after a command was sent: whether it was done is unknown.
    #[error("{0}")]
    BrokenOff(String),
    /// The box behind the address showed another certificate than the pinned one.
    #[error("the BMC shows certificate {seen}, pinned is {pinned}")]
    Certificate {
        /// SHA-256 of what was shown.
        seen: String,
        /// SHA-256 of what was expected.
        pinned: String,
    },
    /// The BMC does not take the account, and why.
    #[error("the BMC does not take the account: {1}")]
    Account(Kind, String),
    /// The BMC takes the account, but not for this.
    #[error("the account's rights do not suffice: {0}")]
    Rights(String),
    /// The session is not known to the BMC any more. The request that met this was not carried out.
    #[error("the session was lost")]
    SessionLost,
    /// The BMC says that it cannot serve anybody now.
    #[error("{0}")]
    Busy(String),
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
    #[error("{1}")]
    Unconfirmed(Kind, String),
}

impl Trouble {
    /// What a GET met that was answered with this status, and not with the resource.
    pub fn of(status: u16, path: &str, explained: &str) -> Trouble {
        let text = format!("GET {path} is answered {explained}");
        match status {
            403 => Trouble::Rights(text),
            503 => Trouble::Busy(text),
            _ => Trouble::Answer(text),
        }
    }

    /// What a refused log-in means, as far as the BMC tells; `None` if it is not about the account.
    pub fn of_login(status: u16, body: &Value, explained: String) -> Option<Trouble> {
        let kind = match status {
            _ if is_full(body) => return None,
            401 | 403 if is_locked(body) => Kind::AccountRefused,
            401 => Kind::WrongPassword,
            403 => Kind::TooFewRights,
            _ => return None,
        };
        Some(Trouble::Account(kind, explained))
    }

    /// True if the BMC answered, only not with this resource: it may tell others.
    pub fn is_of_one_resource(&self) -> bool {
        matches!(self, Trouble::Answer(_) | Trouble::Rights(_) | Trouble::Busy(_))
    }

    /// What a refused command means; nothing was done.
    pub fn refused(refusal: &Refusal, text: String) -> Trouble {
        if refusal.kind == Kind::TooFewRights { Trouble::Rights(text) } else { Trouble::Answer(text) }
    }

    /// What a person would mend.
    pub fn kind(&self) -> Kind {
        match self {
            Trouble::Silent(_) => Kind::Silent,
            Trouble::BrokenOff(_) | Trouble::Busy(_) => Kind::Restarts,
            Trouble::Certificate { .. } | Trouble::Identity(_) => Kind::Stranger,
            Trouble::Account(kind, _) | Trouble::Unconfirmed(kind, _) => *kind,
            Trouble::Rights(_) => Kind::TooFewRights,
            Trouble::SessionLost => Kind::SessionLost,
            Trouble::Answer(_) | Trouble::Unsupported(_) => Kind::Answer,
        }
    }

    /// The answer for a caller; `address` says where.
    pub fn told(self, address: &str) -> AgentError {
        let reason = self.kind().reason(address, &self.to_string());
        match self {
            Trouble::Silent(_) | Trouble::BrokenOff(_) => AgentError::Unreachable { reason },
            Trouble::Unconfirmed(..) => AgentError::Unconfirmed { reason },
            Trouble::SessionLost
            | Trouble::Certificate { .. }
            | Trouble::Account(..)
            | Trouble::Rights(_)
            | Trouble::Busy(_)
            | Trouble::Identity(_)
            | Trouble::Answer(_)
            | Trouble::Unsupported(_) => AgentError::Rejected { reason },
        }
    }

    /// The same for a person.
    pub fn fault(&self, address: &str) -> Fault {
        self.kind().fault(address, &self.to_string())
    }
}

/// True if an error says that there are too many sessions.
pub(crate) fn is_full(body: &Value) -> bool {
    let said = view::said(body);
    said.contains("session") && ["limit", "maximum", "too many"].iter().any(|word| said.contains(word))
}

/// True if an error says that the account is locked, disabled, or due for a new password. Many BMCs do not tell it from a wrong password.
fn is_locked(body: &Value) -> bool {
    /// Words of the standard's message keys and of BMCs' own.
    const WORDS: [&str; 6] = ["lock", "disabled", "not enabled", "expired", "passwordchange", "delayed"];
    let said = view::said(body);
    WORDS.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(status: u16, id: &str, message: &str) -> Option<Kind> {
        let info = json!([{ "MessageId": id, "Message": message }]);
        let body = json!({ "error": { "code": "Base.1.8.GeneralError", "@Message.ExtendedInfo": info } });
        Trouble::of_login(status, &body, String::new()).map(|trouble| trouble.kind())
    }

    #[test]
    fn a_refused_log_in_is_told_apart_by_what_the_bmc_says() {
        assert_eq!(said(401, "Base.1.15.ResourceAtUriUnauthorized", "Invalid username or password"), Some(Kind::WrongPassword));
        assert_eq!(said(401, "", "The account is locked out."), Some(Kind::AccountRefused));
        assert_eq!(said(403, "Base.1.15.PasswordChangeRequired", ""), Some(Kind::AccountRefused));
        assert_eq!(said(403, "Base.1.15.InsufficientPrivilege", ""), Some(Kind::TooFewRights));
        assert_eq!(said(503, "Base.1.15.SessionLimitExceeded", ""), None);
        assert_eq!(said(403, "", "The maximum number of user sessions is reached."), None);
        assert_eq!(said(500, "Base.1.15.InternalError", ""), None);
        let bare = Trouble::of_login(401, &Value::Null, String::new()).map(|trouble| trouble.kind());
        assert_eq!(bare, Some(Kind::WrongPassword));
    }

    #[test]
    fn too_few_rights_and_a_bmc_that_starts_are_no_plain_answers() {
        let of = |status| Trouble::of(status, "/x", "no").kind();
        assert_eq!([403, 503, 500, 404].map(of), [Kind::TooFewRights, Kind::Restarts, Kind::Answer, Kind::Answer]);
    }
}
