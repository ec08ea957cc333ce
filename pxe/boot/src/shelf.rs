//! The files that machines fetch: kernels, initrds, iPXE. A program has a folder of them, a simulated world its own. It must never give
//! more of a file than it was asked for at once.

use async_trait::async_trait;
use bytes::Bytes;
use std::io;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Where files to be fetched are.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// The length of a plain file, in bytes; an error if there is none.
    async fn length(&self, path: &Path) -> io::Result<u64>;
    /// Begins to read a file.
    async fn open(&self, path: &Path) -> io::Result<Box<dyn Reader>>;
}

/// One file that is being read, from its beginning or from where it was sought.
#[async_trait]
pub trait Reader: Send {
    /// Its length when it was opened, in bytes.
    fn length(&self) -> u64;
    /// Goes on from this byte.
    async fn seek(&mut self, to: u64) -> io::Result<()>;
    /// The next bytes, at most so many; none at the end.
    async fn read(&mut self, most: usize) -> io::Result<Bytes>;
}

/// The program's: the file system.
pub struct FileSystem;

struct Opened {
    file: tokio::fs::File,
    length: u64,
}

#[async_trait]
impl Shelf for FileSystem {
    async fn length(&self, path: &Path) -> io::Result<u64> {
        let data = tokio::fs::metadata(path).await?;
        if data.is_file() { Ok(data.len()) } else { Err(io::Error::other("not a plain file")) }
    }

    async fn open(&self, path: &Path) -> io::Result<Box<dyn Reader>> {
        let file = tokio::fs::File::open(path).await?;
        let length = file.metadata().await?.len();
        Ok(Box::new(Opened { file, length }))
    }
}

#[async_trait]
impl Reader for Opened {
    fn length(&self) -> u64 {
        self.length
    }

    async fn seek(&mut self, to: u64) -> io::Result<()> {
        self.file.seek(io::SeekFrom::Start(to)).await.map(|_| ())
    }

    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let mut piece = vec![0; most];
        let read = self.file.read(&mut piece).await?;
        piece.truncate(read);
        Ok(Bytes::from(piece))
    }
}
