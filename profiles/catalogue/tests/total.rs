//! Nothing that stands in a folder makes the catalogue panic, and what cannot be read is told with its place.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use catalogue::{Flavor, Look, init, load, load_for, render};
use proptest::prelude::*;
use std::path::Path;

fn codes(folder: &Path) -> Vec<(u16, String)> {
    load(folder).complaints.iter().map(|complaint| (complaint.code.0, complaint.message.clone())).collect()
}

/// Every complaint points into its file, and both forms of text can be made of it.
fn sane(folder: &Path) {
    let loaded = load(folder);
    let _ = render(&loaded.complaints, Look::Snippet { colour: true, width: 80 });
    for complaint in &loaded.complaints {
        assert!(!complaint.message.is_empty() && !complaint.remedy.is_empty());
        if complaint.line > 0 {
            let text = std::fs::read_to_string(&complaint.file).unwrap();
            assert!(complaint.line as usize <= text.lines().count() + 1, "{complaint}");
            assert!(complaint.column >= 1, "{complaint}");
        }
    }
}

/// A file of the lab with some bytes changed: near enough to an estate to reach the rules.
fn slipped() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = ["estate.yaml", "storage.yaml", "machines/m1.yaml", "servers/web1.yaml", "images/web-kernel.yaml", "group.yaml"];
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b":-[]{}#&*!|>'\"%@`,? \n\t0~".to_vec())]),
        1..6,
    );
    (prop::sample::select(names.to_vec()), edits).prop_map(|(name, edits)| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/lab").join(name);
        let mut bytes = std::fs::read(path).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        (name.to_owned(), bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.yaml"), bytes).unwrap();
        sane(folder.path());
    }

    #[test]
    fn any_text(text in "(estate|server|machine|[a-z])?(: ?[-\\[\\]{}:,&*!|>'\"%@`?# \n\t~0-9a-zé]{0,120})") {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.yaml"), text).unwrap();
        sane(folder.path());
    }

    #[test]
    fn any_slip((name, bytes) in slipped()) {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), Flavor::Lab).unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        sane(folder.path());
    }
}

#[test]
fn what_is_no_text_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    std::fs::write(folder.path().join("bytes.yaml"), b"site: \xff\n").unwrap();
    std::fs::write(folder.path().join("large.yaml"), " ".repeat((1 << 20) + 1)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.yaml")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("circle")).unwrap();
    std::fs::write(folder.path().join(".hidden.yaml"), "nonsense").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "nonsense").unwrap();
    let told = codes(folder.path());
    let unreadable: Vec<_> = told.iter().filter(|(code, _)| *code == 1).map(|(_, message)| message.as_str()).collect();
    assert_eq!(unreadable.len(), 4, "{told:?}");
    assert!(unreadable[0].contains("not UTF-8"), "{unreadable:?}");
    assert!(unreadable[1].contains("larger than 1024 KiB"), "{unreadable:?}");
    assert!(unreadable[2].contains("No such file"), "{unreadable:?}");
    assert!(unreadable[3].contains("not a plain file"), "{unreadable:?}");
    assert_eq!(codes(&folder.path().join("absent")).iter().filter(|(code, _)| *code == 1).count(), 1);
}

#[test]
fn depth_and_number_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    std::fs::write(folder.path().join("deep.yaml"), format!("site: {}", "[".repeat(100_000))).unwrap();
    assert!(codes(folder.path()).iter().any(|(code, _)| *code == 2));
    let block: String = (0..200).map(|depth| format!("{}- \n", " ".repeat(depth))).collect();
    std::fs::write(folder.path().join("deep.yaml"), format!("site:\n{block}")).unwrap();
    assert!(codes(folder.path()).iter().any(|(code, _)| *code == 2));
    let wrong: String = (0..3000).map(|n| format!("- {{role: production, mac: \"x\", switch: sw1, port: p{n}}}\n")).collect();
    std::fs::write(folder.path().join("deep.yaml"), format!("machine: m9\nnics:\n{wrong}")).unwrap();
    let told = codes(folder.path());
    assert!(told.iter().any(|(code, _)| *code == 40) && told.len() < 320, "{}", told.len());
    let many: String = (0..3000).map(|n| format!("---\nsite: s{n}\ncolour: red\n")).collect();
    std::fs::write(folder.path().join("deep.yaml"), many).unwrap();
    let told = codes(folder.path());
    assert_eq!((told.len(), told[0].0), (1001, 40));
    // the lab's one warning counts as well
    assert!(told[0].1.starts_with("2001 more"), "{}", told[0].1);
}

#[test]
fn a_complaint_is_shown_with_its_source_but_never_with_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    let path = folder.path().join("machines/m1.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("port: p1,", "prot: p1,")).unwrap();
    let loaded = load_for(folder.path(), Some(Flavor::Lab));
    let shown = render(&loaded.complaints, Look::Snippet { colour: false, width: 100 });
    insta::assert_snapshot!("snippet", shown.replace(&format!("{}/", folder.path().display()), ""));

    std::fs::write(&path, text.replace("file:secrets/bmc", "hunter2").replace("user: controller", "usr: controller")).unwrap();
    let loaded = load_for(folder.path(), Some(Flavor::Lab));
    assert!(loaded.errors() >= 2);
    for look in [Look::Plain, Look::Snippet { colour: false, width: 100 }] {
        assert!(!render(&loaded.complaints, look).contains("hunter2"));
    }
    let data = serde_json::to_string(&loaded.complaints).unwrap();
    assert!(
        !data.contains("hunter2") && data.contains("\"code\":\"F0007\"") && data.contains("\"severity\":\"error\""),
        "{data}"
    );
}

#[test]
fn a_secret_that_everyone_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    let path = folder.path().join("secrets/bmc");
    std::fs::write(&path, "hunter2").unwrap();
    for (mode, warnings) in [(0o600, 0), (0o644, 3)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load_for(folder.path(), Some(Flavor::Lab));
        assert_eq!((loaded.errors(), loaded.warnings()), (0, warnings));
        assert!(loaded.complaints.iter().all(|complaint| complaint.code.0 == 33));
    }
}
