//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// One reading or one setting of a port over netlink; it usually takes 1 ms, some 10 ms in an emulated switch. A barred port is read and set
/// again within the 5 s in which drift must end, so this is no longer.
pub const NETLINK_TIMEOUT: Duration = Duration::from_secs(2);
/// So much longer a setting may take for each message beyond the two that are usual. A thousand VLANs at once are a second's work for an
/// emulated switch, more if its host is busy; the kernel answers when all is done, and what is given up here has usually been made.
pub const MESSAGE_TIME: Duration = Duration::from_millis(500);
/// Most VLANs in one message. The kernel does a message's work before the call returns, so the agent's other ports wait for it.
pub const MESSAGE_VLANS_MAX: u16 = 64;
/// How often barred ports are read by the clock, besides the kernel's own notes; drift there must end within 5 s.
pub const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// The same of a switch that a program reads, over a network and one port after the other.
pub const PROGRAM_WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Pause before the kernel's notes are listened to again after the socket broke.
pub const RELISTEN_PAUSE: Duration = Duration::from_millis(200);
/// Longest name of a Linux network interface, in bytes.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;
/// Largest number of ports in a configuration.
pub const PORTS_MAX: usize = 4096;
