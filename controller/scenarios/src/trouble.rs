//! Why a scenario, or the data centre of one, did not go as it should: what, where, and where to look.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The data centre itself.
    #[error("the lab: {0}")]
    Lab(#[from] lab::client::ClientError),
    /// The data centre did not come up.
    #[error("the lab did not come up: {reason}")]
    NotUp {
        /// Its last words.
        reason: String,
    },
    /// A command of the product or of the lab said no.
    #[error("`{command}` said: {told}")]
    Command {
        /// As one would type it.
        command: String,
        /// What it wrote.
        told: String,
    },
    /// The controller's API did not answer as it should.
    #[error("the controller: {0}")]
    Api(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("{program} cannot be started: {source}; build it with `cargo build`")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that was waited for did not come.
    #[error("{what} did not come within {} s; {last}", .within.as_secs())]
    Late {
        /// What.
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// What was seen last.
        last: String,
    },
    /// Something that must not be was seen.
    #[error("{0}")]
    Wrong(String),
    /// Somebody asked us to stop.
    #[error("interrupted")]
    Interrupted,
    /// The oracle's judgement.
    #[error("the oracle: {0}")]
    Oracle(String),
}

/// The result of a step.
pub type Done<T = ()> = Result<T, Trouble>;

/// Names the file in an error.
pub fn at<T>(path: &std::path::Path, result: io::Result<T>) -> Done<T> {
    result.map_err(|source| Trouble::File { path: path.to_owned(), source })
}
