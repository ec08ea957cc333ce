//! Boots a machine with a kernel that has a SCSI target and lets the self-test run in it: the driver is proved on the real thing, with real
//! sessions. Needs the lab's packages and QEMU; touches nothing outside its own folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../switch/tests/machine/mod.rs"]
mod machine;

use machine::{Plan, packages, said};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// It usually takes 30 s; several times that on a busy host is no fault of the driver.
const BOOT_AND_TEST: Duration = Duration::from_secs(120);
/// The target with the backstores and the fabric that the driver uses, what ends connections, and a block device to serve.
const MODULES: &[&str] = &["target_core_mod", "target_core_file", "target_core_iblock", "iscsi_target_mod", "tcp_diag", "loop"];
/// An empty target, a folder, and a block device.
const BEGIN: &str = "mount -t configfs c /sys/kernel/config
mkdir -p /volumes /etc/target
dd if=/dev/zero of=/volumes/b.img bs=1M count=4 2> /dev/null
losetup /dev/loop0 /volumes/b.img
";

/// The self-test as cargo built it beside this test.
fn selftest() -> PathBuf {
    let mine = std::env::current_exe().unwrap();
    let built = mine.parent().and_then(Path::parent).unwrap().join("examples/lio-selftest");
    assert!(built.exists(), "{} is missing: `cargo build -p storage --examples` makes it", built.display());
    built
}

#[test]
fn the_lio_driver_holds_its_laws_on_a_real_kernel() {
    let (root, folder) = (packages(), tempfile::tempdir().unwrap());
    let plan = Plan {
        root: &root,
        modules: MODULES,
        begin: BEGIN,
        then: "lio-selftest /volumes /dev/loop0\npoweroff -f\n",
        programs: vec![("bin/lio-selftest", selftest())],
        files: Vec::new(),
        more: Vec::new(),
    };
    let mut machine = plan.boot(folder.path());
    let until = Instant::now() + BOOT_AND_TEST;
    while machine.0.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = said(folder.path());
    println!("{said}");
    assert!(said.contains("SELFTEST PASS") && !said.contains("FAIL "), "{said}");
}
