//! Puts a world's disk under what agents keep durably: the gate's memory and its marks, and a storage driver's state.
//! Must never make anything durable that the disk refused, nor anything of a process that is dead.

use crate::life::Life;
use async_trait::async_trait;
use contract::gate::{self, Kept};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use world::disk::Disk;

/// How long a write takes that nobody stands still for.
const WRITE: Duration = Duration::from_millis(2);

/// A part of a disk that belongs to one agent.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The disk.
    pub disk: Disk,
    /// Whose.
    pub owner: String,
    /// Of which process.
    pub life: Life,
}

impl Shelf {
    /// What the gate's memory is called on the disk.
    pub fn memory(&self) -> String {
        format!("{}/gate", self.owner)
    }

    /// What a storage driver's state is called.
    pub fn state(&self) -> String {
        format!("{}/state", self.owner)
    }

    /// A write of a process, which may be its death.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let dead = || io::Error::other("its process is dead");
        if !self.life.is_alive() {
            return Err(dead());
        }
        self.disk.replace(name, content)?;
        if self.life.is_alive() { Ok(()) } else { Err(dead()) }
    }

    fn of(&self, what: Kept) -> String {
        match what {
            Kept::Memory => self.memory(),
            Kept::Mark => format!("{}/gate.seeded", self.owner),
            Kept::EnrolmentMark => format!("{}/enrolment.seeded", self.owner),
        }
    }
}

#[async_trait]
impl gate::Disk for Shelf {
    fn read(&self, what: Kept) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(&self.of(what))
    }

    fn replace(&self, what: Kept, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.of(what), bytes)
    }

    async fn replace_beside(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::time::sleep(WRITE).await;
        self.life.passes().await;
        self.write(&self.of(what), &bytes)
    }

    fn keep_aside(&self, refused: &[u8]) -> io::Result<()> {
        self.write(&format!("{}/gate.refused", self.owner), refused)
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(self.memory())
    }

    fn home(&self) -> io::Result<String> {
        Ok(self.disk.name())
    }
}

impl ::storage::tgt::host::Disk for Shelf {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(&self.state())
    }

    fn replace(&self, content: &[u8]) -> io::Result<()> {
        self.write(&self.state(), content)
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(self.state())
    }
}
