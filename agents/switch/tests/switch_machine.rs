//! Boots a machine with a kernel whose bridge filters VLANs (the kernel here may not have that) and lets the self-test run in it:
//! the driver is proved on the real thing. Needs the lab's packages and QEMU; touches nothing outside its own folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It usually takes 12 s; four times that on a busy host is no fault of the driver.
const BOOT_AND_TEST: Duration = Duration::from_secs(180);
const MODULES: [&str; 4] = ["virtio_pci", "virtio_net", "8021q", "bridge"];
/// `p1` and `peer` are the two ends of one cable; `p2` has none.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /m/order); do insmod /m/$m; done
ip link set lo up; ip link set eth0 name p1; ip link set eth1 name p2; ip link set eth2 name peer
brctl addbr br0
for set in default_pvid=0 vlan_filtering=1 forward_delay=0; do echo ${set#*=} > /sys/class/net/br0/bridge/${set%=*}; done
brctl addif br0 p1; brctl addif br0 p2; ip link set br0 up
ip addr add 192.0.2.1/24 dev peer; ip link set peer up
bridge-selftest br0 p1 p2 192.0.2.1
poweroff -f
";

fn packages() -> PathBuf {
    let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let qemu = root.join("usr/bin/qemu-system-x86_64");
    assert!(qemu.exists(), "no QEMU at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", qemu.display());
    root.canonicalize().unwrap()
}

/// The self-test as cargo built it beside this test.
fn selftest() -> PathBuf {
    let mine = std::env::current_exe().unwrap();
    let built = mine.parent().and_then(Path::parent).unwrap().join("examples/bridge-selftest");
    assert!(built.exists(), "{} is missing: `cargo build -p switch --examples` makes it", built.display());
    built
}

/// A file in the machine's first file system.
struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

/// The archive form that the kernel unpacks (newc).
fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = Entry { name: "TRAILER!!!".into(), mode: 0, content: Vec::new() };
    for (inode, entry) in entries.iter().chain([&end]).enumerate() {
        let (size, name) = (entry.content.len(), entry.name.len() + 1);
        let fields = [inode, entry.mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        bytes.extend_from_slice(b"070701");
        bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        bytes.extend_from_slice(entry.name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&entry.content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn file(name: &str, mode: u32, from: &Path) -> Entry {
    let content = std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    Entry { name: name.trim_start_matches('/').to_owned(), mode: 0o100_000 | mode, content }
}

/// The modules with everything they need, in the order of loading.
fn modules(folder: &Path) -> Vec<PathBuf> {
    let known = std::fs::read_to_string(folder.join("modules.dep")).unwrap();
    let mut order: Vec<PathBuf> = Vec::new();
    for wanted in MODULES {
        let ending = format!("/{wanted}.ko");
        let line = known.lines().find(|line| line.split(':').next().is_some_and(|path| path.ends_with(&ending)));
        let (own, needs) = line.unwrap_or_else(|| panic!("no module {wanted}")).split_once(':').unwrap();
        for path in needs.split_ascii_whitespace().rev().chain([own]) {
            let path = folder.join(path);
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

/// The shared libraries of a program.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn first_file_system(root: &Path, kernel: &str) -> Vec<u8> {
    let mut entries: Vec<Entry> = ["bin", "m", "proc", "sys", "dev", "lib", "lib64"]
        .map(|name| Entry { name: name.into(), mode: 0o040_755, content: Vec::new() })
        .into();
    entries.push(Entry { name: "init".into(), mode: 0o100_755, content: INIT.into() });
    entries.push(file("bin/busybox", 0o755, &root.join("usr/bin/busybox")));
    entries.push(file("bin/bridge-selftest", 0o755, &selftest()));
    let mut folders = BTreeSet::new();
    for library in libraries(&selftest()) {
        let parents: Vec<&Path> = library.ancestors().skip(1).filter(|path| path.as_os_str() != "/").collect();
        folders.extend(parents.into_iter().map(|path| path.display().to_string()));
        entries.push(file(&library.display().to_string(), 0o755, &library));
    }
    let folders = folders.into_iter().map(|name| name.trim_start_matches('/').to_owned());
    let folders = folders.map(|name| Entry { name, mode: 0o040_755, content: Vec::new() });
    entries.splice(0..0, folders);
    let mut order = String::new();
    for module in modules(&root.join("lib/modules").join(kernel)) {
        let name = module.file_name().unwrap().to_string_lossy().into_owned();
        order.push_str(&format!("{name}\n"));
        entries.push(file(&format!("m/{name}"), 0o644, &module));
    }
    entries.push(Entry { name: "m/order".into(), mode: 0o100_644, content: order.into_bytes() });
    archive(&entries)
}

/// The machine, killed when dropped.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boot(root: &Path, kernel: &str, folder: &Path) -> Machine {
    let at = |name: &str| folder.join(name).display().to_string();
    let in_root = |name: &str| root.join(name).display().to_string();
    let mut qemu = Command::new(root.join("usr/bin/qemu-system-x86_64"));
    qemu.env("LD_LIBRARY_PATH", format!("{}:{}", in_root("usr/lib/x86_64-linux-gnu"), in_root("lib/x86_64-linux-gnu")));
    qemu.args(["-L", &in_root("usr/share/qemu"), "-L", &in_root("usr/share/seabios"), "-nodefaults", "-no-user-config"]);
    qemu.args(["-display", "none", "-no-reboot", "-m", "192", "-machine", "q35", "-accel", "tcg", "-cpu", "max"]);
    qemu.args(["-kernel", &in_root(&format!("boot/vmlinuz-{kernel}")), "-initrd", &at("initrd")]);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-serial", &format!("file:{}", at("serial"))]);
    for (n, own, other) in [(1, "a", "b"), (2, "c", "d"), (3, "b", "a")] {
        let ends = format!("local.type=unix,local.path={},remote.type=unix,remote.path={}", at(own), at(other));
        qemu.args(["-netdev", &format!("dgram,id=n{n},{ends}")]);
        qemu.args(["-device", &format!("virtio-net-pci,netdev=n{n},mac=52:54:00:ee:02:0{n},romfile=")]);
    }
    Machine(qemu.stdin(Stdio::null()).spawn().unwrap())
}

#[test]
fn the_bridge_driver_holds_its_laws_on_a_real_bridge() {
    let root = packages();
    let kernel = std::fs::read_dir(root.join("lib/modules")).unwrap().next().unwrap().unwrap().file_name();
    let kernel = kernel.to_string_lossy().into_owned();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("initrd"), first_file_system(&root, &kernel)).unwrap();
    let mut machine = boot(&root, &kernel, folder.path());
    let until = Instant::now() + BOOT_AND_TEST;
    while machine.0.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = std::fs::read(folder.path().join("serial")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{said}");
    assert!(said.contains("SELFTEST PASS") && !said.contains("FAIL "), "{said}");
}
