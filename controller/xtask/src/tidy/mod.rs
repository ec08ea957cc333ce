//! `cargo xtask tidy`: the laws of the house that no compiler holds. It reads the work tree and complains, with file, line, law and remedy;
//! it changes nothing. What could not yet be mended stands in the ratchet, which may only shrink.

mod faults;
mod files;
mod floors;
mod imports;
mod manifest;
mod modules;
mod promises;
mod ratchet;
mod source;
mod walk;
mod words;

#[cfg(test)]
mod planted;

use std::fmt;

use anyhow::{Result, bail};

use crate::tree::Tree;
use source::Source;
use walk::Files;

/// A law of the house; its name is how people and the ratchet speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    Floors,
    PureCore,
    Stages,
    Circles,
    Opening,
    FileLength,
    FunctionLength,
    Vendors,
    FaultPages,
    Promises,
    Unfinished,
    ForeignWords,
    Ratchet,
}

impl Law {
    /// The name in complaints and in the ratchet.
    pub fn name(self) -> &'static str {
        match self {
            Law::Floors => "floors",
            Law::PureCore => "pure-core",
            Law::Stages => "stages",
            Law::Circles => "circles",
            Law::Opening => "opening",
            Law::FileLength => "file-length",
            Law::FunctionLength => "function-length",
            Law::Vendors => "vendors",
            Law::FaultPages => "fault-pages",
            Law::Promises => "promises",
            Law::Unfinished => "unfinished",
            Law::ForeignWords => "foreign-words",
            Law::Ratchet => "ratchet",
        }
    }
}

/// One breach of a law.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    pub file: String,
    pub line: usize,
    pub law: Law,
    /// what the ratchet counts under: the file, or `file::function`
    pub subject: String,
    /// how much: lines of a file or function, else 1
    pub size: u64,
    pub what: String,
    pub remedy: String,
}

impl Breach {
    /// A breach of size 1 whose subject is its file.
    pub fn new(law: Law, file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Breach { file: file.to_owned(), line, law, subject: file.to_owned(), size: 1, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}; {}", self.file, self.line, self.law.name(), self.what, self.remedy)
    }
}

/// Prints every breach and fails if there is one.
pub fn check(tree: &Tree) -> Result<()> {
    let (breaches, files) = breaches(tree)?;
    for breach in &breaches {
        println!("{breach}");
    }
    println!("tidy: {files} files, {} breaches", breaches.len());
    if !breaches.is_empty() {
        bail!("{} breaches of the laws of the house", breaches.len());
    }
    Ok(())
}

/// All breaches that the ratchet does not allow, in order of file and line; and how many files were read.
fn breaches(tree: &Tree) -> Result<(Vec<Breach>, usize)> {
    let files = Files::read(tree.root())?;
    let sources: Vec<Source> = files.rust().map(|file| Source::new(&file.path, &file.text)).collect();
    if sources.is_empty() {
        bail!("no Rust file found in the rooms under {}: nothing was checked", tree.root().display());
    }
    let crates = manifest::crates(&files);
    let mut found = Vec::new();
    found.extend(floors::check(&crates));
    found.extend(modules::check(&crates, &sources));
    found.extend(sources.iter().flat_map(files::check));
    found.extend(words::check(&files, &sources));
    found.extend(faults::check(&files, &sources));
    found.extend(promises::check(&files, &crates));
    let mut kept = ratchet::apply(&files, found);
    kept.sort();
    Ok((kept, files.texts.len()))
}
