//! Boots a machine with a kernel whose bridge filters VLANs and lets the self-test run in it: the driver is proved on the real thing. Needs the
//! lab's packages and QEMU; touches nothing outside its own folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod machine;

use machine::{Plan, SWITCH_BEGIN, SWITCH_MODULES, packages, said};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// It usually takes 12 s; four times that on a busy host is no fault of the driver.
const BOOT_AND_TEST: Duration = Duration::from_secs(180);

/// The self-test as cargo built it beside this test.
fn selftest() -> PathBuf {
    let mine = std::env::current_exe().unwrap();
    let built = mine.parent().and_then(Path::parent).unwrap().join("examples/bridge-selftest");
    assert!(built.exists(), "{} is missing: `cargo build -p switch --examples` makes it", built.display());
    built
}

#[test]
fn the_bridge_driver_holds_its_laws_on_a_real_bridge() {
    let (root, folder) = (packages(), tempfile::tempdir().unwrap());
    let plan = Plan {
        root: &root,
        modules: SWITCH_MODULES,
        begin: SWITCH_BEGIN,
        then: "bridge-selftest br0 p1 p2 192.0.2.1\npoweroff -f\n",
        programs: vec![("bin/bridge-selftest", selftest())],
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
