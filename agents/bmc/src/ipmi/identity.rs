//! Is the box behind the address the machine that is meant? IPMI tells a GUID, in one of three orders of bytes.
//! Must never answer yes for a box that tells no GUID, or another one.

use vocabulary::power::Identity;

/// The sample in a BIOS vendor's source.
const SAMPLE: &str = "03000200-0400-0500-0006-000700080009";

/// The GUID as text, in each order of bytes that BMCs use: as SMBIOS (the most frequent), as the UUID's own text, as IPMI's
/// specification (all bytes reversed).
fn texts(guid: [u8; 16]) -> [String; 3] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let [i, j, k, l, m, n, o, p] = rest;
    let smbios = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
    let mut reversed = guid;
    reversed.reverse();
    [smbios, guid, reversed].map(text)
}

fn text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A UUID from the estate in the form to compare; empty if it names no single machine.
pub fn expected(uuid: &str) -> String {
    let uuid = uuid.trim().to_ascii_lowercase();
    if is_filler(&uuid) { String::new() } else { uuid }
}

fn is_filler(uuid: &str) -> bool {
    let only = |digit: char| uuid.chars().all(|one| one == digit || one == '-');
    only('0') || only('f') || uuid == SAMPLE
}

/// True for a text that has the marks of a UUID: a version, and the variant that all of them have.
fn is_sound(text: &str) -> bool {
    let at = |place| text.as_bytes().get(place).copied().unwrap_or_default();
    (b'1'..=b'8').contains(&at(14)) && matches!(at(19), b'8' | b'9' | b'a' | b'b')
}

/// Who a GUID says it is: in the order of bytes that fits the expected machine, if one does, else in the first that looks like a UUID.
pub fn told(guid: [u8; 16], expected: &str) -> Identity {
    let texts = texts(guid);
    let fits = texts.iter().find(|text| !expected.is_empty() && text.as_str() == expected);
    let [smbios, ..] = &texts;
    let uuid = fits.or_else(|| texts.iter().find(|text| is_sound(text))).unwrap_or(smbios).clone();
    Identity { uuid: if is_filler(&uuid) { String::new() } else { uuid }, serial: String::new() }
}

/// Why this box is not the expected machine; `None` if it is.
pub fn strange(told: &Identity, expected: &str) -> Option<String> {
    if told.uuid.is_empty() {
        let who = format!("expected is UUID {expected}; nothing is sent to a box that may be another");
        return Some(format!("the box behind this address tells no UUID by IPMI, {who}"));
    }
    (told.uuid != expected || expected.is_empty()).then(|| {
        format!(
            "the box behind this address has UUID {}, expected is {expected}; check cabling and address of the machine's `bmc`",
            told.uuid
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    #[test]
    fn every_order_of_bytes_is_known() {
        let plain: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 0x11).unwrap());
        let mut reversed = plain;
        reversed.reverse();
        let smbios = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        for guid in [plain, reversed, smbios] {
            assert_eq!(told(guid, UUID).uuid, UUID);
            assert_eq!(strange(&told(guid, UUID), UUID), None);
            assert!(strange(&told(guid, "x"), "x").is_some() && strange(&told(guid, ""), "").is_some());
        }
        assert_eq!(told(smbios, "another").uuid, UUID);
        let plain = [1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(told(plain, "another").uuid, "01020304-0506-4008-8000-000000000001");
    }

    #[test]
    fn a_filler_is_nobody() {
        for filler in [[0; 16], [0xff; 16]] {
            let told = told(filler, &expected("00000000-0000-0000-0000-000000000000"));
            assert!(told.uuid.is_empty() && strange(&told, "").is_some() && strange(&told, UUID).is_some());
        }
        assert_eq!(expected(SAMPLE), "");
        assert_eq!(expected(" AB "), "ab");
    }

    proptest! {
        #[test]
        fn only_the_same_bytes_are_the_same(guid: [u8; 16], other: [u8; 16]) {
            let expected = text(other);
            let same = strange(&told(guid, &expected), &expected).is_none();
            prop_assert_eq!(same, texts(guid).contains(&expected) && !is_filler(&expected));
        }
    }
}
