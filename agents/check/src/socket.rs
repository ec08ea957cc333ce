//! Opens a connection from this vantage point, and tells apart what the far end did and what went wrong here.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};
use vocabulary::check::CheckOutcome;

/// One try's end. `Err` is a fault of this vantage point itself: it says nothing about the service.
pub(crate) type Tried = Result<CheckOutcome, String>;

/// From where connections leave.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Source address.
    pub address: Option<IpAddr>,
    /// Interface.
    pub interface: Option<String>,
}

/// Why there is no connection.
pub enum NoConnection {
    /// What the far end, or its absence, did.
    Far(CheckOutcome),
    /// What is wrong here.
    Here(String),
}

impl From<NoConnection> for Tried {
    fn from(reason: NoConnection) -> Tried {
        match reason {
            NoConnection::Far(outcome) => Ok(outcome),
            NoConnection::Here(fault) => Err(fault),
        }
    }
}

impl Source {
    fn socket(&self, to: SocketAddr) -> Result<TcpSocket, String> {
        let made = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = made.map_err(|error| format!("no socket: {error}"))?;
        if let Some(interface) = &self.interface {
            let bound = socket.bind_device(Some(interface.as_bytes()));
            bound.map_err(|error| format!("cannot use the interface {interface}: {error}; does it exist?"))?;
        }
        if let Some(address) = self.address {
            if address.is_ipv4() != to.is_ipv4() {
                return Err(format!("its source address {address} and {to} are of two families"));
            }
            let bound = socket.bind(SocketAddr::new(address, 0));
            bound.map_err(|error| format!("cannot use the source address {address}: {error}"))?;
        }
        Ok(socket)
    }

    /// Connects. The caller keeps the deadline.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream, NoConnection> {
        let socket = self.socket(to).map_err(NoConnection::Here)?;
        socket.connect(to).await.map_err(|error| refusal(to, &error))
    }
}

fn refusal(to: SocketAddr, error: &io::Error) -> NoConnection {
    match error.kind() {
        // a host that refuses is alive
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            NoConnection::Far(CheckOutcome::Wrong(format!("{to} refuses the connection")))
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut => {
            NoConnection::Far(CheckOutcome::Silent(format!("{to}: {error}")))
        }
        _ => NoConnection::Here(format!("{to}: {error}")),
    }
}
