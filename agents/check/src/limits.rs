//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// Longest deadline of one try; a longer one in a check is cut to this.
pub const DEADLINE_MAX: Duration = Duration::from_secs(30);
/// Shortest deadline of one try; a shorter one would measure this machine and not the service.
pub const DEADLINE_MIN: Duration = Duration::from_millis(10);
/// How much of a body is looked at.
pub const BODY_BYTES_MAX: usize = 4 * 1024;
/// Largest status line with headers; more is not an answer.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest URL that is used.
pub const URL_BYTES_MAX: usize = 2 * 1024;
/// Most of a foreign text that is repeated in an outcome.
pub const SHOWN_CHARS_MAX: usize = 80;
