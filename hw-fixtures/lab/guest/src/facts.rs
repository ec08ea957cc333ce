//! What the switch really does, as the kernel says it: for every port its state, VLANs and learnt MAC addresses, one JSON object a line.
//!
//! The oracle judges by these lines. They come from the forwarding state alone, never from what any agent believes or was told.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::limits::FACTS_EVERY;
use crate::netlink::{GET_LINK, GET_NEIGHBOUR, NEW_LINK, NEW_NEIGHBOUR, Netlink, NetlinkError, Request, attributes, take};

const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const EXT_MASK_BRIDGE_VLANS: u32 = 2;
const BRIDGE_VLAN_INFO: u16 = 2;
const BRPORT_STATE: u16 = 1;
const VLAN_PVID: u16 = 2;
const VLAN_UNTAGGED: u16 = 4;
const NDA_LLADDR: u16 = 2;
const NDA_VLAN: u16 = 5;
const NUD_PERMANENT: u16 = 0x80;
/// `RTMGRP_LINK | RTMGRP_NEIGH`.
const GROUPS: u32 = 1 | 4;

/// Everything known of the switch at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Milliseconds since the switch's facts process began.
    pub at_ms: u64,
    /// How often the state had changed when this was taken.
    pub change: u64,
    /// Ports by name.
    pub ports: BTreeMap<String, Port>,
}

/// One port of the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Administratively up.
    pub up: bool,
    /// The bridge forwards on it.
    pub forwarding: bool,
    /// The VLAN that untagged frames enter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pvid: Option<u16>,
    /// VLANs that leave untagged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub untagged: Vec<u16>,
    /// VLANs that leave tagged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tagged: Vec<u16>,
    /// Learnt addresses, as (VLAN, MAC).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub learnt: Vec<(u16, String)>,
}

/// Reads the state of every bridge port.
pub fn collect(netlink: &mut Netlink) -> Result<BTreeMap<String, Port>, NetlinkError> {
    let family = u8::try_from(libc::AF_BRIDGE).unwrap_or(7);
    let mut body = vec![0u8; 16];
    if let Some(first) = body.first_mut() {
        *first = family;
    }
    let mut by_index: BTreeMap<i32, (String, Port)> = BTreeMap::new();
    let request = Request::new(GET_LINK, 0, &body).with(IFLA_EXT_MASK, &EXT_MASK_BRIDGE_VLANS.to_ne_bytes());
    netlink.dump("read the bridge's ports", request, |kind, payload| {
        if kind == NEW_LINK
            && let Some((index, name, port)) = port_of(payload)
        {
            by_index.insert(index, (name, port));
        }
    })?;
    let mut body = vec![0u8; 12];
    if let Some(first) = body.first_mut() {
        *first = family;
    }
    netlink.dump("read the bridge's learnt addresses", Request::new(GET_NEIGHBOUR, 0, &body), |kind, payload| {
        if kind == NEW_NEIGHBOUR
            && let Some((index, vid, mac)) = learnt_of(payload)
            && let Some((_, port)) = by_index.get_mut(&index)
        {
            port.learnt.push((vid, mac));
        }
    })?;
    Ok(by_index
        .into_values()
        .map(|(name, mut port)| {
            port.learnt.sort();
            (name, port)
        })
        .collect())
}

/// A port's number, name and state; None for what is no port (the bridge itself has no master).
fn port_of(payload: &[u8]) -> Option<(i32, String, Port)> {
    let index = i32::from_ne_bytes(take(payload, 4)?);
    let flags = u32::from_ne_bytes(take(payload, 8)?);
    let mut port = Port { up: flags & libc::IFF_UP.unsigned_abs() != 0, ..Port::default() };
    let mut name = None;
    let mut master = None;
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => name = Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()),
            IFLA_MASTER => master = take(value, 0).map(u32::from_ne_bytes),
            IFLA_PROTINFO => {
                port.forwarding = attributes(value).any(|(kind, state)| kind == BRPORT_STATE && state.first() == Some(&3));
            }
            IFLA_AF_SPEC => {
                for (_, info) in attributes(value).filter(|(kind, _)| *kind == BRIDGE_VLAN_INFO) {
                    note_vlan(&mut port, info);
                }
            }
            _ => {}
        }
    }
    if u32::try_from(index).ok() == master {
        return None;
    }
    master?;
    Some((index, name?, port))
}

fn note_vlan(port: &mut Port, info: &[u8]) {
    let (Some(flags), Some(vid)) = (take(info, 0).map(u16::from_ne_bytes), take(info, 2).map(u16::from_ne_bytes)) else {
        return;
    };
    if flags & VLAN_PVID != 0 {
        port.pvid = Some(vid);
    }
    if flags & VLAN_UNTAGGED != 0 {
        port.untagged.push(vid);
    } else {
        port.tagged.push(vid);
    }
}

/// A learnt address: the port's number, the VLAN, the MAC. The bridge's own addresses are not learnt and do not count.
fn learnt_of(payload: &[u8]) -> Option<(i32, u16, String)> {
    let index = i32::from_ne_bytes(take(payload, 4)?);
    let state = u16::from_ne_bytes(take(payload, 8)?);
    if state & NUD_PERMANENT != 0 {
        return None;
    }
    let (mut vid, mut mac) = (0, None);
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            NDA_LLADDR => mac = take::<6>(value, 0),
            NDA_VLAN => vid = take(value, 0).map_or(0, u16::from_ne_bytes),
            _ => {}
        }
    }
    let mac = mac?.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    Some((index, vid, mac))
}

/// Writes a line at every change, and one at least every [`FACTS_EVERY`], until the reader is gone.
pub fn report(out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let news = Netlink::open(GROUPS)?;
    let mut netlink = Netlink::open(0)?;
    let mut snapshot = Snapshot::default();
    loop {
        let ports = collect(&mut netlink)?;
        if ports != snapshot.ports {
            snapshot.ports = ports;
            snapshot.change += 1;
        }
        snapshot.at_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut line = serde_json::to_vec(&snapshot)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()?;
        let timeout = PollTimeout::try_from(FACTS_EVERY).unwrap_or(PollTimeout::ZERO);
        poll(&mut [PollFd::new(news.fd().as_fd(), PollFlags::POLLIN)], timeout)?;
        news.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn port_message(index: i32, master: u32, vlans: &[(u16, u16)]) -> Vec<u8> {
        let mut message = vec![7, 0, 0, 0];
        message.extend_from_slice(&index.to_ne_bytes());
        message.extend_from_slice(&1u32.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend(attribute(IFLA_IFNAME, b"p1\0"));
        message.extend(attribute(IFLA_MASTER, &master.to_ne_bytes()));
        message.extend(attribute(IFLA_PROTINFO | 0x8000, &attribute(BRPORT_STATE, &[3])));
        let mut spec = Vec::new();
        for (flags, vid) in vlans {
            let mut info = flags.to_ne_bytes().to_vec();
            info.extend_from_slice(&vid.to_ne_bytes());
            spec.extend(attribute(BRIDGE_VLAN_INFO, &info));
        }
        message.extend(attribute(IFLA_AF_SPEC, &spec));
        message
    }

    #[test]
    fn a_ports_vlans_are_read_with_their_tagging() {
        let (index, name, port) = port_of(&port_message(4, 9, &[(6, 20), (0, 30)])).unwrap();
        assert_eq!((index, name.as_str()), (4, "p1"));
        assert_eq!(
            port,
            Port { up: true, forwarding: true, pvid: Some(20), untagged: vec![20], tagged: vec![30], learnt: vec![] }
        );
    }

    #[test]
    fn the_bridge_itself_is_no_port() {
        assert!(port_of(&port_message(9, 9, &[])).is_none());
    }

    #[test]
    fn learnt_addresses_are_read_and_own_ones_are_not() {
        let mut message = vec![7, 0, 0, 0];
        message.extend_from_slice(&4i32.to_ne_bytes());
        message.extend_from_slice(&2u16.to_ne_bytes());
        message.extend_from_slice(&[0, 0]);
        message.extend(attribute(NDA_LLADDR, &[0x52, 0x54, 0, 0x0c, 1, 3]));
        message.extend(attribute(NDA_VLAN, &20u16.to_ne_bytes()));
        assert_eq!(learnt_of(&message), Some((4, 20, "52:54:00:0c:01:03".to_owned())));
        message[8] = 0x80;
        assert_eq!(learnt_of(&message), None);
        for cut in 0..message.len() {
            let _ = learnt_of(&message[..cut]);
        }
    }

    #[test]
    fn a_line_reads_back() {
        let port = Port {
            up: true,
            forwarding: true,
            pvid: Some(10),
            untagged: vec![10],
            tagged: vec![],
            learnt: vec![(10, "52:54:00:0c:01:01".into())],
        };
        let snapshot = Snapshot { at_ms: 5, change: 2, ports: [("p1".to_owned(), port)].into() };
        let line = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&line).unwrap(), snapshot);
    }
}
