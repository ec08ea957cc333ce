//! The gate's file on disk: written beside, synchronised, renamed over, directory synchronised; and the decision whether what lies
//! there may be trusted. It never overwrites a file that it could not read without keeping that file aside.

use super::memory::{Memory, sha256_hex};
use super::{GateError, Identity};
use crate::limits;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Owner only: holders and plans are nobody else's business.
const FILE_MODE: u32 = 0o600;
/// Digits of the hash in the name of a file kept aside.
const ASIDE_DIGITS: usize = 12;

/// Where a memory's bytes are made durable. `Ok` means: they are there after a power cut; `Err`: the old ones or the new ones are.
pub(crate) trait Store: Send + Sync {
    fn save(&self, bytes: &[u8]) -> io::Result<()>;
}

/// One file.
pub(crate) struct FileStore {
    path: PathBuf,
    /// Held for life: one device, one agent instance.
    _lock: File,
}

impl Store for FileStore {
    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        replace(&self.path, bytes)
    }
}

/// Replaces a file durably: after a crash at any instant either the old or the new content is there, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = suffixed(path, ".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, path)?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file, or begins a new one; decides whether the agent may be trusted.
///
/// Trusted: a whole file of this agent and estate that says so; or no file, and a fresh enrolment that was never used before. That it
/// was used is marked beside the gate file and beside the enrolment bundle before the agent serves anything. The first file says
/// `seeding` until both marks are durable, so a crash in between neither forgets the use nor wastes the enrolment.
pub(crate) fn open(path: &Path, identity: &Identity) -> Result<(FileStore, Memory), GateError> {
    let fail = |what: &'static str| {
        let path = path.to_path_buf();
        move |source: io::Error| GateError::Disk { what, path, source }
    };
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(suffixed(path, ".lock"))
        .map_err(fail("make the lock beside"))?;
    lock.try_lock().map_err(|_| GateError::Locked { path: path.to_path_buf() })?;
    let store = FileStore { path: path.to_path_buf(), _lock: lock };

    let memory = match read(path).map_err(fail("read"))? {
        Some(bytes) => match usable(&bytes, identity) {
            Ok(memory) => memory,
            Err(reason) => {
                tracing::error!(path = %path.display(), reason, "gate file refused: this agent only observes and revokes until `agent readopt`");
                keep_aside(path, &bytes).map_err(fail("keep aside the refused"))?;
                blank(identity)
            }
        },
        None if identity.fresh && !used_before(path, identity).map_err(fail("read the marks beside"))? => {
            Memory { seeding: true, ..blank(identity) }
        }
        None => {
            tracing::error!(path = %path.display(), "gate file is missing although this enrolment was used before: this agent only observes and revokes until `agent readopt`");
            blank(identity)
        }
    };
    let memory = settle(&store, memory, path, identity).map_err(fail("write"))?;
    Ok((store, memory))
}

/// Writes what was decided; a seeding memory becomes trusted once the marks are durable.
fn settle(store: &FileStore, mut memory: Memory, path: &Path, identity: &Identity) -> io::Result<Memory> {
    store.save(&memory.encode()?)?;
    if memory.seeding {
        for mark in marks(path, identity) {
            replace(&mark, identity.enrolment.as_bytes())?;
        }
        memory.seeding = false;
        memory.trusted = true;
        store.save(&memory.encode()?)?;
    }
    Ok(memory)
}

fn blank(identity: &Identity) -> Memory {
    Memory::new(identity.agent.clone(), identity.estate.clone(), identity.lineage.clone())
}

fn usable(bytes: &[u8], identity: &Identity) -> Result<Memory, String> {
    let memory = Memory::decode(bytes).map_err(|unreadable| unreadable.to_string())?;
    if memory.agent != identity.agent {
        return Err(format!("it belongs to agent `{}`, this one is `{}`", memory.agent, identity.agent));
    }
    if memory.estate != identity.estate {
        return Err("it belongs to another estate".to_owned());
    }
    Ok(memory)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // One byte more than allowed: a file that is too long fails its own length check instead of filling memory.
    let mut bytes = Vec::new();
    file.take(limits::GATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Keeps a refused file under a name made of its hash, for the person who will look into it.
fn keep_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let hash: String = sha256_hex(bytes).chars().take(ASIDE_DIGITS).collect();
    match std::fs::hard_link(path, suffixed(path, &format!(".refused-{hash}"))) {
        Ok(()) => sync_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => replace(&suffixed(path, &format!(".refused-{hash}")), bytes),
    }
}

fn marks(path: &Path, identity: &Identity) -> Vec<PathBuf> {
    std::iter::once(suffixed(path, ".seeded")).chain(identity.mark.clone()).collect()
}

fn used_before(path: &Path, identity: &Identity) -> io::Result<bool> {
    for mark in marks(path, identity) {
        if read(&mark)?.is_some_and(|bytes| bytes == identity.enrolment.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}
