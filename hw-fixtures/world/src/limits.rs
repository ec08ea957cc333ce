//! Every bound and span of this crate, with its unit. Nothing else here.

use std::time::Duration;

/// Notes that one listener at a switch may leave waiting; then all are dropped, and that is told.
pub const NOTES_MAX: usize = 256;
/// Highest VLAN of a port; 4095 is reserved.
pub const VLAN_MAX: u16 = 4_094;
/// After this time whoever waits for a switch's kernel has given up.
pub const CALL_GIVEN_UP: Duration = Duration::from_secs(2);
/// Contents of one thing that a disk keeps, so that it can be put back to what it was.
pub const VERSIONS_MAX: usize = 256;
/// Requests that wait for a storage target that does not move; further ones find its socket full.
pub const REQUESTS_MAX: usize = 128;
/// Writes that changed an object and that nobody asked for yet; of more the oldest are forgotten.
pub const LANDED_MAX: usize = 65_536;
