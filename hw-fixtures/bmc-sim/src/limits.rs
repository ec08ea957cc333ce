//! Every time-out and every bound of the simulator, named, with its unit.
//! Must never hold a value that a quirk should set: what a BMC does wrong is data, what keeps the process healthy stands here.

use std::time::Duration;

/// A TLS handshake not finished by then is dropped.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Request headers not complete by then close the connection.
pub const HEADER_READ: Duration = Duration::from_secs(30);
/// A request body not complete by then is answered 408.
pub const BODY_READ: Duration = Duration::from_secs(30);
/// Largest request body, bytes; more is answered 413.
pub const BODY_MAX: usize = 64 * 1024;
/// Connections one BMC holds at once; the next is closed at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Pause after a failed accept or bind, so that a full file table does not spin.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Pending connections the kernel keeps for a BMC that answers.
pub const BACKLOG: i32 = 128;
/// Attempts to take the port again after it was closed by the `refuse` fault.
pub const REBIND_ATTEMPTS: u32 = 100;

/// A port that has not followed a change by then is reported.
pub const SETTLE_WAIT: Duration = Duration::from_secs(5);
/// A process told to stop is looked at this often, and this long.
pub const FREEZE_POLL: Duration = Duration::from_millis(1);
/// A process that has not stopped by then is reported.
pub const FREEZE_WAIT: Duration = Duration::from_secs(5);

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

/// A machine killed but not reaped by then is reported as such (it stays PoweringOff).
pub const REAP_WAIT: Duration = Duration::from_secs(30);
/// Pause between attempts to reach the monitor socket of a machine just started.
pub const MONITOR_RETRY: Duration = Duration::from_millis(100);
/// A reset by the guest this soon after another one is the firmware's own part of it.
pub const RESET_ECHO: Duration = Duration::from_secs(1);
/// Longest line taken from a machine's monitor socket, bytes.
pub const MONITOR_LINE_MAX: u64 = 256 * 1024;
/// Commands waiting for a machine's monitor.
pub const MONITOR_QUEUE: usize = 8;
/// Bytes of the serial log looked at in one read of BootProgress.
pub const SERIAL_SCAN_MAX: u64 = 512 * 1024;

/// Longest line on the control socket, bytes.
pub const CONTROL_LINE_MAX: u64 = 64 * 1024;
/// Control connections at once; the next waits.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// Changes kept for a slow watcher before it is told that it missed some.
pub const CHANGES_KEPT: usize = 1024;

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
/// Packets taken in one turn of a BMC's task.
pub const PACKETS_PER_TURN: usize = 64;
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
