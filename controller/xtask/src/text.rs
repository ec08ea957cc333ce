//! Small words for people and keys for caches. Pure, except the scratch folder of tests.

/// Says something about progress, on stderr: stdout belongs to data.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { eprintln!("xtask: {}", format_args!($($words)*)) };
}

/// Bytes in a megabyte, as package managers count.
const MEGABYTE: u64 = 1_000_000;

/// `12.3 MB`.
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / MEGABYTE;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// A short stable key (FNV-1a, 64 bit): it names folders of a cache and is no protection against anybody.
pub fn fingerprint(text: &str) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

/// A fresh folder of its own for a test.
#[cfg(test)]
pub fn scratch_folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_keys_are_stable() {
        assert_eq!(megabytes(26_713_492), "26.7 MB");
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("a"), "af63dc4c8601ec8c");
    }
}
