//! Very many BMCs on loopback addresses, each a process that nobody here wrote (`ipmi_sim`) or all in one (`bmc-sim`). They live in
//! namespaces of their own and end with the program that made them. Must never assert anything about the product.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lab::packages::Packages;
use lab::sys::{Preparation, prepare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::trouble::{Done, Trouble, at};

/// The account of every BMC.
pub const USER: &str = "controller";
/// Its password.
pub const PASSWORD: &str = "lab";
/// Port of IPMI.
const IPMI_PORT: u16 = 623;
/// Port of Redfish.
const REDFISH_PORT: u16 = 443;
/// Hosts in one block of addresses: 127.B.H.h.
const BLOCK: usize = 250;

/// What the BMCs speak, and who plays them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// IPMI, a process of `ipmi_sim` each.
    IpmiSim,
    /// IPMI, all in one process of `bmc-sim`.
    Ipmi,
    /// Redfish over TLS, all in one process of `bmc-sim`.
    Redfish,
}

/// Address of the BMC of this number, counted from 1.
pub fn address(kind: Kind, number: usize) -> SocketAddr {
    let (second, port) = match kind {
        Kind::IpmiSim => (1, IPMI_PORT),
        Kind::Ipmi => (2, IPMI_PORT),
        Kind::Redfish => (3, REDFISH_PORT),
    };
    let byte = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    let (high, low) = ((number - 1) / BLOCK, (number - 1) % BLOCK + 1);
    SocketAddr::from((Ipv4Addr::new(127, second, byte(high), byte(low)), port))
}

/// UUID of the machine of this number.
pub fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Running BMCs. Dropping it ends them.
pub struct Crowd {
    children: Vec<Child>,
}

impl Crowd {
    /// Starts so many. They answer a little later.
    pub fn start(kind: Kind, count: usize, folder: &Path, packages: &Packages, bmc_sim: &Path) -> Done<Crowd> {
        at(folder, fs::create_dir_all(folder))?;
        let mut crowd = Crowd { children: Vec::new() };
        if kind == Kind::IpmiSim {
            for number in 1..=count {
                let command = ipmi_sim(&folder.join(number.to_string()), number, packages)?;
                crowd.spawn(command)?;
            }
        } else {
            let config = folder.join("bmc-sim.json");
            at(&config, fs::write(&config, one_process(kind, count, folder)?))?;
            let mut command = Command::new(bmc_sim);
            command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(log(folder)?);
            crowd.spawn(command)?;
        }
        Ok(crowd)
    }

    fn spawn(&mut self, mut command: Command) -> Done {
        prepare(&mut command, Preparation { die_with_parent: Some(Signal::SIGKILL), ..Preparation::default() });
        let program = PathBuf::from(command.get_program());
        let child = command.stdin(Stdio::null()).spawn().map_err(|source| Trouble::Start { program, source })?;
        self.children.push(child);
        Ok(())
    }

    /// Stops or continues the first so many processes, as one that hangs would.
    pub fn freeze(&self, count: usize, frozen: bool) {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        for child in self.children.iter().take(count) {
            if let Ok(pid) = i32::try_from(child.id()) {
                // it is ours and was not waited for, so the number is still its own
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // it may have ended by itself
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn log(folder: &Path) -> Done<fs::File> {
    let path = folder.join("log");
    at(&path, fs::File::create(&path))
}

/// One BMC of OpenIPMI, off, whose user may only look.
fn ipmi_sim(folder: &Path, number: usize, packages: &Packages) -> Done<Command> {
    at(folder, fs::create_dir_all(folder.join("state")))?;
    let (address, guid) = (address(Kind::IpmiSim, number), uuid(number).replace('-', ""));
    let levels = ["callback", "user", "operator", "admin"];
    let allowed: String = levels.map(|level| format!("allowed_auths_{level} none md2 md5 straight\n")).concat();
    let lan = format!(
        "name \"sim\"\nset_working_mc 0x20\nstartlan 1\naddr {} {}\npriv_limit admin\n{allowed}guid {guid}\nendlan\n\
         user 2 true \"{USER}\" \"{PASSWORD}\" user 10 none md2 md5 straight\n",
        address.ip(),
        address.port(),
    );
    let emulation = format!(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_set_guid 0x20 {guid}\n\
         sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n"
    );
    for (name, text) in [("lan.conf", lan), ("sim.emu", emulation)] {
        let path = folder.join(name);
        at(&path, fs::write(&path, text))?;
    }
    let mut command = packages.command(&["bin/ipmi_sim"]).map_err(|error| Trouble::Wrong(error.to_string()))?;
    let file = |name: &str| folder.join(name);
    command.arg("-c").arg(file("lan.conf")).arg("-f").arg(file("sim.emu")).arg("-s").arg(file("state")).arg("-n");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn one_process(kind: Kind, count: usize, folder: &Path) -> Done<String> {
    let password = folder.join("password");
    at(&password, fs::write(&password, PASSWORD))?;
    let machine = |number: usize| {
        let mut machine = serde_json::Map::new();
        let mut say = |key: &str, value| drop(machine.insert(key.to_owned(), value));
        say("name", json!(format!("m{number}")));
        say("listen", json!(address(Kind::Redfish, number)));
        say("uuid", json!(uuid(number)));
        say("serial", json!(format!("B{number}")));
        say("user", json!(USER));
        say("password_file", json!(password));
        say("argv", json!(["sleep", "infinity"]));
        if kind == Kind::Ipmi {
            say("ipmi", json!(address(Kind::Ipmi, number)));
            say("redfish", json!(false));
        }
        machine
    };
    Ok(json!({ "machines": (1..=count).map(machine).collect::<Vec<_>>() }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_an_address_of_its_own() {
        let all: std::collections::BTreeSet<_> = (1..=10_000).map(|number| address(Kind::Ipmi, number)).collect();
        assert_eq!(all.len(), 10_000);
        assert_eq!(address(Kind::IpmiSim, 251).to_string(), "127.1.1.1:623");
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }
}
