//! The bytes around an IPMI message: RMCP, ASF ping, the 1.5 header without a session, the 2.0 header, and the message itself.
//! Total functions over any bytes. Must never index, and never believe a length that the packet does not hold.

/// A larger packet is no IPMI, bytes.
pub const PACKET_MAX: usize = 1024;
/// RMCP version 1.0, no acknowledgement wanted, class IPMI.
const RMCP_IPMI: [u8; 4] = [0x06, 0x00, 0xff, 0x07];
/// The same with class ASF.
const RMCP_ASF: [u8; 4] = [0x06, 0x00, 0xff, 0x06];
/// The Internet's enterprise number of ASF.
const ASF: [u8; 4] = [0x00, 0x00, 0x11, 0xbe];
const PING: u8 = 0x80;
const PONG: u8 = 0x40;
/// "Entities supported" of a pong: the bit for IPMI.
const PONG_IPMI: u8 = 0x80;
/// Authentication type of RMCP+.
const RMCP_PLUS: u8 = 0x06;
/// The BMC's address and ours on its bus, by the specification.
const BMC: u8 = 0x20;
const CONSOLE: u8 = 0x81;
/// Sequence numbers of messages have 6 bits.
pub const SEQUENCES: u8 = 64;

/// Payload type of an IPMI message.
pub const MESSAGE: u8 = 0x00;
/// Marks of a payload that is encrypted and authenticated.
pub const SEALED: u8 = 0xc0;

/// Asks whether RMCP is spoken at an address; needs no account.
pub fn ping(tag: u8) -> Vec<u8> {
    [RMCP_ASF.as_slice(), &ASF, &[PING, tag, 0x00, 0x00]].concat()
}

/// True for an answer to [`ping`] from a box that speaks IPMI.
pub fn is_pong(packet: &[u8]) -> bool {
    let asf = packet.strip_prefix(&RMCP_ASF).or_else(|| packet.get(4..).filter(|_| packet.starts_with(&[0x06, 0x00])));
    let data =
        asf.and_then(|asf| asf.strip_prefix(&ASF)).filter(|pong| pong.first() == Some(&PONG)).and_then(|pong| pong.get(4..));
    // enterprise number and OEM data, 4 bytes each, go before
    data.and_then(|data| data.get(8)).is_some_and(|entities| entities & PONG_IPMI != 0)
}

/// A message without a session, in the form of IPMI 1.5: every BMC reads it.
pub fn bare(message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(message.len()).unwrap_or(0);
    [RMCP_IPMI.as_slice(), &[0; 9], &[length], message].concat()
}

/// The message of a packet without a session, in the form of 1.5.
pub fn read_bare(packet: &[u8]) -> Option<&[u8]> {
    let (header, rest) = ipmi(packet)?.split_first_chunk::<9>()?;
    let (length, message) = rest.split_first()?;
    (header == &[0; 9]).then(|| message.get(..usize::from(*length)))?
}

/// What follows the RMCP header. The sequence number there, 0xff by the specification, is not looked at: some BMCs count.
fn ipmi(packet: &[u8]) -> Option<&[u8]> {
    let ([version, _, _, class], rest) = packet.split_first_chunk::<4>()?;
    (packet.len() <= PACKET_MAX && *version == 0x06 && class & 0x9f == 0x07).then_some(rest)
}

/// What the 2.0 header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Payload type with its two marks.
    pub kind: u8,
    /// The receiver's session id; 0 during the handshake.
    pub session: u32,
    /// Number of the packet in its direction.
    pub sequence: u32,
}

/// A packet with a 2.0 header, up to where the code begins.
pub fn plus(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = RMCP_IPMI.to_vec();
    packet.extend([RMCP_PLUS, header.kind]);
    packet.extend(header.session.to_le_bytes());
    packet.extend(header.sequence.to_le_bytes());
    packet.extend(u16::try_from(payload.len()).unwrap_or(0).to_le_bytes());
    packet.extend(payload);
    packet
}

/// Fills a packet up so that its authenticated part is a multiple of four, and says by how much.
pub fn fill(packet: &mut Vec<u8>) {
    /// Pad length and next header.
    const TRAILER: usize = 2;
    let pad = (4 - (packet.len() + TRAILER) % 4) % 4;
    packet.extend(std::iter::repeat_n(0xff, pad));
    packet.extend([u8::try_from(pad).unwrap_or(0), 0x07]);
}

/// Header and payload of a 2.0 packet. What follows the payload is not looked at.
pub fn read_plus(packet: &[u8]) -> Option<(Header, &[u8])> {
    let ([kind_of_header, kind, a, b, c, d, e, f, g, h, low, high], rest) = ipmi(packet)?.split_first_chunk::<12>()?;
    let header =
        Header { kind: *kind, session: u32::from_le_bytes([*a, *b, *c, *d]), sequence: u32::from_le_bytes([*e, *f, *g, *h]) };
    let payload = rest.get(..usize::from(u16::from_le_bytes([*low, *high])))?;
    (*kind_of_header == RMCP_PLUS).then_some((header, payload))
}

/// The part of a packet that its code covers: all but the RMCP header.
pub fn covered(packet: &[u8]) -> Option<&[u8]> {
    ipmi(packet)
}

/// A request to the BMC's own controller.
pub fn message(sequence: u8, netfn: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let netfn = netfn << 2;
    let mut message = vec![BMC, netfn, checksum(&[BMC, netfn])];
    let body = [&[CONSOLE, sequence << 2, command], data].concat();
    message.extend(&body);
    message.push(checksum(&body));
    message
}

/// An answer of the BMC's own controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer<'a> {
    /// Network function; odd in an answer.
    pub netfn: u8,
    /// Number of the request.
    pub sequence: u8,
    /// Command of the request.
    pub command: u8,
    /// Completion code.
    pub code: u8,
    /// What follows it.
    pub data: &'a [u8],
}

/// Reads an answer. The checksums are not looked at: inside a session the code covers more than they do, outside nothing that is said
/// counts, and some BMCs get them wrong.
pub fn read_answer(message: &[u8]) -> Option<Answer<'_>> {
    let ([_, netfn, _, _, sequence, command, code], rest) = message.split_first_chunk::<7>()?;
    let (_, data) = rest.split_last()?;
    Some(Answer { netfn: netfn >> 2, sequence: sequence >> 2, command: *command, code: *code, data })
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_those_of_the_specification() {
        // Get Channel Authentication Capabilities as every console sends it
        let asked = bare(&message(0, 0x06, 0x38, &[0x8e, 0x04]));
        let known =
            [0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, 0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5];
        assert_eq!(asked, known);
        assert_eq!(read_bare(&asked), Some(&known[14..]));
        let pong = [
            &[0x06, 0x00, 0xff, 0x06][..],
            &[0, 0, 0x11, 0xbe, 0x40, 0, 0, 0x10],
            &[0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0],
            &[0; 6],
        ];
        assert!(is_pong(&pong.concat()) && !is_pong(&ping(0)));
    }

    #[test]
    fn a_filled_packet_ends_on_a_multiple_of_four() {
        for length in 0..9 {
            let mut packet = plus(Header { kind: SEALED, session: 1, sequence: 2 }, &vec![9; length]);
            fill(&mut packet);
            assert_eq!(packet.len() % 4, 0);
            let (header, payload) = read_plus(&packet).unwrap();
            assert_eq!((header.session, header.sequence, payload.len()), (1, 2, length));
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..80), class in 0u8..10) {
            let packet = [&[0x06, 0x00, 0xff, class], noise.as_slice()].concat();
            let _ = (is_pong(&packet), read_bare(&packet), read_plus(&packet), read_answer(&noise), covered(&packet));
            let _ = (is_pong(&noise), read_bare(&noise), read_plus(&noise));
        }
    }
}
