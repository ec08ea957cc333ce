//! The arithmetic of RMCP+: keyed hashes, AES-CBC, the two cipher suites that are ever used. Constant-time where a secret is compared.
//! Must never know a suite without authentication, integrity and encryption: suite 0 and its kin do not exist here.

use aes::Aes128;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Block of AES, bytes; also the length of its key and of a random number in the handshake.
pub const BLOCK: usize = 16;
/// The constants that K1 and K2 are made from are this long, whatever the hash, bytes.
const CONSTANT: usize = 20;

/// A cipher suite of the specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// 17: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
    /// 3: RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Three,
}

impl Suite {
    /// The numbers of its algorithms: authentication, integrity, confidentiality.
    pub fn algorithms(self) -> [u8; 3] {
        match self {
            Suite::Seventeen => [0x03, 0x04, 0x01],
            Suite::Three => [0x01, 0x01, 0x01],
        }
    }

    /// Its number in the specification.
    pub fn number(self) -> u8 {
        match self {
            Suite::Seventeen => 17,
            Suite::Three => 3,
        }
    }

    /// Length of a whole hash, bytes.
    pub fn digest(self) -> usize {
        match self {
            Suite::Seventeen => 32,
            Suite::Three => 20,
        }
    }

    /// Length of the code at a packet's end, bytes.
    pub fn code(self) -> usize {
        match self {
            Suite::Seventeen => 16,
            Suite::Three => 12,
        }
    }

    /// The keyed hash over the parts, one after the other.
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        match self {
            Suite::Seventeen => hash::<Hmac<Sha256>>(key, parts),
            Suite::Three => hash::<Hmac<Sha1>>(key, parts),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn hash<H: hmac::Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut hash = <H as KeyInit>::new_from_slice(key).expect("any length");
    for part in parts {
        hash.update(part);
    }
    Zeroizing::new(hash.finalize().into_bytes().to_vec())
}

/// Compares in a time that tells nothing about where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The keys of a session.
pub struct Keys {
    suite: Suite,
    /// For integrity.
    k1: Zeroizing<Vec<u8>>,
    /// For encryption.
    k2: Zeroizing<[u8; BLOCK]>,
}

impl Keys {
    /// From the session integrity key.
    pub fn of(suite: Suite, sik: &[u8]) -> Keys {
        let k1 = suite.mac(sik, &[&[1; CONSTANT]]);
        let long = suite.mac(sik, &[&[2; CONSTANT]]);
        let mut k2 = Zeroizing::new([0; BLOCK]);
        for (to, from) in k2.iter_mut().zip(long.iter()) {
            *to = *from;
        }
        Keys { suite, k1, k2 }
    }

    /// The code at a packet's end.
    pub fn code(&self, packet: &[u8]) -> Vec<u8> {
        let whole = self.suite.mac(&self.k1, &[packet]);
        whole.iter().take(self.suite.code()).copied().collect()
    }

    /// Takes the code off a packet's end; `None` if it is not right.
    pub fn proven<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let (body, code) = packet.split_at_checked(packet.len().checked_sub(self.suite.code())?)?;
        same(&self.code(body), code).then_some(body)
    }

    /// The initialisation vector and what it encrypts.
    pub fn encrypt(&self, iv: &[u8; BLOCK], plain: &[u8]) -> Vec<u8> {
        let mut padded = plain.to_vec();
        let pad = (BLOCK - (plain.len() + 1) % BLOCK) % BLOCK;
        // the padding counts 1, 2, 3, .. and its length, below 16, comes last
        padded.extend((1u8..).take(pad));
        padded.push(u8::try_from(pad).unwrap_or(0));
        let sealed = cbc::Encryptor::<Aes128>::new((&*self.k2).into(), iv.into()).encrypt_padded_vec::<NoPadding>(&padded);
        [iv.as_slice(), &sealed].concat()
    }

    /// The plain text; `None` if it is not a whole number of blocks or its padding is not right.
    pub fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (iv, sealed) = sealed.split_first_chunk::<BLOCK>()?;
        let cipher = cbc::Decryptor::<Aes128>::new((&*self.k2).into(), iv.into());
        let mut plain = cipher.decrypt_padded_vec::<NoPadding>(sealed).ok()?;
        let pad = usize::from(plain.pop()?);
        let keep = plain.len().checked_sub(pad)?;
        let (_, padding) = plain.split_at_checked(keep)?;
        if pad >= BLOCK || !padding.iter().copied().eq((1u8..).take(pad)) {
            return None;
        }
        plain.truncate(keep);
        Some(plain)
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
                prop_assert_eq!(sealed.len() % BLOCK, 0);
                prop_assert_eq!(keys.decrypt(&sealed), Some(plain.clone()));
                let mut packet = [sealed.clone(), keys.code(&sealed)].concat();
                prop_assert_eq!(keys.proven(&packet), Some(sealed.as_slice()));
                let at = at % packet.len();
                packet[at] ^= 1 << bit;
                prop_assert_eq!(keys.proven(&packet), None);
            }
        }

        #[test]
        fn opening_is_total(noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let keys = Keys::of(Suite::Three, &[7; 20]);
            let _ = (keys.decrypt(&noise), keys.proven(&noise));
        }
    }
}
