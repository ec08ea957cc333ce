//! The cache of unpacked packages under `target/lab/packages`: one folder a set, keyed by names and versions, and the symlink `root` that
//! is moved in one step once a set is whole. Two xtask at once share it under a lock; a half-unpacked set is never visible.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{TABLE, apt, layout, proof};
use crate::consent::Consent;
use crate::say;
use crate::text::{fingerprint, megabytes};
use crate::tree::Tree;

/// What became of a request that a person may decline.
pub enum Outcome<T> {
    Done(T),
    Declined,
}

/// Written last into a set: without it the set does not exist.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Manifest {
    /// fingerprint of the table that asked for this set
    table: String,
    /// Debian's release on the machine that unpacked it; libraries of the machine are borrowed
    release: String,
    /// `name=version` of every unpacked package
    packages: Vec<String>,
}

const MANIFEST: &str = "manifest.json";

/// How a set is laid out; a new number makes every machine unpack afresh.
const LAYOUT: &str = "3: merged /usr, links inside, modules.dep, Python whole";

/// See `packages::ensure`.
pub fn ensure(tree: &Tree, consent: Consent, refresh: bool) -> Result<Outcome<PathBuf>> {
    let root = tree.packages_root();
    if !refresh && is_current(&root) {
        return Ok(Outcome::Done(root));
    }
    let folder = tree.packages();
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        say!("another xtask is unpacking packages; waiting for it");
        lock.lock()?;
    }
    if !refresh && is_current(&root) {
        return Ok(Outcome::Done(root));
    }
    let scratch = folder.join("scratch");
    remove_if_there(&scratch)?;
    let outcome = fill(&folder, &scratch, &root, consent);
    remove_if_there(&scratch)?;
    outcome
}

/// The whole of it: resolve, ask, download, unpack, prove, switch over.
fn fill(folder: &Path, scratch: &Path, root: &Path, consent: Consent) -> Result<Outcome<PathBuf>> {
    say!("finding out which packages the lab needs (a few seconds)");
    let mut apt = apt::Apt::new(scratch)?;
    let closure = match apt.closure() {
        Ok(closure) => closure,
        Err(_) => {
            apt.update()?;
            apt.closure()?
        }
    };
    let mut chosen = apt::select(&closure, &apt::installed()?, apt::is_older);
    if !consent.given(&describe(&chosen, folder))? {
        return Ok(Outcome::Declined);
    }
    let debs = scratch.join("debs");
    std::fs::create_dir_all(&debs)?;
    say!("downloading {} packages, {}", chosen.len(), megabytes(total(&chosen)));
    if let Err(stale) = apt.download(&chosen, &debs) {
        // the mirror has moved on since the machine's lists were fetched
        eprintln!("{stale:#}");
        remove_if_there(&debs)?;
        std::fs::create_dir_all(&debs)?;
        apt.update()?;
        chosen = apt::select(&apt.closure()?, &apt::installed()?, apt::is_older);
        say!("downloading {} packages, {}", chosen.len(), megabytes(total(&chosen)));
        apt.download(&chosen, &debs)?;
    }
    let manifest = manifest(&chosen);
    let set = folder.join(fingerprint(&format!("{}\n{}\n{}", manifest.table, manifest.release, manifest.packages.join("\n"))));
    say!("unpacking them into {}", set.display());
    unpack_set(&debs, &set, scratch, &manifest)?;
    point_at(root, &set)?;
    say!("packages ready");
    Ok(Outcome::Done(root.to_path_buf()))
}

/// Unpacks beside, proves, and renames: the set appears whole or not at all.
fn unpack_set(debs: &Path, set: &Path, scratch: &Path, manifest: &Manifest) -> Result<()> {
    if is_current(&set.join("root")) {
        return Ok(());
    }
    let partial = scratch.join("set");
    let root = partial.join("root");
    std::fs::create_dir_all(&root)?;
    layout::build(debs, &root)?;
    proof::complete(&root)?;
    std::fs::write(partial.join(MANIFEST), serde_json::to_vec_pretty(manifest)?)?;
    remove_if_there(set)?;
    std::fs::rename(&partial, set)?;
    Ok(())
}

/// Moves the symlink in one step; a lab that runs from the former set keeps running.
fn point_at(root: &Path, set: &Path) -> Result<()> {
    let name = set.file_name().context("a set has a name")?;
    let fresh = root.with_file_name("root.new");
    if fresh.is_symlink() {
        std::fs::remove_file(&fresh)?;
    }
    std::os::unix::fs::symlink(Path::new(name).join("root"), &fresh)?;
    std::fs::rename(&fresh, root)?;
    Ok(())
}

fn is_current(root: &Path) -> bool {
    let Ok(real) = std::fs::canonicalize(root) else {
        return false;
    };
    let manifest = real
        .parent()
        .and_then(|set| std::fs::read(set.join(MANIFEST)).ok())
        .and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    manifest.is_some_and(|manifest| manifest.table == table_fingerprint() && manifest.release == release())
        && proof::answers(&real).is_ok()
}

fn manifest(chosen: &[apt::Package]) -> Manifest {
    Manifest {
        table: table_fingerprint(),
        release: release(),
        packages: chosen.iter().map(|package| format!("{}={}", package.name, package.version)).collect(),
    }
}

fn table_fingerprint() -> String {
    let names: Vec<&str> = TABLE.iter().map(|wanted| wanted.name).collect();
    fingerprint(&format!("{LAYOUT}\n{}", names.join(" ")))
}

/// `debian 12` and the like.
fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown").trim_matches('"').to_owned();
    format!("{} {}", value("ID="), value("VERSION_ID="))
}

fn total(chosen: &[apt::Package]) -> u64 {
    chosen.iter().map(|package| package.bytes).sum()
}

fn describe(chosen: &[apt::Package], folder: &Path) -> String {
    let mut lines = vec![format!(
        "To download ({}) and unpack into {} (nothing is installed, no service is started):",
        megabytes(total(chosen)),
        folder.display()
    )];
    let mut others = (0_usize, 0_u64);
    for package in chosen {
        match TABLE.iter().find(|wanted| wanted.name == package.name) {
            Some(wanted) => lines.push(format!("  {:<24} {:>9}  {}", wanted.name, megabytes(package.bytes), wanted.reason)),
            None => others = (others.0 + 1, others.1 + package.bytes),
        }
    }
    lines.push(format!(
        "  {:<24} {:>9}  the kernel itself and libraries these need",
        format!("and {} more", others.0),
        megabytes(others.1)
    ));
    lines.join("\n")
}

/// Removes a folder with all that is in it.
pub fn remove_if_there(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scratch_folder;

    #[test]
    fn the_link_moves_from_one_set_to_the_next_and_a_set_without_manifest_does_not_count() {
        let folder = scratch_folder("packages-link");
        let root = folder.join("root");
        for name in ["a", "b"] {
            std::fs::create_dir_all(folder.join(name).join("root")).unwrap();
            point_at(&root, &folder.join(name)).unwrap();
            assert_eq!(std::fs::read_link(&root).unwrap(), Path::new(name).join("root"));
        }
        assert!(!is_current(&root));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_manifest_survives_its_own_file() {
        let written = manifest(&[]);
        let read: Manifest = serde_json::from_slice(&serde_json::to_vec(&written).unwrap()).unwrap();
        assert_eq!(written, read);
    }
}
