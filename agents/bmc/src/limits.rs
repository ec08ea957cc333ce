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
/// The task of a setting that a BMC answers with "accepted, and goes on" is followed for so long; less than a caller waits for the command.
pub const TASK: Duration = Duration::from_secs(20);
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
/// Attempts at one PATCH at one resource, each after a refusal: its forms, with and without If-Match, and the waits for the end of POST.
pub const PATCH_ATTEMPTS_MAX: u32 = 12;
/// A setting that is refused because the machine is in POST is sent again so many times.
pub const POST_WAITS_MAX: u32 = 4;
/// Pause before that; doubled each time (1, 2, 4, 8 s: 15 s in all, which leaves time for reading back).
pub const POST_PAUSE: Duration = Duration::from_secs(1);

/// A task that is not to be found by then is taken for lost: iDRAC has been seen to answer 404 for a job's first seconds.
pub const TASK_APPEARS: Duration = Duration::from_secs(12);
/// Pause before a task is looked at again; doubled each time, up to the second.
pub const TASK_PAUSE: Duration = Duration::from_millis(200);
/// See above.
pub const TASK_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Messages told of a task that failed.
pub const TASK_MESSAGES_MAX: usize = 4;

/// Longest line of an event stream, bytes; nothing of it is kept, but one that does not end is no stream of events.
pub const EVENT_LINE_MAX: usize = 64 * 1024;
/// Largest event of an event stream, bytes.
pub const EVENT_MAX: usize = 256 * 1024;
/// A stream that wakes more often than so within [`EVENTS_WINDOW`] is a flood and is closed: no more extra looks in the long run than there
/// are looks at the default interval.
pub const WAKES_MAX: u32 = 12;
/// A stream that brings more bytes than these within [`EVENTS_WINDOW`] is a flood too.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// See [`WAKES_MAX`].
pub const EVENTS_WINDOW: Duration = Duration::from_secs(60);
/// An event stream that could not be opened, or broke, is opened again after this at the earliest; after twice as long each further time.
pub const STREAM_PAUSE: Duration = Duration::from_secs(1);
/// And after this at the latest, less up to a half by jitter.
pub const STREAM_PAUSE_MAX: Duration = Duration::from_secs(300);
/// An event stream that held for so long was a good one: its end is the first failure again.
pub const STREAM_PROVEN: Duration = Duration::from_secs(60);
/// A silent event stream is probed after so long, so that the end of one is noticed.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// An IPMI packet is sent again after this part of the time that a step may take; then after twice as long, and so on.
pub const IPMI_PAUSES_PER_STEP: u32 = 4;
/// An IPMI session on which nothing was heard for so long is kept alive by a small question; BMCs end idle ones after 60 s.
pub const IPMI_KEEP_ALIVE: Duration = Duration::from_secs(40);
/// A routine look does without asking again who answers for so long, on one and the same session, which only the BMC that was asked can
/// go on with.
pub const IPMI_IDENTITY: Duration = Duration::from_secs(60);
/// After it has sent to several BMCs, the task that speaks IPMI lets their answers gather for so long: each would wake it by itself.
pub const IPMI_GATHER: Duration = Duration::from_millis(2);
/// Orders, and packets of IPv4, taken in one go: the answers fit into the socket's buffer while they gather, and one wake-up serves them all.
pub const IPMI_BATCH_MAX: usize = 64;
/// A sender is not listened to any more once it has sent so many packets that nobody waited for within [`IPMI_NOISE_WINDOW`]: all BMCs share
/// one socket, whose buffer has room for some hundred.
pub const IPMI_NOISE_MAX: u32 = 500;
/// See [`IPMI_NOISE_MAX`].
pub const IPMI_NOISE_WINDOW: Duration = Duration::from_secs(1);
/// Senders whose packets are counted at once.
pub const IPMI_NOISE_SENDERS_MAX: usize = 4_096;
/// For so long a sender that was too loud is not listened to.
pub const IPMI_UNHEARD: Duration = Duration::from_secs(30);
/// So many senders are not listened to at once; then the first of them is again.
pub const IPMI_UNHEARD_MAX: usize = 64;
/// Requests that may wait for one BMC.
pub const IPMI_QUEUE_MAX: usize = 16;
/// Handshakes tried again within one opening, where the BMC forgot the first or hashes otherwise.
pub const HANDSHAKES_MAX: u8 = 3;
/// Bytes of an inventory, a sensor record or a log asked for at once. BMCs that cannot give so much refuse, and it is halved.
pub const IPMI_PIECE: usize = 32;
/// A BMC that gives less than this at once gives nothing, bytes.
pub const IPMI_PIECE_MIN: usize = 4;
/// Questions for one area of an inventory.
pub const INVENTORY_QUESTIONS_MAX: usize = 256;
/// Fields looked at in one area of an inventory.
pub const INVENTORY_FIELDS_MAX: usize = 16;
/// Reservations of a sensor repository that may be lost during one walk through it.
pub const RESERVATIONS_LOST_MAX: u32 = 8;
/// Records looked at in one sensor repository.
pub const SENSOR_RECORDS_MAX: usize = 1024;
/// Questions for one walk through a sensor repository.
pub const SENSOR_QUESTIONS_MAX: usize = 16 * SENSOR_RECORDS_MAX;
/// Sensors read in one survey.
pub const SENSORS_READ_MAX: usize = 64;
/// The last entries of an event log that are kept and shown.
pub const LOG_KEPT: usize = 20;
/// Entries of an event log read in one look; over IPMI the rest at the next, over Redfish no page is read beyond them.
pub const LOG_ENTRIES_MAX: usize = 512;
/// Questions for one look at an event log.
pub const LOG_QUESTIONS_MAX: usize = 8 * LOG_ENTRIES_MAX;
/// Log services looked at in one survey, and pages of one log. A page is a body, and looked at whole.
pub const LOG_SERVICES_MAX: usize = 16;
/// See [`LOG_SERVICES_MAX`].
pub const LOG_PAGES_MAX: usize = 64;
/// Requests of one survey over Redfish.
pub const SURVEY_REQUESTS_MAX: usize = 256;
/// A whole survey: inventory, sensors, watchdog, log.
pub const SURVEY: Duration = Duration::from_secs(30);
/// After an error of a socket, so long nothing is read from it.
pub const SOCKET_PAUSE: Duration = Duration::from_millis(10);

/// Largest body taken from a BMC, bytes.
pub const BODY_MAX: usize = 1024 * 1024;
/// Most values in one body (counted as `{`, `[` and `,`). The largest resource that was recorded has a sixth of it; as objects they take
/// 20 MB, where [`BODY_MAX`] alone would let a hostile BMC have 130 MB.
pub const VALUES_MAX: usize = 32_768;
/// What a value takes in memory at most, with its key and its place in an object, bytes.
pub const VALUE_WEIGHT: usize = 640;
/// What all resources of one survey, or of the hardware of one machine, take in memory at most, bytes.
pub const WALK_WEIGHT_MAX: usize = 32 * 1024 * 1024;
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
/// Requests that count the power supplies of one machine in all.
pub const SUPPLIES_REQUESTS_MAX: usize = 64;
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
    /// See [`TASK`].
    pub task: Duration,
    /// See [`SURVEY`].
    pub survey: Duration,
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
            task: TASK,
            survey: SURVEY,
        }
    }
}
