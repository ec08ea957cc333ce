//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// One reading or one setting of a port over netlink; it usually takes 1 ms, some 10 ms in an emulated switch.
pub const NETLINK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often barred ports are read by the clock, besides the kernel's own notes; drift there must end within 5 s.
pub const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Pause before the kernel's notes are listened to again after the socket broke.
pub const RELISTEN_PAUSE: Duration = Duration::from_millis(200);
/// Longest name of a Linux network interface, in bytes.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;
/// Largest number of ports in a configuration.
pub const PORTS_MAX: usize = 4096;
