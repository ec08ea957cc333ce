//! The wire between a unit and whoever speaks to it: datagrams go by one by one, and some do not arrive, or late, or not alone.
//! Must never look into a datagram: what is lost is lost by its place, for it may be encrypted.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use world::outlet::Unit;

use crate::limits::{ACCEPT_RETRY, DATAGRAM_MAX, PEERS_MAX};

/// What becomes of what passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// All of it arrives.
    Fair,
    /// No request arrives.
    LosesRequests,
    /// No reply arrives.
    LosesReplies,
    /// The first reply after a SET was taken does not arrive, the next one does.
    LosesSetReplies,
    /// Every reply comes so much later.
    Late(Duration),
    /// Before every reply come datagrams that are none: rubbish, a part of the reply, and the reply with a bit of its head turned.
    Soiled,
}

/// The wire.
pub(super) struct Wire {
    unit: Unit,
    weather: Mutex<Weather>,
    /// A SET was taken whose reply is still to be lost.
    owed: AtomicBool,
}

impl Wire {
    pub fn new(unit: Unit) -> Wire {
        Wire { unit, weather: Mutex::new(Weather::Fair), owed: AtomicBool::new(false) }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, weather: Weather) {
        self.owed.store(false, Ordering::SeqCst);
        *self.weather() = weather;
    }

    /// The unit took a SET: it has done it or refused it, and is about to say so.
    pub fn a_set_was_taken(&self) {
        if *self.weather() == Weather::LosesSetReplies {
            self.owed.store(true, Ordering::SeqCst);
        }
    }

    /// Carries datagrams between whoever sends to the socket and the agent, for ever.
    pub async fn carry(self: Arc<Wire>, front: UdpSocket, agent: SocketAddr) {
        let front = Arc::new(front);
        let mut peers: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
        let mut tasks = tokio::task::JoinSet::new();
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            // an answer that could not be delivered comes back as an error of this socket
            let Ok((length, from)) = front.recv_from(&mut buffer).await else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            if !self.unit.has_feed() || *self.weather() == Weather::LosesRequests {
                continue;
            }
            if !peers.contains_key(&from) {
                if peers.len() >= PEERS_MAX {
                    peers.clear();
                    tasks.abort_all();
                }
                match towards(agent).await {
                    Ok(back) => {
                        let back = Arc::new(back);
                        tasks.spawn(self.clone().bring_back(back.clone(), front.clone(), from));
                        peers.insert(from, back);
                    }
                    Err(error) => tracing::warn!(%error, "a unit's wire"),
                }
            }
            if let Some(back) = peers.get(&from) {
                // as good as lost on the way
                let _ = back.send(buffer.get(..length).unwrap_or_default()).await;
            }
        }
    }

    async fn bring_back(self: Arc<Wire>, back: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let Ok(length) = back.recv(&mut buffer).await else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            let reply = buffer.get(..length).unwrap_or_default().to_vec();
            if !self.unit.has_feed() || self.owed.swap(false, Ordering::SeqCst) {
                continue;
            }
            let weather = *self.weather();
            match weather {
                Weather::LosesReplies => {}
                Weather::Late(by) => {
                    let front = front.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(by).await;
                        let _ = front.send_to(&reply, to).await;
                    });
                }
                Weather::Soiled => {
                    for dirt in dirt(&reply) {
                        let _ = front.send_to(&dirt, to).await;
                    }
                    let _ = front.send_to(&reply, to).await;
                }
                Weather::Fair | Weather::LosesRequests | Weather::LosesSetReplies => {
                    let _ = front.send_to(&reply, to).await;
                }
            }
        }
    }
}

async fn towards(agent: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(agent).await?;
    Ok(socket)
}

/// Datagrams that are no reply, made of one. What a turned bit does to a value only a checksum can tell, and v2c has none of its own.
fn dirt(reply: &[u8]) -> Vec<Vec<u8>> {
    let half = reply.get(..reply.len() / 2).unwrap_or_default().to_vec();
    let rubbish = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new(), vec![0xff; 64], vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]];
    let turned = |place: usize| {
        let mut turned = reply.to_vec();
        if let Some(byte) = turned.get_mut(place) {
            *byte ^= 0x40;
        }
        turned
    };
    rubbish.into_iter().chain([half, turned(0), turned(1), turned(4)]).collect()
}
