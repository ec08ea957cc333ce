//! Every time-out and every bound of the BMC drivers, named, with its unit.
//! Must never hold what belongs to one platform: that is a quirk.

use std::time::Duration;

/// A connection (TCP and TLS) not made by then counts as unreachable. A healthy BMC needs well under a second, a busy one two.
pub const CONNECT: Duration = Duration::from_secs(4);
/// One GET not answered by then counts as unreachable. Busy BMCs have been seen to need several seconds.
pub const REQUEST: Duration = Duration::from_secs(10);
/// One POST or PATCH not answered by then: whether it happened is unknown.
pub const COMMAND_REQUEST: Duration = Duration::from_secs(30);
/// Making a session and finding out where things are; much longer than a reading, so that a slow BMC gets there at all.
pub const DISCOVERY: Duration = Duration::from_secs(60);
/// The requests of one reading together.
pub const READING: Duration = Duration::from_secs(15);
/// A whole command: identity, command, reading back.
pub const COMMAND: Duration = Duration::from_secs(60);
/// Data that the kernel of the BMC has not acknowledged by then breaks the connection.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// The farewell to a session; nobody waits for it longer.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// So long after a BMC has started its Off is not believed: BMCs have been seen to say Off before they had found out. IPMI does not tell
/// when that was: there it is so long after a session that followed one that broke.
pub const BMC_EARLY: Duration = Duration::from_secs(30);
/// Two times of a BMC's start that differ by no more are the same start: some compute it from how long they run.
pub const BMC_START_JITTER: Duration = Duration::from_secs(3);

/// Connections for readings kept open to one BMC: as many as one reading has requests.
pub const IDLE_EYES_MAX: usize = 3;
/// How long an idle connection for readings is kept.
pub const IDLE_EYES: Duration = Duration::from_secs(60);
/// Connections for commands kept open: one, so that a command goes out on the connection that has just answered who is there.
pub const IDLE_HAND_MAX: usize = 1;
/// How long an idle connection for commands is kept: shorter than any BMC's own patience, so that no command meets a stale one.
pub const IDLE_HAND: Duration = Duration::from_secs(3);

/// After the BMC refused the account, it is not tried again for so long: more attempts would lock the account.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(30);
/// After the BMC had no free session, one is asked for again so much later; meanwhile each request carries the account itself.
pub const SESSION_RETRY: Duration = Duration::from_secs(30);

/// A setting is read back so many times before it counts as unconfirmed.
pub const READ_BACK_ATTEMPTS: u32 = 5;
/// Pause before a setting is read back again; doubled each time (100, 200, 400, 800 ms: 1.5 s in all).
pub const READ_BACK_PAUSE: Duration = Duration::from_millis(100);
/// A power-on answered "conflict" while the machine is off is sent again so many times (the answer says that nothing was done).
pub const POWER_ON_CONFLICTS_MAX: u32 = 2;
/// Pause before that.
pub const POWER_ON_CONFLICT_PAUSE: Duration = Duration::from_secs(1);
/// Different forms of one PATCH (with and without If-Match, with and without Mode) that are tried, each after a refusal.
pub const PATCH_FORMS_MAX: u32 = 4;

/// An IPMI packet is sent again after this part of the time that a step may take; then after twice as long, and so on.
pub const IPMI_PAUSES_PER_STEP: u32 = 4;
/// An IPMI session on which nothing was heard for so long is kept alive by a small question; BMCs end idle ones after 60 s.
pub const IPMI_KEEP_ALIVE: Duration = Duration::from_secs(40);
/// Requests that may wait for one BMC.
pub const IPMI_QUEUE_MAX: usize = 16;
/// Handshakes tried again within one opening, where the BMC forgot the first or hashes otherwise.
pub const HANDSHAKES_MAX: u8 = 3;
/// After an error of a socket, so long nothing is read from it.
pub const SOCKET_PAUSE: Duration = Duration::from_millis(10);

/// Largest body taken from a BMC, bytes.
pub const BODY_MAX: usize = 1024 * 1024;
/// Longest text taken from a BMC's answer, characters.
pub const TEXT_MAX: usize = 128;
/// Longest explanation taken from a BMC's error body, characters.
pub const EXPLANATION_MAX: usize = 240;
/// Longest path taken from a BMC's link, bytes.
pub const PATH_MAX: usize = 512;
/// Longest session token taken, bytes.
pub const TOKEN_MAX: usize = 4096;
/// Systems looked at behind one BMC.
pub const SYSTEMS_MAX: usize = 16;
/// Links taken from one list of a resource.
pub const LINKS_MAX: usize = 64;
/// Allowable values taken from one list.
pub const ALLOWABLE_MAX: usize = 64;

/// Addresses asked in a second by a search, unless the caller says otherwise.
pub const SEARCH_RATE: u32 = 50;
/// Most addresses asked in a second: as many as [`SEARCH_AT_ONCE_MAX`] lets through even if every address takes all its time.
pub const SEARCH_RATE_MAX: u32 = 100;
/// Most addresses of one search: those of an IPv4 /16, or of an IPv6 /112.
pub const SEARCH_ADDRESSES_MAX: usize = 65_536;
/// Longest IPv6 part of an address that is searched, as the shortest prefix.
pub const SEARCH_PREFIX_MIN: u8 = 112;
/// Addresses under way at once; each takes at most [`KNOCK`] and [`GREETING`].
pub const SEARCH_AT_ONCE_MAX: usize = 800;
/// A TCP connection of a search not made by then: nobody is there.
pub const KNOCK: Duration = Duration::from_secs(2);
/// TLS and service root of an address that took the connection; who has not told them by then is no BMC that could be used.
pub const GREETING: Duration = Duration::from_secs(6);
/// A presence ping goes out so many times.
pub const PING_TRIES: u32 = 2;
/// An answer to a presence ping is waited for so long before the next one goes out.
pub const PING_WAIT: Duration = Duration::from_secs(1);
/// BMCs whose hardware is read at once.
pub const HARDWARE_AT_ONCE: usize = 32;
/// All requests about the hardware of one machine together.
pub const HARDWARE: Duration = Duration::from_secs(120);
/// Requests about the hardware of one machine at once: BMCs are small.
pub const HARDWARE_REQUESTS_AT_ONCE: usize = 3;
/// Requests about the hardware of one machine in all.
pub const HARDWARE_REQUESTS_MAX: usize = 256;
/// Processors looked at in one machine.
pub const PROCESSORS_MAX: usize = 32;
/// Network interfaces looked at in one machine.
pub const INTERFACES_MAX: usize = 64;
/// Network adapters looked at in one chassis, ports looked at on one adapter, and addresses taken of one port.
pub const ADAPTERS_MAX: usize = 16;
/// See [`ADAPTERS_MAX`].
pub const ADAPTER_PORTS_MAX: usize = 16;
/// Power supplies looked at in one chassis.
pub const POWER_SUPPLIES_MAX: usize = 16;

/// How long one BMC is waited for. The default is the constants above; a lab or a test may be less patient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// See [`CONNECT`].
    pub connect: Duration,
    /// See [`REQUEST`].
    pub request: Duration,
    /// See [`COMMAND_REQUEST`].
    pub command_request: Duration,
    /// See [`DISCOVERY`].
    pub discovery: Duration,
    /// See [`READING`].
    pub reading: Duration,
    /// See [`COMMAND`].
    pub command: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: CONNECT,
            request: REQUEST,
            command_request: COMMAND_REQUEST,
            discovery: DISCOVERY,
            reading: READING,
            command: COMMAND,
        }
    }
}
