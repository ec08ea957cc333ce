//! A place in the network for a BMC whose machine is somebody else's: its socket, taken first and served later. The BMC must have been told
//! that this port of it is a socket ([`world::bmc::Ports`]).
//! Must never start, stop or know a machine.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use world::bmc::Bmc;

use crate::error::Error;
use crate::server;
use crate::station::Station;
use crate::tls;
use crate::udp;

/// See the module. Dropping it gives the address free.
#[derive(Debug)]
pub struct Berth {
    name: String,
    address: SocketAddr,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Redfish(TcpListener),
    Ipmi(UdpSocket),
}

impl Berth {
    /// Takes an address for Redfish over TLS. Needs a tokio runtime with I/O, as do all of these.
    pub fn redfish(name: &str, address: SocketAddr) -> Result<Berth, Error> {
        let fail = |source| Error::Listen { name: name.into(), address, source };
        let listener = server::bind(address).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Berth { name: name.into(), address, socket: Socket::Redfish(listener) })
    }

    /// Takes an address for IPMI 2.0 over UDP.
    pub fn ipmi(name: &str, address: SocketAddr) -> Result<Berth, Error> {
        let fail = |source| Error::Listen { name: name.into(), address, source };
        let socket = udp::bind(address).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Berth { name: name.into(), address, socket: Socket::Ipmi(socket) })
    }

    /// Serves this BMC here, under a certificate of its own, for as long as the future is polled.
    pub fn serve(self, bmc: Arc<Bmc>) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, Error> {
        Ok(match self.socket {
            Socket::Redfish(listener) => {
                let identity = tls::identity(&self.name, self.address)?;
                Box::pin(server::serve(Station::new(bmc, self.address, None, Some(identity)), listener))
            }
            Socket::Ipmi(socket) => Box::pin(udp::serve(Station::new(bmc, self.address, Some(self.address), None), socket)),
        })
    }
}
