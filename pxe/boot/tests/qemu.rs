//! Real firmware against the real service: SeaBIOS, OVMF, Debian's iPXE, a Debian kernel, a real iSCSI target, over taps in a namespace.
//! In need of the lab's unpacked packages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::machine::{Machine, boot_sector, initrd, packages, program};
use common::tap::{Tap, up};
use common::{Controller, Service, in_namespace, permit};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use vocabulary::boot::{BootMethod, BootStep};
use vocabulary::request::Action;

/// Firmware takes 20 s at most on an idle host; nine times that on a busy one is no fault of the service.
const PATIENCE: Duration = Duration::from_secs(180);
/// iPXE waits 15 s for a router between its DHCP and its script if nobody answers it; answered, it needs a tenth of a second.
const WITHOUT_ROUTER: u64 = 5_000;

struct Rig {
    folder: PathBuf,
    controller: Controller,
    runtime: tokio::runtime::Runtime,
    service: Service,
    _keep: tempfile::TempDir,
}

impl Rig {
    fn start() -> Rig {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().to_owned();
        let (root, images) = (packages(), folder.join("images"));
        std::fs::create_dir_all(&images).unwrap();
        std::fs::copy(kernel(&root), images.join("vmlinuz")).unwrap();
        std::fs::copy(initrd(&folder), images.join("server.cpio")).unwrap();
        up("lo", Ipv4Addr::LOCALHOST, Ipv4Addr::new(255, 0, 0, 0));
        for (name, net) in [("prov", 10), ("stor", 30), ("prod", 20)] {
            drop(Tap::make(name, Ipv4Addr::new(10, net, 0, 1), true));
        }
        let controller = Controller::enrol(&folder);
        let ipxe = root.join("usr/lib/ipxe");
        let uefi_san = format!(r#","uefi_san":"{}/ipxe.efi""#, ipxe.display());
        let service = Service::start(&folder, &ipxe, &images, &uefi_san);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(controller.ready());
        Rig { folder, controller, runtime, service, _keep: keep }
    }

    fn grant(&mut self, method: BootMethod) {
        self.runtime.block_on(self.controller.grant(&permit(1, 5, method))).unwrap();
    }

    /// Waits for a step of the machine's boot; returns the seconds since its power on.
    fn step(&self, machine: &Machine, step: BootStep) -> f64 {
        let mut after = 0;
        loop {
            let contacts = self.runtime.block_on(self.controller.contacts(after));
            if contacts.iter().any(|contact| contact.step == step) {
                return machine.seconds();
            }
            after = contacts.last().map_or(after, |contact| contact.sequence);
            assert!(machine.seconds() < PATIENCE.as_secs_f64(), "no {step:?}:\n{}\n{}", machine.console(), self.log());
        }
    }

    /// iPXE's DHCP was answered, and so was its search for a router.
    fn nobody_waited_for_a_router(&self) {
        let contacts = self.runtime.block_on(self.controller.contacts(0));
        let script = contacts.iter().find(|contact| contact.step == BootStep::Script).unwrap();
        let dhcp = contacts.iter().rfind(|contact| contact.step == BootStep::Dhcp && contact.sequence < script.sequence).unwrap();
        let waited = script.at.0 - dhcp.at.0;
        assert!(waited < WITHOUT_ROUTER, "iPXE waited {waited} ms for a router:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("boot.log")).unwrap()
    }

    fn boots_by_kernel(self, machine: Machine, what: &str) {
        let script = self.step(&machine, BootStep::Script);
        let kernel = self.step(&machine, BootStep::Kernel);
        let claim = self.step(&machine, BootStep::Claim);
        machine.await_text("AGAIN none", PATIENCE);
        let console = machine.console();
        let claimed = console.lines().find(|line| line.contains("CLAIMED")).unwrap();
        assert!(claimed.contains("SERVER=web1 EPOCH=5") && claimed.contains("secret=1"), "{claimed}");
        println!("{what}: script {script:.1} s, kernel {kernel:.1} s, claim {claim:.1} s");
        self.nobody_waited_for_a_router();
        drop(self.service);
    }
}

fn kernel(root: &Path) -> PathBuf {
    let files = std::fs::read_dir(root.join("boot")).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("vmlinuz-"))
        .max()
        .expect("a kernel among the packages")
}

#[test]
fn bios_boots_a_kernel() {
    if in_namespace("bios_boots_a_kernel") {
        let mut rig = Rig::start();
        rig.grant(BootMethod::Kernel);
        let machine = Machine::bios(&rig.folder, "bios", &["prov", "stor", "prod"]);
        rig.boots_by_kernel(machine, "BIOS kernel");
    }
}

#[test]
fn uefi_boots_a_kernel_by_pxe() {
    if in_namespace("uefi_boots_a_kernel_by_pxe") {
        let mut rig = Rig::start();
        rig.grant(BootMethod::Kernel);
        let machine = Machine::uefi(&rig.folder, "uefi", &["prov", "stor", "prod"], &[]);
        rig.boots_by_kernel(machine, "UEFI PXE kernel");
    }
}

#[test]
fn uefi_boots_a_kernel_by_http() {
    if in_namespace("uefi_boots_a_kernel_by_http") {
        let mut rig = Rig::start();
        rig.grant(BootMethod::Kernel);
        let no_pxe = ["IPv4", "IPv6"].map(|ip| format!("name=opt/org.tianocore/{ip}PXESupport,string=n"));
        let more = ["-fw_cfg", &no_pxe[0], "-fw_cfg", &no_pxe[1], "-device", "virtio-rng-pci"];
        let machine = Machine::uefi(&rig.folder, "uefi-http", &["prov", "stor", "prod"], &more);
        rig.boots_by_kernel(machine, "UEFI HTTP kernel");
    }
}

/// A real iSCSI target with one disk, open to this placement's initiator and secret alone.
fn target(folder: &Path) -> Child {
    assert!(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]).status().unwrap().success(), "a private /run");
    std::fs::create_dir_all("/run/tgtd").unwrap();
    let mut disk = boot_sector("SAN ROOT RUNS");
    // iPXE gives a disk of less than one cylinder (8 MiB) none, and then cannot read it
    disk.resize(32 << 20, 0);
    let file = folder.join("disk.img");
    std::fs::write(&file, disk).unwrap();
    let errors = std::fs::File::create(folder.join("tgtd.log")).unwrap();
    let daemon =
        program("usr/sbin/tgtd").args(["-f", "-C", "7", "--iscsi", "portal=10.30.0.1:3260"]).stderr(errors).spawn().unwrap();
    let iqn = "iqn.2026-01.lab.understudy:web1-root";
    let file = file.display().to_string();
    let initiator = "iqn.2026-01.org.understudy:web1.e5";
    for words in [
        vec!["--mode", "target", "--op", "new", "--tid", "1", "-T", iqn],
        vec!["--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", &file],
        vec!["--mode", "account", "--op", "new", "--user", "web1", "--password", "chapsecret0001"],
        vec!["--mode", "account", "--op", "bind", "--tid", "1", "--user", "web1"],
        vec!["--mode", "target", "--op", "bind", "--tid", "1", "--initiator-name", initiator],
    ] {
        let done = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            program("usr/sbin/tgtadm").args(["-C", "7", "--lld", "iscsi"]).args(&words).status().unwrap().success()
        });
        assert!(done, "{words:?}");
    }
    daemon
}

fn san(rig: Rig, machine: &Machine, what: &str, proof: &str) {
    let script = rig.step(machine, BootStep::Script);
    let login = rig.step(machine, BootStep::Claim);
    let runs = machine.await_text(proof, PATIENCE);
    println!("{what}: script {script:.1} s, secrets {login:.1} s, `{proof}` {runs:.1} s");
    rig.nobody_waited_for_a_router();
}

#[test]
fn bios_boots_its_volume() {
    if in_namespace("bios_boots_its_volume") {
        let mut rig = Rig::start();
        let mut target = target(&rig.folder);
        rig.grant(BootMethod::San);
        let machine = Machine::bios(&rig.folder, "san", &["prov", "stor", "prod"]);
        san(rig, &machine, "BIOS san", "SAN ROOT RUNS");
        target.kill().unwrap();
        target.wait().unwrap();
    }
}

#[test]
fn a_machine_without_permit_boots_nothing() {
    if in_namespace("a_machine_without_permit_boots_nothing") {
        let mut rig = Rig::start();
        rig.grant(BootMethod::Kernel);
        rig.runtime.block_on(rig.controller.act(6, Action::RevokePermit { machine: "m1".parse().unwrap() })).unwrap();
        let machine = Machine::bios(&rig.folder, "silence", &["prov"]);
        machine.await_text("No bootable device", PATIENCE);
        let contacts = rig.runtime.block_on(rig.controller.contacts(0));
        assert!(!contacts.is_empty() && contacts.iter().all(|c| c.step == BootStep::Dhcp && c.epoch.is_none()), "{contacts:?}");
    }
}

#[test]
fn uefi_reaches_its_volume() {
    if in_namespace("uefi_reaches_its_volume") {
        let mut rig = Rig::start();
        let mut target = target(&rig.folder);
        rig.grant(BootMethod::San);
        let machine = Machine::uefi(&rig.folder, "uefi-san", &["prov", "stor", "prod"], &[]);
        // the disk has no EFI loader: that iPXE logged in over its own storage NIC is what is shown here
        san(rig, &machine, "UEFI san", "Registered SAN device 0x80");
        target.kill().unwrap();
        target.wait().unwrap();
    }
}
