//! The inventory ("FRU"): serial numbers, names and part numbers of chassis, board and product, read in pieces as small as the BMC needs
//! them. Total functions over any bytes.
//! Must never take a text from an area whose checksum is wrong, nor read more than the areas that hold these texts.

use std::ops::Range;

use super::fault::Fault;
use super::session::{Reply, Request};
use crate::limits;

const STORAGE: u8 = 0x0a;
const GET_AREA_INFO: u8 = 0x10;
const READ: u8 = 0x11;
/// The inventory of the BMC's own board, which is that of the machine.
const DEVICE: u8 = 0;

/// "FRU device busy".
const DEVICE_BUSY: u8 = 0x81;
/// How BMCs refuse a piece that is too long for them: length invalid, field too long, out of range, cannot return so many bytes, and
/// "unspecified", which some say for it.
pub const TOO_LONG: [u8; 5] = [0xc7, 0xc8, 0xc9, 0xca, 0xff];

/// Version of the format, in the lower half of a header's first byte.
const VERSION: u8 = 0x01;
/// Areas begin at multiples of this, and are as long, bytes.
const UNIT: usize = 8;
/// The common header, bytes.
pub const HEADER: usize = 8;
/// No more fields.
const END: u8 = 0xc1;

/// Get FRU Inventory Area Info.
pub fn area_info() -> Request {
    Request { netfn: STORAGE, command: GET_AREA_INFO, data: vec![DEVICE], repeatable: true }
}

/// How large the inventory is, and how it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    bytes: usize,
    /// Bytes by which offsets and lengths are counted: 1, or 2 where the device is one of words.
    unit: usize,
}

/// The size, from the data of a good answer.
pub fn read_size(data: &[u8]) -> Option<Size> {
    let [low, high, access] = *data.first_chunk::<3>()?;
    let unit = if access & 0x01 == 0 { 1 } else { 2 };
    Some(Size { bytes: usize::from(u16::from_le_bytes([low, high])), unit })
}

/// Reads a stretch of the inventory, one question after the other.
#[derive(Clone, Debug)]
pub struct Reader {
    unit: usize,
    /// The next byte, and where it ends.
    at: usize,
    end: usize,
    /// Bytes asked for at once.
    piece: usize,
    bytes: Vec<u8>,
    /// Bytes that are read only because the device counts in words.
    skip: usize,
}

impl Reader {
    /// Over this stretch, as far as there is an inventory; `piece` is what the BMC is known to give at once.
    pub fn over(size: Size, stretch: Range<usize>, piece: usize) -> Reader {
        let at = stretch.start / size.unit * size.unit;
        let end = stretch.end.min(size.bytes);
        let piece = piece.clamp(limits::IPMI_PIECE_MIN, limits::IPMI_PIECE);
        Reader { unit: size.unit, at, end, piece, bytes: Vec::new(), skip: stretch.start - at }
    }

    /// The next question; `None` once all is read.
    pub fn ask(&self) -> Option<Request> {
        let left = self.end.checked_sub(self.at).filter(|left| *left > 0)?;
        let count = u8::try_from(left.min(self.piece).div_ceil(self.unit)).unwrap_or(u8::MAX);
        let [low, high] = u16::try_from(self.at / self.unit).ok()?.to_le_bytes();
        Some(Request { netfn: STORAGE, command: READ, data: vec![DEVICE, low, high, count], repeatable: true })
    }

    /// Takes the answer: less than was asked for is as good, and a piece that is too long for the BMC is halved.
    pub fn take(&mut self, reply: &Reply) -> Result<(), Fault> {
        match reply.code {
            0 => {}
            DEVICE_BUSY => return Err(Fault::Busy),
            code if TOO_LONG.contains(&code) && self.piece > limits::IPMI_PIECE_MIN => {
                self.piece = (self.piece / 2).max(limits::IPMI_PIECE_MIN);
                return Ok(());
            }
            _ => return Err(Fault::Nonsense("an inventory that cannot be read")),
        }
        let (count, data) = reply.data.split_first().unwrap_or((&0, &[]));
        let told = usize::from(*count).saturating_mul(self.unit).min(data.len()).min(self.end.saturating_sub(self.at));
        let piece = data.get(..told).filter(|piece| !piece.is_empty());
        let piece = piece.ok_or(Fault::Nonsense("an inventory that ends before its end"))?;
        self.bytes.extend(piece);
        self.at += told;
        Ok(())
    }

    /// What was read, and how much the BMC gives at once.
    pub fn done(self) -> (Vec<u8>, usize) {
        let Reader { bytes, skip, piece, .. } = self;
        (bytes.get(skip..).unwrap_or_default().to_vec(), piece)
    }
}

/// A kind of area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Area {
    /// The box.
    Chassis,
    /// The main board.
    Board,
    /// The machine as it is sold.
    Product,
}

impl Area {
    /// All, the one that names a machine best first.
    pub const ALL: [Area; 3] = [Area::Product, Area::Board, Area::Chassis];

    /// Before its fields, bytes.
    fn head(self) -> usize {
        match self {
            // version, length, and the chassis' kind or the language
            Area::Chassis | Area::Product => 3,
            // and the minute it was made
            Area::Board => 6,
        }
    }

    /// Which of its fields hold maker, name, part number, serial number.
    fn fields(self) -> [Option<usize>; 4] {
        match self {
            Area::Chassis => [None, None, Some(0), Some(1)],
            Area::Board => [Some(0), Some(1), Some(3), Some(2)],
            Area::Product => [Some(0), Some(1), Some(2), Some(4)],
        }
    }

    /// Where it begins, by the common header; `None` if there is none.
    pub fn begins(self, header: &[u8]) -> Option<usize> {
        let header = header.first_chunk::<HEADER>().filter(|header| header[0] & 0x0f == VERSION && is_whole(*header))?;
        let at = match self {
            Area::Chassis => header[2],
            Area::Board => header[3],
            Area::Product => header[4],
        };
        (at != 0).then_some(usize::from(at) * UNIT)
    }
}

/// The length of an area, from its first two bytes.
pub fn length(area: &[u8]) -> Option<usize> {
    let [version, units] = *area.first_chunk::<2>()?;
    (version & 0x0f == VERSION && units > 0).then_some(usize::from(units) * UNIT)
}

/// The texts of an area; empty where it tells none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    /// Who made it.
    pub maker: String,
    /// Its name.
    pub name: String,
    /// Part number or model.
    pub part: String,
    /// Serial number.
    pub serial: String,
    /// Where in the area the field of the serial number lies.
    pub serial_at: Range<usize>,
}

/// The texts of a whole area; `None` unless its checksum is right.
pub fn texts(area: Area, bytes: &[u8]) -> Option<Texts> {
    let bytes = bytes.get(..length(bytes)?).filter(|bytes| is_whole(bytes))?;
    let mut stretches = Vec::new();
    let mut at = area.head();
    while let Some(first) = bytes.get(at).filter(|first| **first != END && stretches.len() < limits::INVENTORY_FIELDS_MAX) {
        let next = at + 1 + usize::from(first & 0x3f);
        stretches.push(at..next);
        at = next;
    }
    let [maker, name, part, serial] = area.fields().map(|which| which.and_then(|which| stretches.get(which)));
    let shown =
        |stretch: Option<&Range<usize>>| stretch.and_then(|one| bytes.get(one.clone())).and_then(field).unwrap_or_default();
    let serial_at = serial.cloned().unwrap_or_default();
    Some(Texts { maker: shown(maker), name: shown(name), part: shown(part), serial: shown(serial), serial_at })
}

/// The text of one field, from its first byte on; `None` if it is cut short.
pub fn field(bytes: &[u8]) -> Option<String> {
    let (first, rest) = bytes.split_first()?;
    let data = rest.get(..usize::from(first & 0x3f))?;
    let text: String = match first >> 6 {
        0 => data.iter().map(|byte| format!("{byte:02x}")).collect(),
        1 => data.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).filter_map(plus).collect(),
        2 => data.chunks(3).flat_map(packed).collect(),
        // characters of one byte; of two, every second one is 0 and falls away
        _ => data.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text: String = text.chars().filter(|one| !one.is_control()).take(limits::TEXT_MAX).collect();
    Some(text.trim().to_owned())
}

/// A digit of "BCD plus".
fn plus(digit: u8) -> Option<char> {
    match digit {
        0..=9 => Some(char::from(b'0' + digit)),
        10 => Some(' '),
        11 => Some('-'),
        12 => Some('.'),
        _ => None,
    }
}

/// Four characters of 6 bits in three bytes, the lowest bits first; fewer at the end.
fn packed(bytes: &[u8]) -> impl Iterator<Item = char> {
    let whole = bytes.iter().rev().fold(0u32, |whole, byte| whole << 8 | u32::from(*byte));
    let count = bytes.len() * 8 / 6;
    (0..count).map(move |at| char::from(u8::try_from(whole >> (6 * at) & 0x3f).unwrap_or(0) + 0x20))
}

/// Header and areas sum to nothing.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let whole = (bytes.len() + 1).next_multiple_of(UNIT);
        bytes.resize(whole - 1, 0);
        bytes[1] = u8::try_from(whole / UNIT).unwrap();
        bytes.push(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte)));
        bytes
    }

    fn product(serial: &[u8]) -> Vec<u8> {
        let fields: [&[u8]; 5] = [b"\xc2Co", b"\xc4Name", b"\x41\x1c", b"\xc0", serial];
        sealed([&[VERSION, 0, 25][..], &fields.concat(), &[END]].concat())
    }

    #[test]
    fn texts_of_every_coding_are_read_and_a_wrong_checksum_tells_nothing() {
        for (serial, read) in [
            (&b"\xc7LAB0001"[..], "LAB0001"),
            (b"\xc4 A1 ", "A1"),
            (b"\x43\x12\x3b\x4c", "123-4."),
            (b"\x02\xab\x01", "ab01"),
            // "IPMI" as in the format's description
            (b"\x83\x29\xdc\xa6", "IPMI"),
            (b"\xc4A\0B\0", "AB"),
            (b"\xc0", ""),
        ] {
            let area = product(serial);
            let texts = texts(Area::Product, &area).unwrap();
            assert_eq!((texts.maker.as_str(), texts.name.as_str(), texts.part.as_str()), ("Co", "Name", "1."));
            assert_eq!(texts.serial, read);
            assert_eq!(field(&area[texts.serial_at.clone()]).unwrap(), read);
            let mut broken = area.clone();
            broken[6] ^= 1;
            assert_eq!(super::texts(Area::Product, &broken), None);
        }
        // it ends before the serial number
        let short = sealed(vec![VERSION, 0, 25, 0xc1, 0xc2]);
        assert_eq!(texts(Area::Product, &short).unwrap(), Texts::default());
    }

    #[test]
    fn a_header_is_whole_or_names_no_area() {
        let mut header = vec![VERSION, 0, 1, 0, 4, 0, 0];
        header.push(header.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte)));
        assert_eq!(Area::ALL.map(|area| area.begins(&header)), [Some(32), None, Some(8)]);
        header[7] ^= 1;
        assert_eq!(Area::ALL.map(|area| area.begins(&header)), [None; 3]);
    }

    #[test]
    fn an_answer_is_worth_what_it_holds_and_a_device_of_words_counts_in_words() {
        let mut reader = Reader::over(Size { bytes: 64, unit: 1 }, 0..64, 16);
        let mut take = |code, data: &[u8]| reader.take(&Reply { code, data: data.to_vec() });
        // it tells more than it holds, and holds more than it tells
        assert_eq!((take(0, &[16, 1, 2, 3, 4]), take(0, &[2, 5, 6, 7, 8])), (Ok(()), Ok(())));
        assert_eq!(take(DEVICE_BUSY, &[]), Err(Fault::Busy));
        assert_eq!(reader.done().0, [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            [0, 1].map(|access| read_size(&[0x00, 0x02, access]).map(|size| (size.bytes, size.unit))),
            [Some((512, 1)), Some((512, 2))]
        );
    }

    /// A device that gives at most so much at once, and says no or gives less.
    fn answer(all: &[u8], unit: usize, most: usize, refuses: bool, asked: &Request) -> Reply {
        let [_, low, high, count] = asked.data[..] else { panic!() };
        let (from, count) = (usize::from(u16::from_le_bytes([low, high])) * unit, usize::from(count) * unit);
        if refuses && count > most {
            return Reply { code: 0xc9, data: Vec::new() };
        }
        let part: Vec<u8> = all[from..].iter().copied().take(count.min(most)).collect();
        Reply { code: 0, data: [vec![u8::try_from(part.len() / unit).unwrap()], part].concat() }
    }

    proptest! {
        #[test]
        fn any_stretch_is_read_in_pieces_of_any_size(
            all in proptest::collection::vec(any::<u8>(), 2..600), from: usize, length in 1usize..300, most in 4usize..80,
            refuses: bool, words: bool,
        ) {
            let unit = if words { 2 } else { 1 };
            let all = &all[..all.len() / unit * unit];
            let (most, from) = (most / unit * unit, from % all.len());
            let size = Size { bytes: all.len(), unit };
            let mut reader = Reader::over(size, from..from + length, usize::MAX);
            let mut asked = 0;
            while let Some(question) = reader.ask() {
                reader.take(&answer(all, unit, most, refuses, &question)).unwrap();
                asked += 1;
                prop_assert!(asked <= 400);
            }
            prop_assert_eq!(reader.done().0, &all[from..(from + length).min(all.len())]);
        }

        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..300), code: u8) {
            let mut reader = Reader::over(Size { bytes: 500, unit: 1 }, 0..64, usize::MAX);
            let _ = (read_size(&noise), length(&noise), field(&noise));
            for area in Area::ALL {
                let _ = (area.begins(&noise), texts(area, &noise), texts(area, &sealed_noise(&noise)));
            }
            for _ in 0..10 {
                let _ = reader.take(&Reply { code, data: noise.clone() });
            }
            prop_assert!(reader.done().0.len() <= 64);
        }
    }

    /// Noise whose version, length and checksum are right.
    fn sealed_noise(noise: &[u8]) -> Vec<u8> {
        let mut bytes = [&[VERSION, 0], noise].concat();
        bytes.truncate(255 * UNIT - 1);
        sealed(bytes)
    }
}
