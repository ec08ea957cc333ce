//! A server's initrd: learn who this machine is now, log in to its volume, go over to the root that lies there.
//!
//! It holds no identity of its own: the same initrd boots every server. If anything fails, the machine boots again through its firmware.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

use crate::claim::{ClaimError, CommandLine, Facts, Nic, fetch};
use crate::kernel::{command_line, dhcp, load_modules, mount_all, run, say};
use crate::limits::{
    CLAIM_PAUSE, CLAIM_TRIES, DEVICE_DEADLINE, DEVICE_POLL, ISCSI_NOOP_INTERVAL_S, ISCSI_NOOP_TIMEOUT_S,
    ISCSI_REPLACEMENT_TIMEOUT_S,
};
use crate::links::{LinkError, add_address, by_mac, set_mtu, set_up};
use crate::netlink::Netlink;

/// Where the facts of this boot are handed to the running system.
pub const NETWORK: &str = "/run/understudy/network";
const NEW_ROOT: &str = "/newroot";
const IBFT: &str = "/sys/firmware/ibft";
const PORTAL_PORT: &str = "3260";

type Failed = Box<dyn std::error::Error>;

/// Boots the server; returns only if it could not.
pub fn main() -> Result<(), Failed> {
    mount_all()?;
    say("initrd");
    load_modules()?;
    let line = CommandLine::parse(&command_line()?);
    let facts = match &line.claim {
        Some(url) => boot_by_claim(&line, url)?,
        None => boot_by_ibft()?,
    };
    mount_root()?;
    enter(&facts)
}

fn boot_by_claim(line: &CommandLine, url: &str) -> Result<Facts, Failed> {
    bring_up_provisioning(line)?;
    let facts = claim(url)?;
    say(&format!("claimed: {} epoch {}", facts.get("SERVER").unwrap_or("?"), facts.get("EPOCH").unwrap_or("?")));
    bring_up(&facts.nic("storage")?)?;
    log_in(&login_arguments(&facts)?)?;
    Ok(facts)
}

/// Makes a NIC ready with its address.
pub fn bring_up(nic: &Nic) -> Result<String, LinkError> {
    let mut netlink = Netlink::open(0)?;
    let name = by_mac(&nic.mac)?;
    if let Some(mtu) = nic.mtu {
        set_mtu(&mut netlink, &name, mtu)?;
    }
    add_address(&mut netlink, &name, nic.address.0, nic.address.1)?;
    set_up(&mut netlink, &name, true)?;
    Ok(name)
}

fn bring_up_provisioning(line: &CommandLine) -> Result<(), Failed> {
    let mac = line.mac.as_deref().ok_or("the command line names no NIC: BOOTIF= or understudy.mac= is missing")?;
    set_up(&mut Netlink::open(0)?, "lo", true)?;
    if let Some(address) = line.address {
        bring_up(&Nic { mac: mac.to_owned(), address, mtu: None })?;
        return Ok(());
    }
    let name = by_mac(mac)?;
    set_up(&mut Netlink::open(0)?, &name, true)?;
    Ok(dhcp("/bin/busybox", &name, false)?)
}

fn claim(url: &str) -> Result<Facts, ClaimError> {
    let mut tries = 1;
    loop {
        match fetch(url) {
            Err(error @ ClaimError::Transport(..)) if tries < CLAIM_TRIES => say(&format!("claim: {error}; asking again")),
            other => return other,
        }
        tries += 1;
        thread::sleep(CLAIM_PAUSE);
    }
}

/// The arguments of `iscsistart` for a claim.
pub fn login_arguments(facts: &Facts) -> Result<Vec<String>, ClaimError> {
    let portal = facts.need("PORTAL")?;
    let (address, port) = portal.split_once(':').unwrap_or((portal, PORTAL_PORT));
    let port = port.split(',').next().unwrap_or(PORTAL_PORT);
    let mut words: Vec<String> = Vec::new();
    for (flag, value) in
        [("-i", facts.need("INITIATOR")?), ("-t", facts.need("TARGET")?), ("-g", "1"), ("-a", address), ("-p", port)]
    {
        words.extend([flag.to_owned(), value.to_owned()]);
    }
    if let Some(user) = facts.get("CHAP_USER") {
        words.extend(["-u".to_owned(), user.to_owned(), "-w".to_owned(), facts.need("CHAP_PASSWORD")?.to_owned()]);
    }
    words.extend(session_parameters());
    Ok(words)
}

fn session_parameters() -> Vec<String> {
    let parameters = [
        ("node.session.timeo.replacement_timeout", ISCSI_REPLACEMENT_TIMEOUT_S),
        ("node.conn[0].timeo.noop_out_interval", ISCSI_NOOP_INTERVAL_S),
        ("node.conn[0].timeo.noop_out_timeout", ISCSI_NOOP_TIMEOUT_S),
    ];
    parameters.iter().flat_map(|(key, value)| ["--param".to_owned(), format!("{key}={value}")]).collect()
}

fn log_in(arguments: &[String]) -> Result<(), Failed> {
    let (status, text) = run("/usr/bin/iscsistart", arguments)?;
    if status.success() {
        say("logged in");
        return Ok(());
    }
    let last = text.lines().rfind(|line| line.contains("iscsistart")).unwrap_or_default();
    Err(format!("iSCSI login failed ({status}): {last}").into())
}

/// `san`: the firmware's iBFT table names NIC, address, initiator, target and secret.
fn boot_by_ibft() -> Result<Facts, Failed> {
    if !fs::exists(IBFT)? {
        return Err("neither a claim on the command line nor an iBFT table from the firmware: nobody invited this machine".into());
    }
    set_up(&mut Netlink::open(0)?, "lo", true)?;
    let mut text = String::new();
    for entry in fs::read_dir(IBFT)? {
        let nic = entry?.path();
        if !nic.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ethernet")) {
            continue;
        }
        let read = |key: &str| fs::read_to_string(nic.join(key)).map(|value| value.trim().to_owned());
        let (mac, address) = (read("mac")?, read("ip-addr")?);
        let ones = read("subnet-mask")
            .ok()
            .and_then(|mask| mask.parse::<Ipv4Addr>().ok())
            .map_or(24, |mask| mask.to_bits().leading_ones());
        let facts = Facts::parse(&format!("NIC_STORAGE_MAC={mac}\nNIC_STORAGE_ADDRESS={address}/{ones}\n"));
        bring_up(&facts.nic("storage")?)?;
        text.push_str(&facts.without_secrets());
    }
    let mut words = vec!["-b".to_owned()];
    words.extend(session_parameters());
    log_in(&words)?;
    Ok(Facts::parse(&text))
}

/// The first SCSI disk, or its first partition where it has one.
fn wait_for_disk() -> io::Result<PathBuf> {
    let start = std::time::Instant::now();
    while start.elapsed() < DEVICE_DEADLINE {
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("sd") {
                continue;
            }
            let first = format!("{name}1");
            let device = Path::new("/dev").join(if entry.path().join(&first).exists() { &first } else { &name });
            // the disk appears before its size is known; opened too early it is no device at all
            let size = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
            if size.trim() != "0" && fs::File::open(&device).is_ok() {
                return Ok(device);
            }
        }
        thread::sleep(DEVICE_POLL);
    }
    Err(io::Error::other("the volume brought no disk"))
}

/// Mounts the root. A disk's partitions appear after the disk, so a first choice may be the wrong one.
fn mount_root() -> Result<(), Failed> {
    fs::create_dir_all(NEW_ROOT)?;
    let start = std::time::Instant::now();
    loop {
        let disk = wait_for_disk()?;
        match mount(Some(&disk), NEW_ROOT, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>) {
            Ok(()) => {
                say(&format!("root is {}", disk.display()));
                return Ok(());
            }
            Err(error) if start.elapsed() > DEVICE_DEADLINE => return Err(format!("mount {}: {error}", disk.display()).into()),
            Err(_) => thread::sleep(DEVICE_POLL),
        }
    }
}

/// Hands over and becomes the root's first process.
fn enter(facts: &Facts) -> Result<(), Failed> {
    let network = Path::new(NETWORK);
    if let Some(folder) = network.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(network, facts.without_secrets())?;
    for folder in ["/proc", "/sys", "/dev", "/run"] {
        let to = format!("{NEW_ROOT}{folder}");
        fs::create_dir_all(&to)?;
        mount(Some(folder), to.as_str(), None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    }
    say("root mounted");
    chdir(NEW_ROOT)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;
    chdir("/")?;
    Err(Command::new("/sbin/init").exec().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_uses_the_claims_names_and_short_timeouts() {
        let facts = Facts::parse(
            "INITIATOR=iqn.x:web1.e7\nTARGET=iqn.x:web1-root\nPORTAL=10.30.0.1:3261,1\nCHAP_USER=u\nCHAP_PASSWORD=p\n",
        );
        let words = login_arguments(&facts).unwrap().join(" ");
        assert!(words.starts_with("-i iqn.x:web1.e7 -t iqn.x:web1-root -g 1 -a 10.30.0.1 -p 3261 -u u -w p "), "{words}");
        assert!(words.contains("replacement_timeout=5"));
    }

    #[test]
    fn a_login_without_a_name_or_with_half_a_secret_is_refused() {
        assert!(login_arguments(&Facts::parse("TARGET=t\nPORTAL=1.2.3.4\n")).is_err());
        assert!(login_arguments(&Facts::parse("INITIATOR=i\nTARGET=t\nPORTAL=1.2.3.4\nCHAP_USER=u\n")).is_err());
    }
}
