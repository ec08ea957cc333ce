//! A QEMU machine at the end of the taps, with its console in a file; and the programs that the lab unpacks.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the lab's packages are unpacked.
pub fn packages() -> PathBuf {
    let named = std::env::var_os("UNDERSTUDY_LAB_PACKAGES").map(PathBuf::from);
    let root = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"));
    let qemu = root.join("usr/bin/qemu-system-x86_64");
    assert!(qemu.exists(), "no QEMU at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", qemu.display());
    root.canonicalize().unwrap()
}

/// A program of the unpacked packages.
pub fn program(path: &str) -> Command {
    let root = packages();
    let mut command = Command::new(root.join(path));
    command.env(
        "LD_LIBRARY_PATH",
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|p| root.join(p).display().to_string()).join(":"),
    );
    command.stdin(Stdio::null());
    command
}

/// A running machine; killed with the test.
pub struct Machine {
    child: Child,
    console: PathBuf,
    started: Instant,
}

impl Machine {
    /// Powers on machine 1 with NICs on these taps. `rest` are the arguments that make its firmware.
    pub fn start(folder: &Path, name: &str, taps: &[&str], rom: &str, rest: &[&str]) -> Machine {
        let root = packages();
        let console = folder.join(format!("{name}.console"));
        let mut qemu = program("usr/bin/qemu-system-x86_64");
        for place in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            qemu.arg("-L").arg(root.join(place));
        }
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg,tb-size=96"]);
        qemu.args(["-cpu", "max", "-smp", "1", "-m", "512", "-serial"]).arg(format!("file:{}", console.display()));
        for (n, tap) in taps.iter().enumerate() {
            let n = n + 1;
            qemu.arg("-netdev").arg(format!("tap,id=n{n},ifname={tap},script=no,downscript=no"));
            qemu.arg("-device").arg(format!("virtio-net-pci,netdev=n{n},mac=52:54:00:0c:01:0{n},bootindex={n}{rom}"));
        }
        let errors = std::fs::File::create(folder.join(format!("{name}.errors"))).unwrap();
        let child = qemu.args(rest).stderr(errors).spawn().expect("qemu starts");
        Machine { child, console, started: Instant::now() }
    }

    /// A BIOS machine.
    pub fn bios(folder: &Path, name: &str, taps: &[&str]) -> Machine {
        Machine::start(folder, name, taps, "", &["-machine", "pc,graphics=off"])
    }

    /// A UEFI machine without an iPXE of its own.
    pub fn uefi(folder: &Path, name: &str, taps: &[&str], more: &[&str]) -> Machine {
        let firmware = packages().join("usr/share/OVMF");
        let variables = folder.join(format!("{name}.vars"));
        std::fs::copy(firmware.join("OVMF_VARS_4M.fd"), &variables).unwrap();
        let code = format!("if=pflash,format=raw,unit=0,readonly=on,file={}/OVMF_CODE_4M.fd", firmware.display());
        let variables = format!("if=pflash,format=raw,unit=1,file={}", variables.display());
        let mut arguments = vec!["-machine", "q35", "-drive", &code, "-drive", &variables];
        arguments.extend(more);
        Machine::start(folder, name, taps, ",romfile=", &arguments)
    }

    /// Seconds since power on.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What it wrote to its console so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Waits until the console shows this text; returns the seconds since power on.
    pub fn await_text(&self, text: &str, patience: Duration) -> f64 {
        while !self.console().contains(text) {
            assert!(self.started.elapsed() < patience, "`{text}` is not on the console:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.seconds()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A boot sector that writes a line to the serial port and stops.
pub fn boot_sector(line: &str) -> Vec<u8> {
    let mut sector = vec![
        0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x16, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, 0xf4,
        0xeb, 0xfd,
    ];
    sector.extend(line.as_bytes());
    sector.extend(b"\r\n\0");
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// An initrd of the test's own: busybox, the modules of a virtio NIC, and an init that takes the claim and shows what is no secret.
pub fn initrd(folder: &Path) -> PathBuf {
    let (root, tree) = (packages(), folder.join("initrd"));
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::create_dir_all(tree.join("m")).unwrap();
    std::fs::copy(root.join("bin/busybox"), tree.join("bin/busybox")).unwrap();
    let modules = std::fs::read_dir(root.join("lib/modules")).unwrap().next().unwrap().unwrap().path().join("kernel");
    let wanted = [
        "drivers/virtio/virtio_ring.ko",
        "drivers/virtio/virtio.ko",
        "drivers/virtio/virtio_pci_modern_dev.ko",
        "drivers/virtio/virtio_pci_legacy_dev.ko",
        "drivers/virtio/virtio_pci.ko",
        "net/core/failover.ko",
        "drivers/net/net_failover.ko",
        "drivers/net/virtio_net.ko",
    ];
    let mut order = String::new();
    for (n, module) in wanted.iter().enumerate().filter(|(_, module)| modules.join(module).exists()) {
        std::fs::copy(modules.join(module), tree.join(format!("m/{n}.ko"))).unwrap();
        order.push_str(&format!("insmod /m/{n}.ko\n"));
    }
    let init = format!(
        "#!/bin/busybox sh\n/bin/busybox mkdir -p /proc /sys /dev\n/bin/busybox --install -s /bin\nexport PATH=/bin\nmount -t proc p /proc\nmount -t sysfs s /sys\nmount -t devtmpfs d /dev\n\
         {order}for w in $(cat /proc/cmdline); do case $w in understudy.claim=*) C=${{w#*=}};; understudy.mac=*) M=${{w#*=}};; \
         understudy.ip=*) A=${{w#*=}};; esac; done\n\
         for d in /sys/class/net/*; do [ \"$(cat $d/address)\" = \"$M\" ] && N=${{d##*/}}; done\n\
         ip link set $N up; ip addr add $A dev $N\nn=0; until wget -q -O /claim $C || [ $n = 20 ]; do n=$((n+1)); sleep 0.2; done\n\
         echo CLAIMED $(grep -v CHAP_PASSWORD /claim | tr '\\n' ' ') secret=$(grep -c CHAP_PASSWORD=. /claim)\n\
         wget -q -O /again $C && echo AGAIN got a second claim || echo AGAIN none\npoweroff -f\n"
    );
    std::fs::write(tree.join("init"), init).unwrap();
    let archive = folder.join("initrd.cpio");
    let script = "chmod 755 init bin/busybox && find . | \"$CPIO\" -o -H newc --quiet > \"$OUT\"";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(&tree)
        .env("CPIO", root.join("usr/bin/cpio"))
        .env("OUT", &archive)
        .env("LD_LIBRARY_PATH", "")
        .status();
    assert!(made.unwrap().success(), "cpio");
    archive
}
