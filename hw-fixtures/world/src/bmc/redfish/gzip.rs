//! Bodies as a BMC compresses them: gzip whose blocks are stored, which every reader of gzip takes.
//! Must never be asked to save anything.

/// Bytes of one stored block.
const BLOCK: usize = 0xffff;

/// The body in gzip.
pub fn packed(body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks = body.len().div_ceil(BLOCK).max(1);
    for number in 0..blocks {
        let from = number * BLOCK;
        let block = body.get(from..body.len().min(from + BLOCK)).unwrap_or_default();
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(number + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc(body).to_le_bytes());
    // modulo 2^32, by the format
    out.extend(u32::try_from(body.len() & 0xffff_ffff).unwrap_or_default().to_le_bytes());
    out
}

/// CRC-32 of IEEE 802.3.
fn crc(body: &[u8]) -> u32 {
    !body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_that_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        let empty = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(packed(b""), empty);
        assert_eq!(packed(&[0; 0x1_0000]).len(), 10 + 5 + 0xffff + 5 + 1 + 8);
    }
}
