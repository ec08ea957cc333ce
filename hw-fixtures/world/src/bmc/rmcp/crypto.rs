//! The arithmetic of RMCP+ on the BMC's side: keyed hashes and AES-CBC of the two cipher suites that it speaks. It is the BMC's own, so that
//! no client is checked against itself. Must never know a suite without authentication, integrity and encryption.

use aes::Aes128;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Block of AES, bytes; as long are its key and the random numbers of the handshake.
pub const BLOCK: usize = 16;
/// Length of the constants of which the keys are made, with either hash, bytes.
const CONSTANT: usize = 20;

/// A cipher suite of the specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// 3: RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Three,
    /// 17: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
}

impl Suite {
    /// The numbers of its algorithms: authentication, integrity, confidentiality.
    pub fn algorithms(self) -> [u8; 3] {
        match self {
            Suite::Three => [1, 1, 1],
            Suite::Seventeen => [3, 4, 1],
        }
    }

    /// Length of the code that ends a packet and a handshake, bytes.
    pub fn code(self) -> usize {
        match self {
            Suite::Three => 12,
            Suite::Seventeen => 16,
        }
    }

    /// The keyed hash over the parts, one after the other, whole.
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Suite::Three => mac::<Hmac<Sha1>>(key, parts),
            Suite::Seventeen => mac::<Hmac<Sha256>>(key, parts),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn mac<H: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <H as KeyInit>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// True if they are the same, in a time that does not tell where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The keys of an open session.
pub struct Keys {
    suite: Suite,
    integrity: Vec<u8>,
    confidentiality: [u8; BLOCK],
}

impl Keys {
    /// Of the session integrity key: the hash of a constant of ones (K1) signs, of twos (K2) encrypts.
    pub fn of(suite: Suite, sik: &[u8]) -> Keys {
        let integrity = suite.mac(sik, &[&[1; CONSTANT]]);
        let second = suite.mac(sik, &[&[2; CONSTANT]]);
        // either hash is longer than a block
        let confidentiality = second.first_chunk().copied().unwrap_or_default();
        Keys { suite, integrity, confidentiality }
    }

    /// The code of what it covers.
    pub fn code(&self, covered: &[u8]) -> Vec<u8> {
        let mut code = self.suite.mac(&self.integrity, &[covered]);
        code.truncate(self.suite.code());
        code
    }

    /// What stands before the code at the end; None if the code is another.
    pub fn proven<'a>(&self, signed: &'a [u8]) -> Option<&'a [u8]> {
        let (covered, code) = signed.split_at_checked(signed.len().checked_sub(self.suite.code())?)?;
        same(code, &self.code(covered)).then_some(covered)
    }

    /// The initialisation vector, and behind it the message in cipher with its padding: 1, 2, 3, .. and how many of them.
    pub fn encrypt(&self, iv: &[u8; BLOCK], message: &[u8]) -> Vec<u8> {
        let pads = (message.len() + 1).next_multiple_of(BLOCK) - (message.len() + 1);
        let pads = u8::try_from(pads).unwrap_or(0);
        let plain: Vec<u8> = message.iter().copied().chain(1..=pads).chain([pads]).collect();
        let cipher = cbc::Encryptor::<Aes128>::new((&self.confidentiality).into(), iv.into());
        [&iv[..], &cipher.encrypt_padded_vec::<NoPadding>(&plain)].concat()
    }

    /// The message of such a payload; None if it is cut within a block, or its padding is wrong.
    pub fn decrypt(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (iv, sealed) = payload.split_first_chunk::<BLOCK>()?;
        let cipher = cbc::Decryptor::<Aes128>::new((&self.confidentiality).into(), iv.into());
        let mut plain = cipher.decrypt_padded_vec::<NoPadding>(sealed).ok()?;
        let pads = plain.pop().filter(|pads| usize::from(*pads) < BLOCK)?;
        let message = plain.len().checked_sub(usize::from(pads))?;
        let right = plain.iter().skip(message).copied().eq(1..=pads);
        plain.truncate(message);
        right.then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_are_the_published_ones() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // RFC 2202 and RFC 4231, test case 2
        let data: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
        assert_eq!(hex(&Suite::Three.mac(b"Jefe", data)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let long = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&Suite::Seventeen.mac(b"Jefe", data)), long);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_nothing_else(plain in proptest::collection::vec(any::<u8>(), 0..80), iv: [u8; 16], at: usize, bit in 0u8..8) {
            for suite in [Suite::Three, Suite::Seventeen] {
                let keys = Keys::of(suite, &[7; 20]);
                let sealed = keys.encrypt(&iv, &plain);
                prop_assert!(sealed.len().is_multiple_of(BLOCK));
                prop_assert_eq!(keys.decrypt(&sealed), Some(plain.clone()));
                let mut signed = [sealed.clone(), keys.code(&sealed)].concat();
                prop_assert_eq!(keys.proven(&signed), Some(&sealed[..]));
                let at = at % signed.len();
                signed[at] ^= 1 << bit;
                prop_assert_eq!(keys.proven(&signed), None);
            }
        }

        #[test]
        fn opening_is_total(noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let keys = Keys::of(Suite::Three, &[7; 20]);
            let _ = (keys.decrypt(&noise), keys.proven(&noise));
        }
    }
}
