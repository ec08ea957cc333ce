//! Just enough of ELF to put programs into small images: is it static, and how does it look without its symbols.
//!
//! Reading is total: a file that is no ELF program is refused, never a panic.

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;
const SECTION_TABLE: usize = 40;
const SECTION_COUNTS: usize = 58;

/// Why a file cannot be put into an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// No 64-bit little-endian ELF program, or a torn one.
    #[error("is no whole 64-bit ELF program")]
    NotElf,
    /// It wants an interpreter that the image does not have.
    #[error("is not static")]
    Dynamic,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64, ElfError> {
    let slice = bytes.get(at..at.checked_add(N).ok_or(ElfError::NotElf)?).ok_or(ElfError::NotElf)?;
    Ok(slice.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

fn offset<const N: usize>(bytes: &[u8], at: usize) -> Result<usize, ElfError> {
    usize::try_from(number::<N>(bytes, at)?).map_err(|_| ElfError::NotElf)
}

/// A static program without symbols and debug information: what is loaded, and nothing behind it.
pub fn slim(program: &[u8]) -> Result<Vec<u8>, ElfError> {
    if !program.starts_with(MAGIC) {
        return Err(ElfError::NotElf);
    }
    let (table, size, count) = (offset::<8>(program, 32)?, offset::<2>(program, 54)?, offset::<2>(program, 56)?);
    let mut end = table.checked_add(size.checked_mul(count).ok_or(ElfError::NotElf)?).ok_or(ElfError::NotElf)?;
    for index in 0..count {
        let header = table + index * size;
        match number::<4>(program, header)? as u32 {
            SEGMENT_INTERPRETER => return Err(ElfError::Dynamic),
            SEGMENT_LOAD => {
                let (start, length) = (offset::<8>(program, header + 8)?, offset::<8>(program, header + 32)?);
                end = end.max(start.checked_add(length).ok_or(ElfError::NotElf)?);
            }
            _ => {}
        }
    }
    let mut slim = program.get(..end).ok_or(ElfError::NotElf)?.to_vec();
    for (at, length) in [(SECTION_TABLE, 8), (SECTION_COUNTS, 6)] {
        slim.get_mut(at..at + length).ok_or(ElfError::NotElf)?.fill(0);
    }
    Ok(slim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_refused() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(slim(&own), Err(ElfError::Dynamic));
    }

    #[test]
    fn torn_and_foreign_files_are_refused() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        for cut in [0, 5, 30, 60, 100] {
            assert_eq!(slim(&own[..cut]), Err(ElfError::NotElf), "{cut}");
        }
        assert_eq!(slim(b"#!/bin/sh"), Err(ElfError::NotElf));
    }

    #[test]
    fn what_is_loaded_stays_and_the_rest_goes() {
        // one program header at 64 that loads bytes 0..160; 40 bytes of symbols behind
        let mut program = vec![0u8; 200];
        program[..6].copy_from_slice(MAGIC);
        program[32] = 64;
        program[40] = 180;
        program[54] = 56;
        program[56] = 1;
        program[58] = 64;
        program[60] = 5;
        program[64] = 1;
        program[64 + 32] = 160;
        let slim = slim(&program).unwrap();
        assert_eq!(slim.len(), 160);
        assert_eq!((slim[40], slim[58], slim[60]), (0, 0, 0), "no section table is promised");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), real in proptest::bool::ANY) {
            if real && bytes.len() >= MAGIC.len() {
                bytes[..MAGIC.len()].copy_from_slice(MAGIC);
            }
            if let Ok(slim) = slim(&bytes) {
                assert!(slim.len() <= bytes.len());
            }
        }
    }
}
