//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// One call of the target's administration tool; it usually takes 3 to 15 ms.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Most output of one call that is read; 10,000 targets print about 15 MiB.
pub const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// Most of an error message that is kept.
pub const COMPLAINT_CHARS_MAX: usize = 300;
/// One call of the kernel's target by configfs, or one look at all of it; it usually takes less than 10 ms.
pub const KERNEL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the removal of an admission may be held by a login that had begun, before the connections of such logins are ended.
pub const LOGIN_GRACE: Duration = Duration::from_millis(200);
/// Most calls that the kernel may hold at once at one target.
pub const KERNEL_CALLS_MAX: usize = 4;
/// One answer of the kernel's socket diagnosis.
pub const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(1);
/// Most of a table of TCP connections that is read; a connection takes 150 bytes.
pub const TABLE_BYTES_MAX: u64 = 16 << 20;
/// Most of one attribute that is read; the kernel shows one page.
pub const ATTRIBUTE_BYTES_MAX: u64 = 64 << 10;
/// How long a revocation keeps ending sessions before it answers `Unconfirmed`.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for the round by the clock, which comes again and must not keep a fence waiting.
pub const WATCH_DRAIN_TIMEOUT: Duration = Duration::from_millis(300);
/// Pause between two looks at sessions that are being ended.
pub const DRAIN_PAUSE: Duration = Duration::from_millis(10);
/// How often the target is compared with the durable state; an admission by a foreign hand must end within 5 s.
pub const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Longest text accepted as a CHAP user or secret; tgt keeps 224 bytes for each, the kernel 256.
pub const CREDENTIAL_BYTES_MAX: usize = 200;
/// Largest state file that is read.
pub const STATE_BYTES_MAX: u64 = 16 << 20;
