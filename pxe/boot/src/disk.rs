//! Where permits and the contact's age are kept: one file each, mode 0600 since a permit holds the CHAP secret, replaced whole and
//! synchronised before the answer. Nothing here reads what is kept, nor decides. It must never say that a thing is kept which a power cut
//! could take away.

use crate::error::BootError;
use crate::limits::PERMIT_FILE_BYTES_MAX;
use async_trait::async_trait;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MARK: &str = "contact.json";
const SUFFIX: &str = ".json";

/// One thing that is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kept {
    /// What is durable of one machine, by its name.
    Machine(String),
    /// The age of the last contact with a controller.
    Contact,
}

/// Where a boot service keeps what it must not forget.
#[async_trait]
pub trait Disk: Send + Sync {
    /// The names of the machines of which something is kept, in order.
    fn machines(&self) -> io::Result<Vec<String>>;
    /// What is kept; `None` if nothing is. Of what is longer than [`PERMIT_FILE_BYTES_MAX`] only so much.
    fn read(&self, what: &Kept) -> io::Result<Option<Vec<u8>>>;
    /// `Ok`: it is there after a power cut, and nothing of the older one is; `Err`: the old or the new one is, whole. Does not hold up the
    /// runtime, and goes on to its end if the caller gives up waiting.
    async fn replace(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()>;
    /// Where it is, for people.
    fn place(&self, what: &Kept) -> PathBuf;
}

/// The program's: files in a folder.
#[derive(Clone)]
pub struct Files {
    state: PathBuf,
    permits: PathBuf,
}

impl Files {
    /// Opens the folder, made with mode 0700 if absent.
    pub fn open(state: &Path) -> Result<Files, BootError> {
        let permits = state.join("permits");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&permits)
            .map_err(|source| BootError::State { path: permits.clone(), source })?;
        Ok(Files { state: state.to_owned(), permits })
    }
}

#[async_trait]
impl Disk for Files {
    fn machines(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.permits)? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, what: &Kept) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.place(what)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(PERMIT_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    async fn replace(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::task::spawn_blocking(move || replace(&self.place(&what), &bytes)).await.map_err(io::Error::other)?
    }

    fn place(&self, what: &Kept) -> PathBuf {
        match what {
            // a machine's name has only a-z, 0-9 and '-': it cannot leave the folder
            Kept::Machine(name) => self.permits.join(format!("{name}{SUFFIX}")),
            Kept::Contact => self.state.join(MARK),
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}
