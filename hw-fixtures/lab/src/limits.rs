//! Every time-out and size the lab keeps, with its unit. Nothing else may hold a bare number of seconds or bytes.

use std::time::Duration;

/// How long the parts of a lab get to end in order before they are killed.
pub const STOP_GRACE: Duration = Duration::from_millis(1500);
/// How long the caller's side waits for the supervisor to end in order.
pub const DOWN_DEADLINE: Duration = Duration::from_secs(5);
/// How long the switch may take from power-on to its first facts.
pub const SWITCH_READY: Duration = Duration::from_secs(60);
/// How long a service may take to become ready unless its table says otherwise.
pub const SERVICE_READY: Duration = Duration::from_secs(30);
/// How long one look at a part that is coming up lasts before its process is looked at again.
pub const SERVICE_LOOK: Duration = Duration::from_millis(200);
/// How often readiness is looked at.
pub const READY_POLL: Duration = Duration::from_millis(20);
/// The longest path of the run folder: sockets lie in it, and a socket's path may have 107 bytes.
pub const RUN_PATH_BYTES_MAX: usize = 80;
/// The longest request line on the control socket.
pub const REQUEST_BYTES_MAX: u64 = 256 * 1024;
/// How many callers the control socket serves at once; more are turned away.
pub const CALLERS_MAX: usize = 64;
/// The longest line of facts taken from the switch.
pub const FACTS_LINE_BYTES_MAX: u64 = 64 * 1024;
/// How many fact lines wait for a follower that reads slowly before it is dropped.
pub const FACTS_QUEUE_LINES: usize = 1024;
/// One piece of a command's output on its way to a caller.
pub const OUTPUT_PIECE_BYTES: usize = 16 * 1024;
/// The longest a command run through the control socket may take unless the caller says otherwise.
pub const EXEC_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a helper program of the lab itself (ip, mke2fs) may take.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long Open vSwitch's daemon may take to answer what the facts are made of; it usually takes 3 ms for all of it.
pub const OVS_ANSWER: Duration = Duration::from_millis(500);
/// The longest such answer, bytes.
pub const OVS_ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// The longest that reading them all may take if they are to be told: the oracle takes no report for older than 30 ms when it is stamped.
pub const OVS_LOOK_MAX: Duration = Duration::from_millis(25);
/// So often they are read again before this look counts for nothing.
pub const OVS_LOOKS: u32 = 4;
/// So many looks in a row that told nothing are told of, once.
pub const OVS_MISSED_TOLD: u32 = 12;
/// How much of one connection the services may have on its way, bytes. Open vSwitch takes frames out of a socket that holds some 90 of them; what
/// is sent faster while it waits for a processor would be lost, and a boot stand still for seconds again and again.
pub const OVS_SEND_BYTES: u32 = 48 * 1024;
/// How often Open vSwitch holds its cached flows against what is in force, milliseconds, and so half of what a change of VLANs takes until it is
/// believed; the least that it takes, where 500 are usual.
pub const OVS_REVALIDATE_MS: u32 = 100;
/// How many datagrams wait in a link's unix socket; the kernel's 10 would lose packets at once.
pub const LINK_QUEUE_DATAGRAMS: u32 = 512;
/// Memory of a machine, MiB.
pub const MACHINE_MEMORY_MIB: u32 = 384;
/// Memory of a machine with UEFI firmware, MiB.
pub const UEFI_MEMORY_MIB: u32 = 512;
/// Memory of the switch, MiB.
pub const SWITCH_MEMORY_MIB: u32 = 192;
/// QEMU's translation buffer of a machine, MiB.
pub const MACHINE_TB_MIB: u32 = 96;
/// QEMU's translation buffer of the switch, MiB.
pub const SWITCH_TB_MIB: u32 = 64;
/// Size of a server's root volume, MiB.
pub const ROOT_MIB: u64 = 64;
/// Size of a `san` disk with its boot loader, MiB.
pub const SAN_MIB: u64 = 128;
/// Size of the switch's small disk, MiB.
pub const SWITCH_DISK_MIB: u64 = 16;
