//! Tests of the reading of volumes: real file systems, made by the tools that make the lab's.

use super::*;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const RECORDS: &str = "/var/lib/workload/records";

/// A tool of the lab's packages, or of this computer.
fn tool(name: &str) -> Tool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root");
    let found = ["sbin", "usr/sbin"].map(|folder| root.join(folder).join(name)).into_iter().find(|path| path.exists());
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| root.join(folder).display().to_string());
    match found {
        Some(program) => Tool { program, environment: [("LD_LIBRARY_PATH".to_owned(), libraries.join(":"))].into() },
        None => Tool { program: PathBuf::from(format!("/sbin/{name}")), environment: Default::default() },
    }
}

/// A file system with a log of records, from this offset on.
fn image(folder: &Path, text: &str, offset: u64) -> PathBuf {
    let (tree, path) = (folder.join("tree"), folder.join("v.img"));
    fs::create_dir_all(tree.join("var/lib/workload")).unwrap();
    fs::write(tree.join("var/lib/workload/records"), text).unwrap();
    File::create(&path).unwrap().set_len((16 << 20) + offset).unwrap();
    let make = tool("mke2fs");
    let done = Command::new(&make.program)
        .args(["-q", "-F", "-t", "ext4", "-E", &format!("offset={offset}"), "-d"])
        .args([&tree, &path])
        .arg("16384k")
        .envs(&make.environment)
        .status()
        .unwrap();
    assert!(done.success());
    if offset > 0 {
        let start = u32::try_from(offset / SECTOR_BYTES).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&start.to_le_bytes(), FIRST_PARTITION_AT).unwrap();
    }
    path
}

#[test]
fn a_log_is_read_from_a_bare_file_system_and_from_a_partition() {
    let text: String = (1..5000).map(|number| format!("web1 aa {number}\n")).collect();
    for offset in [0, 1 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path(), &text, offset);
        let before = fs::read(&path).unwrap();
        assert_eq!(read(&tool("debugfs"), &path, RECORDS).unwrap().unwrap(), text);
        assert!(fs::read(&path).unwrap() == before, "the volume itself is never written");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no copy stays");
    }
}

const BLOCK: u64 = 1024;

fn debugfs(image: &Path, arguments: &[&str]) -> String {
    let tool = tool("debugfs");
    let done = Command::new(&tool.program).args(arguments).arg(image).envs(&tool.environment).output().unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

/// At most instants of a file system's life its bitmaps and the checksums of these are of two ages, and the journal has the younger.
#[test]
fn a_log_is_read_where_the_journal_has_what_the_bitmaps_go_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), "web1 aa 1\n", 0);
    let before = fs::read(&path).unwrap();
    let (added, group, script) = (folder.path().join("added"), folder.path().join("group"), folder.path().join("script"));
    fs::write(&added, "another").unwrap();
    debugfs(&path, &["-w", "-R", &format!("write {} another", added.display())]);
    // block 2 describes the groups of a file system of 1,024-byte blocks: it goes into the journal, and the old one stays where it was
    let at = usize::try_from(2 * BLOCK).unwrap();
    let descriptors = at..at + usize::try_from(BLOCK).unwrap();
    fs::write(&group, &fs::read(&path).unwrap()[descriptors.clone()]).unwrap();
    fs::write(&script, format!("jo\njw -b 2 {}\njc\n", group.display())).unwrap();
    debugfs(&path, &["-w", "-f", &script.display().to_string()]);
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&before[descriptors], 2 * BLOCK).unwrap();
    let gives_up = debugfs(&path, &["-R", "ls"]);
    assert!(gives_up.contains("checksum does not match"), "{gives_up}");
    assert_eq!(read(&tool("debugfs"), &path, RECORDS).unwrap().unwrap(), "web1 aa 1\n");
    assert_eq!(read(&tool("debugfs"), &path, "/another").unwrap().unwrap(), "another");
}

#[test]
fn a_log_that_is_not_there_is_no_empty_log_and_what_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), "web1 aa 1\n", 0);
    assert_eq!(read(&tool("debugfs"), &path, "/var/lib/other").unwrap(), None);
    let none = Tool { program: PathBuf::from("/nowhere/debugfs"), ..Tool::default() };
    assert!(matches!(read(&none, &path, RECORDS), Err(VolumeError::Tool { .. })));
    File::create(folder.path().join("zeros")).unwrap().set_len(1 << 20).unwrap();
    assert!(matches!(read(&tool("debugfs"), &folder.path().join("zeros"), RECORDS), Err(VolumeError::NoFileSystem(_))));
    assert!(matches!(read(&tool("debugfs"), &folder.path().join("none"), RECORDS), Err(VolumeError::Image { .. })));
}

#[test]
fn a_volume_that_is_written_to_is_copied_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), "web1 aa 1\n", 0);
    let (writer, stop) = (File::options().write(true).open(&path).unwrap(), std::sync::atomic::AtomicBool::new(false));
    let found_busy = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                writer.write_all_at(&[0], 0).unwrap();
                thread::sleep(std::time::Duration::from_micros(100));
            }
        });
        let (copy, image) = (tempfile::tempfile().unwrap(), path.as_path());
        // a busy host may keep the writer from writing for a while: then the copy is rightly still, and is tried again
        let busy = (0..50).any(|_| matches!(copy_still(image, &copy), Err(VolumeError::Busy(_))));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        busy
    });
    assert!(found_busy);
    assert!(read(&tool("debugfs"), &path, RECORDS).is_ok());
}
