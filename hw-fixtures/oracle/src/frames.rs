//! Frames as the witness and the storage watcher read and write them. Total: bytes in, facts out, nothing assumed of their length.

use std::net::Ipv4Addr;

use guest::records::Record;
use vocabulary::Mac;
use vocabulary::storage::InitiatorName;

const ETHERNET_HEADER: usize = 14;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV4: u16 = 0x0800;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Ethernet and IPv4 over ARP, a request.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// The first six bytes that request and reply share.
const ARP_ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// The shortest Ethernet frame without its checksum.
const FRAME_MIN: usize = 60;
/// Basic header segment of an iSCSI message.
const ISCSI_HEADER: usize = 48;
const ISCSI_LOGIN: u8 = 0x03;
/// The operation in the first byte; the bit above it says "immediate".
const ISCSI_OPERATION: u8 = 0x3f;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// An ARP request for an address.
#[must_use]
pub fn probe(own: Mac, from: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(own.0);
    frame.extend(TYPE_ARP.to_be_bytes());
    frame.extend(ARP_REQUEST);
    frame.extend(own.0);
    frame.extend(from.octets());
    frame.extend([0; 6]);
    frame.extend(wanted.octets());
    frame.resize(FRAME_MIN, 0);
    frame
}

/// Who says in an ARP frame that it has which address: the sender, in requests as in replies.
#[must_use]
pub fn claims(frame: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    if number(frame, 12)? != TYPE_ARP || array(frame, ETHERNET_HEADER)? != ARP_ETHERNET_IPV4 {
        return None;
    }
    let (mac, address) = (array(frame, ETHERNET_HEADER + 8)?, array(frame, ETHERNET_HEADER + 14)?);
    Some((Mac(mac), Ipv4Addr::from(address)))
}

/// The sender of an IPv4 frame, and what its packet of this protocol carries behind the IP header.
fn inside(frame: &[u8], protocol: u8) -> Option<(Mac, &[u8])> {
    if number(frame, 12)? != TYPE_IPV4 {
        return None;
    }
    let packet = frame.get(ETHERNET_HEADER..)?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = number(packet, 6)? & 0x1fff;
    if *packet.get(9)? != protocol || fragment != 0 {
        return None;
    }
    // a short packet is padded by Ethernet
    let whole = packet.get(..usize::from(number(packet, 2)?).min(packet.len()))?;
    Some((Mac(array(frame, 6)?), whole.get(header..)?))
}

/// The acknowledgement in a frame to this UDP port, and the MAC address it came from.
#[must_use]
pub fn acknowledgement(frame: &[u8], port: u16) -> Option<(Mac, Record)> {
    let (mac, datagram) = inside(frame, UDP)?;
    if number(datagram, 2)? != port {
        return None;
    }
    Some((mac, record(datagram.get(8..)?)?))
}

/// The record that an acknowledgement names.
#[must_use]
pub fn record(datagram: &[u8]) -> Option<Record> {
    Record::parse(std::str::from_utf8(datagram).ok()?.strip_suffix('\n')?)
}

/// A login at a storage portal as it passes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// From which NIC.
    pub mac: Mac,
    /// As whom.
    pub initiator: InitiatorName,
    /// At which target, if it says.
    pub target: Option<String>,
}

/// The login that begins in a frame to this TCP port. Firmware may send the message's header in a frame of its own.
#[must_use]
pub fn login(frame: &[u8], port: u16) -> Option<Login> {
    let (mac, segment) = inside(frame, TCP)?;
    if number(segment, 2)? != port {
        return None;
    }
    let payload = segment.get(usize::from(*segment.get(12)? >> 4) * 4..)?;
    let is_login = payload.first()? & ISCSI_OPERATION == ISCSI_LOGIN;
    let text = if payload.starts_with(b"InitiatorName=") {
        payload
    } else if is_login {
        payload.get(ISCSI_HEADER..)?
    } else {
        return None;
    };
    let mut initiator = None;
    let mut target = None;
    for pair in text.split(|byte| *byte == 0).filter_map(|pair| std::str::from_utf8(pair).ok()) {
        match pair.split_once('=') {
            Some(("InitiatorName", name)) => initiator = Some(InitiatorName(name.to_owned())),
            Some(("TargetName", name)) => target = Some(name.to_owned()),
            _ => {}
        }
    }
    Some(Login { mac, initiator: initiator?, target })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const M1: Mac = Mac([0x52, 0x54, 0, 0x0c, 1, 3]);
    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ipv4(protocol: u8, inner: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 6];
        frame.extend(M1.0);
        frame.extend([8, 0, 0x45, 0]);
        frame.extend(u16::try_from(20 + inner.len()).unwrap().to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 30, 0, 11, 10, 30, 0, 1]);
        frame.extend(inner);
        frame.resize(frame.len().max(FRAME_MIN), 0);
        frame
    }

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xc0, 0, 0x0c, 0xbc, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x18, 1, 0, 0, 0, 0, 0];
        segment.extend([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
        segment.extend(payload);
        ipv4(TCP, &segment)
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0xc0, 0];
        datagram.extend(port.to_be_bytes());
        datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        ipv4(UDP, &datagram)
    }

    #[test]
    fn a_probe_asks_and_is_a_claim_of_the_prober_alone() {
        let frame = probe(OWN, Ipv4Addr::new(10, 20, 0, 1), Ipv4Addr::new(10, 20, 0, 11));
        assert_eq!(frame.len(), 60);
        assert_eq!(frame[20..22], [0, 1]);
        assert_eq!(frame[38..42], [10, 20, 0, 11]);
        assert_eq!(claims(&frame), Some((OWN, Ipv4Addr::new(10, 20, 0, 1))));
    }

    #[test]
    fn a_reply_and_an_announcement_are_claims() {
        let mut reply = probe(M1, Ipv4Addr::new(10, 20, 0, 11), Ipv4Addr::new(10, 20, 0, 1));
        reply[21] = 2;
        assert_eq!(claims(&reply), Some((M1, Ipv4Addr::new(10, 20, 0, 11))));
        let announcement = probe(M1, Ipv4Addr::new(10, 20, 0, 11), Ipv4Addr::new(10, 20, 0, 11));
        assert_eq!(claims(&announcement), Some((M1, Ipv4Addr::new(10, 20, 0, 11))));
    }

    #[test]
    fn an_acknowledgement_names_its_machine() {
        let (mac, record) = acknowledgement(&udp(7777, b"web1 ab12 7\n"), 7777).unwrap();
        assert_eq!((mac, record.number), (M1, 7), "the padding of a short frame is no part of it");
        assert!(acknowledgement(&udp(7778, b"web1 ab12 7\n"), 7777).is_none());
        assert!(acknowledgement(&udp(7777, b"web1 ab12 7"), 7777).is_none());
    }

    #[test]
    fn a_login_is_read_whole_or_from_its_second_frame() {
        let keys = b"InitiatorName=iqn.x:web1.e5\0TargetName=iqn.t:web1-root\0SessionType=Normal\0";
        let mut whole = vec![0x43];
        whole.resize(ISCSI_HEADER, 0);
        let header = whole.clone();
        whole.extend(keys);
        let wanted = Login { mac: M1, initiator: InitiatorName("iqn.x:web1.e5".into()), target: Some("iqn.t:web1-root".into()) };
        assert_eq!(login(&tcp(&whole), 3260), Some(wanted.clone()));
        assert_eq!(login(&tcp(keys), 3260), Some(wanted));
        assert_eq!(login(&tcp(&header), 3260), None);
        assert_eq!(login(&tcp(&whole), 3261), None);
        let mut data = vec![0x05];
        data.resize(ISCSI_HEADER, 0);
        data.extend(keys);
        assert_eq!(login(&tcp(&data), 3260), None, "written data is no login");
    }

    proptest! {
        #[test]
        fn readers_are_total(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0usize..3) {
            let frames = [bytes.clone(), tcp(&bytes), udp(7777, &bytes)];
            let frame = &frames[kind];
            for cut in 0..frame.len() {
                let part = &frame[..cut];
                let _ = (claims(part), acknowledgement(part, 7777), login(part, 3260));
            }
        }
    }
}
