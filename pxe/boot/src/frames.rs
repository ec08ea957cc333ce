//! IPv4 and UDP headers for answers to clients that have no address yet. Pure: bytes in, bytes out.

use std::net::Ipv4Addr;

const IPV4_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const TTL: u8 = 64;

/// A UDP datagram in its IPv4 packet. `None` if the payload is too long for one.
pub fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let length = u16::try_from(IPV4_HEADER + UDP_HEADER + payload.len()).ok()?;
    let mut udp = Vec::with_capacity(usize::from(udp_length));
    udp.extend(from.1.to_be_bytes());
    udp.extend(to.1.to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut pseudo = Vec::with_capacity(12 + udp.len());
    pseudo.extend(from.0.octets());
    pseudo.extend(to.0.octets());
    pseudo.extend([0, UDP]);
    pseudo.extend(udp_length.to_be_bytes());
    pseudo.extend(&udp);
    // a sum of 0 would mean "no checksum"
    let sum = match checksum(&pseudo) {
        0 => u16::MAX,
        sum => sum,
    };
    udp.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    // no identification, do not fragment
    packet.extend([0, 0, 0x40, 0, TTL, UDP, 0, 0]);
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    let sum = checksum(&packet);
    packet.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
    packet.extend(udp);
    Some(packet)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let (high, low) = (pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0));
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    proptest! {
        #[test]
        fn a_receiver_finds_both_checksums_right(payload in proptest::collection::vec(any::<u8>(), 0..1500), a in any::<u32>(), b in any::<u32>()) {
            let (from, to) = (Ipv4Addr::from_bits(a), Ipv4Addr::from_bits(b));
            let packet = datagram((from, 67), (to, 68), &payload).unwrap();
            prop_assert_eq!(checksum(&packet[..20]), 0);
            let mut pseudo = [from.octets(), to.octets()].concat();
            pseudo.extend([0, UDP]);
            pseudo.extend(&packet[24..26]);
            pseudo.extend(&packet[20..]);
            prop_assert_eq!(checksum(&pseudo), 0);
            prop_assert_eq!(&packet[28..], &payload[..]);
            prop_assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        }
    }
}
