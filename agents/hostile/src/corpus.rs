//! Corpus folders: small files, tracked, made by ourselves. Must never write one unless it was asked to.

use std::path::{Path, PathBuf};

use crate::{Group, limits};

/// Set, it makes [`capture`] write.
const WRITE: &str = "UNDERSTUDY_HOSTILE_CAPTURE";

/// Where a group's inputs are.
fn folder(group: &Group) -> PathBuf {
    Path::new(group.home).join("tests/corpus").join(group.name)
}

/// A group that no fuzzer knows is half a group.
pub fn expect_target(group: &Group) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hw-fixtures/fuzz");
    let target = format!("fuzz_targets/{}.rs", group.name);
    let named = std::fs::read_to_string(fuzz.join("Cargo.toml")).is_ok_and(|text| text.contains(&format!("\"{target}\"")));
    assert!(
        named && fuzz.join(&target).is_file(),
        "no fuzz target for {}: add {target} and its [[bin]] in hw-fixtures/fuzz",
        group.name
    );
}

/// The files of a group, in the order of their names.
pub fn read(group: &Group) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder(group)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty() && paths.len() <= limits::FILES_MAX, "{}: {} files", folder(group).display(), paths.len());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(bytes.len() <= group.input_max, "{} is longer than any input", path.display());
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// What our own simulators said, as the files of a corpus: written where `UNDERSTUDY_HOSTILE_CAPTURE` is set, else only checked to be
/// there. A capture that changed is written again by the same command; what fuzzers found lies beside it and stays.
///
/// `folder` is a group's: `<crate>/tests/corpus/<group>`.
pub fn capture(folder: &str, inputs: &[(&str, Vec<u8>)]) {
    let folder = Path::new(folder);
    if std::env::var_os(WRITE).is_some() {
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| inputs.iter().try_for_each(|(name, input)| std::fs::write(folder.join(name), input)));
        assert!(written.is_ok(), "{}: {written:?}", folder.display());
    }
    for (name, _) in inputs {
        assert!(folder.join(name).is_file(), "no {name} in {}: run this test once with {WRITE}=1", folder.display());
    }
}
