//! The Debian packages the lab runs on: the table, and the one door `ensure`. They are downloaded and unpacked into the cache and never
//! installed: tgt would start a service, and QEMU may conflict with a newer qemu-utils on the user's machine. Nothing here may change the
//! machine outside `target/lab/packages`, need root, or downgrade anything.

mod apt;
mod cache;
mod layout;
mod peers;
mod proof;

use std::path::PathBuf;

use anyhow::Result;

pub use apt::installed;
pub use cache::Outcome;

use crate::consent::Consent;
use crate::tree::Tree;

/// One line of the table: a package and why the lab needs it.
#[derive(Debug)]
pub struct Wanted {
    pub name: &'static str,
    pub reason: &'static str,
}

const fn wanted(name: &'static str, reason: &'static str) -> Wanted {
    Wanted { name, reason }
}

/// What the lab needs unpacked, whatever the machine has installed: versions must fit one another.
pub const TABLE: &[Wanted] = &[
    wanted("qemu-system-x86", "the machines and the switch of the lab"),
    wanted("qemu-system-common", "QEMU's accelerator and device modules"),
    wanted("qemu-system-data", "QEMU's firmware blobs and keymaps"),
    wanted("seabios", "BIOS of the machines"),
    wanted("ipxe-qemu", "network boot ROMs of the machines' NICs"),
    wanted("ipxe", "iPXE as served over TFTP and HTTP (undionly.kpxe, snponly.efi)"),
    wanted("ovmf", "UEFI firmware of the machines"),
    wanted("tgt", "the storage target"),
    wanted("open-iscsi", "iscsistart, by which a server finds its root disk"),
    wanted("busybox-static", "the userland of the servers' images"),
    wanted("linux-image-cloud-amd64", "kernel of servers and switch"),
    wanted("grub-pc-bin", "boot loader of a server that boots from its own root disk"),
    wanted("grub-common", "grub-mkimage, which assembles that boot loader"),
    wanted("e2fsprogs", "mke2fs, which makes the servers' root disks without mounting"),
    wanted("kmod", "modprobe's answer to which modules an image needs"),
    wanted("cpio", "initial RAM disks"),
    wanted("iproute2", "ip and bridge, to set up the lab's networks"),
    wanted("openssh-server", "the SSH server of the switch that a driver's program reaches by SSH"),
    wanted("openssh-client", "the client of that program, and ssh-keygen, which makes the keys of both"),
    wanted("ethtool", "link settings of the lab's networks"),
    wanted("parted", "partition tables of the servers' root disks"),
    wanted("openipmi", "ipmi_sim, a BMC nobody here wrote"),
    wanted("ipmitool", "a second opinion on IPMI"),
    wanted("freeipmi-tools", "ipmipower, against which the watching of BMCs is measured"),
    wanted("fence-agents", "fence_redfish and fence_ipmilan, by which the simulated BMCs are fenced as clusters do it"),
    wanted("redfishtool", "another one"),
    wanted("python3-pycurl", "what the fence agents are made of"),
    wanted("python3-pexpect", "what the fence agents are made of"),
    wanted("python3-ptyprocess", "what the fence agents are made of"),
    wanted("python3-pip-whl", "pip, which fetches what only PyPI has"),
    wanted("python3-bcrypt", "what sushy-emulator is made of"),
    wanted("python3-markupsafe", "what sushy-emulator is made of"),
    wanted("zstd", "packed initial RAM disks"),
    wanted(
        "openvswitch-switch",
        "ovsdb-server and ovs-vswitchd, the lab's fast switch, against which the driver of Open vSwitch is tried too",
    ),
    wanted("openvswitch-common", "ovs-vsctl and ovs-ofctl, foreign hands on Open vSwitch"),
    wanted("dnsmasq-base", "DHCP of the hand-written failover that Understudy is measured against"),
];

/// The kernel's package carries its version in its name; the one the meta package depends on is needed too.
pub const KERNEL_PREFIX: &str = "linux-image-";
/// End of the kernel package's name.
pub const KERNEL_SUFFIX: &str = "-cloud-amd64";

/// Libraries that must come from the machine itself: the dynamic loader in use belongs to them.
pub const LOADER_FAMILY: &[&str] = &["libc6", "libgcc-s1", "libcrypt1", "libc-bin"];

/// Makes sure that the unpacked packages are there and run; instant when they are. Returns the folder to hand to the lab.
pub fn ensure(tree: &Tree, consent: Consent, refresh: bool) -> Result<Outcome<PathBuf>> {
    cache::ensure(tree, consent, refresh)
}

/// Makes sure that the peers of the tests which Debian does not have are there and run; instant when they are. The lab does without them.
pub fn ensure_peers(tree: &Tree, consent: Consent) -> Result<Outcome<PathBuf>> {
    peers::ensure(tree, &tree.packages_root(), consent)
}
