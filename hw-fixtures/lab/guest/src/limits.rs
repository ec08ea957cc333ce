//! Every time-out and size the guests keep, with its unit. Nothing else may hold a bare number of seconds or bytes.

use std::time::Duration;

/// How often the workload writes a record (so some ten a second).
pub const RECORD_EVERY: Duration = Duration::from_millis(100);
/// How often the switch reports its state even when nothing changed (the oracle wants at least ten samples a second).
pub const FACTS_EVERY: Duration = Duration::from_millis(80);
/// How long the switch's init waits before it starts a dead agent again.
pub const AGENT_RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How long an initrd waits for a NIC or a disk to appear.
pub const DEVICE_DEADLINE: Duration = Duration::from_secs(20);
/// How often it looks.
pub const DEVICE_POLL: Duration = Duration::from_millis(20);
/// How long one request for the claim may take.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the claim is asked for before the machine gives up and boots again.
pub const CLAIM_TRIES: u32 = 20;
/// Pause between two such requests.
pub const CLAIM_PAUSE: Duration = Duration::from_millis(500);
/// The most bytes a claim may have.
pub const CLAIM_BYTES_MAX: u64 = 64 * 1024;
/// The most bytes read of one HTTP request of a client of the workload.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// How long such a client may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How many clients are served at once; more are turned away.
pub const CLIENTS_MAX: usize = 32;
/// iSCSI: how long a lost session may block before its I/O fails. The default of 120 s would hide a fence for two minutes.
pub const ISCSI_REPLACEMENT_TIMEOUT_S: u32 = 5;
/// iSCSI: pause between two keep-alives, and how long an answer may take.
pub const ISCSI_NOOP_INTERVAL_S: u32 = 2;
/// See [`ISCSI_NOOP_INTERVAL_S`].
pub const ISCSI_NOOP_TIMEOUT_S: u32 = 3;
/// How long a failed boot stands still before the machine boots again, so that a person can read the console.
pub const FAILED_BOOT_PAUSE: Duration = Duration::from_secs(3);
/// The size of the buffer for one netlink reply.
pub const NETLINK_BUFFER_BYTES: usize = 64 * 1024;
/// The longest line taken from the lab's hand on the switch: an enrolment bundle in hexadecimal fits well.
pub const HAND_LINE_BYTES_MAX: usize = 64 * 1024;
