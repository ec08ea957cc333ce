//! The payloads by which a session is opened, as the BMC reads and writes them: Open Session, RAKP messages 1 to 4.
//! Total functions over any bytes. Must never tell in a refusal more than its status.

use super::crypto::{BLOCK, Suite};

/// Payload types.
pub const OPEN_REQUEST: u8 = 0x10;
pub const OPEN_REPLY: u8 = 0x11;
pub const RAKP_1: u8 = 0x12;
pub const RAKP_2: u8 = 0x13;
pub const RAKP_3: u8 = 0x14;
pub const RAKP_4: u8 = 0x15;

/// Status codes of RMCP+.
pub mod status {
    pub const INSUFFICIENT_RESOURCES: u8 = 0x01;
    pub const INVALID_SESSION: u8 = 0x02;
    pub const INVALID_AUTHENTICATION: u8 = 0x04;
    pub const INVALID_INTEGRITY: u8 = 0x05;
    pub const INVALID_ROLE: u8 = 0x09;
    pub const UNAUTHORIZED_ROLE: u8 = 0x0a;
    pub const INVALID_NAME_LENGTH: u8 = 0x0c;
    pub const UNAUTHORIZED_NAME: u8 = 0x0d;
    pub const INVALID_PROOF: u8 = 0x0f;
    pub const INVALID_CONFIDENTIALITY: u8 = 0x10;
    pub const NO_SUITE: u8 = 0x11;
}

/// An Open Session request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    pub tag: u8,
    /// Highest privilege level wanted; 0: the highest there is.
    pub privilege: u8,
    /// The console's session id.
    pub console: u32,
    /// Algorithms offered: authentication, integrity, confidentiality.
    pub algorithms: [u8; 3],
}

/// A RAKP message 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge<'a> {
    pub tag: u8,
    /// Our session id.
    pub id: u32,
    /// The console's random number.
    pub nonce: [u8; BLOCK],
    /// Privilege level wanted, with the mark of a look-up by name.
    pub role: u8,
    /// Length of the name as told.
    pub length: u8,
    pub name: &'a [u8],
}

/// A RAKP message 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof<'a> {
    pub tag: u8,
    /// Not 0: the console gives up.
    pub status: u8,
    /// Our session id.
    pub id: u32,
    /// What shows that the console knows the password.
    pub code: &'a [u8],
}

pub fn read_offer(payload: &[u8]) -> Option<Offer> {
    let ([tag, privilege, _, _], rest) = payload.split_first_chunk::<4>()?;
    let (console, rest) = rest.split_first_chunk::<4>()?;
    let mut algorithms = [0; 3];
    let mut blocks = rest.chunks_exact(8);
    for (kind, algorithm) in (0u8..).zip(algorithms.iter_mut()) {
        let [told, _, _, length, number, ..] = blocks.next()? else { return None };
        // a shorter one stands for "any", which is as good as none
        *algorithm = if *told == kind && *length == 8 { number & 0x3f } else { 0 };
    }
    Some(Offer { tag: *tag, privilege: privilege & 0x0f, console: u32::from_le_bytes(*console), algorithms })
}

pub fn read_challenge(payload: &[u8]) -> Option<Challenge<'_>> {
    let ([tag, _, _, _], rest) = payload.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<4>()?;
    let (nonce, rest) = rest.split_first_chunk::<BLOCK>()?;
    let ([role, _, _, length], name) = rest.split_first_chunk::<4>()?;
    // some consoles fill up behind the name
    let name = name.get(..usize::from(*length))?;
    Some(Challenge { tag: *tag, id: u32::from_le_bytes(*id), nonce: *nonce, role: *role, length: *length, name })
}

pub fn read_proof(payload: &[u8]) -> Option<Proof<'_>> {
    let ([tag, status, _, _], rest) = payload.split_first_chunk::<4>()?;
    let (id, code) = rest.split_first_chunk::<4>()?;
    Some(Proof { tag: *tag, status: *status, id: u32::from_le_bytes(*id), code })
}

/// A refusal, the same in every reply.
pub fn refused(tag: u8, status: u8, console: u32) -> Vec<u8> {
    [&[tag, status, 0, 0], console.to_le_bytes().as_slice()].concat()
}

/// Open Session reply: the offer is taken.
pub fn opened(offer: &Offer, privilege: u8, id: u32, suite: Suite) -> Vec<u8> {
    let mut payload = vec![offer.tag, 0, privilege, 0];
    payload.extend(offer.console.to_le_bytes());
    payload.extend(id.to_le_bytes());
    for (kind, algorithm) in (0u8..).zip(suite.algorithms()) {
        payload.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    payload
}

/// RAKP message 2.
pub fn challenge(tag: u8, console: u32, nonce: &[u8; BLOCK], guid: &[u8; BLOCK], code: &[u8]) -> Vec<u8> {
    [&[tag, 0, 0, 0], console.to_le_bytes().as_slice(), nonce, guid, code].concat()
}

/// RAKP message 4.
pub fn confirmed(tag: u8, console: u32, code: &[u8]) -> Vec<u8> {
    [&[tag, 0, 0, 0], console.to_le_bytes().as_slice(), code].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offers_are_read_whole_or_not_at_all() {
        let offer: Vec<u8> =
            [&[7, 4, 0, 0, 4, 3, 2, 1][..], &[0, 0, 0, 8, 3, 0, 0, 0], &[1, 0, 0, 8, 4, 0, 0, 0], &[2, 0, 0, 8, 1, 0, 0, 0]]
                .concat();
        let read = read_offer(&offer).unwrap();
        assert_eq!(read, Offer { tag: 7, privilege: 4, console: 0x0102_0304, algorithms: [3, 4, 1] });
        assert_eq!(read_offer(&offer[..offer.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _ = (read_offer(&noise), read_challenge(&noise), read_proof(&noise));
        }
    }
}
