//! Is the box behind the address the machine that is meant? IPMI tells a GUID, in one of three orders of bytes; where that tells nobody
//! apart, the serial number of the inventory does.
//! Must never answer yes for a box that tells neither, or another one.

use vocabulary::power::Identity;

/// GUIDs that many boxes have: the sample in a BIOS vendor's source, in the two orders of bytes in which it is met.
const SAMPLES: [&str; 2] = ["03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"];
/// Serial numbers that many boxes have, because nobody wrote one; lower case.
const NO_SERIALS: [&str; 12] = [
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "chassis serial number",
    "base board serial number",
    "not specified",
    "none",
    "n/a",
    "unknown",
    "empty",
    "0123456789",
    "123456789",
];

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

/// What the estate says of a machine, in the form to compare; empty what names no single machine.
pub fn expected(identity: &Identity) -> Identity {
    let uuid = identity.uuid.trim().to_ascii_lowercase();
    let uuid = if is_filler(&uuid) { String::new() } else { uuid };
    Identity { uuid, serial: serial(&identity.serial) }
}

/// A serial number in the form to compare; empty if it names no single machine.
pub fn serial(text: &str) -> String {
    let text = text.trim();
    let mut rest = text.chars();
    let first = rest.next();
    let is_one_character = rest.all(|one| Some(one) == first);
    let filler = is_one_character || NO_SERIALS.contains(&text.to_ascii_lowercase().as_str());
    if filler { String::new() } else { text.to_owned() }
}

fn is_filler(uuid: &str) -> bool {
    let only = |digit: char| uuid.chars().all(|one| one == digit || one == '-');
    only('0') || only('f') || SAMPLES.contains(&uuid)
}

/// True for a text that has the marks of a UUID: a version, and the variant that all of them have.
fn is_sound(text: &str) -> bool {
    let at = |place| text.as_bytes().get(place).copied().unwrap_or_default();
    (b'1'..=b'8').contains(&at(14)) && matches!(at(19), b'8' | b'9' | b'a' | b'b')
}

/// Who a GUID says it is: in the order of bytes that fits the expected machine, if one does, else in the first that looks like a UUID.
pub fn told(guid: [u8; 16], expected: &Identity) -> Identity {
    let texts = texts(guid);
    let fits = texts.iter().find(|text| !expected.uuid.is_empty() && **text == expected.uuid);
    let [smbios, ..] = &texts;
    let uuid = fits.or_else(|| texts.iter().find(|text| is_sound(text))).unwrap_or(smbios).clone();
    let nobody = texts.iter().any(|text| is_filler(text));
    Identity { uuid: if nobody { String::new() } else { uuid }, serial: String::new() }
}

/// True if only the serial number can tell whether it is the expected machine.
pub fn needs_serial(told: &Identity, expected: &Identity) -> bool {
    !expected.serial.is_empty() && (told.uuid.is_empty() || expected.uuid.is_empty())
}

/// Why this box is not the expected machine; `None` if it is.
pub fn strange(told: &Identity, expected: &Identity) -> Option<String> {
    let (what, told, expected) = if needs_serial(told, expected) {
        ("serial", &told.serial, &expected.serial)
    } else {
        ("UUID", &told.uuid, &expected.uuid)
    };
    if told.is_empty() {
        let who = format!("expected is {what} {expected}; nothing is sent to a box that may be another");
        return Some(format!("the box behind this address tells no {what} by IPMI, {who}"));
    }
    (told != expected || expected.is_empty()).then(|| {
        format!(
            "the box behind this address has {what} {told}, expected is {expected}; check cabling and address of the machine's `bmc`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn who(uuid: &str, serial: &str) -> Identity {
        Identity { uuid: uuid.into(), serial: serial.into() }
    }

    #[test]
    fn every_order_of_bytes_is_known() {
        let plain: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 0x11).unwrap());
        let mut reversed = plain;
        reversed.reverse();
        let smbios = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        for guid in [plain, reversed, smbios] {
            let expected = who(UUID, "");
            assert_eq!(told(guid, &expected).uuid, UUID);
            assert_eq!(strange(&told(guid, &expected), &expected), None);
            for other in [who("x", ""), who("", "")] {
                assert!(strange(&told(guid, &other), &other).is_some());
            }
        }
        assert_eq!(told(smbios, &who("another", "")).uuid, UUID);
        let plain = [1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(told(plain, &who("another", "")).uuid, "01020304-0506-4008-8000-000000000001");
    }

    #[test]
    fn a_filler_is_nobody() {
        let sample = [0x00, 0x02, 0x00, 0x03, 0x00, 0x04, 0x00, 0x05, 0x00, 0x06, 0x00, 0x07, 0x00, 0x08, 0x00, 0x09];
        for filler in [[0; 16], [0xff; 16], sample] {
            let told = told(filler, &expected(&who("00000000-0000-0000-0000-000000000000", "")));
            assert!(told.uuid.is_empty() && strange(&told, &who("", "")).is_some() && strange(&told, &who(UUID, "")).is_some());
        }
        for sample in SAMPLES {
            assert_eq!(expected(&who(sample, " To Be Filled By O.E.M. ")), who("", ""));
        }
        assert_eq!(expected(&who(" AB ", " S1 ")), who("ab", "S1"));
        for filler in ["", " ", "0", "XXXXXXX", "0000000000", "N/A", "Default string"] {
            assert_eq!(serial(filler), "", "{filler}");
        }
    }

    #[test]
    fn the_serial_number_decides_only_where_the_uuid_cannot() {
        let both = who(UUID, "S1");
        assert!(!needs_serial(&who(UUID, ""), &both) && strange(&who(UUID, ""), &both).is_none());
        assert!(strange(&who("another", "S1"), &both).is_some(), "another UUID is another machine");
        for (told, expected) in [(who("", "S1"), both.clone()), (who(UUID, "S1"), who("", "S1"))] {
            assert!(needs_serial(&told, &expected));
            assert_eq!(strange(&told, &expected), None);
            for other in ["", "S2", "s1"] {
                assert!(strange(&who(&told.uuid, other), &expected).is_some(), "{other}");
            }
        }
        assert!(!needs_serial(&who("", ""), &who(UUID, "")) && strange(&who("", "S1"), &who(UUID, "")).is_some());
    }

    proptest! {
        #[test]
        fn only_the_same_bytes_are_the_same(guid: [u8; 16], other: [u8; 16]) {
            let expected = who(&text(other), "");
            let same = strange(&told(guid, &expected), &expected).is_none();
            prop_assert_eq!(same, texts(guid).contains(&expected.uuid) && !texts(guid).iter().any(|text| is_filler(text)));
        }
    }
}
