//! A QEMU machine with a kernel that has what the one here may lack, a bridge that filters VLANs or a SCSI target: its first file system,
//! made of the lab's packages, and its boot. The storage drivers' tests include this file too. Must never touch anything outside the folder
//! that it is given.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What every machine's first program begins with.
const BEGIN: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /m/order); do insmod /m/$m; done
ip link set lo up
";
/// The modules of a machine that is a switch.
pub const SWITCH_MODULES: &[&str] = &["virtio_pci", "virtio_net", "8021q", "bridge"];
/// How a machine that is a switch begins: its bridge `br0` has the ports `p1` and `p2`. `p1` and `peer` are the two ends of one cable; `p2`
/// has none.
pub const SWITCH_BEGIN: &str = "ip link set eth0 name p1; ip link set eth1 name p2; ip link set eth2 name peer
brctl addbr br0
for set in default_pvid=0 vlan_filtering=1 forward_delay=0; do echo ${set#*=} > /sys/class/net/br0/bridge/${set%=*}; done
brctl addif br0 p1; brctl addif br0 p2; ip link set br0 up
ip addr add 192.0.2.1/24 dev peer; ip link set peer up
";

/// The lab's packages.
pub fn packages() -> PathBuf {
    let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let qemu = root.join("usr/bin/qemu-system-x86_64");
    assert!(qemu.exists(), "no QEMU at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", qemu.display());
    root.canonicalize().unwrap()
}

/// Where the unpacked libraries are.
pub fn library_path(root: &Path) -> String {
    ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| root.join(folder).display().to_string()).join(":")
}

/// A file in the machine's first file system.
pub struct Entry {
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

fn folder(name: &str) -> Entry {
    Entry { name: name.trim_start_matches('/').to_owned(), mode: 0o040_755, content: Vec::new() }
}

/// A file of this text.
pub fn text(name: &str, mode: u32, content: &str) -> Entry {
    Entry { name: name.trim_start_matches('/').to_owned(), mode: 0o100_000 | mode, content: content.into() }
}

fn file(name: &str, mode: u32, from: &Path) -> Entry {
    let content = std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    Entry { name: name.trim_start_matches('/').to_owned(), mode: 0o100_000 | mode, content }
}

/// The modules with everything they need, in the order of loading.
fn modules(folder: &Path, all: &[&str]) -> Vec<PathBuf> {
    let known = std::fs::read_to_string(folder.join("modules.dep")).unwrap();
    let mut order: Vec<PathBuf> = Vec::new();
    for wanted in all {
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

/// The shared libraries of a program, each with where the machine's loader looks for it.
fn libraries(root: &Path, program: &Path) -> BTreeMap<String, PathBuf> {
    let said = Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", library_path(root)).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let paths = said.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let placed = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // the loader is named by its whole path
        let place = if name.starts_with("ld-linux") { format!("/lib64/{name}") } else { format!("/lib/x86_64-linux-gnu/{name}") };
        (place, path)
    };
    paths.map(placed).collect()
}

/// A machine to be.
pub struct Plan<'a> {
    /// The lab's packages.
    pub root: &'a Path,
    /// The kernel's modules that it loads, with all that these need.
    pub modules: &'a [&'a str],
    /// What its first program does first, such as `SWITCH_BEGIN`.
    pub begin: &'a str,
    /// What its first program does then.
    pub then: &'a str,
    /// Its programs, each with its place.
    pub programs: Vec<(&'a str, PathBuf)>,
    /// Its other files.
    pub files: Vec<Entry>,
    /// More words for QEMU.
    pub more: Vec<String>,
}

impl Plan<'_> {
    fn kernel(&self) -> String {
        let kernel = std::fs::read_dir(self.root.join("lib/modules")).unwrap().next().unwrap().unwrap().file_name();
        kernel.to_string_lossy().into_owned()
    }

    fn first_file_system(self) -> Vec<u8> {
        let mut entries = vec![text("init", 0o755, &format!("{BEGIN}{}{}", self.begin, self.then))];
        entries.push(file("bin/busybox", 0o755, &self.root.join("usr/bin/busybox")));
        let mut order = String::new();
        for module in modules(&self.root.join("lib/modules").join(self.kernel()), self.modules) {
            let name = module.file_name().unwrap().to_string_lossy().into_owned();
            order.push_str(&format!("{name}\n"));
            entries.push(file(&format!("m/{name}"), 0o644, &module));
        }
        entries.push(text("m/order", 0o644, &order));
        let needed: BTreeMap<String, PathBuf> =
            self.programs.iter().flat_map(|(_, program)| libraries(self.root, program)).collect();
        entries.extend(needed.iter().map(|(place, library)| file(place, 0o755, library)));
        entries.extend(self.programs.iter().map(|(place, program)| file(place, 0o755, program)));
        entries.extend(self.files);
        let parents = |entry: &Entry| -> Vec<String> {
            let path = Path::new(&entry.name).ancestors().skip(1);
            path.filter(|path| *path != Path::new("")).map(|path| path.display().to_string()).collect()
        };
        let folders: BTreeSet<String> = entries.iter().flat_map(parents).collect();
        let empty = ["proc", "sys", "dev"].map(folder);
        entries.splice(0..0, folders.iter().map(|name| folder(name)).chain(empty));
        archive(&entries)
    }

    /// Boots it; what its first program says stands in the file `serial` of the folder.
    pub fn boot(self, folder: &Path) -> Machine {
        let (root, kernel, more) = (self.root, self.kernel(), self.more.clone());
        let at = |name: &str| folder.join(name).display().to_string();
        let in_root = |name: &str| root.join(name).display().to_string();
        std::fs::write(folder.join("initrd"), self.first_file_system()).unwrap();
        let mut qemu = Command::new(root.join("usr/bin/qemu-system-x86_64"));
        qemu.env("LD_LIBRARY_PATH", library_path(root));
        qemu.args(["-L", &in_root("usr/share/qemu"), "-L", &in_root("usr/share/seabios"), "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-no-reboot", "-m", "192", "-machine", "q35", "-accel", "tcg", "-cpu", "max"]);
        qemu.args(["-kernel", &in_root(&format!("boot/vmlinuz-{kernel}")), "-initrd", &at("initrd")]);
        qemu.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-serial", &format!("file:{}", at("serial"))]);
        for (n, own, other) in [(1, "a", "b"), (2, "c", "d"), (3, "b", "a")] {
            let ends = format!("local.type=unix,local.path={},remote.type=unix,remote.path={}", at(own), at(other));
            qemu.args(["-netdev", &format!("dgram,id=n{n},{ends}")]);
            qemu.args(["-device", &format!("virtio-net-pci,netdev=n{n},mac=52:54:00:ee:02:0{n},romfile=")]);
        }
        Machine(qemu.args(more).stdin(Stdio::null()).spawn().unwrap())
    }
}

/// The machine, killed when dropped.
pub struct Machine(pub Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What its first program has said.
pub fn said(folder: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(folder.join("serial")).unwrap_or_default()).into_owned()
}
