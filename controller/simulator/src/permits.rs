//! Puts a world's disk under what the boot service keeps: permits by machine, and the age of its last contact.
//! Must never make anything durable that the disk refused.

use crate::disk::Shelf;
use async_trait::async_trait;
use boot::disk::{Disk, Kept};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A part of a disk that belongs to one boot service.
#[derive(Clone, Debug)]
pub struct Permits(pub Shelf);

impl Permits {
    fn of(&self, what: &Kept) -> String {
        match what {
            Kept::Machine(name) => format!("{}/permits/{name}", self.0.owner),
            Kept::Contact => format!("{}/contact", self.0.owner),
        }
    }
}

#[async_trait]
impl Disk for Permits {
    fn machines(&self) -> io::Result<Vec<String>> {
        let prefix = format!("{}/permits/", self.0.owner);
        Ok(self.0.disk.names().iter().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect())
    }

    fn read(&self, what: &Kept) -> io::Result<Option<Vec<u8>>> {
        self.0.disk.read(&self.of(what))
    }

    async fn replace(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        self.0.life.passes().await;
        self.0.write(&self.of(&what), &bytes)
    }

    fn place(&self, what: &Kept) -> PathBuf {
        PathBuf::from(self.of(what))
    }
}
