//! The images that machines run: made in memory, the same for the same content, kept in the cache under the hash of that content.
//!
//! Labs that start side by side may make the same image at once: each writes its own file and renames it into place.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::children::Children;
use crate::cpio::Archive;
use crate::elf::{ElfError, slim};
use crate::modules::{ModuleError, Modules};
use crate::packages::{PackageError, Packages};

/// Modules of the switch.
const SWITCH_MODULES: [&str; 6] = ["virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "8021q", "bridge"];
/// Modules of a server's initrd; button and evdev serve the root's orderly end.
const SERVER_MODULES: [&str; 7] = ["virtio_pci", "virtio_net", "iscsi_tcp", "sd_mod", "iscsi_ibft", "button", "evdev"];
/// Applets of busybox that a person at a console would miss.
const APPLETS: [&str; 12] = ["sh", "ls", "cat", "ip", "ps", "mount", "umount", "dmesg", "ping", "arping", "udhcpc", "sync"];
/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A package lacks something.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A module is missing.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// One of our programs is not built as it must be.
    #[error("{path} {reason}; build it with: cargo rustc -p {package} --bin {binary} -- -C target-feature=+crt-static")]
    Program {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// Its package.
        package: &'static str,
        /// Its name.
        binary: &'static str,
    },
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Files(PathBuf, io::Error),
    /// A helper program failed.
    #[error("{0}")]
    Helper(io::Error),
}

/// A program of ours that goes into images.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its package.
    pub package: &'static str,
    /// Its name.
    pub binary: &'static str,
}

/// What runs as the first process of every lab machine.
pub const GUEST: Program = Program { package: "guest", binary: "lab-guest" };
/// What drives the switch.
pub const AGENT: Program = Program { package: "understudy-agent", binary: "understudy-agent" };

/// Everything from which images are made.
#[derive(Debug, Clone)]
pub struct Maker<'a> {
    /// The packages.
    pub packages: &'a Packages,
    /// Where our programs are built.
    pub bin_dir: &'a Path,
    /// Runs helpers.
    pub children: &'a Children,
}

/// Reads a file, naming it if that fails.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(|error| ImageError::Files(path.to_owned(), error))
}

/// Writes a file, naming it if that fails.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    fs::write(path, content).map_err(|error| ImageError::Files(path.to_owned(), error))
}

impl Maker<'_> {
    /// One of our programs, static and without symbols.
    pub fn program(&self, program: Program) -> Result<Vec<u8>, ImageError> {
        let path = self.bin_dir.join(program.binary);
        let failed =
            |reason: String| ImageError::Program { path: path.clone(), reason, package: program.package, binary: program.binary };
        let bytes = fs::read(&path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        slim(&bytes).map_err(|error: ElfError| failed(error.to_string()))
    }

    fn base(&self, role: &str, modules: &[&str]) -> Result<Archive, ImageError> {
        let mut archive = Archive::default();
        for folder in ["proc", "sys", "dev", "run", "tmp", "etc", "var/lib/understudy"] {
            archive.folder(folder);
        }
        // the kernel opens the console for its first process before anything is mounted
        archive.device("dev/console", 5, 1);
        archive.device("dev/null", 1, 3);
        archive.file("init", 0o755, &self.program(GUEST)?);
        archive.file("etc/lab-role", 0o644, role.as_bytes());
        archive.file("bin/busybox", 0o755, &self.packages.read(&["bin/busybox"])?);
        for applet in APPLETS {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
        let (_, folder) = self.packages.kernel()?;
        let modules = Modules::find(&folder)?.closure(modules)?;
        let order: String = modules.iter().map(|(name, _)| format!("{name}\n")).collect();
        archive.file("lab/modules/order", 0o644, order.as_bytes());
        for (name, content) in &modules {
            archive.file(&format!("lab/modules/{name}"), 0o644, content);
        }
        Ok(archive)
    }

    /// The switch's first file system, without what one lab adds to it.
    pub fn switch(&self) -> Result<Vec<u8>, ImageError> {
        let mut archive = self.base("switch\n", &SWITCH_MODULES)?;
        archive.file("usr/bin/understudy-agent", 0o755, &self.program(AGENT)?);
        Ok(archive.finish())
    }

    /// The servers' initrd.
    pub fn server(&self) -> Result<Vec<u8>, ImageError> {
        let mut archive = self.base("server\n", &SERVER_MODULES)?;
        let iscsistart = self.packages.path(&["sbin/iscsistart"])?;
        archive.file("usr/bin/iscsistart", 0o755, &read(&iscsistart)?);
        let list = |mut command| self.children.output(&mut command, "");
        for (place, library) in self.packages.libraries(&iscsistart, list)? {
            archive.file(&place, 0o755, &read(&library)?);
        }
        Ok(archive.finish())
    }
}

/// Adds a folder's files to an archive, below `place`, in the order of their names.
pub fn add_tree(archive: &mut Archive, folder: &Path, place: &str) -> Result<(), ImageError> {
    let failed = |error| ImageError::Files(folder.to_owned(), error);
    let mut entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), format!("{place}/{}", entry.file_name().to_string_lossy()));
        let metadata = fs::metadata(&path).map_err(|error| ImageError::Files(path.clone(), error))?;
        if metadata.is_dir() {
            archive.folder(&name);
            add_tree(archive, &path, &name)?;
        } else {
            archive.file(&name, metadata.permissions().mode(), &read(&path)?);
        }
    }
    Ok(())
}

/// Keeps content in the cache under its own hash; answers where.
pub fn keep(cache: &Path, name: &str, content: &[u8]) -> Result<PathBuf, ImageError> {
    let hash: String = Sha256::digest(content).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let path = cache.join(format!("{name}-{hash}"));
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == content.len() as u64) {
        return Ok(path);
    }
    let failed = |error| ImageError::Files(path.clone(), error);
    fs::create_dir_all(cache).map_err(failed)?;
    let mine = cache.join(format!(".{name}-{}", uuid::Uuid::new_v4()));
    write(&mine, content)?;
    fs::rename(&mine, &path).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_kept_once_under_its_hash() {
        let cache = tempfile::tempdir().unwrap();
        let first = keep(cache.path(), "switch.cpio", b"abc").unwrap();
        let again = keep(cache.path(), "switch.cpio", b"abc").unwrap();
        let other = keep(cache.path(), "switch.cpio", b"abd").unwrap();
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(fs::read(&first).unwrap(), b"abc");
        fs::write(&first, b"torn in half a write").unwrap();
        assert_eq!(fs::read(keep(cache.path(), "switch.cpio", b"abc").unwrap()).unwrap(), b"abc", "a torn file is not taken");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2, "no half-written files stay");
    }

    #[test]
    fn a_dynamic_program_is_refused_with_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::copy("/proc/self/exe", folder.path().join("lab-guest")).unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let packages = Packages::open(&folder.path().join("root")).unwrap();
        let children = Children::default();
        let maker = Maker { packages: &packages, bin_dir: folder.path(), children: &children };
        let error = maker.program(GUEST).unwrap_err().to_string();
        assert!(error.contains("is not static") && error.contains("cargo rustc -p guest --bin lab-guest"), "{error}");
        assert!(maker.program(AGENT).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_tree_goes_into_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/understudy")).unwrap();
        fs::write(folder.path().join("etc/understudy/agent.json"), "{}").unwrap();
        let mut archive = Archive::default();
        add_tree(&mut archive, folder.path(), "").unwrap();
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("etc/understudy/agent.json\0"));
    }
}
