//! What the driver needs of the host on which the target daemon runs: calls of its administration tool, a look at backing objects, the time
//! of day. The real one by default, or a simulated one. Must never decide anything.

pub use crate::host::{Disk, Object};
use crate::limits::COMMAND_TIMEOUT;
use async_trait::async_trait;
use std::fmt::Debug;
use std::path::Path;
use vocabulary::WallTime;

/// How one call of the tool ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit code; `None` if something ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub printed: Vec<u8>,
    /// Its standard error.
    pub said: Vec<u8>,
}

/// Why a call did not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The tool could not be started.
    #[error("`{tool}` cannot be started: {reason}; is tgt installed there?")]
    Absent {
        /// Its path.
        tool: String,
        /// The system's word.
        reason: String,
    },
    /// No answer in time; whether it happened is unknown.
    #[error("`tgtadm {what}` gave no answer within {} s", COMMAND_TIMEOUT.as_secs())]
    Silent {
        /// The call, without secrets.
        what: String,
    },
    /// The daemon is not there.
    #[error("the target daemon does not answer on control port {port}: {said}")]
    NoDaemon {
        /// Its control port.
        port: u16,
        /// What the tool said.
        said: String,
    },
    /// The daemon said no.
    #[error("`tgtadm {what}`: {said}")]
    Refused {
        /// The call, without secrets.
        what: String,
        /// What the tool said.
        said: String,
    },
    /// What it printed cannot be trusted to be complete.
    #[error("`tgtadm {what}` printed what cannot be understood: {reason}")]
    Garbled {
        /// The call.
        what: String,
        /// What is odd.
        reason: String,
    },
}

/// The host of a target daemon.
#[async_trait]
pub trait Host: Debug + Send + Sync {
    /// Calls the administration tool with these arguments, and the secret, if any, as the last of them. May take for ever; whoever gives up
    /// does not know whether it happened, nor whether it still will.
    async fn tgtadm(&self, arguments: &[&str], secret: Option<&str>) -> Result<Ended, CommandError>;
    /// What the path leads to now; `None` if to nothing, or if that cannot be asked.
    fn object(&self, path: &Path) -> Option<Object>;
    /// The time of day.
    fn now(&self) -> WallTime;
}
