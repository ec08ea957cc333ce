//! The wire between a controller and an agent's process: mutual TLS 1.3, HTTP/2, JSON. It carries requests and answers and decides
//! nothing; a request is never sent twice by itself, and whatever is unclear about a reply is `Unreachable`.

pub mod client;
mod complaints;
mod credentials;
pub mod enrol;
pub mod server;
mod tls;

pub use client::WireClient;
pub use credentials::Credentials;
pub use enrol::{Authority, Bundle, ControllerIdentity, EnrolError};
pub use server::serve;

use serde::{Deserialize, Serialize};
use vocabulary::request::{AgentError, AgentHello, Answer};

/// Where requests go.
pub const REQUEST_PATH: &str = "/v1/request";
/// Where the estate's ledger goes (`agent readopt`).
pub const READOPT_PATH: &str = "/v1/readopt";

/// Where an agent's certificate is renewed.
pub const CERTIFICATE_PATH: &str = "/v1/certificate";

/// The body of every answer: `{"ok": ...}` or `{"error": ...}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply<T> {
    Ok(T),
    Error(AgentError),
}

impl<T> From<Result<T, AgentError>> for Reply<T> {
    fn from(result: Result<T, AgentError>) -> Self {
        match result {
            Ok(value) => Reply::Ok(value),
            Err(error) => Reply::Error(error),
        }
    }
}

impl<T> From<Reply<T>> for Result<T, AgentError> {
    fn from(reply: Reply<T>) -> Self {
        match reply {
            Reply::Ok(value) => Ok(value),
            Reply::Error(error) => Err(error),
        }
    }
}

/// The answer to a request.
pub(crate) type AnswerReply = Reply<Answer>;
/// The answer to a ledger.
pub(crate) type ReadoptReply = Reply<AgentHello>;

/// Why the wire does not come up.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A certificate, key or name is not usable.
    #[error("cannot use the certificates: {reason}; enrol the agent again with `agent enroll`")]
    Certificates {
        /// What is wrong.
        reason: String,
    },
}
