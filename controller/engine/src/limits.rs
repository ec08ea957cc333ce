//! Time-outs, retries and limits of the shell. Documented in docs/limits.md.

use std::time::Duration;

/// How long a `Hello` may take.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// How often agents are greeted that were not heard yet, or that are only observed since they know more than the store.
pub const GREET_EVERY: Duration = Duration::from_secs(3);
/// An agent's certificate is renewed when it ends sooner than this: half of its time (`contract::limits::AGENT_CERTIFICATE_DAYS`).
pub const RENEWAL_DUE: Duration = Duration::from_secs(365 * 86_400);
/// One that was not renewed is told to people when it ends sooner than this.
pub const RENEWAL_URGENT: Duration = Duration::from_secs(90 * 86_400);
/// A renewal that failed is tried again after this.
pub const RENEWAL_TRIED_EVERY: Duration = Duration::from_secs(3_600);
/// A poll of a BMC may take this long; then it is a failure to see.
pub const POLL_DEADLINE: Duration = Duration::from_secs(8);
/// A long poll of boot contacts may take this long.
pub const CONTACTS_DEADLINE: Duration = Duration::from_secs(20);
/// Pause after a failed long poll.
pub const CONTACTS_PAUSE: Duration = Duration::from_millis(500);
/// How often canaries are asked.
pub const CANARY_EVERY: Duration = Duration::from_secs(2);
/// How often a BMC is looked at for signs of failures to come.
pub const SIGNS_EVERY: Duration = Duration::from_secs(30 * 60);
/// But never sooner after one another than this, however often its health turns.
pub const SIGNS_GAP: Duration = Duration::from_secs(5 * 60);
/// How often it is asked meanwhile whether somebody else needs the BMC.
pub const SIGNS_ASIDE_EVERY: Duration = Duration::from_secs(1);
/// So many BMCs at once.
pub const SIGNS_AT_ONCE: usize = 4;
/// An entry of an event log is a sign for so long.
pub const SIGNS_LOG_AGE: Duration = Duration::from_secs(7 * 86_400);
/// What is taken of what a BMC says of one.
pub const SIGN_CHARS_MAX: usize = 200;
/// How long a canary may take.
pub const CANARY_DEADLINE: Duration = Duration::from_millis(900);
/// Polls are spread over their interval by up to this share, in percent.
pub const JITTER_PERCENT: u32 = 10;
/// BMCs that are due within this part of the interval are looked at together: a processor that is woken once for several spends a fraction.
pub const SLOTS_PER_INTERVAL: u32 = 100;
/// A BMC is left alone for as long as its own answers usually take: from one look to the next it is so many times that long at least.
pub const BUSY_SHARE: u32 = 2;
/// But one that answers is looked at at least once in so many intervals: the detection takes no reading for the present one that is older
/// than four.
pub const SLOW_INTERVALS_MAX: u32 = 3;
/// After so many looks in a row that met silence a BMC is looked at less often, each time half as often as before. The detection needs
/// fewer to call it unreachable.
pub const SILENT_LOOKS: u32 = 5;
/// But at least once in so many intervals.
pub const SILENT_INTERVALS_MAX: u32 = 6;
/// A BMC that says that something happened is looked at at once, but only once in so long.
pub const WAKE_GAP: Duration = Duration::from_secs(1);
/// A machine that is off and was not, or the reverse, is looked at again so soon, so that nobody waits for an interval to be sure.
pub const CLOSE_GAP: Duration = Duration::from_secs(1);
/// So many times: as long as the windows of what is off.
pub const CLOSE_LOOKS: u32 = 10;
/// A BMC is listened to for so long, then again.
pub const WAKE_DEADLINE: Duration = Duration::from_secs(60);
/// Entries that a slow watcher of the journal may lag behind before it has to read them from the store.
pub const WATCHER_LAG: usize = 4096;
/// Events that may wait for the core; beyond, routine observations are dropped and counted, and everything else waits.
pub const QUEUE: usize = 16_384;
/// So many records may wait for a journal that cannot be written; beyond, they are forgotten, as a restart would.
pub const STUCK_RECORDS: usize = 4096;
/// A journal that cannot be written is tried again after this.
pub const JOURNAL_AGAIN: Duration = Duration::from_millis(500);
/// The core is woken at least this often.
pub const IDLE: Duration = Duration::from_millis(250);
/// How often old records are looked for: a tenth of the time that they are kept for, but no more often than this.
pub const RETENTION_EVERY_MIN: Duration = Duration::from_secs(1);
/// And at least this often.
pub const RETENTION_EVERY_MAX: Duration = Duration::from_secs(86_400);
/// The first time, so long after the start, unless that is still sooner.
pub const RETENTION_FIRST: Duration = Duration::from_secs(600);
/// No more of the kept records go at once than one in so many.
pub const RETENTION_SHARE: u64 = 10;
/// And nothing goes unless at least one in so many may: a new base is a large write.
pub const RETENTION_WORTH: u64 = 100;
/// So many records are read, or their room freed, in one go.
pub const RETENTION_SLICE: usize = 250;
/// Between two such goes.
pub const RETENTION_PAUSE: Duration = Duration::from_millis(100);
