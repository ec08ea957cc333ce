//! A first estate in an empty folder: a commented start, or the lab's. It never writes into a folder that holds something, and
//! never over a file.

use crate::codes;
use std::io::Write;
use std::path::{Path, PathBuf};
use vocabulary::Fault;

/// What an estate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavor {
    /// Real machines.
    Production,
    /// The lab: what only a lab may do is allowed.
    Lab,
}

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../examples/", $folder, "/", $path)))),+]
    };
}

const STARTER: &[(&str, &str)] = files!["starter":
    ".gitignore", "estate.yaml", "site.yaml", "tier.yaml", "group.yaml", "pool.yaml", "switch.yaml", "storage.yaml", "boot.yaml",
    "image.yaml", "machines.yaml", "server.yaml",
];

const LAB: &[(&str, &str)] = files!["lab":
    ".gitignore", "estate.yaml", "site.yaml", "tier.yaml", "group.yaml", "pool.yaml", "switch.yaml", "storage.yaml", "boot.yaml",
    "images/web-kernel.yaml", "images/web-san.yaml", "machines/m1.yaml", "machines/m2.yaml", "machines/m3.yaml",
    "servers/web1.yaml", "servers/web2.yaml",
];

/// Writes a first estate into a folder that is empty or does not exist yet (hidden files, such as `.git`, do not count), with a
/// folder `secrets` that only its owner can read. Gives the files written. The estate's UUID is the caller's to make.
pub fn init(folder: &Path, flavor: Flavor) -> Result<Vec<PathBuf>, Fault> {
    let failed = |path: &Path, error: std::io::Error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Fault::new(codes::INIT_FAILED, message, "choose a folder that you may write to, then run `understudy estate init` again")
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let found = std::fs::read_dir(folder)
        .map_err(|error| failed(folder, error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| !name.starts_with('.'));
    if let Some(name) = found {
        let message = format!("{} is not empty: it holds {name}", folder.display());
        return Err(Fault::new(codes::INIT_NOT_EMPTY, message, "name an empty folder, or one that does not exist yet"));
    }
    let files = match flavor {
        Flavor::Production => STARTER,
        Flavor::Lab => LAB,
    };
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        if *name == ".gitignore" && path.exists() {
            continue;
        }
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(text.as_bytes())
        };
        write().map_err(|error| failed(&path, error))?;
        written.push(path);
    }
    secrets_folder(&folder.join("secrets")).map_err(|error| failed(&folder.join("secrets"), error))?;
    Ok(written)
}

fn secrets_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    const OWNER_ONLY: u32 = 0o700;
    std::fs::DirBuilder::new().mode(OWNER_ONLY).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn below(folder: &Path) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.extend(below(&path))
            } else {
                all.extend([path])
            };
        }
        all
    }

    #[test]
    fn what_is_written_is_what_the_examples_hold() {
        for (flavor, name) in [(Flavor::Production, "starter"), (Flavor::Lab, "lab")] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("new");
            let written: BTreeSet<PathBuf> = init(&target, flavor).unwrap().into_iter().collect();
            assert_eq!(written, below(&target));
            let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
            let relative = |root: &Path, all: BTreeSet<PathBuf>| {
                all.iter().map(|p| p.strip_prefix(root).unwrap().to_owned()).collect::<BTreeSet<_>>()
            };
            let examples = relative(&example, below(&example)).into_iter().filter(|p| !p.starts_with("secrets")).collect();
            assert_eq!(relative(&target, written), examples, "a file of examples/{name} is not in the table");
        }
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        std::fs::write(folder.path().join("precious"), "x").unwrap();
        let fault = init(folder.path(), Flavor::Lab).unwrap_err();
        assert_eq!(fault.code.0, codes::INIT_NOT_EMPTY);
        assert!(fault.message.contains("precious"));
        std::fs::remove_file(folder.path().join("precious")).unwrap();
        assert!(init(folder.path(), Flavor::Lab).is_ok());
        assert_eq!(init(&folder.path().join("estate.yaml"), Flavor::Lab).unwrap_err().code.0, codes::INIT_FAILED);
    }
}
