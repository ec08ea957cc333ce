//! Where the packets of IPMI go and come from, for all BMCs: sockets in a program, a network of its own in a simulated world.
//! Must never look into a packet.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::noise::Noise;
use crate::limits;

/// See the module.
pub trait Air: Send + 'static {
    /// The next packet, cut to the buffer's length, and its sender. Who gives up waiting loses none.
    fn receive(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send;
    /// The same of a packet that has come already.
    fn there(&mut self, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>>;
    /// Sends a packet. An error is as good as a packet that was lost on its way.
    fn send(&mut self, to: SocketAddr, packet: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// From now on nothing comes from those who are too loud, and all comes from everybody else.
    fn listen(&mut self, noise: &Noise);
    /// Called after a turn in which several packets were sent: answers may be let come together.
    fn gather(&mut self);
}

/// A socket for each family of addresses, made when the first packet goes there.
#[derive(Default)]
pub struct Sockets {
    four: Option<UdpSocket>,
    six: Option<UdpSocket>,
}

async fn readable(socket: &Option<UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

fn come(socket: &Option<UdpSocket>, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
    let came = socket.as_ref()?.try_recv_from(buffer);
    (!came.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)).then_some(came)
}

impl Air for Sockets {
    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            tokio::select! {
                ready = readable(&self.four) => ready?,
                ready = readable(&self.six) => ready?,
            }
            if let Some(came) = self.there(buffer) {
                return came;
            }
        }
    }

    fn there(&mut self, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
        come(&self.four, buffer).or_else(|| come(&self.six, buffer))
    }

    async fn send(&mut self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        let (socket, any) = match to {
            SocketAddr::V4(_) => (&mut self.four, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut self.six, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let socket = match socket {
            Some(socket) => socket,
            None => socket.insert(UdpSocket::bind(any).await?),
        };
        socket.send_to(packet, to).await.map(drop)
    }

    fn listen(&mut self, noise: &Noise) {
        for socket in self.four.iter().chain(&self.six) {
            if let Err(error) = noise.apply(socket) {
                tracing::warn!(%error, "no filter can be set on the socket of IPMI: a BMC that sends noise may delay the others");
            }
        }
    }

    fn gather(&mut self) {
        // the thread is the hub's alone; asleep within the runtime each packet would wake it
        std::thread::sleep(limits::IPMI_GATHER);
    }
}
