//! Frames as a machine makes and reads them: Ethernet, ARP, and UDP in IPv4. Pure; reading is total.

use super::cables::Mac;
use std::net::{Ipv4Addr, SocketAddrV4};

/// To all that hear it.
pub const EVERYBODY: Mac = [0xff; 6];
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [8, 0];
const ARP: [u8; 2] = [8, 6];
const IPV4_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

/// A UDP datagram that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// For whom it is.
    pub to: SocketAddrV4,
    /// What it says.
    pub payload: Vec<u8>,
}

fn ethernet(from: Mac, to: Mac, kind: [u8; 2]) -> Vec<u8> {
    [to.as_slice(), &from, &kind].concat()
}

/// The destination of a frame.
pub fn destination(frame: &[u8]) -> Option<Mac> {
    frame.first_chunk().copied()
}

/// A datagram in its frame, from one NIC to another.
pub fn udp(macs: (Mac, Mac), from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = |extra: usize| u16::try_from(extra + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = vec![0x45, 0];
    header.extend(length(IPV4_HEADER + UDP_HEADER));
    header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    header.extend(from.ip().octets());
    header.extend(to.ip().octets());
    let sum = checksum(&header).to_be_bytes();
    if let Some(place) = header.get_mut(10..12) {
        place.copy_from_slice(&sum);
    }
    let mut frame = ethernet(macs.0, macs.1, IPV4);
    frame.extend(header);
    frame.extend(from.port().to_be_bytes());
    frame.extend(to.port().to_be_bytes());
    frame.extend(length(UDP_HEADER));
    // no check sum over the data: IPv4 allows it, and firmware does it
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Reads a frame with a datagram whose header is whole.
pub fn datagram(frame: &[u8]) -> Option<Datagram> {
    if frame.get(12..ETHERNET)? != IPV4 {
        return None;
    }
    let packet = frame.get(ETHERNET..)?;
    let header = packet.get(..IPV4_HEADER)?;
    let address = |at: usize| packet.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    let number = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk::<2>().map(|two| u16::from_be_bytes(*two));
    if header.first() != Some(&0x45) || header.get(9) != Some(&UDP) || checksum(header) != 0 {
        return None;
    }
    let segment = packet.get(IPV4_HEADER..usize::from(number(packet, 2)?))?;
    let payload = segment.get(UDP_HEADER..usize::from(number(segment, 4)?))?.to_vec();
    let from = SocketAddrV4::new(address(12)?, number(segment, 0)?);
    let to = SocketAddrV4::new(address(16)?, number(segment, 2)?);
    Some(Datagram { from, to, payload })
}

/// The announcement of an address that a machine takes up: a request for its own.
pub fn announcement(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    arp(REQUEST, (mac, address), ([0; 6], address), EVERYBODY)
}

/// The answer to a frame that asks for this address; `None` if it does not.
pub fn arp_answer(mac: Mac, address: Ipv4Addr, frame: &[u8]) -> Option<Vec<u8>> {
    let asked = frame.get(12..ETHERNET)? == ARP && frame.get(ETHERNET..ETHERNET + 8)? == [0, 1, 8, 0, 6, 4, 0, REQUEST];
    let who: Mac = *frame.get(22..)?.first_chunk()?;
    let whose = Ipv4Addr::from(*frame.get(28..)?.first_chunk::<4>()?);
    let wanted = Ipv4Addr::from(*frame.get(38..)?.first_chunk::<4>()?);
    (asked && wanted == address && who != mac).then(|| arp(REPLY, (mac, address), (who, whose), who))
}

fn arp(operation: u8, from: (Mac, Ipv4Addr), about: (Mac, Ipv4Addr), to: Mac) -> Vec<u8> {
    let mut frame = ethernet(from.0, to, ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(from.0);
    frame.extend(from.1.octets());
    frame.extend(about.0);
    frame.extend(about.1.octets());
    frame
}

/// RFC 1071; 0 over a header that holds its own right sum.
fn checksum(bytes: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(pair.first().copied().unwrap_or(0)) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // the loop ends below 2^16
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Mac = [2, 0, 0, 0, 0, 1];
    const TWO: Mac = [2, 0, 0, 0, 0, 2];

    #[test]
    fn a_datagram_comes_back_and_a_bent_header_does_not() {
        let (from, to) = ("10.0.0.1:68".parse().unwrap(), "10.0.0.2:67".parse().unwrap());
        let mut frame = udp((ONE, TWO), from, to, b"hello");
        frame.resize(60, 0);
        assert_eq!(datagram(&frame), Some(Datagram { from, to, payload: b"hello".to_vec() }), "padding is not part of it");
        assert_eq!(destination(&frame), Some(TWO));
        frame[ETHERNET + 15] ^= 1;
        assert_eq!(datagram(&frame), None);
    }

    #[test]
    fn whoever_asks_for_the_address_is_answered() {
        let (mine, other): (Ipv4Addr, Ipv4Addr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let question = arp(REQUEST, (TWO, other), ([0; 6], mine), EVERYBODY);
        let answer = arp_answer(ONE, mine, &question).unwrap();
        assert_eq!((destination(&answer), &answer[20..22], &answer[22..28]), (Some(TWO), &[0, REPLY][..], &ONE[..]));
        assert_eq!(arp_answer(ONE, other, &question), None);
        assert_eq!(arp_answer(ONE, mine, &answer), None, "an answer is no question");
        assert_eq!(arp_answer(ONE, mine, &announcement(ONE, mine)), None, "nor is one's own announcement");
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..60) {
            let _ = (datagram(&frame), arp_answer(ONE, Ipv4Addr::LOCALHOST, &frame), destination(&frame));
            let real = udp((ONE, TWO), "10.0.0.1:68".parse().unwrap(), "10.0.0.2:67".parse().unwrap(), &frame);
            let _ = datagram(&real[..cut.min(real.len())]);
        }
    }
}
