//! What can go wrong in the boot service, each with what, where, why and what to do. No error holds a secret.

use std::io;
use std::path::PathBuf;

/// A fault of the boot service. Codes F12nn.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration cannot be used.
    #[error("F1201 configuration {path}: {reason}. Correct the file and start again")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A socket cannot be had.
    #[error(
        "F1202 {what} on interface `{interface}`: {source}. Check that the interface exists and is up, that nothing else listens there, and that this process may open it (CAP_NET_RAW, CAP_NET_BIND_SERVICE)"
    )]
    Socket {
        /// Which service.
        what: &'static str,
        /// The interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The durable state cannot be read or written.
    #[error("F1203 state {path}: {source}. Check the disk, and that the folder belongs to the user of understudy-boot")]
    State {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A permit cannot be served as it is.
    #[error("F1204 permit of {machine}: {reason}")]
    Permit {
        /// The machine.
        machine: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The agent side cannot start.
    #[error("F1205 agent: {0}")]
    Agent(String),
}
