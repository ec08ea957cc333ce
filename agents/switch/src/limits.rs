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

/// One question to Open vSwitch, by whichever of its sockets, a connection included; each usually takes 1 ms, a database that has to write to a
/// busy disk some 100 ms.
pub const OVS_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long ovs-vswitchd may take to make what its database says; it usually takes 5 ms, with a thousand ports a second.
pub const OVS_APPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// A whole reading of a port of Open vSwitch; drift at a barred port must be read and ended within 5 s.
pub const OVS_READ_TIMEOUT: Duration = Duration::from_secs(4);
/// A whole change of one, with its reading. Half a second of it is the round in which ovs-vswitchd looks through the flows that it has cached.
pub const OVS_CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an interface may take to report an MTU that it was asked for, before it counts as one that it does not take.
pub const OVS_MTU_TIMEOUT: Duration = Duration::from_secs(1);
/// So often a change is made anew after a foreign hand was faster; nothing was done then.
pub const OVS_TRIES: u32 = 3;
/// How many conversations with one Open vSwitch there may be at once; others wait for their turn within their own time.
pub const OVS_CONVERSATIONS_MAX: usize = 8;
/// Largest message of Open vSwitch that is read. A whole table of 8192 learnt addresses has 300 KiB.
pub const OVS_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The watching connection is asked for a sign of life so often, and given up if none comes within `OVS_ANSWER_TIMEOUT`.
pub const OVS_PROBE_PERIOD: Duration = Duration::from_secs(2);
/// How often barred ports of Open vSwitch are read by the clock, besides the database's own notes: each reading writes to the database.
pub const OVS_WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Most interfaces of one bonded port.
pub const OVS_MEMBERS_MAX: usize = 16;
/// Longest name of a bridge, and of a path of a socket, in bytes.
pub const OVS_PATH_BYTES_MAX: usize = 100;
