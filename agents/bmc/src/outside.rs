//! What a fleet has from outside: time, chance, and the ways to its BMCs. A program has the machine's, a simulated world its own.
//! Must never be gone around: none but what is made here opens a socket.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use crate::given::{Given, Random};
use crate::ipmi::Lines;
use crate::limits::Patience;
use crate::redfish::over_tls::OverTls;
pub use crate::redfish::tls::Pin;
pub use crate::redfish::transport::Road;
use crate::redfish::transport::Transport;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Outside {
    /// Time and chance.
    pub given: Given,
    /// To BMCs that speak Redfish.
    pub road: Road,
    /// To BMCs that speak IPMI.
    pub lines: Lines,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

impl Outside {
    /// The machine's.
    pub fn of_the_machine() -> Outside {
        let road = |address: SocketAddr, pin: &Arc<Pin>, patience: Patience| {
            let transport = OverTls::new(address, Arc::clone(pin), patience)?;
            Ok::<Box<dyn Transport>, String>(Box::new(transport))
        };
        Outside { given: Given::by_the_machine(), road: Arc::new(road), lines: Lines::of_the_process() }
    }
}
