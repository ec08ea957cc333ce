//! Every bound and span of a machine that is not drawn, with its unit. Nothing else here.

use std::time::Duration;

/// What a machine remembers of what befell it; the oldest is forgotten.
pub const TRACE_MAX: usize = 4_096;
/// How long iPXE waits for an answer to each DHCP packet before it sends the next.
pub const DHCP_WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// How long firmware and systems wait for an answer by HTTP.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(30);
/// How long an initiator waits for the end of a login.
pub const LOGIN_PATIENCE: Duration = Duration::from_secs(15);
/// How long an initiator waits for the end of a read or write before it takes its session for lost: two keep-alives of the lab's guests.
pub const SESSION_SILENCE: Duration = Duration::from_secs(5);
/// Pause between two logins of an initiator that lost its session.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(1);
/// The longest script that iPXE takes, bytes.
pub const SCRIPT_BYTES_MAX: usize = 64 * 1024;
/// Commands that one boot's scripts may run.
pub const COMMANDS_MAX: usize = 1_000;
/// Scripts that may chain one another.
pub const CHAIN_MAX: usize = 8;
/// The longest claim that a system takes, bytes.
pub const CLAIM_BYTES_MAX: usize = 64 * 1024;
/// How often a claim is asked for before the system gives up.
pub const CLAIM_TRIES: u32 = 20;
/// Pause between two such requests.
pub const CLAIM_PAUSE: Duration = Duration::from_millis(500);
/// Pause of a system that has no address yet, and the least time between two renewals.
pub const LEASE_PAUSE: Duration = Duration::from_secs(5);
/// How long a failed boot stands still before the machine boots again.
pub const FAILED_BOOT_PAUSE: Duration = Duration::from_secs(3);
/// Announcements of an address when it is taken up.
pub const ANNOUNCEMENTS: u32 = 3;
/// Pause between two of them.
pub const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);
/// Orders to a running system that may wait; further ones are lost.
pub const ORDERS_MAX: usize = 4;
/// The most records that a volume can hold; the search for its last one ends there.
pub const RECORDS_MAX: u64 = 1 << 40;
/// From a kernel's crash until the kernel is there that writes its memory away.
pub const DUMP_KERNEL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// How often that says so.
pub const DUMP_TOLD_EVERY: Duration = Duration::from_secs(10);
/// What it says: `fence_kdump`'s magic number 0x1B302A40 and version 1, in the byte order of x86.
pub const DUMP_MESSAGE: [u8; 8] = [0x40, 0x2A, 0x30, 0x1B, 1, 0, 0, 0];
