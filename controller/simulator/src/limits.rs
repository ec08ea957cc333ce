//! Every bound and pause of the simulator: of the judge, and of a hall that is met over sockets. Nothing else here.

use std::time::Duration;

/// The most machines of such a hall: their BMCs have a quarter of a block of 65,536 addresses.
pub const MACHINES_MAX: usize = 16_000;
/// Changes of a BMC that are kept for whoever listens slowly.
pub const CHANGES_KEPT: usize = 64;
/// Clients that the door of one server serves at once; the next waits.
pub const CLIENTS_MAX: usize = 32;
/// The longest head of a client's request, bytes.
pub const HEAD_BYTES_MAX: usize = 4_096;
/// How long a client may stay that nobody answers.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often an enrolment bundle that is not there yet is looked for.
pub const BUNDLE_EVERY: Duration = Duration::from_millis(100);
/// The longest request to a hall, bytes.
pub const REQUEST_BYTES_MAX: u64 = 4_096;
/// How often it is looked which servers' doors are open.
pub const KEPT_EVERY: Duration = Duration::from_millis(50);
/// Unbroken runs of acknowledged records kept of each server of a hall; of more the oldest are forgotten.
pub const RUNS_MAX: usize = 64;
/// Clients that the kernel keeps for an open door.
pub const BACKLOG: i32 = 64;

/// Most violations kept, and most overlaps by foreign hands.
pub const TOLD_MAX: usize = 200;
/// Spans and overlaps kept of each server; of more the oldest are forgotten.
pub const SPANS_MAX: usize = 64;
/// Records of the store read at a time.
pub const PAGE: usize = 256;
