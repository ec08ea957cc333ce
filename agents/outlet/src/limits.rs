//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// How long one GET may take, its repetitions and the finding of the unit's engine included. A management card answers within 50 ms, a busy
/// one within 1 s.
pub const GET_MAX: Duration = Duration::from_secs(4);
/// The same as the way by the network takes it: a little less, so that it is the one that ends it and begins anew.
pub const EXCHANGE_MAX: Duration = Duration::from_millis(3_800);
/// How long one SET may take. It is sent once.
pub const SET_MAX: Duration = Duration::from_secs(4);
/// How long one packet is waited for before a GET is repeated.
pub const PACKET_WAIT: Duration = Duration::from_millis(1_200);
/// How often a GET is repeated when no answer comes. A SET never is.
pub const GET_REPEATS: u32 = 2;
/// How long a SET's answer is waited for.
pub const SET_WAIT: Duration = Duration::from_secs(3);
/// Most objects in one GET.
pub const OBJECTS_MAX: usize = 16;
/// How long it may take to open a socket towards a unit.
pub const SOCKET_MAX: Duration = Duration::from_secs(1);

/// How long after a switching its effect is read back: a relay takes a second, a meter some more.
pub const SETTLE_MAX: Duration = Duration::from_secs(8);
/// Pause between two readings of those.
pub const SETTLE_PAUSE: Duration = Duration::from_millis(400);
/// How long a cut or a feed may take altogether. A controller waits 20 s for it.
pub const ACT_MAX: Duration = Duration::from_secs(17);

/// How often barred outlets are looked at. What a foreign hand did to one must end within two of these.
pub const WATCH_PERIOD: Duration = Duration::from_secs(5);
/// How many barred outlets of a unit are looked at at once. A management card serves one packet after the other.
pub const LOOKS_AT_ONCE: usize = 8;
/// An outlet that is off, and that cutting does not bring to be cut in every respect, is cut again after a pause that doubles up to this: a
/// unit keeps its settings in a memory that wears.
pub const CUT_AGAIN_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Largest number of outlets in a configuration.
pub const OUTLETS_MAX: usize = 512;
/// Longest serial number, bytes.
pub const SERIAL_BYTES_MAX: usize = 64;
/// Longest user name of SNMPv3, bytes (RFC 3414).
pub const USER_BYTES_MAX: usize = 32;
/// Shortest password of SNMPv3, bytes (RFC 3414, 11.2).
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Largest file of a secret that is read, bytes.
pub const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// Most watts that one outlet can give; what a meter says beyond is no reading.
pub const WATTS_MAX: i32 = 100_000;
