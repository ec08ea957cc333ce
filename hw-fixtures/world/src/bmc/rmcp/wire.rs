//! The bytes around a message, as a BMC reads and writes them: RMCP, the header of IPMI 1.5 without a session, the header of 2.0.
//! Total functions over any bytes. Must never index, nor believe a length that the packet does not hold.

/// A larger packet is not looked at, bytes.
pub const PACKET_MAX: usize = 1024;
/// Payload type of an IPMI message.
pub const MESSAGE: u8 = 0x00;
/// Marks of a payload type: encrypted (bit 7) and authenticated (bit 6).
pub const SEALED: u8 = 0xc0;
/// RMCP version 1.0; reserved; no acknowledgement is wanted; class IPMI.
const RMCP: [u8; 4] = [0x06, 0x00, 0xff, 0x07];
/// What of the class says that it is IPMI and no acknowledgement.
const CLASS: u8 = 0x9f;
/// Authentication types: none (IPMI 1.5), and the one that stands for RMCP+.
const NO_AUTHENTICATION: u8 = 0x00;
const RMCP_PLUS: u8 = 0x06;
/// "Next header" of an authenticated packet, by the specification.
const NEXT_HEADER: u8 = 0x07;
/// What a packet is filled up with.
const PAD: u8 = 0xff;

/// What the 2.0 header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Payload type with its two marks.
    pub kind: u8,
    /// The receiver's session id; 0 outside of a session.
    pub session: u32,
    /// Number of the packet in its direction.
    pub sequence: u32,
}

/// What follows the RMCP header of a packet of IPMI, which is also what a code covers. Consoles may number RMCP as they like.
pub fn covered(packet: &[u8]) -> Option<&[u8]> {
    let ([version, _, _, class], body) = packet.split_first_chunk()?;
    (packet.len() <= PACKET_MAX && *version == RMCP[0] && class & CLASS == RMCP[3]).then_some(body)
}

/// The message of a packet in the form of 1.5, without a session: number and id are zero.
pub fn read_bare(packet: &[u8]) -> Option<&[u8]> {
    let ([authentication, numbers @ .., length], rest) = covered(packet)?.split_first_chunk::<10>()?;
    let outside = *authentication == NO_AUTHENTICATION && numbers.iter().all(|byte| *byte == 0);
    rest.get(..usize::from(*length)).filter(|_| outside)
}

/// A message in that form; no message of a BMC is longer than its length can say.
pub fn bare(message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(message.len()).unwrap_or(0);
    [&RMCP[..], &[NO_AUTHENTICATION], &[0; 8], &[length], message].concat()
}

/// Header and payload of a packet of 2.0. Behind the payload may stand what fills it up, and a code.
pub fn read_plus(packet: &[u8]) -> Option<(Header, &[u8])> {
    let ([RMCP_PLUS, kind], rest) = covered(packet)?.split_first_chunk()? else { return None };
    let (session, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let header = Header { kind: *kind, session: u32::from_le_bytes(*session), sequence: u32::from_le_bytes(*sequence) };
    Some((header, rest.get(..usize::from(u16::from_le_bytes(*length)))?))
}

/// A packet of 2.0 up to the end of its payload.
pub fn plus(header: Header, payload: &[u8]) -> Vec<u8> {
    let Header { kind, session, sequence } = header;
    let length = u16::try_from(payload.len()).unwrap_or(0);
    [&RMCP[..], &[RMCP_PLUS, kind], &session.to_le_bytes(), &sequence.to_le_bytes(), &length.to_le_bytes(), payload].concat()
}

/// Fills a packet up so that what its code covers is a multiple of four bytes.
pub fn fill(packet: &mut Vec<u8>) {
    // with the two bytes that end it; the RMCP header does not count, but is itself a multiple of four
    let pad = (packet.len() + 2).next_multiple_of(4) - (packet.len() + 2);
    packet.extend([PAD; 3].iter().take(pad));
    packet.extend([u8::try_from(pad).unwrap_or(0), NEXT_HEADER]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_those_of_the_specification() {
        // Get Channel Authentication Capabilities as every console sends it
        let message = [0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5];
        let known = [&[0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x09][..], &message].concat();
        assert_eq!((bare(&message), read_bare(&known)), (known.clone(), Some(&message[..])));
        assert_eq!(read_bare(&known[..known.len() - 1]), None);
        // an Open Session request with no more than its first two bytes
        let header = Header { kind: 0x10, session: 0, sequence: 0x0403_0201 };
        let known = [0x06, 0x00, 0xff, 0x07, 0x06, 0x10, 0, 0, 0, 0, 1, 2, 3, 4, 2, 0, 9, 8];
        assert_eq!((plus(header, &[9, 8]), read_plus(&known)), (known.to_vec(), Some((header, &[9, 8][..]))));
        assert_eq!(read_plus(&known[..17]), None);
    }

    #[test]
    fn a_filled_packet_is_a_multiple_of_four_and_reads_as_before() {
        for length in 0..9 {
            let header = Header { kind: SEALED | MESSAGE, session: 1, sequence: 2 };
            let payload = vec![9; length];
            let mut packet = plus(header, &payload);
            fill(&mut packet);
            assert!(packet.len().is_multiple_of(4) && packet.ends_with(&[NEXT_HEADER]));
            assert_eq!(read_plus(&packet), Some((header, &payload[..])));
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
            for packet in [noise.clone(), [&RMCP[..], &noise].concat()] {
                let _ = (read_bare(&packet), read_plus(&packet), covered(&packet));
            }
        }
    }
}
