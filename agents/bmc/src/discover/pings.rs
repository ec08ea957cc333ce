//! Presence pings to many addresses over one socket of each family. An answer counts only from the address and port that were asked, with
//! the number of the question, while somebody waits for it.
//! Must never remember an address longer than it is waited for.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::sync::oneshot;

use crate::ipmi::presence;
use crate::ipmi::wire;
use crate::limits;

type Waiting = HashMap<SocketAddr, (u8, oneshot::Sender<()>)>;

/// The sockets, and who waits for an answer.
#[derive(Default)]
pub struct Pings {
    four: OnceLock<UdpSocket>,
    six: OnceLock<UdpSocket>,
    /// A socket was made.
    made: Notify,
    waiting: Mutex<Waiting>,
}

impl Pings {
    /// Whether a box that speaks IPMI answers at an address. An error is this host's own: then nobody was asked.
    pub async fn ask(&self, peer: SocketAddr) -> io::Result<bool> {
        let number: u8 = rand::random();
        let (answer, mut answered) = oneshot::channel();
        self.waiting().insert(peer, (number, answer));
        let _forgotten = Forgotten { pings: self, peer };
        for _ in 0..limits::PING_TRIES {
            for question in presence::questions(number) {
                self.send(peer, &question).await?;
            }
            // a sender that is gone means that the same address was asked anew, and is as good as no answer
            if let Ok(answer) = tokio::time::timeout(limits::PING_WAIT, &mut answered).await {
                return Ok(answer.is_ok());
            }
        }
        Ok(false)
    }

    /// Takes one packet; returns when it was dealt with. May be given up at any time without losing one.
    pub async fn hear(&self) {
        let (mut four, mut six) = ([0; wire::PACKET_MAX + 1], [0; wire::PACKET_MAX + 1]);
        let (came, buffer) = tokio::select! {
            came = receive(self.four.get(), &mut four) => (came, &four),
            came = receive(self.six.get(), &mut six) => (came, &six),
            () = self.made.notified() => return,
        };
        match came {
            Ok((length, from)) => self.take(from, buffer.get(..length).unwrap_or_default()),
            Err(error) => {
                tracing::debug!(%error, "presence socket");
                tokio::time::sleep(limits::SOCKET_PAUSE).await;
            }
        }
    }

    fn take(&self, from: SocketAddr, packet: &[u8]) {
        let mut waiting = self.waiting();
        let is_answer = waiting.get(&from).is_some_and(|(number, _)| presence::answers(packet, *number));
        if is_answer && let Some((_, answer)) = waiting.remove(&from) {
            // who asked may have given up just now
            let _ = answer.send(());
        }
    }

    async fn send(&self, peer: SocketAddr, packet: &[u8]) -> io::Result<()> {
        let (place, any) = match peer {
            SocketAddr::V4(_) => (&self.four, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.six, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let socket = match place.get() {
            Some(socket) => socket,
            None => {
                let socket = UdpSocket::bind(any).await?;
                let socket = place.get_or_init(|| socket);
                self.made.notify_one();
                socket
            }
        };
        match socket.send_to(packet, peer).await {
            // the network says that nobody is there
            Err(error) if is_absence(&error) => Ok(()),
            sent => sent.map(|_| ()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for an error that says something of the address and nothing of this host.
pub fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionRefused | K::ConnectionReset | K::ConnectionAborted | K::HostUnreachable | K::TimedOut)
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// Forgets who was asked, however the asking ends.
struct Forgotten<'a> {
    pings: &'a Pings,
    peer: SocketAddr,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.pings.waiting().remove(&self.peer);
    }
}
