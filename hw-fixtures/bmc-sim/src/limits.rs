//! Every time-out and every bound of sockets and processes, named, with its unit; those of the BMCs themselves are `world`'s.
//! Must never hold a value that a quirk should set: what a BMC does wrong is data, what keeps the process healthy stands here.

use std::time::Duration;

/// A TLS handshake not finished by then is dropped.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Request headers not complete by then close the connection.
pub const HEADER_READ: Duration = Duration::from_secs(30);
/// Connections one BMC holds at once; the next is closed at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Pause after a failed accept or bind, so that a full file table does not spin.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Pending connections the kernel keeps for a BMC that answers.
pub const BACKLOG: i32 = 128;
/// Attempts to take the port again after it was closed by the `refuse` fault.
pub const REBIND_ATTEMPTS: u32 = 100;

/// A process told to stop is looked at this often, and this long.
pub const FREEZE_POLL: Duration = Duration::from_millis(1);
/// A process that has not stopped by then is reported.
pub const FREEZE_WAIT: Duration = Duration::from_secs(5);

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

/// Packets taken in one turn of a BMC's task.
pub const PACKETS_PER_TURN: usize = 64;

/// Largest datagram that a unit's wire carries, bytes.
pub const DATAGRAM_MAX: usize = 65_536;
/// Peers that a unit's wire tells apart at once; one more, and it begins anew.
pub const PEERS_MAX: usize = 256;
