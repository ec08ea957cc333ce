//! What the driver needs of the host whose kernel has the target: its configfs, its TCP connections, what backing paths lead to, the time of
//! day. The real one by default, or a simulated one. Must never decide anything, and never put into an error what was written: it may be a
//! secret.

use super::tcp;
pub use super::tcp::Connection;
use crate::host::Object;
use crate::limits::ATTRIBUTE_BYTES_MAX;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use vocabulary::WallTime;

/// What an entry of a folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A group: some can be made and removed, some come and go with another.
    Folder,
    /// An attribute.
    File,
    /// A logical unit leads to its backstore, a mapped one to its logical unit.
    Link,
}

/// What a backing path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// A file, and its size in bytes.
    File(Object, u64),
    /// A block device.
    Device(Object),
}

impl Backing {
    /// The object.
    pub fn object(&self) -> &Object {
        match self {
            Backing::File(object, _) | Backing::Device(object) => object,
        }
    }
}

/// A block device by its numbers, as the kernel shows them.
pub fn device(major: u64, minor: u64) -> Object {
    Object(format!("block {major}:{minor}"))
}

/// The kernel and its target. Paths are relative to `/sys/kernel/config/target`. Every call may block as long as the kernel likes; whoever gives up
/// does not know whether it happened, nor whether it still will.
pub trait Kernel: Debug + Send + Sync {
    /// What is in a folder.
    fn list(&self, folder: &str) -> io::Result<Vec<(String, Kind)>>;
    /// What an attribute shows.
    fn read(&self, file: &str) -> io::Result<String>;
    /// Sets an attribute, in one call and without a line's end, which the kernel would take into a name or a secret.
    fn write(&self, file: &str, text: &str) -> io::Result<()>;
    /// Makes a folder.
    fn make(&self, folder: &str) -> io::Result<()>;
    /// Removes a folder.
    fn remove(&self, folder: &str) -> io::Result<()>;
    /// Makes a link that leads to another folder.
    fn link(&self, to: &str, link: &str) -> io::Result<()>;
    /// Removes a link.
    fn unlink(&self, link: &str) -> io::Result<()>;
    /// Which folder a link leads to.
    fn follow(&self, link: &str) -> io::Result<String>;
    /// The TCP connections that are established.
    fn connections(&self) -> io::Result<Vec<Connection>>;
    /// Ends a TCP connection at once; that it is gone already is no error.
    fn destroy(&self, connection: &Connection) -> io::Result<()>;
    /// What a backing path leads to now; `None` if to nothing that can be served, or if that cannot be asked.
    fn backing(&self, path: &Path) -> Option<Backing>;
    /// The time of day.
    fn now(&self) -> WallTime;
    /// Where it is, for people.
    fn place(&self) -> String;
}

/// This host's kernel.
#[derive(Clone, Debug)]
pub(super) struct ThisKernel {
    /// Where its target is.
    pub root: PathBuf,
}

/// The numbers of a device as the C library packs them into one.
fn numbers(packed: u64) -> (u64, u64) {
    let major = ((packed >> 8) & 0xfff) | ((packed >> 32) & !0xfff);
    let minor = (packed & 0xff) | ((packed >> 12) & !0xff);
    (major, minor)
}

/// The folder below the target's root that a link's text, such as `../../../../target/core/fileio_0/a`, leads to.
fn below_root(text: &Path, root: &Path) -> Option<String> {
    let named: PathBuf = match text.strip_prefix(root) {
        Ok(rest) => rest.to_owned(),
        Err(_) => {
            let mut parts = text.components().skip_while(|part| matches!(part, Component::ParentDir));
            if parts.next()?.as_os_str() != root.file_name()? {
                return None;
            }
            parts.collect()
        }
    };
    named.to_str().map(str::to_owned)
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Kernel for ThisKernel {
    fn list(&self, folder: &str) -> io::Result<Vec<(String, Kind)>> {
        let entry = |entry: std::fs::DirEntry| {
            let of = entry.file_type()?;
            let kind = if of.is_dir() {
                Kind::Folder
            } else if of.is_symlink() {
                Kind::Link
            } else {
                Kind::File
            };
            Ok((entry.file_name().into_string().map_err(|_| odd("a name that is not text"))?, kind))
        };
        std::fs::read_dir(self.root.join(folder))?.map(|found| entry(found?)).collect()
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(self.root.join(file))?.take(ATTRIBUTE_BYTES_MAX).read_to_end(&mut bytes)?;
        // an initiator chooses its alias, which need not be text
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        // never made if it is not there
        let mut file = File::options().write(true).open(self.root.join(file))?;
        // the kernel takes each call as a whole value, so a second one for a rest would be another value
        if file.write(text.as_bytes())? == text.len() { Ok(()) } else { Err(odd("it was taken in part only")) }
    }

    fn make(&self, folder: &str) -> io::Result<()> {
        std::fs::create_dir(self.root.join(folder))
    }

    fn remove(&self, folder: &str) -> io::Result<()> {
        std::fs::remove_dir(self.root.join(folder))
    }

    fn link(&self, to: &str, link: &str) -> io::Result<()> {
        std::os::unix::fs::symlink(self.root.join(to), self.root.join(link))
    }

    fn unlink(&self, link: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(link))
    }

    fn follow(&self, link: &str) -> io::Result<String> {
        let text = std::fs::read_link(self.root.join(link))?;
        below_root(&text, &self.root).ok_or_else(|| odd("it leads out of the target"))
    }

    fn connections(&self) -> io::Result<Vec<Connection>> {
        tcp::established()
    }

    fn destroy(&self, connection: &Connection) -> io::Result<()> {
        tcp::destroy(connection)
    }

    fn backing(&self, path: &Path) -> Option<Backing> {
        let found = std::fs::metadata(path).ok()?;
        if found.file_type().is_block_device() {
            let (major, minor) = numbers(found.rdev());
            return Some(Backing::Device(device(major, minor)));
        }
        found.is_file().then(|| Backing::File(Object(format!("file {}:{}", found.dev(), found.ino())), found.len()))
    }

    fn now(&self) -> WallTime {
        crate::host::now()
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_as_the_kernel_writes_them() {
        let root = Path::new("/sys/kernel/config/target");
        let below = |text: &str| below_root(Path::new(text), root);
        assert_eq!(below("../../../../../../target/core/fileio_0/a").as_deref(), Some("core/fileio_0/a"));
        assert_eq!(
            below("/sys/kernel/config/target/iscsi/iqn.x:a/tpgt_1/lun/lun_1").as_deref(),
            Some("iscsi/iqn.x:a/tpgt_1/lun/lun_1")
        );
        assert_eq!(below("../../nvmet/subsystems/x"), None);
        assert_eq!(below("../.."), None);
    }

    #[test]
    fn devices_have_the_numbers_that_the_kernel_shows() {
        assert_eq!(numbers(0x0700), (7, 0));
        assert_eq!(numbers(0x0801), (8, 1));
        assert_eq!(numbers(0x0010_fd03), (253, 259));
        assert_eq!(device(7, 0), Object("block 7:0".into()));
    }

    #[test]
    fn what_is_not_there_is_never_made_by_writing() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = ThisKernel { root: folder.path().to_owned() };
        assert_eq!(kernel.write("enable", "1").unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(folder.path().join("enable"), "").unwrap();
        kernel.write("enable", "1").unwrap();
        assert_eq!(kernel.read("enable").unwrap(), "1");
        assert_eq!(kernel.list("").unwrap(), [("enable".to_owned(), Kind::File)]);
    }
}
