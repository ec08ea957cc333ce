//! Reads the text files of the work tree, those of the house only: not cargo's output, not what git ignores by its nature, no symlinks.

use std::path::Path;

use anyhow::{Context, Result};

/// Rooms and top-level files that the laws cover.
const ROOMS: &[&str] = &["controller", "agents", "profiles", "pxe", "hw-fixtures", ".ci", ".cargo"];
/// Folders that hold what tools made.
const MADE: &[&str] = &["target", "node_modules", "dist", "dashboard-dist"];
/// Files written by tools, whose words are not ours.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock", "package-lock.json", "LICENSE"];
/// Beyond this a file is data, not text that somebody wrote.
const TEXT_MOST_BYTES: u64 = 2_000_000;

/// One text file, its path relative to the root with `/`.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

/// Every text file of the house, ordered by path.
#[derive(Debug)]
pub struct Files {
    pub texts: Vec<File>,
}

impl Files {
    /// Reads them all.
    pub fn read(root: &Path) -> Result<Self> {
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(root).with_context(|| format!("{} cannot be read", root.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && ROOMS.contains(&name.as_str()) {
                folder(&entry.path(), &name, &mut texts)?;
            } else if kind.is_file() {
                file(&entry.path(), &name, &name, &mut texts)?;
            }
        }
        texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Files { texts })
    }

    /// The Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.texts.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// One file by path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.texts.iter().find(|file| file.path == path)
    }
}

fn folder(folder_path: &Path, relative: &str, texts: &mut Vec<File>) -> Result<()> {
    for entry in std::fs::read_dir(folder_path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{relative}/{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && !MADE.contains(&name.as_str()) {
            folder(&entry.path(), &path, texts)?;
        } else if kind.is_file() {
            file(&entry.path(), &path, &name, texts)?;
        }
    }
    Ok(())
}

/// Adds a file if it is text that a person wrote; one that is not UTF-8 is data.
fn file(path: &Path, relative: &str, name: &str, texts: &mut Vec<File>) -> Result<()> {
    if WRITTEN_BY_TOOLS.contains(&name) || std::fs::metadata(path)?.len() > TEXT_MOST_BYTES {
        return Ok(());
    }
    if let Ok(text) = String::from_utf8(std::fs::read(path)?) {
        texts.push(File { path: relative.to_owned(), text });
    }
    Ok(())
}
