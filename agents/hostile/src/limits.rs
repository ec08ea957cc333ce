//! Every time-out and every bound of the assault, named, with its unit.

use std::time::Duration;

/// A group runs so long unless `UNDERSTUDY_HOSTILE_SECONDS` says otherwise.
pub const RUN: Duration = Duration::from_secs(10);
/// Decoding one input takes no longer, at the best of [`ATTEMPTS`] tries: the machine may be busy. Builds without optimisation keep it.
pub const INPUT: Duration = Duration::from_millis(100);
/// See above.
pub const ATTEMPTS: usize = 5;
/// One that is not through by then never ends: the process is ended.
pub const HANG: Duration = Duration::from_secs(10);
/// How often that is looked at.
pub const LOOK: Duration = Duration::from_millis(200);
/// A failing input is made smaller for so long.
pub const SHRINK: Duration = Duration::from_secs(3);
/// Changes made to one input.
pub const CHANGES_MAX: usize = 6;
/// Inputs that got in and are changed further.
pub const POOL_MAX: usize = 256;
/// Files of one corpus.
pub const FILES_MAX: usize = 1024;
/// Largest piece that is inserted, repeated or cut out at once, bytes.
pub const PIECE_MAX: usize = 64;
