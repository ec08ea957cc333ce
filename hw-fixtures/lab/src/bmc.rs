//! The configuration of the machines' BMCs: who they are, and which QEMU each of them is the parent of.
//!
//! Passwords stand in files of the run folder, never in this configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::names::{BMC_USER, HALL, Machine, PDU, PDU_ADDRESS, PDU_SERIAL, ROLES, outlets};
use crate::qemu::{Firmware, Qemu, UefiCode, machine_files};

/// The whole file, as `bmc-sim` reads it.
#[derive(Debug, Serialize)]
pub struct Config {
    /// The simulator's control socket.
    pub control: PathBuf,
    /// The namespace into which machines are born.
    pub hall_netns: PathBuf,
    /// The machines.
    pub machines: Vec<MachineConfig>,
    /// The power distribution unit at which they hang.
    pub pdus: Vec<PduConfig>,
}

/// A power distribution unit.
#[derive(Debug, Serialize)]
pub struct PduConfig {
    name: &'static str,
    listen: SocketAddr,
    serial: &'static str,
    user: &'static str,
    password_file: PathBuf,
    outlets: BTreeMap<u8, String>,
}

/// One machine and its BMC.
#[derive(Debug, Serialize)]
pub struct MachineConfig {
    name: String,
    listen: String,
    uuid: String,
    serial: String,
    user: String,
    password_file: PathBuf,
    certificate: PathBuf,
    nics: Vec<Nic>,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    remove_before_start: Vec<PathBuf>,
    qmp: PathBuf,
    serial_log: PathBuf,
    output_log: PathBuf,
    hardware: Hardware,
}

#[derive(Debug, Serialize)]
struct Nic {
    role: &'static str,
    mac: String,
}

#[derive(Debug, Serialize)]
struct Hardware {
    memory_gib: f64,
    boot_mode: &'static str,
}

/// The simulator's control socket in a run folder.
#[must_use]
pub fn control_socket(run: &Path) -> PathBuf {
    run.join("bmc-sim.sock")
}

/// The file with the BMCs' password: one for all, as the estate of the lab says.
#[must_use]
pub fn password_file(run: &Path) -> PathBuf {
    run.join("secrets/bmc")
}

/// The configuration of all machines' BMCs.
#[must_use]
pub fn config(qemu: &Qemu, machines: u8, uefi: Option<&UefiCode>, env: &[(String, String)]) -> Config {
    let firmware = if uefi.is_some() { Firmware::Uefi } else { Firmware::Bios };
    let memory_mib = match firmware {
        Firmware::Bios => crate::limits::MACHINE_MEMORY_MIB,
        Firmware::Uefi => crate::limits::UEFI_MEMORY_MIB,
    };
    let pdu = PduConfig {
        name: PDU,
        listen: PDU_ADDRESS.into(),
        serial: PDU_SERIAL,
        user: BMC_USER,
        password_file: password_file(&qemu.run),
        outlets: (1..=machines).flat_map(|number| outlets(number).map(|outlet| (outlet, Machine(number).name()))).collect(),
    };
    let machines = (1..=machines).map(Machine).map(|machine| {
        let files = machine_files(&qemu.run, machine);
        MachineConfig {
            name: machine.name(),
            listen: format!("{}:443", machine.bmc()),
            uuid: machine.uuid(),
            serial: machine.serial(),
            user: BMC_USER.to_owned(),
            password_file: password_file(&qemu.run),
            certificate: qemu.run.join(format!("{}.crt", machine.name())),
            nics: ROLES.iter().map(|role| Nic { role: role.name(), mac: machine.mac(*role) }).collect(),
            argv: qemu.machine(machine, uefi),
            env: env.iter().cloned().collect(),
            remove_before_start: ROLES.iter().map(|role| PathBuf::from(machine.cable(*role))).collect(),
            qmp: files.qmp,
            serial_log: files.serial,
            output_log: files.output,
            hardware: Hardware {
                memory_gib: f64::from(memory_mib) / 1024.0,
                boot_mode: if firmware == Firmware::Uefi { "UEFI" } else { "Legacy" },
            },
        }
    });
    Config { control: control_socket(&qemu.run), hall_netns: PathBuf::from(HALL), machines: machines.collect(), pdus: vec![pdu] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SwitchKind;

    #[test]
    fn the_file_says_what_the_simulator_needs_and_no_password() {
        let qemu = Qemu {
            program: "/p/qemu".into(),
            firmware_folders: vec![],
            run: "/r".into(),
            post_ms: 0,
            switch: SwitchKind::Machine,
        };
        let env = [("LD_LIBRARY_PATH".to_owned(), "/p/lib".to_owned())];
        let value = serde_json::to_value(config(&qemu, 3, None, &env)).unwrap();
        let third = &value["machines"][2];
        assert_eq!(value["hall_netns"], "/run/netns/hall");
        assert_eq!(value["control"], "/r/bmc-sim.sock");
        assert_eq!(third["listen"], "10.254.0.13:443");
        assert_eq!(third["certificate"], "/r/m3.crt");
        assert_eq!(third["nics"][2]["mac"], "52:54:00:0c:03:03");
        assert_eq!(third["env"]["LD_LIBRARY_PATH"], "/p/lib");
        assert_eq!(third["remove_before_start"][0], "/run/lab/m3-provisioning.sock");
        assert!(third.get("password").is_none());
        assert_eq!(value["pdus"][0]["listen"], "10.254.0.101:161");
        assert_eq!(
            value["pdus"][0]["outlets"],
            serde_json::json!({"1": "m1", "2": "m2", "3": "m3", "13": "m1", "14": "m2", "15": "m3"})
        );
    }
}
