//! Kernels that have crashed and write their memory away: they say so by datagrams of `fence_kdump_send`, which a kdump initramfs can send to hosts of its
//! choice (fence-agents, `agents/kdump`: UDP port 7410, a magic number and a version in the sender's byte order). Who says so is known by its address
//! alone and can be forged, so it must never prove anything: it is a reason to wait, for as long as the server's document says.

pub use crate::limits::DUMP_HEARD;
use crate::limits::DUMPS_MAX;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// The port of `fence_kdump`.
pub const PORT: u16 = 7410;
const MAGIC: u32 = 0x1B30_2A40;
const VERSION: u32 = 1;

/// True for a message of `fence_kdump_send`, in either byte order. Total.
pub fn is_message(bytes: &[u8]) -> bool {
    let words = bytes.split_first_chunk::<4>().and_then(|(magic, rest)| Some((*magic, *rest.first_chunk::<4>()?)));
    let is = |read: fn([u8; 4]) -> u32| words.is_some_and(|(magic, version)| read(magic) == MAGIC && read(version) == VERSION);
    bytes.len() == 8 && (is(u32::from_le_bytes) || is(u32::from_be_bytes))
}

/// Who was heard, and when last.
#[derive(Clone, Debug)]
pub(crate) struct Dumps {
    heard: Arc<Mutex<BTreeMap<IpAddr, Instant>>>,
    _listens: Arc<Listens>,
}

/// The listener ends with whoever listens.
#[derive(Debug)]
struct Listens(AbortHandle);

impl Drop for Listens {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Dumps {
    /// Listens at this address.
    pub(crate) async fn open(at: SocketAddr) -> io::Result<Dumps> {
        let socket = UdpSocket::bind(at).await?;
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let listens = tokio::spawn(listen(socket, heard.clone())).abort_handle();
        Ok(Dumps { heard, _listens: Arc::new(Listens(listens)) })
    }

    /// True if that host has said so lately.
    pub(crate) fn dumps(&self, host: IpAddr) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&host).is_some_and(|at| at.elapsed() < DUMP_HEARD)
    }
}

async fn listen(socket: UdpSocket, heard: Arc<Mutex<BTreeMap<IpAddr, Instant>>>) {
    // one byte more than a message: a longer datagram is none
    let mut buffer = [0; 9];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // an error of one datagram, such as an unreachable port told by a host, is none of the socket
            tokio::task::yield_now().await;
            continue;
        };
        if !buffer.get(..length).is_some_and(is_message) {
            continue;
        }
        let now = Instant::now();
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, at: &mut Instant| now.duration_since(*at) < DUMP_HEARD);
        // a flood of forged senders takes nobody's place who was heard before
        if heard.len() < DUMPS_MAX || heard.contains_key(&from.ip().to_canonical()) {
            heard.insert(from.ip().to_canonical(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_whole_message_counts() {
        let message = [MAGIC.to_le_bytes(), VERSION.to_le_bytes()].concat();
        assert!(is_message(&message));
        assert!(is_message(&[MAGIC.to_be_bytes(), VERSION.to_be_bytes()].concat()));
        assert!(!is_message(&[MAGIC.to_le_bytes(), VERSION.to_be_bytes()].concat()), "of two minds");
        assert!(!is_message(&[MAGIC.to_le_bytes(), 2u32.to_le_bytes()].concat()));
        for length in 0..8 {
            assert!(!is_message(&message[..length]));
        }
        assert!(!is_message(&[&message[..], &[0]].concat()));
    }

    #[tokio::test]
    async fn a_host_is_heard_by_its_own_address() {
        let at = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dumps = Dumps::open(at).await.unwrap();
        let (one, other): (IpAddr, IpAddr) = ("127.0.0.2".parse().unwrap(), "127.0.0.3".parse().unwrap());
        let sender = UdpSocket::bind((other, 0)).await.unwrap();
        sender.send_to(b"not this", at).await.unwrap();
        let sender = UdpSocket::bind((one, 0)).await.unwrap();
        while !dumps.dumps(one) {
            sender.send_to(&[MAGIC.to_le_bytes(), VERSION.to_le_bytes()].concat(), at).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!dumps.dumps(other));
    }
}
