//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// How long a reading may take, both halves of it. Who asks gives up after 6 s, the start of this program included.
pub const READ_MAX: Duration = Duration::from_millis(5_200);
/// How long the reader may take within that. A fence agent is started anew each time, and needs the rest.
pub const READER_MAX: Duration = Duration::from_secs(2);
/// How long a switching may take. Who asks gives up after 10 s.
pub const CHANGE_MAX: Duration = Duration::from_secs(9);
/// How long a fence agent is told to look itself for what it has switched, seconds; its own 20 s would be too long. It is read back anyhow.
pub const POWER_TIMEOUT_S: u32 = 4;
/// Most bytes of a fence agent's output that are read, of either stream. The longest description of one has some 40,000.
pub const OUTPUT_BYTES_MAX: u64 = 256 * 1024;
/// Largest configuration, bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Most outlets, and most options of either kind.
pub const ENTRIES_MAX: usize = 512;
/// Longest name or value of an option, bytes.
pub const WORD_BYTES_MAX: usize = 1024;
/// How much of a fence agent's words is repeated, characters.
pub const WORDS_MAX: usize = 200;
