//! How a profile says that a service answers, and what a vantage point saw.

use crate::time::Span;
use serde::{Deserialize, Serialize};

/// A health check. Run from at least two vantage points.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// A TCP connection opens.
    Tcp(TcpCheck),
    /// An HTTP request is answered with the expected status.
    Http(HttpCheck),
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
    /// `http://host[:port]/path`.
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

fn deadline() -> Span {
    Span::seconds(1)
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
    /// Nothing answered within the deadline, or the host was unreachable.
    Silent(String),
}
