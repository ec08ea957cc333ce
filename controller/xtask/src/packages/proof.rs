//! Proves that the unpacked programs run here: each finds its libraries, and three of them answer. It must not start a service or open a
//! network port.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Programs the lab starts, and so must find all their libraries; paths under the unpacked root.
const PROGRAMS: &[&str] = &[
    "usr/bin/qemu-system-x86_64",
    "usr/sbin/tgtd",
    "usr/sbin/tgtadm",
    "usr/sbin/iscsistart",
    "usr/sbin/ip",
    "usr/sbin/bridge",
    "usr/sbin/sshd",
    "usr/bin/ssh",
    "usr/bin/ssh-keygen",
    "usr/sbin/ethtool",
    "usr/sbin/parted",
    "usr/sbin/mke2fs",
    "usr/sbin/debugfs",
    "usr/bin/kmod",
    "usr/bin/cpio",
    "usr/bin/zstd",
    "usr/bin/ipmi_sim",
    "usr/bin/ipmitool",
    "usr/sbin/ipmipower",
    "usr/bin/python3",
    "usr/bin/grub-mkimage",
    "usr/lib/grub/i386-pc/grub-bios-setup",
    "usr/sbin/ovsdb-server",
    "usr/lib/openvswitch-switch/ovs-vswitchd",
    "usr/bin/ovs-ofctl",
    "usr/bin/ovs-vsctl",
    "usr/bin/ovsdb-tool",
];

/// Programs that answer at once, with the word their answer must hold.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("usr/bin/qemu-system-x86_64", "--version", "QEMU"),
    ("usr/sbin/tgtd", "--version", "1."),
    ("usr/sbin/iscsistart", "--version", "iscsistart"),
];

/// Where unpacked libraries lie, for `LD_LIBRARY_PATH`.
pub fn library_path(root: &Path) -> String {
    ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| root.join(folder).display().to_string()).join(":")
}

/// The quick proof, at every start: three programs answer.
pub fn answers(root: &Path) -> Result<()> {
    for (program, argument, word) in ANSWERS {
        let output = Command::new(root.join(program))
            .arg(argument)
            .env("LD_LIBRARY_PATH", library_path(root))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} does not start from {}", root.display()))?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !text.contains(word) {
            bail!("{program} {argument} answers ({}): {}", output.status, text.trim_end());
        }
    }
    Ok(())
}

/// The whole proof, once after unpacking: no program lacks a library.
pub fn complete(root: &Path) -> Result<()> {
    let mut lacks = Vec::new();
    for program in PROGRAMS {
        let path = root.join(program);
        let output = Command::new("ldd")
            .arg(&path)
            .env("LD_LIBRARY_PATH", library_path(root))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .context("ldd did not start")?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if !path.exists() || text.contains("not found") {
            lacks.push(format!("{program}: {}", text.trim()));
        }
    }
    if !lacks.is_empty() {
        bail!("unpacked programs that cannot run here:\n{}", lacks.join("\n"));
    }
    answers(root)
}
