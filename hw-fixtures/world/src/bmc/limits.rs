//! Every time-out and every bound of a simulated BMC, named, with its unit.
//! Must never hold a value that a quirk should set: what a BMC does wrong is data, what keeps its memory and its time bounded stands here.

use std::time::Duration;

/// A request body not complete by then is answered 408.
pub const BODY_READ: Duration = Duration::from_secs(30);
/// Largest request body, bytes; more is answered 413.
pub const BODY_MAX: usize = 64 * 1024;

/// A port that has not followed a change by then is reported.
pub const SETTLE_WAIT: Duration = Duration::from_secs(5);

/// How long a BMC says it has run when the simulator begins.
pub const UP_BEFORE: Duration = Duration::from_secs(3600);
/// Sessions a BMC keeps unless its quirks say otherwise.
pub const SESSIONS_MAX: usize = 16;
/// Idle time after which a session ends unless its quirks say otherwise.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(1800);
/// Events kept for a slow listener of an event stream; of more it misses the oldest.
pub const EVENTS_KEPT: usize = 16;
/// Pieces of an event stream that wait for its connection.
pub const STREAM_QUEUE: usize = 4;
/// How often an event stream looks at the machine's console, where it has one.
pub const STREAM_LOOK: Duration = Duration::from_millis(250);
/// A silent event stream sends a comment this often.
pub const STREAM_COMMENT: Duration = Duration::from_secs(10);
/// Longest text a client may store (asset tag, boot URI), characters.
pub const TEXT_MAX: usize = 255;
/// Requests that changed something (or tried to), kept per BMC for `state`.
pub const RECENT_MAX: usize = 64;

/// Tasks a BMC keeps; the oldest goes when there are more.
pub const TASKS_MAX: usize = 16;

/// A machine whose power was cut and that is not off by then is reported as such (it stays PoweringOff).
pub const REAP_WAIT: Duration = Duration::from_secs(30);

/// Largest delay a quirk or a control request may ask for, milliseconds (one day).
pub const DELAY_MAX_MS: u64 = 86_400_000;
/// Time between the answer to a BMC's own reset and its silence.
pub const LAST_WORDS: Duration = Duration::from_millis(50);

/// IPMI sessions a BMC keeps unless its quirks say otherwise, and the most that quirks may ask for.
pub const IPMI_SESSIONS: usize = 16;
/// See above.
pub const IPMI_SESSIONS_MOST: usize = 64;
/// IPMI sessions that are being opened at one BMC; the next pushes out the oldest.
pub const HALF_OPEN_MAX: usize = 8;
/// One that is not open by then is forgotten.
pub const HALF_OPEN: Duration = Duration::from_secs(20);
/// Requests of an IPMI session whose replies are remembered for retransmissions.
pub const MEMORIES_MAX: usize = 4;
/// So long a reply is remembered; later the same words are a new question.
pub const MEMORY: Duration = Duration::from_secs(10);
/// Packets and work of one BMC that wait (late replies, power commands); more are lost, as on a real BMC.
pub const WAITING_MAX: usize = 64;
/// A reply that is to leave after the next one leaves by then, when there is no next one.
pub const HELD: Duration = Duration::from_millis(500);
/// Boot flags without boot option 3 are valid for so long, by the specification.
pub const BOOT_VALID: Duration = Duration::from_secs(60);
/// Off for so long in a power cycle.
pub const CYCLE_PAUSE: Duration = Duration::from_secs(1);
/// The identify light burns so long unless the command says otherwise, by the specification.
pub const IDENTIFY: Duration = Duration::from_secs(15);
/// Records of an event log.
pub const LOG_MAX: usize = 512;
/// Entries that a quirk may put before them.
pub const LOG_PADDING_MAX: u32 = 2000;
