//! Why a session or a request over IPMI came to nothing: one name for each thing that a person would mend in another way.
//! Must never carry a password or a key, and never call silence anything but silence.

use crate::fault::Kind;

/// What went wrong between this client and one BMC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody answered in time.
    #[error("nobody answered {0} in time")]
    Silent(&'static str),
    /// The open session fell silent: it ran out at the BMC, the BMC restarted, or it cannot be reached any more.
    #[error("the open session does not answer any more: it ran out, the BMC restarted, or it cannot be reached")]
    Broken,
    /// The BMC proved that it knows the user under another password. It was not told ours, so no lock-out counts this attempt.
    #[error("the BMC has another password for this user")]
    WrongPassword,
    /// The BMC proved that it knows the user under the beginning of our password alone: it was given more than it keeps. Nothing was
    /// proven to it, so no lock-out counts this attempt.
    #[error("the BMC keeps only the first {0} bytes of this user's password and has lost the rest")]
    CutPassword(usize),
    /// The BMC does not take the user: unknown, disabled, or locked.
    #[error("the BMC does not take this user: unknown, disabled or locked ({0})")]
    Account(&'static str),
    /// The user exists, but may not do this.
    #[error("the user's rights do not suffice ({0})")]
    TooFewRights(&'static str),
    /// The BMC key (K_G) differs.
    #[error("the BMC has another BMC key (K_G) than `key` of the machine's `bmc`")]
    Key,
    /// All sessions of the BMC are taken.
    #[error("the BMC has no free session")]
    NoSlot,
    /// The session is gone, and what was to go out on it was not sent.
    #[error("the session was lost before the request was sent; nothing was sent")]
    Expired,
    /// No cipher suite that the BMC takes is allowed here.
    #[error(
        "the BMC takes none of the cipher suites allowed for it ({0}); suites without authentication or encryption are never used"
    )]
    NoCommonSuite(&'static str),
    /// The BMC is there but busy or still starting.
    #[error("the BMC is busy or still starting")]
    Busy,
    /// The BMC answered something that is no answer.
    #[error("the BMC answered against the protocol: {0}")]
    Nonsense(&'static str),
    /// It sends packets that nobody asked for, so many that it is not listened to.
    #[error("it sends far more packets than it is asked for, and is not listened to for a while, for the sake of the others")]
    Loud,
    /// More requests than one BMC is ever sent wait already.
    #[error("too many requests wait for this BMC; nothing was sent")]
    Crowded,
    /// This process cannot send at all.
    #[error("this process cannot speak IPMI: {0}")]
    NoSocket(String),
}

impl Fault {
    /// True if asking again soon would only bring the account nearer to being locked.
    pub fn is_about_the_account(&self) -> bool {
        matches!(self, Fault::WrongPassword | Fault::CutPassword(_) | Fault::Account(_) | Fault::Key | Fault::TooFewRights(_))
    }

    /// What a person would mend.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Silent(_) => Kind::Silent,
            Fault::Broken | Fault::Expired => Kind::SessionLost,
            Fault::WrongPassword | Fault::Key => Kind::WrongPassword,
            Fault::CutPassword(_) => Kind::CutPassword,
            Fault::Account(_) => Kind::AccountRefused,
            Fault::TooFewRights(_) => Kind::TooFewRights,
            Fault::NoSlot => Kind::SessionsFull,
            Fault::Busy => Kind::Restarts,
            Fault::NoCommonSuite(_) | Fault::Nonsense(_) | Fault::Loud | Fault::Crowded | Fault::NoSocket(_) => Kind::Answer,
        }
    }

    /// True if nothing can have reached the device.
    pub fn nothing_was_sent(&self) -> bool {
        matches!(self, Fault::Expired | Fault::Crowded | Fault::NoSocket(_))
    }

    /// What an RMCP+ status code of the handshake means; `None` for success.
    pub fn of_status(status: u8) -> Option<Fault> {
        Some(match status {
            0x00 => return None,
            0x01 | 0x0b => Fault::NoSlot,
            0x02 | 0x08 => Fault::Expired,
            0x03 | 0x12 => Fault::Nonsense("it does not understand the handshake"),
            0x04 | 0x06 => Fault::NoCommonSuite("authentication algorithm"),
            0x05 | 0x07 => Fault::NoCommonSuite("integrity algorithm"),
            0x10 => Fault::NoCommonSuite("confidentiality algorithm"),
            0x11 => Fault::NoCommonSuite("no match"),
            0x09 => Fault::TooFewRights("role unknown to the BMC"),
            0x0a => Fault::TooFewRights("privilege refused"),
            0x0c => Fault::Account("the name is too long for it"),
            0x0d => Fault::Account("name refused"),
            0x0e => Fault::Nonsense("it refuses its own GUID"),
            0x0f => Fault::WrongPassword,
            _ => Fault::Nonsense("unknown status"),
        })
    }
}
