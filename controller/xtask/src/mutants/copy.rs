//! A copy of the tracked files, in which something can be broken. Only what differs is written, so that cargo builds little anew. It must never
//! write outside of its own folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tree::Tree;

/// Names what was copied last, beside the copy.
const COPIED: &str = "copied";

/// See the module.
pub struct Copy {
    root: PathBuf,
}

impl Copy {
    /// Brings the copy in this folder to what the tree holds now.
    pub fn of(tree: &Tree, folder: &Path) -> Result<Copy> {
        let copy = Copy { root: folder.join("tree") };
        let files = tracked(tree)?;
        for file in &files {
            let text = fs::read(tree.root().join(file)).with_context(|| format!("{file} cannot be read"))?;
            copy.put(file, &text)?;
        }
        let list = folder.join(COPIED);
        let before: BTreeSet<String> = fs::read_to_string(&list).unwrap_or_default().lines().map(str::to_owned).collect();
        for gone in before.difference(&files) {
            match fs::remove_file(copy.root.join(gone)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(|| gone.clone()),
                _ => {}
            }
        }
        let all: Vec<&str> = files.iter().map(String::as_str).collect();
        fs::write(&list, all.join("\n")).with_context(|| format!("{} cannot be written", list.display()))?;
        Ok(copy)
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of it from now on. Left alone if it is so already.
    pub fn put(&self, file: &str, text: &[u8]) -> Result<()> {
        let path = self.root.join(file);
        if fs::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// What git tracks and the tree holds.
fn tracked(tree: &Tree) -> Result<BTreeSet<String>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(tree.root()).output().context("git does not start")?;
    ensure!(output.status.success(), "git lists no files: mutants are made from a clone");
    let names = String::from_utf8(output.stdout).context("a tracked file has a name that is no UTF-8")?;
    let files: BTreeSet<String> =
        names.split('\0').filter(|name| !name.is_empty() && tree.root().join(name).is_file()).map(str::to_owned).collect();
    ensure!(!files.is_empty(), "git tracks nothing in {}", tree.root().display());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scratch_folder;

    fn git(folder: &Path, arguments: &[&str]) {
        assert!(Command::new("git").args(arguments).current_dir(folder).output().unwrap().status.success());
    }

    #[test]
    fn it_follows_the_tree_and_writes_only_what_differs() {
        let (from, to) = (scratch_folder("copied-from"), scratch_folder("copied-to"));
        fs::create_dir_all(from.join("a")).unwrap();
        for file in ["a/one", "two"] {
            fs::write(from.join(file), file).unwrap();
        }
        git(&from, &["init", "--quiet"]);
        git(&from, &["add", "."]);
        fs::write(from.join("not-tracked"), "").unwrap();
        let copy = Copy::of(&Tree::at(&from), &to).unwrap();
        assert_eq!(fs::read_to_string(copy.root().join("a/one")).unwrap(), "a/one");
        assert!(!copy.root().join("not-tracked").exists());
        let written = |file: &str| fs::metadata(copy.root().join(file)).unwrap().modified().unwrap();
        let before = (written("a/one"), written("two"));
        copy.put("two", b"broken").unwrap();
        assert_eq!(fs::read_to_string(from.join("two")).unwrap(), "two");
        Copy::of(&Tree::at(&from), &to).unwrap();
        assert_eq!(fs::read_to_string(copy.root().join("two")).unwrap(), "two");
        assert_eq!(written("a/one"), before.0);
        git(&from, &["rm", "--quiet", "-f", "two"]);
        Copy::of(&Tree::at(&from), &to).unwrap();
        assert!(!copy.root().join("two").exists());
        let _ = (fs::remove_dir_all(from), fs::remove_dir_all(to));
    }
}
