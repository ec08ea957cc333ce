//! What a person would mend in another way, each under a code with a page, the same for every protocol.
//! Must never be branched on by what decides: to the core a BMC that cannot be read is a BMC that cannot be read, whatever the code.

use vocabulary::fault::{Code, Fault};

/// The kinds of trouble between an agent and a BMC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The BMC has another password or key for the account.
    WrongPassword,
    /// Of the account's password the BMC keeps only the beginning: its other password, of which more is known.
    CutPassword,
    /// The account is locked, disabled, unknown, or due for a new password.
    AccountRefused,
    /// The account exists, but may not do this.
    TooFewRights,
    /// The session ended at the BMC, and a new one did not hold either.
    SessionLost,
    /// All sessions of the BMC are taken.
    SessionsFull,
    /// The BMC is starting or busy, or fell silent in the middle of an operation.
    Restarts,
    /// Nobody answers.
    Silent,
    /// Another box or another certificate than the expected one.
    Stranger,
    /// It said no, or something that is no answer.
    Answer,
}

impl Kind {
    /// Its code.
    pub fn code(self) -> Code {
        match self {
            Kind::WrongPassword | Kind::CutPassword => Code(1009),
            Kind::AccountRefused => Code(1010),
            Kind::TooFewRights => Code(1011),
            Kind::SessionLost => Code(1012),
            Kind::SessionsFull => Code(1013),
            Kind::Restarts => Code(1014),
            Kind::Silent => Code(1015),
            Kind::Stranger => Code(1016),
            Kind::Answer => Code(1017),
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Kind::WrongPassword => "check user, password and key against the account on the BMC",
            Kind::CutPassword => {
                "give the account a password no longer than what the BMC keeps, on the BMC and where the estate's reference points"
            }
            Kind::AccountRefused => "unlock or enable the account on the BMC, or wait until its lock ends",
            Kind::TooFewRights => {
                "give the account more rights on the BMC, or watch it only, with `access: watch` in the machine's `bmc`"
            }
            Kind::SessionLost => {
                "if it comes again and again, look whether another client ends sessions on the BMC, and at its firmware"
            }
            Kind::SessionsFull => "end other clients' sessions on the BMC, or wait until they run out",
            Kind::Restarts => "wait until the BMC is back: it is read again by itself, and nothing is repeated blindly",
            Kind::Silent => "check address, port, network, and that the BMC has power and this protocol switched on",
            Kind::Stranger => {
                "find out who answers at this address; if the box or its certificate was renewed on purpose, enrol the machine again"
            }
            Kind::Answer => "look at what the BMC said, and at its firmware",
        }
    }

    /// What it becomes where a command was under way: silence is not "nobody there" then, but an operation that broke off.
    pub fn in_mid_operation(self) -> Kind {
        if self == Kind::Silent { Kind::Restarts } else { self }
    }

    /// As the reason of an agent's error: code, where, what, and what to do where the text does not say so itself.
    pub fn reason(self, address: &str, text: &str) -> String {
        let code = self.code();
        match self {
            Kind::Answer => format!("{code}: BMC {address}: {text}"),
            _ => format!("{code}: BMC {address}: {text}; {}", self.remedy()),
        }
    }

    /// As a fault for people.
    pub fn fault(self, address: &str, text: &str) -> Fault {
        Fault { code: self.code(), message: format!("BMC {address}: {text}"), remedy: self.remedy().to_owned() }
    }
}

/// A no to a command: nothing was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// [`Kind::TooFewRights`] where the BMC says so, else [`Kind::Answer`].
    pub kind: Kind,
    /// What the BMC said.
    pub why: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_code_of_its_own_and_silence_is_told_from_what_broke_off() {
        let all = [
            Kind::WrongPassword,
            Kind::AccountRefused,
            Kind::TooFewRights,
            Kind::SessionLost,
            Kind::SessionsFull,
            Kind::Restarts,
            Kind::Silent,
            Kind::Stranger,
            Kind::Answer,
        ];
        let codes: BTreeSet<Code> = all.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert_eq!(Kind::CutPassword.code(), Kind::WrongPassword.code(), "the same trouble with another remedy");
        assert_ne!(Kind::CutPassword.remedy(), Kind::WrongPassword.remedy());
        assert_eq!(Kind::Silent.in_mid_operation(), Kind::Restarts);
        assert_eq!(Kind::WrongPassword.in_mid_operation(), Kind::WrongPassword);
        let reason = Kind::WrongPassword.reason("192.0.2.1:443", "no");
        assert!(reason.starts_with("F1009: BMC 192.0.2.1:443: no; check user"), "{reason}");
    }
}
