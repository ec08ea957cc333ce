//! The unpacked Debian packages that the lab runs from: where things lie, and how their programs are started.
//!
//! Nothing is taken from what is installed on the machine but the C library and its loader, and nothing is installed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why the packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file is missing.
    #[error("the package folder {root} has no {path}; unpack the packages again (cargo xtask lab clean, then lab up)")]
    Missing {
        /// The folder.
        root: PathBuf,
        /// What was looked for.
        path: String,
    },
    /// A file could not be read.
    #[error("{0}: {1}")]
    Files(PathBuf, io::Error),
    /// The loader could not say which libraries a program needs.
    #[error("{program}: its libraries cannot be listed: {reason}")]
    Libraries {
        /// The program.
        program: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An unpacked set of packages.
#[derive(Debug, Clone)]
pub struct Packages {
    root: PathBuf,
    libraries: OsString,
}

impl Packages {
    /// Takes a folder into which packages were unpacked.
    pub fn open(root: &Path) -> Result<Self, PackageError> {
        let root = fs::canonicalize(root).map_err(|error| PackageError::Files(root.to_owned(), error))?;
        let mut libraries = OsString::new();
        for folder in ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"] {
            if !libraries.is_empty() {
                libraries.push(":");
            }
            libraries.push(root.join(folder));
        }
        Ok(Self { root, libraries })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The first of these places that exists (Debian moves files between `/` and `/usr`).
    pub fn path(&self, places: &[&str]) -> Result<PathBuf, PackageError> {
        places
            .iter()
            .flat_map(|place| [self.root.join(place), self.root.join("usr").join(place)])
            .find(|path| path.exists())
            .ok_or_else(|| PackageError::Missing { root: self.root.clone(), path: places.join(" or ") })
    }

    /// The content of a file.
    pub fn read(&self, places: &[&str]) -> Result<Vec<u8>, PackageError> {
        let path = self.path(places)?;
        fs::read(&path).map_err(|error| PackageError::Files(path, error))
    }

    /// The variables under which the packages' programs run.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("LD_LIBRARY_PATH".to_owned(), self.libraries.to_string_lossy().into_owned()),
            ("MKE2FS_CONFIG".to_owned(), self.root.join("etc/mke2fs.conf").to_string_lossy().into_owned()),
        ]
    }

    /// A command of the packages, with its variables.
    pub fn command(&self, places: &[&str]) -> Result<Command, PackageError> {
        let mut command = Command::new(self.path(places)?);
        command.envs(self.environment());
        Ok(command)
    }

    /// Folders with firmware, for QEMU's `-L`.
    #[must_use]
    pub fn firmware_folders(&self) -> Vec<PathBuf> {
        ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"].iter().map(|folder| self.root.join(folder)).collect()
    }

    /// The kernel and the folder of its modules. The newest, where several are unpacked.
    pub fn kernel(&self) -> Result<(PathBuf, PathBuf), PackageError> {
        let boot = self.path(&["boot"])?;
        let mut versions = Vec::new();
        for entry in fs::read_dir(&boot).map_err(|error| PackageError::Files(boot.clone(), error))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix("vmlinuz-")
                && version.contains("-cloud-")
            {
                versions.push(version.to_owned());
            }
        }
        let missing = || PackageError::Missing { root: self.root.clone(), path: "boot/vmlinuz-*-cloud-amd64".to_owned() };
        let version = versions.into_iter().max_by_key(|version| numbers(version)).ok_or_else(missing)?;
        let modules = self.path(&[&format!("lib/modules/{version}")])?;
        Ok((boot.join(format!("vmlinuz-{version}")), modules))
    }

    /// The libraries that a program needs, and the loader: the path by which they are asked for in an image, and where they lie here.
    pub fn libraries(
        &self,
        program: &Path,
        run: impl FnOnce(Command) -> io::Result<String>,
    ) -> Result<Vec<(String, PathBuf)>, PackageError> {
        let failed = |reason: String| PackageError::Libraries { program: program.to_owned(), reason };
        let mut command = Command::new(program);
        command.envs(self.environment()).env("LD_TRACE_LOADED_OBJECTS", "1");
        let text = run(command).map_err(|error| failed(error.to_string()))?;
        loaded_objects(&text).map_err(failed)
    }
}

/// The numbers in a version, so that 6.1.0-9 comes before 6.1.0-56.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Reads the loader's list: `NAME => PATH (0x..)`, or a bare `PATH (0x..)` for the loader itself.
fn loaded_objects(text: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let place = match line.split_once(" => ") {
            Some((name, rest)) if rest.starts_with("not found") => return Err(format!("{name} is nowhere")),
            Some((name, rest)) => (format!("/usr/lib/x86_64-linux-gnu/{name}"), rest),
            None if line.starts_with('/') => (line.split(' ').next().unwrap_or_default().to_owned(), line),
            None => continue,
        };
        let path = place.1.split(" (").next().unwrap_or_default();
        found.push((place.0, PathBuf::from(path)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let text =
            "\tlinux-vdso.so.1 (0x00007f)\n\tlibkmod.so.2 => /lib/x/libkmod.so.2 (0x1)\n\t/lib64/ld-linux-x86-64.so.2 (0x2)\n";
        let found = loaded_objects(text).unwrap();
        assert_eq!(found[0], ("/usr/lib/x86_64-linux-gnu/libkmod.so.2".to_owned(), PathBuf::from("/lib/x/libkmod.so.2")));
        assert_eq!(found[1].0, "/lib64/ld-linux-x86-64.so.2");
        assert_eq!(found.len(), 2);
        assert!(loaded_objects("\tlibx.so => not found\n").unwrap_err().contains("libx.so"));
    }

    #[test]
    fn the_newest_cloud_kernel_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for version in ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-99-amd64"] {
            fs::create_dir_all(root.path().join("lib/modules").join(version)).unwrap();
            fs::create_dir_all(root.path().join("boot")).unwrap();
            fs::write(root.path().join("boot").join(format!("vmlinuz-{version}")), "").unwrap();
        }
        let packages = Packages::open(root.path()).unwrap();
        let (kernel, modules) = packages.kernel().unwrap();
        assert!(kernel.ends_with("boot/vmlinuz-6.1.0-56-cloud-amd64"));
        assert!(modules.ends_with("lib/modules/6.1.0-56-cloud-amd64"));
    }

    #[test]
    fn a_file_is_found_below_usr_too_and_a_missing_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/sbin")).unwrap();
        fs::write(root.path().join("usr/sbin/tgtd"), "").unwrap();
        let packages = Packages::open(root.path()).unwrap();
        assert!(packages.path(&["sbin/tgtd"]).unwrap().ends_with("usr/sbin/tgtd"));
        let error = packages.path(&["sbin/other"]).unwrap_err().to_string();
        assert!(error.contains("sbin/other") && error.contains("lab clean"), "{error}");
    }
}
