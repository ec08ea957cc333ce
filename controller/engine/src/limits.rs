//! Time-outs, retries and limits of the shell. Documented in docs/limits.md.

use std::time::Duration;

/// How long a `Hello` may take.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// A poll of a BMC may take this long; then it is a failure to see.
pub const POLL_DEADLINE: Duration = Duration::from_secs(8);
/// A long poll of boot contacts may take this long.
pub const CONTACTS_DEADLINE: Duration = Duration::from_secs(20);
/// Pause after a failed long poll.
pub const CONTACTS_PAUSE: Duration = Duration::from_millis(500);
/// How often canaries are asked.
pub const CANARY_EVERY: Duration = Duration::from_secs(2);
/// How long a canary may take.
pub const CANARY_DEADLINE: Duration = Duration::from_millis(900);
/// Polls are spread over their interval by up to this share, in percent.
pub const JITTER_PERCENT: u64 = 10;
/// Entries of the journal that are kept in memory for watchers; older ones are read from the store.
pub const ENTRIES_KEPT: usize = 4096;
/// Entries that a slow watcher may lag behind before it is dropped.
pub const WATCHER_LAG: usize = 4096;
/// Events that may wait for the core; beyond, routine observations are dropped and everything else waits.
pub const QUEUE: usize = 16_384;
/// A journal that cannot be written is tried again after this.
pub const JOURNAL_AGAIN: Duration = Duration::from_millis(500);
/// The core is woken at least this often.
pub const IDLE: Duration = Duration::from_millis(250);
