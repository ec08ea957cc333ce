//! What can go wrong while a simulator is started or commanded.
//! Must never carry a secret: a password file is named, its content is not.

use std::path::PathBuf;

/// Why the simulator could not start, or why a control request was refused. Every text says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file or document is not usable.
    #[error("configuration: {0}")]
    Config(String),
    /// A file could not be read or written.
    #[error("{action} {path}: {source}; check the path and its permissions")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A BMC's address could not be taken.
    #[error("machine {name}: cannot listen on {address}: {source}; is the address on an interface and the port free?")]
    Listen {
        /// The machine.
        name: String,
        /// The address of its BMC.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("machine {name}: cannot make a certificate: {reason}")]
    Certificate {
        /// The machine.
        name: String,
        /// What the library said.
        reason: String,
    },
    /// A control request names a machine that does not exist.
    #[error("no machine is called {0}; `pids` lists the names")]
    UnknownMachine(String),
    /// The machine is not in the state the request needs, or could not be started.
    #[error(transparent)]
    Machine(#[from] world::bmc::Error),
}

impl Error {
    /// A request that this machine refuses, for this reason.
    pub(crate) fn refused(name: &str, reason: impl Into<String>) -> Error {
        Error::Machine(world::bmc::Error { name: name.into(), reason: reason.into() })
    }
}
