//! What every driver needs of the host it runs on: a place for its own state, what paths lead to, the time of day. Must never decide
//! anything.

use crate::durable;
use crate::limits::STATE_BYTES_MAX;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use vocabulary::WallTime;

/// What a path leads to. Two paths to one object give the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Object(pub String);

/// The time of day of this host.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where the driver keeps what it must never forget.
pub trait Disk: Debug + Send + Sync {
    /// What is kept; `None` if nothing ever was. What is larger than a state may be is an error.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;
    /// `Ok`: it is there after a power cut; `Err`: the old or the new one is, whole.
    fn replace(&self, content: &[u8]) -> io::Result<()>;
    /// Where it is, for people.
    fn place(&self) -> PathBuf;
}

/// A file of this host.
#[derive(Clone, Debug)]
pub struct ThisFile(pub PathBuf);

impl Disk for ThisFile {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        durable::read(&self.0, STATE_BYTES_MAX)
    }

    fn replace(&self, content: &[u8]) -> io::Result<()> {
        durable::replace(&self.0, content)
    }

    fn place(&self) -> PathBuf {
        self.0.clone()
    }
}
