//! Network interfaces: found by MAC address, renamed, addressed, put into a bridge and into VLANs.
//!
//! Interfaces are known by MAC and never by the order in which a kernel found them.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use nix::libc;
use nix::net::if_::if_nametoindex;

use crate::limits::{DEVICE_DEADLINE, DEVICE_POLL};
use crate::netlink::{CREATE, NEW_ADDRESS, NEW_LINK, Nest, Netlink, NetlinkError, REPLACE, Request, SET_LINK};

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const BR_FORWARD_DELAY: u16 = 1;
const BR_STP_STATE: u16 = 5;
const BR_VLAN_FILTERING: u16 = 7;
const BR_MCAST_SNOOPING: u16 = 23;
const BR_VLAN_DEFAULT_PVID: u16 = 39;
const VLAN_ID: u16 = 1;
const BRIDGE_FLAGS: u16 = 0;
const BRIDGE_FLAG_SELF: u16 = 2;
const BRIDGE_VLAN_INFO: u16 = 2;
const VLAN_PVID_UNTAGGED: u16 = 6;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Why a NIC could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No interface has this MAC address.
    #[error("no network interface has the MAC address {0} (waited {wait} s)", wait = DEVICE_DEADLINE.as_secs())]
    NoSuchMac(String),
    /// There is no interface of this name.
    #[error("there is no network interface {0}")]
    NoSuchName(String),
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel's files could not be read or written.
    #[error("{what}: {source}")]
    Files {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

/// Every interface's name and MAC address (lower case), loopback and bridges included.
pub fn all() -> Result<Vec<(String, String)>, LinkError> {
    let files = |source| LinkError::Files { what: "list /sys/class/net".into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/class/net").map_err(files)? {
        let entry = entry.map_err(files)?;
        if let Ok(mac) = fs::read_to_string(entry.path().join("address")) {
            found.push((entry.file_name().to_string_lossy().into_owned(), mac.trim().to_ascii_lowercase()));
        }
    }
    found.sort();
    Ok(found)
}

/// The name of the interface with this MAC address; waits until a driver has brought it.
pub fn by_mac(mac: &str) -> Result<String, LinkError> {
    let wanted = mac.to_ascii_lowercase().replace('-', ":");
    let start = std::time::Instant::now();
    loop {
        if let Some((name, _)) = all()?.into_iter().find(|(_, have)| *have == wanted) {
            return Ok(name);
        }
        if start.elapsed() > DEVICE_DEADLINE {
            return Err(LinkError::NoSuchMac(wanted));
        }
        thread::sleep(DEVICE_POLL);
    }
}

/// The kernel's number of an interface.
pub fn index(name: &str) -> Result<u32, LinkError> {
    if_nametoindex(name).map_err(|_| LinkError::NoSuchName(name.to_owned()))
}

fn link_body(family: u8, index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&flags.to_ne_bytes());
    body.extend_from_slice(&change.to_ne_bytes());
    body
}

fn zero_ended(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Gives an interface (which must be down) another name.
pub fn rename(netlink: &mut Netlink, from: &str, to: &str) -> Result<(), LinkError> {
    let request = Request::new(SET_LINK, 0, &link_body(0, index(from)?, 0, 0)).with(IFLA_IFNAME, &zero_ended(to));
    Ok(netlink.ask(&format!("rename {from} to {to}"), request)?)
}

/// Sets an interface up or down.
pub fn set_up(netlink: &mut Netlink, name: &str, up: bool) -> Result<(), LinkError> {
    let flag = libc::IFF_UP.unsigned_abs();
    let request = Request::new(SET_LINK, 0, &link_body(0, index(name)?, if up { flag } else { 0 }, flag));
    Ok(netlink.ask(&format!("set {name} {}", if up { "up" } else { "down" }), request)?)
}

/// Sets an interface's MTU.
pub fn set_mtu(netlink: &mut Netlink, name: &str, mtu: u32) -> Result<(), LinkError> {
    let request = Request::new(SET_LINK, 0, &link_body(0, index(name)?, 0, 0)).with(IFLA_MTU, &mtu.to_ne_bytes());
    Ok(netlink.ask(&format!("set the MTU of {name}"), request)?)
}

/// Gives an interface an IPv4 address.
pub fn add_address(netlink: &mut Netlink, name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), LinkError> {
    let family = u8::try_from(libc::AF_INET).unwrap_or(2);
    let mut body = vec![family, prefix, 0, 0];
    body.extend_from_slice(&index(name)?.to_ne_bytes());
    let request =
        Request::new(NEW_ADDRESS, REPLACE, &body).with(IFA_LOCAL, &address.octets()).with(IFA_ADDRESS, &address.octets());
    Ok(netlink.ask(&format!("give {name} the address {address}/{prefix}"), request)?)
}

/// Makes a bridge that filters by VLAN, admits nobody by itself, and speaks no spanning tree.
pub fn make_bridge(netlink: &mut Netlink, name: &str) -> Result<(), LinkError> {
    let data = Nest::default()
        .with(BR_FORWARD_DELAY, &0u32.to_ne_bytes())
        .with(BR_STP_STATE, &0u32.to_ne_bytes())
        .with(BR_VLAN_FILTERING, &[1])
        .with(BR_MCAST_SNOOPING, &[0])
        .with(BR_VLAN_DEFAULT_PVID, &0u16.to_ne_bytes());
    let info = Nest::default().with(INFO_KIND, b"bridge\0").with_nested(INFO_DATA, &data);
    let request = Request::new(NEW_LINK, CREATE, &link_body(0, 0, 0, 0))
        .with(IFLA_IFNAME, &zero_ended(name))
        .with_nested(IFLA_LINKINFO, &info);
    Ok(netlink.ask(&format!("make the bridge {name}"), request)?)
}

/// Makes a VLAN interface on top of another.
pub fn make_vlan_interface(netlink: &mut Netlink, name: &str, over: &str, vid: u16) -> Result<(), LinkError> {
    let data = Nest::default().with(VLAN_ID, &vid.to_ne_bytes());
    let info = Nest::default().with(INFO_KIND, b"vlan\0").with_nested(INFO_DATA, &data);
    let request = Request::new(NEW_LINK, CREATE, &link_body(0, 0, 0, 0))
        .with(IFLA_IFNAME, &zero_ended(name))
        .with(IFLA_LINK, &index(over)?.to_ne_bytes())
        .with_nested(IFLA_LINKINFO, &info);
    Ok(netlink.ask(&format!("make the VLAN interface {name}"), request)?)
}

/// Puts an interface into a bridge.
pub fn enslave(netlink: &mut Netlink, port: &str, bridge: &str) -> Result<(), LinkError> {
    let request = Request::new(SET_LINK, 0, &link_body(0, index(port)?, 0, 0)).with(IFLA_MASTER, &index(bridge)?.to_ne_bytes());
    Ok(netlink.ask(&format!("put {port} into {bridge}"), request)?)
}

fn vlan_request(kind: u16, port: &str, vid: u16, flags: u16, itself: bool) -> Result<Request, LinkError> {
    let mut info = flags.to_ne_bytes().to_vec();
    info.extend_from_slice(&vid.to_ne_bytes());
    let mut spec = Nest::default();
    if itself {
        spec = spec.with(BRIDGE_FLAGS, &BRIDGE_FLAG_SELF.to_ne_bytes());
    }
    let family = u8::try_from(libc::AF_BRIDGE).unwrap_or(7);
    Ok(Request::new(kind, 0, &link_body(family, index(port)?, 0, 0))
        .with_nested(IFLA_AF_SPEC, &spec.with(BRIDGE_VLAN_INFO, &info)))
}

/// Makes a port an access port of a VLAN (what it was in before stays: remove that first).
pub fn add_access_vlan(netlink: &mut Netlink, port: &str, vid: u16) -> Result<(), LinkError> {
    let request = vlan_request(SET_LINK, port, vid, VLAN_PVID_UNTAGGED, false)?;
    Ok(netlink.ask(&format!("put {port} into VLAN {vid}"), request)?)
}

/// Takes a port out of a VLAN.
pub fn remove_vlan(netlink: &mut Netlink, port: &str, vid: u16) -> Result<(), LinkError> {
    let request = vlan_request(crate::netlink::DEL_LINK, port, vid, 0, false)?;
    Ok(netlink.ask(&format!("take {port} out of VLAN {vid}"), request)?)
}

/// Lets the bridge itself take part in a VLAN, so that an interface on top of it can.
pub fn add_bridge_vlan(netlink: &mut Netlink, bridge: &str, vid: u16) -> Result<(), LinkError> {
    let request = vlan_request(SET_LINK, bridge, vid, 0, true)?;
    Ok(netlink.ask(&format!("let {bridge} itself into VLAN {vid}"), request)?)
}

/// Writes a per-interface IPv4 setting of the kernel.
pub fn set_ipv4_setting(name: &str, key: &str, value: &str) -> Result<(), LinkError> {
    let path = Path::new("/proc/sys/net/ipv4/conf").join(name).join(key);
    fs::write(&path, value).map_err(|source| LinkError::Files { what: format!("write {}", path.display()), source })
}
