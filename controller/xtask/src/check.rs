//! Is this machine able to carry the build and the lab? Facts are gathered first and judged apart, so that the judgement can be tested.
//! Each complaint says what, where, why and what to do; nothing here changes the machine.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tree::Tree;

/// Free disk a first run needs: build output, packages, images, logs.
const DISK_FIRST_BYTES: u64 = 12_000_000_000;
/// Free disk a later run needs.
const DISK_LATER_BYTES: u64 = 1_500_000_000;
/// Memory that must be available: a switch and four machines, or two linkers.
const MEMORY_BYTES: u64 = 3_000_000_000;
/// The oldest Debian whose packages the lab was tried with.
const DEBIAN_OLDEST: u32 = 12;
/// User namespaces a lab may use at once, with room.
const NAMESPACES_ENOUGH: u64 = 16;

/// What is known about the machine; `None` = cannot be found out here, which is no complaint.
#[derive(Clone, Debug)]
pub struct Facts {
    pub architecture: String,
    pub system: String,
    pub system_version: Option<u32>,
    pub root: bool,
    pub disk_free: Option<u64>,
    pub built_before: bool,
    pub memory_free: Option<u64>,
    pub tun: Tun,
    /// the lab's namespaces could be made, tried for real
    pub namespaces: bool,
    pub apparmor_restricts: bool,
    pub unprivileged_clone_off: bool,
    pub namespaces_most: Option<u64>,
}

/// State of `/dev/net/tun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tun {
    Opens,
    Missing,
    Forbidden,
    NoDriver,
}

/// One reason why it cannot work here, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    what to do: {}", self.what, self.remedy)
    }
}

/// Gathers the facts.
pub fn facts(tree: &Tree) -> Facts {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let root = is_root();
    Facts {
        architecture: std::env::consts::ARCH.to_owned(),
        system: value(&release, "ID="),
        system_version: value(&release, "VERSION_ID=").parse().ok(),
        root,
        disk_free: disk_free(tree.root()),
        built_before: tree.programs().join("understudy-lab").exists(),
        memory_free: memory_free(),
        tun: tun(),
        namespaces: namespaces(root),
        apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1),
        unprivileged_clone_off: sysctl("kernel/unprivileged_userns_clone") == Some(0),
        namespaces_most: sysctl("user/max_user_namespaces"),
    }
}

/// Everything that stands in the way, all at once.
pub fn judge(facts: &Facts) -> Vec<Complaint> {
    [machine(facts), disk(facts), memory(facts), tun_usable(facts), namespaces_usable(facts)].into_iter().flatten().collect()
}

fn complaint(what: String, remedy: impl Into<String>) -> Option<Complaint> {
    Some(Complaint { what, remedy: remedy.into() })
}

fn machine(facts: &Facts) -> Option<Complaint> {
    if facts.architecture != "x86_64" {
        return complaint(
            format!("This machine is {}; the lab's machines, kernel and firmware are x86_64.", facts.architecture),
            "use an x86_64 machine",
        );
    }
    if facts.system != "debian" || facts.system_version.is_some_and(|version| version < DEBIAN_OLDEST) {
        return complaint(
            format!(
                "This system is `{}`; the lab takes QEMU, kernel, firmware and storage target from Debian {DEBIAN_OLDEST} or newer.",
                facts.system
            ),
            format!(
                "run it in a Debian {DEBIAN_OLDEST} machine, or in a container: docker run -it --privileged -v \"$PWD:/src\" -w /src rust:bookworm cargo xtask demo"
            ),
        );
    }
    None
}

fn disk(facts: &Facts) -> Option<Complaint> {
    let need = if facts.built_before { DISK_LATER_BYTES } else { DISK_FIRST_BYTES };
    let free = facts.disk_free.filter(|free| *free < need)?;
    complaint(
        format!("The disk under this work tree has {} free; build and lab need {}.", gigabytes(free), gigabytes(need)),
        "free some space, or clone the work tree onto a larger disk",
    )
}

fn memory(facts: &Facts) -> Option<Complaint> {
    let free = facts.memory_free.filter(|free| *free < MEMORY_BYTES)?;
    complaint(
        format!("{} of memory are available; the lab's machines need {}.", gigabytes(free), gigabytes(MEMORY_BYTES)),
        "stop something large, or give the machine or container more memory",
    )
}

fn tun_usable(facts: &Facts) -> Option<Complaint> {
    let (why, remedy) = match facts.tun {
        Tun::Opens => return None,
        Tun::Missing if facts.root => (
            "does not exist",
            "mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun   (in a container: start it with --device /dev/net/tun)",
        ),
        Tun::Missing => ("does not exist", "sudo modprobe tun   (in a container: start it with --device /dev/net/tun)"),
        Tun::Forbidden => ("cannot be opened by this user", "sudo chmod 666 /dev/net/tun   (Debian's own mode), or run as root"),
        Tun::NoDriver => ("has no driver behind it", "modprobe tun, as root on the host"),
    };
    complaint(format!("/dev/net/tun {why}; the lab's networks are taps."), remedy)
}

fn namespaces_usable(facts: &Facts) -> Option<Complaint> {
    if facts.namespaces {
        return None;
    }
    let what = "User, process, mount and network namespaces cannot be made here; the lab lives in them so that it needs no root and leaves nothing behind.";
    let remedy = if facts.root {
        "in a container: start it with --privileged (or --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined)"
    } else if facts.namespaces_most.is_some_and(|most| most < NAMESPACES_ENOUGH) {
        "sudo sysctl -w user.max_user_namespaces=15000, or run as root"
    } else if facts.apparmor_restricts {
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
    } else if facts.unprivileged_clone_off {
        "sudo sysctl -w kernel.unprivileged_userns_clone=1, or run as root"
    } else {
        "run as root, or in a container started with --privileged"
    };
    complaint(what.to_owned(), remedy)
}

fn gigabytes(bytes: u64) -> String {
    const GIGABYTE: u64 = 1_000_000_000;
    format!("{}.{} GB", bytes / GIGABYTE, (bytes % GIGABYTE) * 10 / GIGABYTE)
}

/// Whether we are root, where installing needs no sudo.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn value(release: &str, key: &str) -> String {
    release.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown").trim_matches('"').to_owned()
}

fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

fn disk_free(folder: &Path) -> Option<u64> {
    let output = Command::new("df").args(["-B1", "--output=avail"]).arg(folder).stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().nth(1)?.trim().parse().ok()
}

/// What the kernel says is available, or what the control group leaves, whichever is less.
fn memory_free() -> Option<u64> {
    const KIBIBYTE: u64 = 1024;
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * KIBIBYTE;
    let group = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?.trim().parse::<u64>().ok();
    let left = match (group("memory.max"), group("memory.current")) {
        (Some(most), Some(used)) => most.saturating_sub(used),
        _ => available,
    };
    Some(available.min(left))
}

fn tun() -> Tun {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Tun::Opens,
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Tun::Missing,
            std::io::ErrorKind::PermissionDenied => Tun::Forbidden,
            _ => Tun::NoDriver,
        },
    }
}

/// Tries what the lab does: namespaces of each kind (root needs none of users), and a private /run in them.
fn namespaces(root: bool) -> bool {
    let user: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
    Command::new("unshare")
        .args(user)
        .args(["--pid", "--fork", "--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", "/run"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Facts {
        Facts {
            architecture: "x86_64".into(),
            system: "debian".into(),
            system_version: Some(12),
            root: false,
            disk_free: Some(DISK_FIRST_BYTES),
            built_before: false,
            memory_free: Some(MEMORY_BYTES),
            tun: Tun::Opens,
            namespaces: true,
            apparmor_restricts: true,
            unprivileged_clone_off: false,
            namespaces_most: Some(0),
        }
    }

    fn only_remedy(facts: &Facts) -> String {
        let complaints = judge(facts);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        complaints.into_iter().map(|complaint| complaint.remedy).collect()
    }

    #[test]
    fn what_works_when_tried_is_never_complained_about() {
        assert_eq!(judge(&able()), vec![]);
    }

    #[test]
    fn each_lack_has_its_own_remedy() {
        assert!(only_remedy(&Facts { architecture: "aarch64".into(), ..able() }).contains("x86_64"));
        assert!(only_remedy(&Facts { system_version: Some(11), ..able() }).contains("docker run"));
        assert!(only_remedy(&Facts { disk_free: Some(1), ..able() }).contains("larger disk"));
        assert!(only_remedy(&Facts { memory_free: Some(1), ..able() }).contains("memory"));
        assert!(only_remedy(&Facts { tun: Tun::Forbidden, ..able() }).contains("chmod 666"));
        assert!(only_remedy(&Facts { tun: Tun::Missing, root: true, ..able() }).contains("mknod"));
    }

    #[test]
    fn namespaces_name_the_sysctl_that_is_in_the_way() {
        let without = Facts { namespaces: false, ..able() };
        assert!(only_remedy(&without).contains("user.max_user_namespaces"));
        let apparmor = Facts { namespaces_most: Some(15_000), ..without };
        assert!(only_remedy(&apparmor).contains("apparmor_restrict_unprivileged_userns=0"));
        let clone = Facts { apparmor_restricts: false, unprivileged_clone_off: true, ..apparmor };
        assert!(only_remedy(&clone).contains("unprivileged_userns_clone=1"));
        let other = Facts { unprivileged_clone_off: false, ..clone };
        assert!(only_remedy(&other).starts_with("run as root"));
        assert!(only_remedy(&Facts { root: true, ..other }).contains("--privileged"));
    }

    #[test]
    fn a_machine_that_built_before_needs_less_disk() {
        let later = Facts { disk_free: Some(DISK_LATER_BYTES), built_before: true, ..able() };
        assert_eq!(judge(&later), vec![]);
    }
}
