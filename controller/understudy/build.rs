//! Puts the fault pages of `controller/docs/faults` into the binary, so that `understudy explain` works where no documents are.
//! It only lists files: it never changes one.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let folder = here.join("../docs/faults").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if let Some(code) = code(&path) {
            pages.push((code, path));
        }
    }
    pages.sort();
    let mut text = String::from("/// Every fault page, by code.\npub const PAGES: &[(u16, &str)] = &[\n");
    for (code, path) in pages {
        writeln!(text, "    ({code}, include_str!({:?})),", path.display().to_string())?;
    }
    text.push_str("];\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("pages.rs"), text)?;
    Ok(())
}

/// The code whose page a file is.
fn code(path: &Path) -> Option<u16> {
    path.file_name()?.to_str()?.strip_prefix('F')?.strip_suffix(".md")?.parse().ok()
}
