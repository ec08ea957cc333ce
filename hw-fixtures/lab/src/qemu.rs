//! Command lines of QEMU: the machines (started by their BMCs) and the switch (started by the supervisor).
//!
//! Always `-accel tcg`: a /dev/kvm that opens but never runs a guest was seen, so its presence decides nothing.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use crate::limits::{MACHINE_MEMORY_MIB, MACHINE_TB_MIB, SWITCH_MEMORY_MIB, SWITCH_TB_MIB, UEFI_MEMORY_MIB};
use crate::names::{Machine, ROLES, Role, SwitchKind, UPLINKS, port_mac, switch_cable};

/// The firmware of the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// SeaBIOS, with iPXE in the NIC.
    Bios,
    /// OVMF, with its own PXE, which loads iPXE by TFTP.
    Uefi,
}

/// What every command line needs to know.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// Where firmware lies.
    pub firmware_folders: Vec<PathBuf>,
    /// The run folder.
    pub run: PathBuf,
    /// How much longer than by itself the machines' firmware takes, milliseconds. QEMU takes no more than this type holds.
    pub post_ms: u16,
    /// What the machines are cabled to.
    pub switch: SwitchKind,
}

/// Files of a machine in the run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFiles {
    /// Its monitor.
    pub qmp: PathBuf,
    /// Its serial console.
    pub serial: PathBuf,
    /// Its process id, as seen inside the lab.
    pub pid: PathBuf,
    /// The private copy of the firmware's variables (UEFI).
    pub variables: PathBuf,
    /// What QEMU itself says.
    pub output: PathBuf,
}

/// The files of a machine.
#[must_use]
pub fn machine_files(run: &Path, machine: Machine) -> MachineFiles {
    let name = machine.name();
    MachineFiles {
        qmp: run.join(format!("{name}.qmp")),
        serial: run.join(format!("{name}.serial")),
        pid: run.join(format!("{name}.pid")),
        variables: run.join(format!("{name}.vars.fd")),
        output: run.join(format!("logs/{name}.qemu.log")),
    }
}

/// UEFI's read-only code.
#[derive(Debug, Clone)]
pub struct UefiCode(pub PathBuf);

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Qemu {
    fn common(&self) -> Vec<String> {
        let mut argv = vec![text(&self.program)];
        for folder in &self.firmware_folders {
            argv.extend(["-L".to_owned(), text(folder)]);
        }
        argv.extend(words(&["-nodefaults", "-no-user-config", "-display", "none", "-smp", "1", "-cpu", "max"]));
        argv
    }

    /// A machine's command line. It boots from the network first, and has nothing else to boot from.
    #[must_use]
    pub fn machine(&self, machine: Machine, uefi: Option<&UefiCode>) -> Vec<String> {
        let files = machine_files(&self.run, machine);
        let (name, uuid, serial) = (machine.name(), machine.uuid(), machine.serial());
        let mut argv = self.common();
        let memory = if uefi.is_some() { UEFI_MEMORY_MIB } else { MACHINE_MEMORY_MIB };
        argv.extend(["-name".to_owned(), name, "-uuid".to_owned(), uuid.clone()]);
        argv.extend(["-accel".to_owned(), format!("tcg,tb-size={MACHINE_TB_MIB}"), "-m".to_owned(), memory.to_string()]);
        argv.push("-smbios".to_owned());
        argv.push(format!("type=1,manufacturer=Understudy Laboratory,product=Lab 1U,uuid={uuid},serial={serial}"));
        match uefi {
            None => argv.extend(words(&["-machine", "pc,graphics=off"])),
            Some(UefiCode(code)) => {
                argv.extend(words(&["-machine", "q35", "-drive"]));
                argv.push(format!("if=pflash,format=raw,unit=0,readonly=on,file={}", text(code)));
                argv.push("-drive".to_owned());
                argv.push(format!("if=pflash,format=raw,unit=1,file={}", text(&files.variables)));
            }
        }
        if self.post_ms > 0 {
            // firmware of both kinds stands for so long where one could press a key
            argv.extend(["-boot".to_owned(), format!("menu=on,splash-time={}", self.post_ms)]);
        }
        for role in ROLES {
            argv.extend(machine_nic(machine, role, uefi.is_some(), self.switch));
        }
        argv.push("-chardev".to_owned());
        argv.push(format!("file,id=console,path={},append=on", text(&files.serial)));
        argv.extend(words(&["-serial", "chardev:console", "-qmp"]));
        argv.push(format!("unix:{},server=on,wait=off", text(&files.qmp)));
        argv.extend(["-pidfile".to_owned(), text(&files.pid)]);
        argv
    }

    /// The switch's command line: management and uplinks on taps (descriptors in the order of [`UPLINKS`]), a cable to every machine NIC.
    #[must_use]
    pub fn switch(&self, kernel: &Path, initrd: &Path, taps: &[RawFd], machines: u8) -> Vec<String> {
        let mut argv = self.common();
        argv.extend(words(&["-name", "switch", "-machine", "q35"]));
        argv.extend([
            "-accel".to_owned(),
            format!("tcg,tb-size={SWITCH_TB_MIB}"),
            "-m".to_owned(),
            SWITCH_MEMORY_MIB.to_string(),
        ]);
        argv.extend(["-kernel".to_owned(), text(kernel), "-initrd".to_owned(), text(initrd), "-append".to_owned()]);
        argv.push("console=ttyS0 quiet panic=-1 mitigations=off".to_owned());
        argv.push("-drive".to_owned());
        argv.push(format!("if=virtio,format=raw,file={}", text(&self.run.join("switch.disk"))));
        for (uplink, fd) in UPLINKS.iter().zip(taps) {
            argv.extend(["-netdev".to_owned(), format!("tap,id={},fd={fd},vhost=off", uplink.tap)]);
            argv.extend([
                "-device".to_owned(),
                format!("virtio-net-pci,netdev={},mac={},romfile=", uplink.tap, uplink.switch_mac),
            ]);
        }
        for machine in (1..=machines).map(Machine) {
            for role in ROLES {
                let port = machine.port(role);
                argv.extend(["-netdev".to_owned(), cable(&format!("p{port}"), &switch_cable(port), &machine.cable(role))]);
                argv.extend(["-device".to_owned(), format!("virtio-net-pci,netdev=p{port},mac={},romfile=", port_mac(port))]);
            }
        }
        argv.push("-chardev".to_owned());
        argv.push(format!("file,id=console,path={},append=on", text(&self.run.join("logs/switch.console.log"))));
        argv.push("-chardev".to_owned());
        argv.push(format!("socket,id=facts,path={FACTS_SOCKET},server=on,wait=off"));
        argv.extend(words(&[
            "-serial",
            "chardev:console",
            "-device",
            "virtio-serial-pci",
            "-device",
            "virtserialport,chardev=facts,name=facts",
        ]));
        argv
    }
}

/// The socket behind the switch's facts port, seen from inside the lab.
pub const FACTS_SOCKET: &str = "/run/lab/switch-facts.sock";

fn cable(id: &str, local: &str, remote: &str) -> String {
    format!("dgram,id={id},local.type=unix,local.path={local},remote.type=unix,remote.path={remote}")
}

/// The machine's end of a cable. To Open vSwitch it is a tap in the hall that is there already, without offloads: what a guest leaves for
/// hardware to finish would be lost on its way.
fn machine_cable(machine: Machine, role: Role, switch: SwitchKind) -> String {
    let (name, port) = (role.name(), machine.port(role));
    match switch {
        SwitchKind::Machine => cable(name, &machine.cable(role), &switch_cable(port)),
        SwitchKind::OpenVswitch => format!("tap,id={name},ifname=p{port},script=no,downscript=no,vhost=off,vnet_hdr=off"),
    }
}

fn machine_nic(machine: Machine, role: Role, uefi: bool, switch: SwitchKind) -> Vec<String> {
    let name = role.name();
    let mut device = format!("virtio-net-pci,netdev={name},mac={}", machine.mac(role));
    if role == Role::Provisioning {
        device.push_str(",bootindex=1");
    }
    // a NIC without a ROM boots nothing by itself; UEFI has its own driver and loads iPXE by TFTP, as servers do
    if uefi || role != Role::Provisioning {
        device.push_str(",romfile=");
    }
    vec!["-netdev".to_owned(), machine_cable(machine, role, switch), "-device".to_owned(), device]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qemu() -> Qemu {
        Qemu {
            program: "/p/qemu".into(),
            firmware_folders: vec!["/p/bios".into()],
            run: "/r".into(),
            post_ms: 0,
            switch: SwitchKind::Machine,
        }
    }

    fn after<'a>(argv: &'a [String], flag: &str) -> Vec<&'a str> {
        argv.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].as_str()).collect()
    }

    #[test]
    fn a_machine_boots_from_its_provisioning_nic_and_from_nothing_else() {
        let argv = qemu().machine(Machine(1), None);
        assert_eq!(after(&argv, "-machine"), ["pc,graphics=off"]);
        assert_eq!(after(&argv, "-accel"), ["tcg,tb-size=96"]);
        let nics = after(&argv, "-device");
        assert_eq!(nics.len(), 3);
        assert_eq!(nics[0], "virtio-net-pci,netdev=provisioning,mac=52:54:00:0c:01:01,bootindex=1");
        assert!(nics[1].ends_with(",romfile=") && nics[2].ends_with(",romfile="));
        assert!(after(&argv, "-drive").is_empty());
        assert!(!argv.contains(&"-no-reboot".to_owned()), "a guest's restart must go through the firmware");
        assert!(after(&argv, "-smbios")[0].contains("serial=LAB0001"));
    }

    #[test]
    fn firmware_takes_longer_only_where_it_is_told_to() {
        assert!(after(&qemu().machine(Machine(1), None), "-boot").is_empty());
        let slow = Qemu { post_ms: 20_000, ..qemu() };
        assert_eq!(after(&slow.machine(Machine(1), None), "-boot"), ["menu=on,splash-time=20000"]);
        assert!(after(&slow.switch(Path::new("/k"), Path::new("/i"), &[3, 4, 5, 6], 3), "-boot").is_empty());
    }

    #[test]
    fn a_uefi_machine_has_its_own_variables_and_no_rom_in_its_nics() {
        let argv = qemu().machine(Machine(2), Some(&UefiCode("/p/CODE.fd".into())));
        assert_eq!(after(&argv, "-machine"), ["q35"]);
        let drives = after(&argv, "-drive");
        assert!(drives[0].contains("readonly=on,file=/p/CODE.fd") && drives[1].ends_with("file=/r/m2.vars.fd"));
        assert!(after(&argv, "-device").iter().all(|nic| nic.ends_with(",romfile=")));
    }

    #[test]
    fn to_open_vswitch_every_nic_is_a_tap_of_its_port() {
        let qemu = Qemu { switch: SwitchKind::OpenVswitch, ..qemu() };
        let argv = qemu.machine(Machine(3), None);
        let ends = after(&argv, "-netdev");
        assert_eq!(ends[2], "tap,id=production,ifname=p9,script=no,downscript=no,vhost=off,vnet_hdr=off");
        assert!(ends.len() == 3 && ends.iter().all(|end| end.starts_with("tap,") && end.ends_with("vnet_hdr=off")));
    }

    #[test]
    fn every_cable_has_two_matching_ends() {
        let switch = qemu().switch(Path::new("/k"), Path::new("/i"), &[3, 4, 5, 6], 3);
        let ends = after(&switch, "-netdev");
        assert_eq!(ends.len(), 4 + 9);
        assert_eq!(ends[1], "tap,id=prov,fd=4,vhost=off");
        for machine in (1..=3).map(Machine) {
            for netdev in after(&qemu().machine(machine, None), "-netdev") {
                let part =
                    |text: &str, key: &str| text.split(',').find_map(|part| part.strip_prefix(key).map(str::to_owned)).unwrap();
                let (local, remote) = (part(netdev, "local.path="), part(netdev, "remote.path="));
                let other =
                    ends.iter().filter(|end| end.starts_with("dgram")).find(|end| part(end, "local.path=") == remote).unwrap();
                assert_eq!(part(other, "remote.path="), local);
            }
        }
    }
}
