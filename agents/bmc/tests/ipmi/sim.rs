//! One `ipmi_sim` with a chassis that is a folder: what its power truly is, and which commands reached it. Must never assert anything
//! about the driver: tests do.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bmc::ipmi::wire;
use bmc::{Door, Patience};
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcProtocol, IpmiAccess, SecretReference};
use vocabulary::power::Identity;

pub const UUID: &str = "00000000-0000-4000-8000-000000000001";
pub const OTHER_UUID: &str = "00000000-0000-4000-8000-000000000002";

/// How long the simulator may take to answer a ping.
const START: Duration = Duration::from_secs(20);

/// What the simulator is told is the password of `long`; it keeps 19 bytes of it, for a zero at the end.
pub const LONG_PASSWORD: &str = "a-password-of-20-byt";

/// The simulator calls this for its chassis. While `mute` exists it tells no power; all that it is told to do is counted.
const CHASSIS: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case "$2 $3" in
"get power") [ -e mute ] && exit 1; echo "power:$(cat power)" ;;
"set power") echo "$3 $4" >> commands; echo "$4" > power ;;
"get boot") echo "boot:$(cat boot)" ;;
"set boot") echo "$4" > boot ;;
"set shutdown") echo "$3" >> commands; echo 0 > power ;;
set*) echo "$3" >> commands ;;
*) exit 1 ;;
esac
"#;

/// A running simulator, ended when dropped.
pub struct Sim {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    child: Option<Child>,
}

/// Serial number of the product in the inventory.
pub const SERIAL: &str = "SIM0042";
const INVENTORY_SIZE: usize = 256;

/// An inventory with a product area alone.
fn inventory() -> Vec<u8> {
    let seal = |mut bytes: Vec<u8>| {
        bytes.push(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte)));
        bytes
    };
    let mut product = vec![1, 5, 25];
    for text in ["OpenIPMI", "Simulator", "", "", SERIAL] {
        product.push(0xc0 | u8::try_from(text.len()).unwrap());
        product.extend(text.bytes());
    }
    product.push(0xc1);
    product.resize(39, 0);
    [seal(vec![1, 0, 0, 0, 1, 0, 0]), seal(product)].concat()
}

/// The record of sensor 1: the temperature at the air inlet, half a degree a count.
fn temperature() -> Vec<u8> {
    let mut record = vec![0, 0, 0x51, 1, 0, 0x20, 0, 1, 0x37, 1, 0x67, 0x40, 0x01, 0x01];
    record.extend([0, 0, 0, 0, 0, 0, 0x00, 0x01, 0, 0, 5, 0, 0, 0, 0, 0xf0]);
    record.extend([0, 0, 0, 0, 0xff, 0]);
    record.extend([0; 11]);
    record.extend(b"\xc9Air Inlet");
    record[4] = u8::try_from(record.len() - 5).unwrap();
    record
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(" {byte:#04x}")).collect()
}

/// The folder with the unpacked packages of the lab.
pub fn packages() -> PathBuf {
    let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let sim = root.join("usr/bin/ipmi_sim");
    assert!(sim.exists(), "no ipmi_sim at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", sim.display());
    root.canonicalize().unwrap()
}

/// What it says where another program has its port.
const TAKEN: &str = "Address already in use";

fn program(name: &str) -> Command {
    let root = packages();
    let mut command = Command::new(root.join("usr/bin").join(name));
    command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu")).stdin(Stdio::null());
    command
}

impl Sim {
    /// A machine with this UUID, off.
    pub fn start(uuid: &str) -> Sim {
        loop {
            let mut sim = Sim::made(uuid);
            match sim.begin() {
                Ok(()) => return sim,
                // somebody took the port between its choice and the start
                Err(log) if log.contains(TAKEN) => sim.kill(),
                Err(log) => panic!("ipmi_sim did not start: {log}"),
            }
        }
    }

    fn made(uuid: &str) -> Sim {
        let folder = tempfile::tempdir().unwrap();
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let guid = uuid.replace('-', "");
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("power", "0"), ("boot", "none"), ("commands", ""), ("chassis", CHASSIS)] {
            std::fs::write(at(name), text).unwrap();
        }
        std::fs::set_permissions(at("chassis"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(at("state")).unwrap();
        let auths =
            ["callback", "user", "operator", "admin"].map(|level| format!("allowed_auths_{level} none md2 md5 straight\n"));
        let lan = format!(
            "name \"sim\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {}\npriv_limit admin\n{}guid {guid}\nendlan\n\
             chassis_control \"{} 0x20\"\n\
             user 2 true \"controller\" \"lab\" admin 10 none md2 md5 straight\n\
             user 3 true \"watcher\" \"lab\" user 10 none md2 md5 straight\n\
             user 4 false \"locked\" \"lab\" admin 10 none md2 md5 straight\n\
             user 5 true \"long\" \"{LONG_PASSWORD}\" admin 10 none md2 md5 straight\n",
            address.port(),
            auths.concat(),
            at("chassis").display(),
        );
        let inventory = hex(&inventory());
        let emulation = format!(
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_set_guid 0x20 {guid}\n\
             sel_enable 0x20 1000 0x0a\nmc_add_fru_data 0x20 0 {} data{inventory}\n\
             sensor_add 0x20 0 1 0x01 0x01\nmain_sdr_add 0x20{}\nsensor_set_event_support 0x20 0 1 enable scanning \
             per-state{}\nsensor_set_value 0x20 0 1 0x20 0\nmc_enable 0x20\n",
            INVENTORY_SIZE,
            hex(&temperature()),
            " 000000000000000".repeat(4),
        );
        std::fs::write(at("lan.conf"), lan).unwrap();
        std::fs::write(at("sim.emu"), emulation).unwrap();
        Sim { address, folder, child: None }
    }

    /// Starts it; it remembers no session.
    pub fn again(&mut self) {
        self.begin().unwrap_or_else(|log| panic!("ipmi_sim did not start: {log}"));
    }

    /// Starts it; what it wrote if it does not answer.
    fn begin(&mut self) -> Result<(), String> {
        let at = |name: &str| self.folder.path().join(name);
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = program("ipmi_sim");
        command.arg("-c").arg(at("lan.conf")).arg("-f").arg(at("sim.emu")).arg("-s").arg(at("state")).arg("-n");
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let until = Instant::now() + START;
        let mut buffer = [0; 64];
        loop {
            socket.send_to(&wire::ping(1), self.address).unwrap();
            if socket.recv(&mut buffer).is_ok_and(|length| wire::is_pong(&buffer[..length])) {
                return Ok(());
            }
            let log = std::fs::read_to_string(at("log")).unwrap();
            if Instant::now() >= until || log.contains(TAKEN) {
                return Err(log);
            }
        }
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn is_on(&self) -> bool {
        std::fs::read_to_string(self.folder.path().join("power")).unwrap().trim() == "1"
    }

    pub fn switch(&self, on: bool) {
        std::fs::write(self.folder.path().join("power"), if on { "1" } else { "0" }).unwrap();
    }

    pub fn commands(&self) -> u64 {
        let log = std::fs::read_to_string(self.folder.path().join("commands")).unwrap();
        u64::try_from(log.lines().count()).unwrap()
    }

    pub fn mute(&self, mute: bool) {
        let file = self.folder.path().join("mute");
        if mute {
            std::fs::write(file, "").unwrap();
        } else {
            let _ = std::fs::remove_file(file);
        }
    }

    /// What `ipmitool` says to this.
    pub fn ipmitool(&self, words: &[&str]) -> String {
        let mut command = program("ipmitool");
        command.args(["-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", &self.address.port().to_string()]);
        command.args(["-U", "controller", "-P", "lab"]).args(words);
        String::from_utf8_lossy(&command.output().unwrap().stdout).trim().to_owned()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A door that waits a short while only.
pub fn door(address: SocketAddr) -> Door {
    let bmc = Address {
        protocol: BmcProtocol::Ipmi,
        address,
        user: "controller".into(),
        password: SecretReference("file:unused".into()),
        agent: None,
        certificate: "enrol".into(),
        access: vocabulary::estate::BmcAccess::Command,
        ipmi: Some(IpmiAccess::default()),
    };
    let mut door = Door::new(bmc, identity(), Secret::new("lab"), None);
    let second = Duration::from_secs(1);
    door.patience = Patience { connect: 2 * second, request: 2 * second, ..Patience::default() };
    door
}

/// What IPMI tells of the machine: no serial.
pub fn identity() -> Identity {
    Identity { uuid: UUID.into(), serial: String::new() }
}
