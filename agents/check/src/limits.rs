//! Every time-out and bound of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// Longest deadline of one try; a longer one in a check is cut to this.
pub const DEADLINE_MAX: Duration = Duration::from_secs(30);
/// Shortest deadline of one try; a shorter one would measure this machine and not the service.
pub const DEADLINE_MIN: Duration = Duration::from_millis(10);
/// How much of a body is looked at.
pub const BODY_BYTES_MAX: usize = 4 * 1024;
/// Largest status line with headers; more is not an answer.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest URL that is used.
pub const URL_BYTES_MAX: usize = 2 * 1024;
/// Most of a foreign text that is repeated in an outcome.
pub const SHOWN_CHARS_MAX: usize = 80;
/// Plugins that run at once on one vantage point.
pub const PLUGINS_AT_ONCE: usize = 16;
/// How long a plugin waits for others to end before it is not run at all. A controller waits 8 s for that and the run.
pub const QUEUE_MAX: Duration = Duration::from_secs(1);
/// So long after its deadline a plugin that was not ended from inside is killed from outside.
pub const KILLED_AFTER: Duration = Duration::from_millis(500);
/// How long it may take to find out whether a plugin can be contained.
pub const CONTAINED: Duration = Duration::from_secs(10);
/// Arguments of a plugin.
pub const ARGUMENTS_MAX: usize = 64;
/// All arguments of a plugin together.
pub const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;
/// How much of what a plugin says is kept.
pub const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// Address space of a process of a plugin.
pub const PLUGIN_MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Largest file that a plugin may write.
pub const PLUGIN_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files that a plugin may hold open.
pub const PLUGIN_FILES_MAX: u64 = 256;
/// Processes of the plugins' user.
pub const PLUGIN_PROCESSES_MAX: u64 = 256;
/// A plugin's own `/tmp`, bytes, as bubblewrap reads it.
pub const TMP_BYTES_MAX: &str = "16777216";
/// A plugin's own `/dev/shm`, bytes, as bubblewrap reads it.
pub const DEV_BYTES_MAX: &str = "1048576";
/// So long after its last message a kernel still counts as one that writes its memory away: `fence_kdump_send` sends one every 10 s, and two may be
/// lost.
pub const DUMP_HEARD: Duration = Duration::from_secs(25);
/// Hosts that are remembered to write their memory away.
pub const DUMPS_MAX: usize = 4096;
