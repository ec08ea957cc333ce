//! The messages inside the packets: requests read, replies written; and the ping that asks whether anybody is there.
//! Total functions over any bytes. Must never index, nor take a request whose checksums are wrong.

/// The BMC's address on its bus, by the specification.
const BMC: u8 = 0x20;
/// RMCP version 1.0, no acknowledgement wanted, class ASF.
const RMCP_ASF: [u8; 4] = [0x06, 0x00, 0xff, 0x06];
/// The Internet's enterprise number of ASF.
const ASF: [u8; 4] = [0x00, 0x00, 0x11, 0xbe];
const PING: u8 = 0x80;
const PONG: u8 = 0x40;
/// Length of a pong's data, bytes.
const PONG_DATA: u8 = 0x10;
/// "Entities supported" of a pong: IPMI, ASF version 1.0.
const PONG_ENTITIES: u8 = 0x81;

/// Who asked for what: all of a request but its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    requester: u8,
    /// Number of the request and the requester's unit, as they came.
    sequence: u8,
    /// Network function; even in a request.
    pub netfn: u8,
    /// Unit of the BMC that is asked; 0 is the BMC itself.
    pub unit: u8,
    /// Command.
    pub command: u8,
}

/// The tag of a presence ping; None if it is none.
pub fn pinged(packet: &[u8]) -> Option<u8> {
    let ([version, _, _, class], rest) = packet.split_first_chunk::<4>()?;
    let [kind, tag, ..] = rest.strip_prefix(&ASF)? else { return None };
    (*version == 0x06 && class & 0x1f == 0x06 && *kind == PING).then_some(*tag)
}

/// The answer to a ping.
pub fn pong(tag: u8) -> Vec<u8> {
    [RMCP_ASF.as_slice(), &ASF, &[PONG, tag, 0, PONG_DATA], &ASF, &[0; 4], &[PONG_ENTITIES, 0], &[0; 6]].concat()
}

/// A request to this BMC and its data.
pub fn read(message: &[u8]) -> Option<(Head, &[u8])> {
    let (first, second) = message.split_first_chunk::<3>()?;
    let [responder, netfn, _] = first;
    let ([requester, sequence, command], rest) = second.split_first_chunk::<3>()?;
    let (_, data) = rest.split_last()?;
    let head = Head { requester: *requester, sequence: *sequence, netfn: netfn >> 2, unit: netfn & 0x03, command: *command };
    let sound = checksum(first) == 0 && checksum(second) == 0;
    (sound && *responder == BMC && head.netfn.is_multiple_of(2)).then_some((head, data))
}

impl Head {
    /// The reply to this request.
    pub fn reply(&self, code: u8, data: &[u8]) -> Vec<u8> {
        // the requester's unit goes where the BMC's stood, and the other way round
        let first = [self.requester, (self.netfn | 1) << 2 | self.sequence & 0x03];
        let second = [&[BMC, self.sequence & 0xfc | self.unit, self.command, code], data].concat();
        [&first[..], &[checksum(&first)], &second, &[checksum(&second)]].concat()
    }
}

/// What makes the sum of the bytes and itself zero; zero for bytes that end with it.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some((head, data)) = read(&noise) {
                prop_assert!(head.reply(0, data).len() == noise.len() + 1);
            }
            let _ = (pinged(&noise), pinged(&[&[0x06, 0, 0xff, 0x06], noise.as_slice()].concat()));
        }
    }
}
