//! What befell a machine, in order: for tests, which compare whole traces, and for people. Nothing acts on it. It holds no secret.

use super::BootDevice;
use super::cables::LoginError;
use std::net::Ipv4Addr;
use std::time::Duration;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Power came.
    On,
    /// Power is gone, and why.
    Off(String),
    /// Firmware begins to test itself.
    Post,
    /// Firmware or iPXE asked for an address.
    Discover,
    /// An address was offered.
    Offered(Ipv4Addr),
    /// The offer was asked for.
    Request,
    /// The address was given.
    Leased(Ipv4Addr),
    /// A running system's address was given to it for longer.
    Renewed(Ipv4Addr),
    /// A script was fetched.
    Script,
    /// An image was fetched to its end.
    Image {
        /// Its length.
        bytes: usize,
    },
    /// A script failed.
    ScriptFailed(String),
    /// A script asked for what iPXE here does not have.
    ScriptUnknown(String),
    /// There was nothing to boot from this device.
    NotBootable(BootDevice),
    /// A system begins.
    System,
    /// The claim was delivered, for this server.
    Claimed(String),
    /// A session begins, under this initiator's name.
    LoggedIn(String),
    /// A login came to nothing.
    LoginFailed(LoginError),
    /// A session is taken for lost.
    SessionLost,
    /// The root volume is mounted.
    Mounted {
        /// The number of the last record on it.
        last: u64,
    },
    /// The service answers.
    Serves {
        /// Whose it is.
        server: String,
        /// Which start of the server it is.
        incarnation: u64,
    },
    /// A read or write failed for good: nothing is acknowledged any more.
    VolumeFailed,
    /// A boot failed.
    BootFailed(String),
    /// The service's process ended.
    Crashed,
    /// The system stops in order.
    Stops,
    /// The kernel panicked.
    Panicked,
    /// The machine was reset.
    Reset,
    /// It hangs.
    Frozen,
    /// It goes on.
    Thawed,
}

/// An event and its time since the machine was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// When.
    pub at: Duration,
    /// What.
    pub event: Event,
}
