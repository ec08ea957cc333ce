//! Every time-out and bound of this binary, with its unit. Nothing else here.

use std::time::Duration;

/// Pause between two looks for something that is not there yet: the state directory, the bundle, the address to listen on.
pub const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often a wait is told again.
pub const RETELL: Duration = Duration::from_secs(30);
/// How long a file operation in flight may still take at the end.
pub const SHUTDOWN: Duration = Duration::from_secs(3);
/// Largest configuration that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// How long the sessions on BMCs may take to end at the end.
pub const FAREWELL: Duration = Duration::from_secs(3);
