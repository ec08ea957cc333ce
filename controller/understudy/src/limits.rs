//! Time-outs and sizes of the command line. Beyond each, something is said; nothing is cut off in silence.

use std::time::Duration;

/// A question to the controller is answered within this, or it counts as unreachable.
pub const ANSWER: Duration = Duration::from_secs(30);
/// A question that makes the controller ask every agent of the estate may take this long.
pub const AGENTS_ANSWER: Duration = Duration::from_secs(120);
/// A report that is read from weeks of records may take this long.
pub const REPORT_ANSWER: Duration = Duration::from_secs(120);
/// Names for the shell's completion are there within this, or there are none.
pub const COMPLETION: Duration = Duration::from_millis(400);
/// Who follows a plan waits this long for a controller that went away.
pub const CONTROLLER_BACK: Duration = Duration::from_secs(60);
/// Pause between two attempts to reach a controller that went away.
pub const CONTROLLER_AGAIN: Duration = Duration::from_millis(300);
/// How often who follows the start of a site looks.
pub const SITE_LOOK: Duration = Duration::from_millis(500);
/// How often the elapsed time of a stage is drawn.
pub const DRAW: Duration = Duration::from_millis(100);
/// `serve` ends at the latest this long after it was told to.
pub const STOP: Duration = Duration::from_secs(10);
/// Lines of `status`: what fits on the smallest terminal.
pub const STATUS_LINES: usize = 24;
/// Of these, at most so many are troubles.
pub const STATUS_TROUBLES: usize = 10;
/// Longest line that is read as a confirmation, bytes.
pub const CONFIRMATION_BYTES: u64 = 256;
/// Columns of a terminal that does not tell its width.
pub const WIDTH: usize = 100;
/// Polls of BMCs that come later than this, one in a hundred, are told of.
pub const POLLS_LATE_MS: u64 = 1_000;
