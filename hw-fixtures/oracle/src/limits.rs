//! Every time-out, rate and bound of the oracle, with its unit. Nothing else may hold a bare number of seconds or bytes.

use std::time::Duration;

/// One second in the oracle's unit of time, nanoseconds of `CLOCK_MONOTONIC`.
pub const SECOND_NS: u64 = 1_000_000_000;
/// One millisecond in it.
pub const MILLISECOND_NS: u64 = 1_000_000;

/// How often the storage target is asked for its sessions and admissions. The design wants ten samples a second.
pub const TARGET_EVERY: Duration = Duration::from_millis(50);
/// How often permit files and consoles are looked at.
pub const FILES_EVERY: Duration = Duration::from_millis(50);
/// How often each server's address is asked for by ARP (at least five times a second).
pub const PROBE_EVERY: Duration = Duration::from_millis(180);
/// How long a source that went away is left alone before it is tried again.
pub const SOURCE_RETRY: Duration = Duration::from_millis(100);
/// How long the target daemon may take to answer.
pub const TARGET_ANSWER: Duration = Duration::from_secs(2);
/// How long a read that waits for something that may never come lasts before the thread looks around.
pub const READ_TURN: Duration = Duration::from_millis(500);

/// How much earlier than told a machine's process may have been dead: `off` is told after it was buried.
pub const POWER_OFF_MARGIN_NS: u64 = 20 * MILLISECOND_NS;
/// How much earlier than its time stamp the switch may have read its state.
pub const SWITCH_READ_MARGIN_NS: u64 = 30 * MILLISECOND_NS;
/// Over how many of the switch's lines the way from it to here is measured (some five seconds).
pub const SWITCH_CLOCK_LINES: usize = 64;
/// How far apart a hand's deed and the change it made may be seen.
pub const HAND_WINDOW_NS: u64 = 2 * SECOND_NS;
/// How long an overlap that a foreign hand made may last.
pub const FOREIGN_OVERLAP_MAX_NS: u64 = 5 * SECOND_NS;
/// How long a session may stand whose machine nobody knows before it counts as an unknown machine's.
pub const SESSION_UNKNOWN_NS: u64 = SECOND_NS;
/// Two MAC addresses that answer for one address in turn within this time answer at once.
pub const ANSWER_WINDOW_NS: u64 = 5 * SECOND_NS;
/// A source that is silent for longer than this was blind meanwhile.
pub const BLIND_AFTER_NS: u64 = SECOND_NS;

/// Most changes of facts kept of one run.
pub const CHANGES_MAX: usize = 50_000;
/// Most elements (sessions, admissions, VLANs) of one fact.
pub const ELEMENTS_MAX: usize = 4096;
/// Most initiator names whose machines are remembered.
pub const INITIATORS_MAX: usize = 10_000;
/// Most deeds of a foreign hand remembered.
pub const HANDS_MAX: usize = 1000;
/// Most acknowledgements kept of one server: half a day at ten a second.
pub const ACKS_MAX: usize = 500_000;
/// Most incarnations of one server.
pub const INCARNATIONS_MAX: usize = 4096;
/// Most changes of the answering MAC address kept of one server.
pub const STAYS_MAX: usize = 10_000;
/// Most contests over a server's address kept.
pub const CONTESTS_MAX: usize = 10_000;
/// Most blind times told of one source.
pub const BLIND_MAX: usize = 100;
/// Most sentences of one kind in a verdict.
pub const SENTENCES_MAX: usize = 20;
/// Most lines written to the log of facts and judgements.
pub const LOG_LINES_MAX: u64 = 500_000;

/// Longest acknowledgement read.
pub const ACK_BYTES_MAX: usize = 256;
/// Longest frame looked at.
pub const FRAME_BYTES_MAX: usize = 2048;
/// Longest line read from a socket or a console; a longer one is passed over.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest answer of the target daemon.
pub const TARGET_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest permit file read.
pub const PERMIT_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Most permit files read.
pub const PERMITS_MAX: usize = 10_000;
/// How often permit files are read again while they change under the reader.
pub const PERMIT_TRIES: usize = 5;
/// How much of a console is read at a time.
pub const CONSOLE_BYTES: u64 = 256 * 1024;
/// Longest configuration read.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Largest log of records read from a volume.
pub const RECORDS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How often the copy of a volume is begun anew because it was written to meanwhile.
pub const COPY_TRIES: u32 = 25;
/// How long between two such tries.
pub const COPY_PAUSE: Duration = Duration::from_millis(17);
/// How long a volume must not have been written to before it is copied: longer than a tick of the slowest kernel clock.
pub const QUIET: Duration = Duration::from_millis(12);
/// How long one reading tool may take.
pub const TOOL_TIME: Duration = Duration::from_secs(20);
/// How often it is looked whether the tool is done.
pub const TOOL_LOOK: Duration = Duration::from_millis(5);

/// Most callers of the query socket at once.
pub const CALLERS_MAX: usize = 16;
/// Longest question.
pub const QUESTION_BYTES_MAX: usize = 4096;
/// How long a caller may be silent or not read.
pub const CALLER_TIME: Duration = Duration::from_secs(300);
/// An address counts as answered by a MAC address now if that answered within this time.
pub const ANSWERS_NOW_NS: u64 = 2 * SECOND_NS;
/// How often a line about acknowledgements is logged.
pub const ACKS_LOG_EVERY_NS: u64 = SECOND_NS;
