//! The first process of a server's own root: its production network, its workload, its orderly end.
//!
//! It runs from memory, not from the volume, so that a lost volume stops the writing and nothing else.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::waitpid;

use crate::claim::Facts;
use crate::kernel::{dhcp, restart, say};
use crate::limits::RECORD_EVERY;
use crate::links::{LinkError, all, by_mac, set_ipv4_setting, set_up};
use crate::netlink::Netlink;
use crate::server::{NETWORK, bring_up};
use crate::web::Standing;
use crate::workload;

/// What a server's image says of itself, for boots whose firmware hands over no more than a disk.
pub const IDENTITY: &str = "/etc/understudy/server";
const IN_MEMORY: &str = "/run/lab-guest";
const BUSYBOX_IN_MEMORY: &str = "/run/busybox";
/// Where a kernel takes orders past everything that runs; `c` is a panic.
const SYSRQ: &str = "/proc/sysrq-trigger";
const STAY: &str = "stay";
const KEY_EVENT: u16 = 1;
const POWER_KEY: u16 = 116;

/// Runs the server; returns only if it cannot.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    if arguments.get(1).map(String::as_str) != Some(STAY) {
        for (from, to) in [("/sbin/init", IN_MEMORY), ("/bin/busybox", BUSYBOX_IN_MEMORY)] {
            fs::copy(from, to)?;
            fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
        }
        return Err(Command::new(IN_MEMORY).arg(STAY).exec().into());
    }
    let facts = facts()?;
    let server = facts.need("SERVER")?.to_owned();
    bring_up_production(&facts)?;
    if facts.get("NIC_PROVISIONING_MAC").is_none() {
        keep_lease()?;
    }
    let standing = workload::start(&server)?;
    say(&format!(
        "server {server} up, incarnation {}, continues after {}",
        standing.incarnation,
        standing.last.load(Ordering::SeqCst)
    ));
    watch_power_button();
    wait_for_restart(&standing)
}

/// The facts of this boot, completed by what the image says of itself.
fn facts() -> Result<Facts, Box<dyn std::error::Error>> {
    let own = fs::read_to_string(IDENTITY).unwrap_or_default();
    let handed = fs::read_to_string(NETWORK)?;
    let known = Facts::parse(&format!("{own}\n{handed}"));
    if known.get("NIC_PRODUCTION_MAC").is_some() {
        return Ok(known);
    }
    // without a claim nobody names the NICs' roles: production is the highest address in this lab's numbering
    let mac = lab_macs()?.pop().ok_or("this machine has no NIC of the lab")?;
    Ok(Facts::parse(&format!("{own}\n{handed}\nNIC_PRODUCTION_MAC={mac}\n")))
}

/// The MAC addresses of this machine's NICs in the lab's numbering: provisioning, storage, production.
fn lab_macs() -> Result<Vec<String>, LinkError> {
    let mut macs: Vec<_> = all()?.into_iter().map(|(_, mac)| mac).filter(|mac| mac.starts_with("52:54:00:0c:")).collect();
    macs.sort();
    Ok(macs)
}

/// A server that its firmware booted by itself holds its provisioning address by DHCP, as any operating system would, and renews it.
fn keep_lease() -> Result<(), Box<dyn std::error::Error>> {
    let mac = lab_macs()?.into_iter().next().ok_or("this machine has no NIC of the lab")?;
    let name = by_mac(&mac)?;
    set_up(&mut Netlink::open(0)?, &name, true)?;
    Ok(dhcp(BUSYBOX_IN_MEMORY, &name, true)?)
}

fn bring_up_production(facts: &Facts) -> Result<(), Box<dyn std::error::Error>> {
    let nic = facts.nic("production")?;
    // the kernel announces the address by itself as soon as the interface is up
    let name = by_mac(&nic.mac)?;
    set_ipv4_setting(&name, "arp_notify", "1")?;
    bring_up(&nic)?;
    let address = nic.address.0.to_string();
    let announce = Command::new(BUSYBOX_IN_MEMORY).args(["arping", "-q", "-U", "-c", "3", "-I", &name, &address]).spawn();
    if let Err(error) = announce {
        say(&format!("the address is not announced again: {error}"));
    }
    Ok(())
}

/// A press of the power button ends the server in order.
fn watch_power_button() {
    let Ok(entries) = fs::read_dir("/dev/input") else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("event")) {
        thread::spawn(move || {
            if let Ok(file) = File::open(entry.path()) {
                wait_for_press(file);
                say("power button: stopping in order");
                settle();
                let end = reboot(RebootMode::RB_POWER_OFF);
                say(&format!("power off: {end:?}"));
            }
        });
    }
}

/// Returns at the first press of the power key; never, if the device goes away.
fn wait_for_press(mut events: impl Read) {
    let mut event = [0; 24];
    loop {
        if events.read_exact(&mut event).is_err() {
            loop {
                thread::park();
            }
        }
        if is_power_press(&event) {
            return;
        }
    }
}

/// Whether an input event of the kernel (time, kind, code, value) is a press of the power key.
fn is_power_press(event: &[u8; 24]) -> bool {
    let at = |index| crate::netlink::take(event, index).map(u16::from_ne_bytes);
    at(16) == Some(KEY_EVENT) && at(18) == Some(POWER_KEY) && crate::netlink::take(event, 20).map(i32::from_ne_bytes) == Some(1)
}

/// Everything written so far goes to the volume; the root then takes no more.
fn settle() {
    nix::unistd::sync();
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    if let Err(error) = mount(None::<&Path>, "/", None::<&str>, flags, None::<&str>) {
        say(&format!("the root stays writable: {error}"));
    }
}

fn wait_for_restart(standing: &Arc<Standing>) -> Result<(), Box<dyn std::error::Error>> {
    thread::spawn(|| {
        loop {
            // the first process buries whatever dies
            let _ = waitpid(None, None);
            thread::sleep(RECORD_EVERY);
        }
    });
    while !standing.restart.load(Ordering::SeqCst) {
        thread::sleep(RECORD_EVERY);
        if standing.panic.load(Ordering::SeqCst) {
            say("a panic asked for from inside");
            // whoever asked for it is to have the answer; nothing else is settled before a panic
            thread::sleep(RECORD_EVERY);
            if let Err(error) = fs::write(SYSRQ, "c") {
                // no restart is made up for it
                standing.panic.store(false, Ordering::SeqCst);
                say(&format!("{SYSRQ}: {error}; the kernel does not panic"));
            }
        }
    }
    say("restart asked for from inside");
    thread::sleep(RECORD_EVERY);
    if !standing.failed.load(Ordering::SeqCst) {
        settle();
    }
    Err(restart().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_press_of_the_power_key_counts() {
        let mut event = [0u8; 24];
        event[16..18].copy_from_slice(&1u16.to_ne_bytes());
        event[18..20].copy_from_slice(&116u16.to_ne_bytes());
        assert!(!is_power_press(&event), "a release");
        event[20..24].copy_from_slice(&1i32.to_ne_bytes());
        assert!(is_power_press(&event));
        event[18] = 30;
        assert!(!is_power_press(&event), "another key");
    }
}
