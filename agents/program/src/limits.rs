//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// How long a program may take from its start to its first line, within the time of the question that it was started for. It is not to speak
/// with its equipment before it is asked.
pub const START_MAX: Duration = Duration::from_secs(5);
/// How long a reading may take, a start included. It waits at most half of that for the question before it, and is not asked then: what is
/// asked has time. A controller waits 10 s for it.
pub const READ_MAX: Duration = Duration::from_secs(6);
/// How long a change may take, likewise. It is read back afterwards, and a controller waits 20 s for both.
pub const CHANGE_MAX: Duration = Duration::from_secs(10);
/// Longest line of a program, bytes. A port with 4,000 VLANs and 1,000 addresses takes some 40,000.
pub const LINE_BYTES_MAX: usize = 256 * 1024;
/// So many lines of a program's standard error are logged in each of its lives; the rest is read and dropped.
pub const COMPLAINTS_MAX: usize = 50;
/// How much of a program's words is repeated, characters.
pub const WORDS_MAX: usize = 300;
/// Most words of a program's command line, and most variables of its environment.
pub const ARGUMENTS_MAX: usize = 64;
/// Bits of a question's number: as many as a floating number holds exactly, for programs whose numbers are such.
pub const NUMBER_BITS: u32 = 53;
