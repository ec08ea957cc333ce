//! The UDP port of one BMC's IPMI: a socket and one small task.
//! Must never hold a socket open for a reply that waits: a port that was closed is closed.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::net::UdpSocket;
use world::bmc::Reach;
use world::bmc::ipmi::{Out, Port};
use world::bmc::rmcp::PACKET_MAX;

use crate::limits;
use crate::station::Station;

/// Takes the address. Needs a tokio runtime.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A socket, as long as it is open.
struct Way(Weak<UdpSocket>);

impl Out for Way {
    fn send(&self, to: SocketAddr, packet: &[u8]) {
        if let Some(socket) = self.0.upgrade()
            && let Err(e) = socket.try_send_to(packet, to)
        {
            // as good as lost on the way
            tracing::debug!(%to, error = %e, "packet not sent");
        }
    }
}

/// A socket, and the way out by it.
struct Socket {
    udp: Arc<UdpSocket>,
    out: Arc<dyn Out>,
}

impl Socket {
    fn new(udp: UdpSocket) -> Socket {
        let udp = Arc::new(udp);
        let out = Arc::new(Way(Arc::downgrade(&udp)));
        Socket { udp, out }
    }

    /// Takes what has arrived, but not for ever: other BMCs wait for this thread.
    fn drain(&self, port: &Arc<Port>) {
        let mut buffer = [0; PACKET_MAX + 1];
        for _ in 0..limits::PACKETS_PER_TURN {
            match self.udp.try_recv_from(&mut buffer) {
                Ok((length, from)) => port.take(&self.out, from, buffer.get(..length).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // an answer that could not be delivered comes back as an error of this socket
                Err(e) => tracing::debug!(?port, error = %e, "IPMI packet"),
            }
        }
    }
}

/// Serves one BMC until the task is aborted.
pub async fn serve(bmc: Arc<Station>, socket: UdpSocket) {
    let port = Arc::new(Port::new(&bmc));
    let mut link = bmc.link();
    let mut open = Some(Socket::new(socket));
    loop {
        let now = link.see();
        match (now.reach, open.take()) {
            (Reach::Refuse, socket) => {
                drop(socket);
                bmc.ipmi_follows(now.serial);
                link.changed().await;
            }
            (_, None) => open = rebind(&bmc).await,
            (_, Some(socket)) => {
                bmc.ipmi_follows(now.serial);
                tokio::select! {
                    () = link.changed() => {}
                    ready = socket.udp.readable() => match ready {
                        Ok(()) => socket.drain(&port),
                        Err(e) => {
                            tracing::warn!(machine = %bmc.config.name, error = %e, "IPMI socket");
                            tokio::time::sleep(limits::ACCEPT_RETRY).await;
                        }
                    },
                }
                open = Some(socket);
            }
        }
    }
}

async fn rebind(bmc: &Station) -> Option<Socket> {
    let address = bmc.ipmi?;
    match bind(address) {
        Ok(socket) => return Some(Socket::new(socket)),
        Err(e) => tracing::warn!(machine = %bmc.config.name, %address, error = %e, "cannot take the IPMI port again"),
    }
    tokio::time::sleep(limits::ACCEPT_RETRY).await;
    None
}
