//! Lets the self-test of the driver of Open vSwitch run against a real one in user space, in a network namespace and a process namespace of its
//! own: when it ends, however it ends, nothing of it is left. Needs the lab's packages and /dev/net/tun.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod machine;

use machine::packages;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It usually takes 45 s; several times that on a busy host is no fault of the driver.
const ALL_LAWS: Duration = Duration::from_secs(240);

/// The self-test as cargo built it beside this test.
fn selftest() -> PathBuf {
    let mine = std::env::current_exe().unwrap();
    let built = mine.parent().and_then(Path::parent).unwrap().join("examples/open-vswitch-selftest");
    assert!(built.exists(), "{} is missing: `cargo build -p switch --examples` makes it", built.display());
    built
}

/// Killed when dropped, and with it all that it has started.
struct Namespaces(Child);

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_driver_holds_its_laws_on_a_real_open_vswitch() {
    let (root, folder) = (packages(), tempfile::tempdir().unwrap());
    let program = root.join("usr/lib/openvswitch-switch/ovs-vswitchd");
    assert!(program.exists(), "no Open vSwitch at {}: run `cargo xtask packages`", program.display());
    let said = folder.path().join("said");
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--pid", "--fork", "--kill-child"]).arg(selftest()).arg(&root).arg(folder.path());
    let out = std::fs::File::create(&said).unwrap();
    unshare.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
    let mut running = Namespaces(unshare.spawn().unwrap());
    let until = Instant::now() + ALL_LAWS;
    while running.0.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = std::fs::read_to_string(&said).unwrap();
    println!("{said}");
    assert!(said.contains("SELFTEST PASS") && !said.contains("FAIL "), "{said}");
}
