//! How a profile says that a service answers, and what a vantage point saw.

use crate::time::Span;
use serde::{Deserialize, Serialize};

/// A health check. Run from at least two vantage points.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// A TCP connection opens.
    Tcp(TcpCheck),
    /// An HTTP request is answered with the expected status, in the clear or over TLS.
    Http(HttpCheck),
    /// A TLS handshake comes to its end.
    Tls(TlsCheck),
    /// A plugin of the site says that the service works.
    Exec(ExecCheck),
}

impl Check {
    /// Deadline of one try.
    pub fn deadline(&self) -> Span {
        match self {
            Check::Tcp(tcp) => tcp.deadline,
            Check::Http(http) => http.deadline,
            Check::Tls(tls) => tls.deadline,
            Check::Exec(exec) => exec.deadline,
        }
    }
}

/// A TCP connection opens within the deadline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// Host and port.
    pub address: std::net::SocketAddr,
    /// Deadline of one try.
    #[serde(default = "deadline")]
    pub deadline: Span,
}

/// An HTTP GET is answered with the expected status within the deadline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// `http://host[:port]/path` or `https://host[:port]/path`. Whose certificate it is, and whether it still holds, is not judged: see `tls`.
    pub url: String,
    /// Expected status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Text that the first 4 KiB of the body must contain.
    #[serde(default)]
    pub contains: Option<String>,
    /// Deadline of one try.
    #[serde(default = "deadline")]
    pub deadline: Span,
}

/// A TLS handshake comes to its end within the deadline, with a certificate that is valid at that time. Who has signed it is not judged:
/// a health check authenticates nobody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsCheck {
    /// Host and port.
    pub address: std::net::SocketAddr,
    /// The name that is asked for, and that the certificate must hold; without it, none.
    #[serde(default)]
    pub name: Option<String>,
    /// Deadline of one try.
    #[serde(default = "deadline")]
    pub deadline: Span,
}

/// A program in the convention of Nagios plugins: it ends with 0 (works), 1 (works, with a warning), 2 (does not work) or 3 (cannot tell),
/// and the first line that it prints says why. It is run by those vantage points whose agents allow it, and by no other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecCheck {
    /// Its file name in the agent's folder of plugins.
    pub plugin: String,
    /// Its arguments, as they are: no shell reads them.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// From the start of one try to the start of the next.
    #[serde(default = "exec_every")]
    pub every: Span,
    /// Deadline of one try; what still runs then is ended.
    #[serde(default = "exec_deadline")]
    pub deadline: Span,
}

fn deadline() -> Span {
    Span::seconds(1)
}
fn exec_deadline() -> Span {
    Span::seconds(5)
}
fn exec_every() -> Span {
    Span::seconds(30)
}
fn ok() -> u16 {
    200
}

/// What one try saw.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// It answered as it should.
    Healthy,
    /// It answered, but not as it should: the host is alive.
    Wrong(String),
    /// Some check was answered as it should, and another not at all, or a plugin complains: the host is alive.
    Partly(String),
    /// Nothing answered within the deadline, or the host was unreachable.
    Silent(String),
    /// Nothing answered, and its kernel tells that it has crashed and writes its memory away.
    Dumping(String),
    /// A plugin says that the service does not work. Whether its host lives cannot be told from that.
    Failed(String),
    /// Nothing could be seen, for a fault of the vantage point or of a plugin. It accuses nobody, and clears nobody.
    Unknown(String),
}

impl CheckOutcome {
    /// True if something lives at the server's address.
    pub fn answered(&self) -> bool {
        matches!(self, CheckOutcome::Healthy | CheckOutcome::Wrong(_) | CheckOutcome::Partly(_))
    }

    /// What two checks of one server from one vantage point come to, in any order.
    #[must_use]
    pub fn and(self, other: CheckOutcome) -> CheckOutcome {
        use CheckOutcome::{Dumping, Failed, Healthy, Partly, Silent, Unknown, Wrong};
        match (self, other) {
            (Unknown(what), Unknown(_)) => Unknown(what),
            (Unknown(_), known) | (known, Unknown(_)) => known,
            (Wrong(what), _) | (_, Wrong(what)) => Wrong(what),
            (Partly(what), _) | (_, Partly(what)) => Partly(what),
            // one check was answered, another not: the host is alive, the service is not right
            (Healthy, Silent(what) | Failed(what) | Dumping(what)) | (Silent(what) | Failed(what) | Dumping(what), Healthy) => {
                Partly(what)
            }
            (Dumping(what), _) | (_, Dumping(what)) => Dumping(what),
            (Silent(what), _) | (_, Silent(what)) => Silent(what),
            (Failed(what), Failed(_)) => Failed(what),
            (Healthy, Healthy) => Healthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CheckOutcome::{self, Dumping, Failed, Healthy, Partly, Silent, Unknown, Wrong};

    fn all() -> Vec<CheckOutcome> {
        let text = || "x".to_owned();
        vec![Healthy, Wrong(text()), Partly(text()), Silent(text()), Dumping(text()), Failed(text()), Unknown(text())]
    }

    #[test]
    fn outcomes_come_to_the_same_in_any_order() {
        for one in all() {
            for two in all() {
                assert_eq!(one.clone().and(two.clone()), two.clone().and(one.clone()), "{one:?} {two:?}");
                for three in all() {
                    let left = one.clone().and(two.clone()).and(three.clone());
                    assert_eq!(left, one.clone().and(two.clone().and(three.clone())), "{one:?} {two:?} {three:?}");
                }
            }
        }
    }

    #[test]
    fn what_lives_is_never_silent_and_a_plugin_alone_kills_nobody() {
        for one in all() {
            for two in all() {
                let both = one.clone().and(two.clone());
                let answered = one.answered() || two.answered();
                assert_eq!(both.answered(), answered, "{one:?} {two:?}");
                let silent = |outcome: &CheckOutcome| matches!(outcome, Silent(_));
                let dumping = |outcome: &CheckOutcome| matches!(outcome, Dumping(_));
                let dumps = dumping(&one) || dumping(&two);
                assert_eq!(dumping(&both), !answered && dumps, "{one:?} {two:?}");
                assert_eq!(silent(&both), !answered && !dumps && (silent(&one) || silent(&two)), "{one:?} {two:?}");
            }
        }
    }
}
