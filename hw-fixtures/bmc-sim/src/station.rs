//! A BMC at its place in the network: where it is met, and the certificate that it shows there.
//! Must never know what the BMC says.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use world::bmc::Bmc;

use crate::tls::Identity;

/// See the module. It is its BMC in all else.
#[derive(Debug)]
pub struct Station {
    bmc: Arc<Bmc>,
    /// Where it speaks Redfish.
    pub address: SocketAddr,
    /// Where it speaks IPMI.
    pub ipmi: Option<SocketAddr>,
    identity: Mutex<Option<Identity>>,
}

impl Station {
    /// This BMC at these addresses; without a certificate it speaks no Redfish.
    pub fn new(bmc: Arc<Bmc>, address: SocketAddr, ipmi: Option<SocketAddr>, identity: Option<Identity>) -> Arc<Station> {
        Arc::new(Station { bmc, address, ipmi, identity: Mutex::new(identity) })
    }

    /// The certificate in use; never held across an await.
    pub fn identity(&self) -> MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Station {
    type Target = Arc<Bmc>;

    fn deref(&self) -> &Arc<Bmc> {
        &self.bmc
    }
}
