//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// One call of the target's administration tool; it usually takes 3 to 15 ms.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Most output of one call that is read; 10,000 targets print about 15 MiB.
pub const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// Most of an error message that is kept.
pub const COMPLAINT_CHARS_MAX: usize = 300;
/// How long a revocation keeps ending sessions before it answers `Unconfirmed`.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for the round by the clock, which comes again and must not keep a fence waiting.
pub const WATCH_DRAIN_TIMEOUT: Duration = Duration::from_millis(300);
/// Pause between two looks at sessions that are being ended.
pub const DRAIN_PAUSE: Duration = Duration::from_millis(10);
/// How often the target is compared with the durable state; an admission by a foreign hand must end within 5 s.
pub const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Longest text accepted as a CHAP user or secret; tgt keeps 224 bytes for each.
pub const CREDENTIAL_BYTES_MAX: usize = 200;
/// Largest state file that is read.
pub const STATE_BYTES_MAX: u64 = 16 << 20;
