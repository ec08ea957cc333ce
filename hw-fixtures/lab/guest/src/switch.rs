//! The switch's first process: ports named by MAC, a bridge that filters by VLAN, uplinks open, machine ports shut and in no VLAN.
//!
//! Only the agent ever opens a machine port, from its own durable state: after a restart every bar stands before any port is up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::facts;
use crate::hand::{Order, parse, set_port};
use crate::kernel::{load_modules, mount_all, restart, say};
use crate::limits::{AGENT_RESTART_PAUSE, DEVICE_DEADLINE, DEVICE_POLL, HAND_LINE_BYTES_MAX};
use crate::links::{
    LinkError, add_access_vlan, add_address, add_bridge_vlan, all, enslave, make_bridge, make_vlan_interface, rename, set_up,
};
use crate::netlink::Netlink;

/// The bridge.
pub const BRIDGE: &str = "br0";
/// The agent's program in the image.
pub const AGENT: &str = "/usr/bin/understudy-agent";
/// The agent's configuration in the image.
pub const AGENT_CONFIG: &str = "/etc/understudy/agent.json";
/// What makes the agent one of an estate. Until it is laid onto the disk, no agent is started.
pub const BUNDLE: &str = "/var/lib/understudy/bundle.json";
/// Where the switch's small disk is mounted.
pub const STATE: &str = "/var/lib/understudy";
/// The line on the console that says that ports and addresses stand.
pub const READY: &str = "switch ready";

const DISK: &str = "/dev/vda";
/// A virtio port: a serial line would cost an emulated processor an interrupt for every few bytes.
/// Its number depends on how many other virtio devices there are.
const VIRTIO_PORTS: &str = "/sys/class/virtio-ports";
const MANAGEMENT: (&str, Ipv4Addr, u8) = ("mgmt", Ipv4Addr::new(10, 255, 0, 2), 24);
const UPLINK_VLANS: [u16; 3] = [10, 20, 30];
const SVI: (&str, u16, Ipv4Addr, u8) = ("svi20", 20, Ipv4Addr::new(10, 20, 0, 2), 24);

/// The switch's name for the interface with this MAC address; None for a MAC that is not the lab's.
#[must_use]
pub fn name_of(mac: &str) -> Option<String> {
    let (kind, number) = mac.strip_prefix("52:54:00:ee:")?.split_once(':')?;
    let number: u8 = number.parse().ok()?;
    match kind {
        "00" if number == 0 => Some("mgmt".to_owned()),
        "01" => Some(format!("u{number}")),
        "02" if number > 0 => Some(format!("p{number}")),
        _ => None,
    }
}

/// Runs the switch; returns only if it cannot be brought up.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    mount_all()?;
    load_modules()?;
    mount_disk()?;
    let ports = build()?;
    say(&format!("{READY}: {ports} machine ports"));
    thread::spawn(watch_facts);
    loop {
        if !fs::exists(BUNDLE)? {
            thread::sleep(AGENT_RESTART_PAUSE);
            continue;
        }
        match Command::new(AGENT).args(["--config", AGENT_CONFIG]).spawn() {
            Ok(child) => keep(child),
            Err(error) => say(&format!("{AGENT} cannot be started: {error}")),
        }
        thread::sleep(AGENT_RESTART_PAUSE);
    }
}

static AGENT_PID: AtomicI32 = AtomicI32::new(0);

fn keep(mut child: Child) {
    AGENT_PID.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    let end = child.wait();
    AGENT_PID.store(0, Ordering::SeqCst);
    say(&format!("the agent ended ({end:?}); it is started again"));
}

fn mount_disk() -> io::Result<()> {
    let start = std::time::Instant::now();
    while !fs::exists(DISK)? && start.elapsed() < DEVICE_DEADLINE {
        thread::sleep(DEVICE_POLL);
    }
    fs::create_dir_all(STATE)?;
    mount(Some(DISK), STATE, Some("ext4"), MsFlags::empty(), None::<&str>)
        .map_err(|error| io::Error::other(format!("mount {DISK} at {STATE}: {error}")))
}

/// Names the interfaces and builds the bridge; answers how many machine ports there are.
fn build() -> Result<usize, LinkError> {
    let mut netlink = Netlink::open(0)?;
    let mut ports = 0;
    make_bridge(&mut netlink, BRIDGE)?;
    for (old, mac) in all()? {
        let Some(name) = name_of(&mac) else { continue };
        rename(&mut netlink, &old, &name)?;
        if name.starts_with('p') {
            enslave(&mut netlink, &name, BRIDGE)?;
            ports += 1;
        }
    }
    set_up(&mut netlink, "lo", true)?;
    set_up(&mut netlink, BRIDGE, true)?;
    for vid in UPLINK_VLANS {
        let uplink = format!("u{vid}");
        enslave(&mut netlink, &uplink, BRIDGE)?;
        add_access_vlan(&mut netlink, &uplink, vid)?;
        set_up(&mut netlink, &uplink, true)?;
    }
    add_bridge_vlan(&mut netlink, BRIDGE, SVI.1)?;
    make_vlan_interface(&mut netlink, SVI.0, BRIDGE, SVI.1)?;
    add_address(&mut netlink, SVI.0, SVI.2, SVI.3)?;
    set_up(&mut netlink, SVI.0, true)?;
    add_address(&mut netlink, MANAGEMENT.0, MANAGEMENT.1, MANAGEMENT.2)?;
    set_up(&mut netlink, MANAGEMENT.0, true)?;
    Ok(ports)
}

/// Facts go out of the virtio port; the hand's orders come in by it.
fn watch_facts() {
    loop {
        if let Err(error) = serve_facts() {
            say(&format!("facts: {error}"));
        }
        thread::sleep(AGENT_RESTART_PAUSE);
    }
}

fn serve_facts() -> Result<(), Box<dyn std::error::Error>> {
    let name = fs::read_dir(VIRTIO_PORTS)?.next().ok_or("there is no virtio port for the facts")??.file_name();
    let mut port = OpenOptions::new().read(true).write(true).open(Path::new("/dev").join(name))?;
    let orders = port.try_clone()?;
    thread::spawn(move || take_orders(orders));
    facts::report(&mut port)
}

fn take_orders(port: File) {
    let mut lines = BufReader::new(port);
    loop {
        let mut line = Vec::new();
        match lines.by_ref().take(HAND_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => obey(String::from_utf8_lossy(&line).trim()),
        }
    }
}

/// An order for the console's log: a file's content may be a secret and is not repeated.
fn first_words(line: &str) -> String {
    line.split_whitespace().take(3).map(|word| if word.len() > 16 { "..." } else { word }).collect::<Vec<_>>().join(" ")
}

/// Lays a file onto the disk, whole or not at all, readable by the agent alone.
fn put(name: &str, content: &[u8]) -> io::Result<()> {
    let (path, mine) = (Path::new(STATE).join(name), Path::new(STATE).join(format!(".{name}")));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&mine)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&mine, &path)?;
    File::open(STATE)?.sync_all()
}

fn obey(line: &str) {
    let told = first_words(line);
    let done = match parse(line) {
        None => Err("it is not understood".to_owned()),
        Some(Order::Access { port, vid }) => set_port(&port, Some(vid)).map_err(|error| error.to_string()),
        Some(Order::Down { port }) => set_port(&port, None).map_err(|error| error.to_string()),
        Some(Order::Put { name, content }) => put(&name, &content).map_err(|error| error.to_string()),
        Some(Order::KillAgent) => match AGENT_PID.load(Ordering::SeqCst) {
            0 => Err("no agent runs".to_owned()),
            pid => kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(|error| error.to_string()),
        },
        Some(Order::Reboot) => Err(restart().to_string()),
    };
    match done {
        Ok(()) => say(&format!("hand: {told}")),
        Err(why) => say(&format!("hand: {told}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_named_by_mac() {
        assert_eq!(name_of("52:54:00:ee:00:00").as_deref(), Some("mgmt"));
        assert_eq!(name_of("52:54:00:ee:01:20").as_deref(), Some("u20"));
        assert_eq!(name_of("52:54:00:ee:02:12").as_deref(), Some("p12"));
        for foreign in
            ["52:54:00:0c:01:01", "52:54:00:ee:02:00", "52:54:00:ee:03:01", "", "00:00:00:00:00:00", "52:54:00:ee:02:0a"]
        {
            assert_eq!(name_of(foreign), None, "{foreign}");
        }
    }
}
