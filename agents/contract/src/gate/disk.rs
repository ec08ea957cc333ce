//! The gate's disk: files that are written beside, synchronised, renamed over, directory synchronised; and the decision whether what lies
//! there may be trusted. It never overwrites a file that it could not read without keeping that file aside.

use super::memory::{Memory, sha256_hex};
use super::{GateError, Identity};
use crate::limits;
use async_trait::async_trait;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Owner only: holders and plans are nobody else's business.
const FILE_MODE: u32 = 0o600;
/// Digits of the hash in the name of a file kept aside.
const ASIDE_DIGITS: usize = 12;
/// Tells installations of an operating system apart (machine-id(5)): clones of a machine get one of their own when they are made well.
const MACHINE_ID: &str = "/etc/machine-id";
/// Stands in a home for what is not known.
const UNKNOWN: &str = "unknown";
/// A machine-id has 32 digits; nothing longer is taken from that file.
const MACHINE_ID_CHARS_MAX: usize = 32;

/// What a gate keeps on its disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kept {
    /// The memory itself.
    Memory,
    /// Beside the memory: the enrolment that was used.
    Mark,
    /// Beside the enrolment, where that has a place of its own: the same.
    EnrolmentMark,
}

/// Where a gate keeps what it must never forget.
#[async_trait]
pub trait Disk: Send + Sync {
    /// What is kept; `None` if it never was. Of what is longer than [`limits::GATE_FILE_BYTES_MAX`], one byte more than that.
    fn read(&self, what: Kept) -> io::Result<Option<Vec<u8>>>;
    /// `Ok`: it is there after a power cut; `Err`: the old or the new one is, whole. May take its time.
    fn replace(&self, what: Kept, bytes: &[u8]) -> io::Result<()>;
    /// The same without holding up the runtime; goes on to its end if the caller gives up waiting.
    async fn replace_beside(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()>;
    /// Keeps a memory that was refused, for the person who will look into it; the first of each content is enough.
    fn keep_aside(&self, refused: &[u8]) -> io::Result<()>;
    /// Where it is, for people.
    fn place(&self) -> PathBuf;
    /// What this place has and no copy of what lies here: the same at every start, another for whoever copied, moved or restored it.
    fn home(&self) -> io::Result<String>;
}

/// Files beside one another, held for life: one device, one agent instance.
pub(crate) struct Files {
    path: PathBuf,
    mark: Option<PathBuf>,
    lock: File,
}

impl Files {
    /// Takes them, if nobody has them.
    pub fn hold(path: &Path, mark: Option<PathBuf>) -> Result<Files, GateError> {
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(suffixed(path, ".lock"));
        let lock = lock.map_err(|source| GateError::Disk { what: "make the lock beside", path: path.to_path_buf(), source })?;
        lock.try_lock().map_err(|_| GateError::Locked { path: path.to_path_buf() })?;
        Ok(Files { path: path.to_path_buf(), mark, lock })
    }

    fn of(&self, what: Kept) -> Option<PathBuf> {
        match what {
            Kept::Memory => Some(self.path.clone()),
            Kept::Mark => Some(suffixed(&self.path, ".seeded")),
            Kept::EnrolmentMark => self.mark.clone(),
        }
    }
}

#[async_trait]
impl Disk for Files {
    fn read(&self, what: Kept) -> io::Result<Option<Vec<u8>>> {
        self.of(what).map_or(Ok(None), |path| read(&path))
    }
    fn replace(&self, what: Kept, bytes: &[u8]) -> io::Result<()> {
        self.of(what).map_or(Ok(()), |path| replace(&path, bytes))
    }
    async fn replace_beside(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::task::spawn_blocking(move || self.replace(what, &bytes)).await.map_err(io::Error::other)?
    }
    fn keep_aside(&self, refused: &[u8]) -> io::Result<()> {
        keep_aside(&self.path, refused)
    }
    fn place(&self) -> PathBuf {
        self.path.clone()
    }
    /// The lock is written once and never again, so its inode and birth are this folder's; both are new in a copy. Some file systems
    /// know no birth, and a clone of the whole disk has the same: there only the machine tells them apart.
    fn home(&self) -> io::Result<String> {
        let lock = self.lock.metadata()?;
        let born = lock.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or(UNKNOWN.to_owned(), |since| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()));
        let machine = match std::fs::read_to_string(MACHINE_ID) {
            // written by the first boot of a fresh installation (machine-id(5))
            Ok(id) if ["", "uninitialized"].contains(&id.trim()) => UNKNOWN.to_owned(),
            Ok(id) => id.trim().chars().take(MACHINE_ID_CHARS_MAX).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => UNKNOWN.to_owned(),
            Err(error) => return Err(error),
        };
        Ok(format!("inode {} born {born} machine {machine}", lock.ino()))
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
/// Trusted: a whole file of this agent and estate that says so and was written here; or no file, and a fresh enrolment that was never used
/// before. A file that was copied here keeps what it says and loses the trust, for whom it was copied from may still run. That it
/// was used is marked beside the gate file and beside the enrolment bundle before the agent serves anything. The first file says
/// `seeding` until both marks are durable, so a crash in between neither forgets the use nor wastes the enrolment.
pub(crate) fn open(disk: &dyn Disk, identity: &Identity) -> Result<Memory, GateError> {
    let place = disk.place();
    let fail = |what: &'static str| {
        let path = place.clone();
        move |source: io::Error| GateError::Disk { what, path, source }
    };
    let home = disk.home().map_err(fail("find the home of"))?;
    let memory = match disk.read(Kept::Memory).map_err(fail("read"))? {
        Some(bytes) => match usable(&bytes, identity) {
            Ok(memory) => at_home(memory, &home, &place),
            Err(reason) => {
                tracing::error!(path = %place.display(), reason, "gate file refused: this agent only observes and revokes until `agent readopt`");
                disk.keep_aside(&bytes).map_err(fail("keep aside the refused"))?;
                blank(identity)
            }
        },
        None if identity.fresh && !used_before(disk, identity).map_err(fail("read the marks beside"))? => {
            Memory { seeding: true, ..blank(identity) }
        }
        None => {
            tracing::error!(path = %place.display(), "gate file is missing although this enrolment was used before: this agent only observes and revokes until `agent readopt`");
            blank(identity)
        }
    };
    let memory = Memory { home: Some(home), ..memory };
    settle(disk, memory, identity).map_err(fail("write"))
}

/// Writes what was decided; a seeding memory becomes trusted once the marks are durable.
fn settle(disk: &dyn Disk, mut memory: Memory, identity: &Identity) -> io::Result<Memory> {
    disk.replace(Kept::Memory, &memory.encode()?)?;
    if memory.seeding {
        for mark in MARKS {
            disk.replace(mark, identity.enrolment.as_bytes())?;
        }
        memory.seeding = false;
        memory.trusted = true;
        disk.replace(Kept::Memory, &memory.encode()?)?;
    }
    Ok(memory)
}

/// True if both name one place. What one of them did not know says nothing: a file system may learn to tell births, an installation may
/// get its id later.
fn is_one_home(written: &str, home: &str) -> bool {
    let (written, home): (Vec<&str>, Vec<&str>) = (written.split(' ').collect(), home.split(' ').collect());
    let same = |(a, b): (&&str, &&str)| a == b || *a == UNKNOWN || *b == UNKNOWN;
    written.len() == home.len() && written.iter().zip(&home).all(same)
}

/// A memory that was written elsewhere is trusted no longer. One of before homes were kept is at home where it lies.
fn at_home(memory: Memory, home: &str, place: &Path) -> Memory {
    match &memory.home {
        Some(written) if !is_one_home(written, home) => {
            tracing::error!(path = %place.display(), written, home, "gate file was copied here: this agent only observes and revokes until `agent readopt`; make sure that no other instance of it runs");
            Memory { trusted: false, seeding: false, ..memory }
        }
        _ => memory,
    }
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

/// Both say that an enrolment was used.
const MARKS: [Kept; 2] = [Kept::Mark, Kept::EnrolmentMark];

fn used_before(disk: &dyn Disk, identity: &Identity) -> io::Result<bool> {
    for mark in MARKS {
        if disk.read(mark)?.is_some_and(|bytes| bytes == identity.enrolment.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::is_one_home;

    #[test]
    fn what_is_not_known_of_a_home_makes_no_other_of_it() {
        let home = "inode 7 born 12.5 machine aa";
        for same in [home, "inode 7 born unknown machine aa", "inode 7 born 12.5 machine unknown"] {
            assert!(is_one_home(home, same) && is_one_home(same, home), "{same}");
        }
        for other in ["inode 8 born 12.5 machine aa", "inode 7 born 12.6 machine aa", "inode 7 born 12.5 machine bb", "", "here"]
        {
            assert!(!is_one_home(home, other) && !is_one_home(other, home), "{other}");
        }
    }
}
