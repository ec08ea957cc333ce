//! The IPMI port of one BMC: a UDP socket and one small task, replies that leave when the quirks let them.
//! Must never hold more than a bounded number of packets, nor let a reply out that belongs to a time before the last interruption.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ::bmc::ipmi::wire;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::weather::{Pace, Weather};
use super::{Begun, code};
use crate::bmc::Bmc;
use crate::limits;
use crate::quirks::Reach;
use crate::rmcp::{Asked, Heard};

/// Takes the address. Needs a tokio runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Serves one BMC until the task is aborted.
pub(crate) async fn serve(bmc: Arc<Bmc>, socket: UdpSocket) {
    let port = Arc::new(Port::new(Arc::clone(&bmc)));
    let mut link = bmc.link.subscribe();
    let mut open = Some(Arc::new(socket));
    loop {
        let now = *link.borrow_and_update();
        match (now.reach, open.take()) {
            (Reach::Refuse, socket) => {
                drop(socket);
                bmc.served_ipmi.send_replace(now.serial);
                if link.changed().await.is_err() {
                    return;
                }
            }
            (_, None) => open = rebind(&bmc).await,
            (_, Some(socket)) => {
                bmc.served_ipmi.send_replace(now.serial);
                tokio::select! {
                    changed = link.changed() => if changed.is_err() {
                        return;
                    },
                    ready = socket.readable() => match ready {
                        Ok(()) => port.drain(&socket),
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

async fn rebind(bmc: &Bmc) -> Option<Arc<UdpSocket>> {
    let address = bmc.ipmi?;
    match bind(address) {
        Ok(socket) => return Some(Arc::new(socket)),
        Err(e) => tracing::warn!(machine = %bmc.config.name, %address, error = %e, "cannot take the IPMI port again"),
    }
    tokio::time::sleep(limits::ACCEPT_RETRY).await;
    None
}

/// Where a reply goes, and when it may still go there.
#[derive(Clone)]
struct Back {
    /// Weak: a reply that waits must not keep a closed port open.
    socket: Weak<UdpSocket>,
    to: SocketAddr,
    epoch: u64,
}

struct Port {
    bmc: Arc<Bmc>,
    weather: Mutex<Weather>,
    /// A reply that leaves after the next one.
    held: Mutex<Option<(Back, Vec<u8>)>>,
    /// Packets and work that wait.
    slots: Arc<Semaphore>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Port {
    fn new(bmc: Arc<Bmc>) -> Port {
        let weather = Mutex::new(Weather::new(&bmc.config.name));
        Port { bmc, weather, held: Mutex::new(None), slots: Arc::new(Semaphore::new(limits::WAITING_MAX)) }
    }

    fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Takes what has arrived, but not for ever: other BMCs wait for this thread.
    fn drain(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        let mut buffer = [0; wire::PACKET_MAX + 1];
        for _ in 0..limits::PACKETS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => self.take(socket, from, buffer.get(..length).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // an answer that could not be delivered comes back as an error of this socket
                Err(e) => tracing::debug!(machine = %self.bmc.config.name, error = %e, "IPMI packet"),
            }
        }
    }

    fn take(self: &Arc<Self>, socket: &Arc<UdpSocket>, from: SocketAddr, packet: &[u8]) {
        let link = *self.bmc.link.borrow();
        let back = Back { socket: Arc::downgrade(socket), to: from, epoch: link.epoch };
        match link.reach {
            Reach::Unreachable | Reach::Refuse => return,
            Reach::Garbage => {
                let _ = socket.try_send_to(&rand::random::<[u8; 32]>(), from);
                return;
            }
            Reach::Answering => {}
        }
        let pace = Pace::of(&self.bmc.state().quirks);
        if pace.off || locked(&self.weather).loses(&pace) {
            return;
        }
        if pace.delay == 0 {
            return self.hear(back, packet, pace);
        }
        let waiting = limits::WAITING_MAX - self.slots.available_permits().min(limits::WAITING_MAX);
        if pace.flood > 0 && waiting >= pace.flood {
            self.bmc.restart_soon("too many packets at once");
            return;
        }
        if let Some(slot) = self.slot() {
            let (port, packet) = (Arc::clone(self), packet.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pace.delay)).await;
                port.hear(back, &packet, pace);
                drop(slot);
            });
        }
    }

    fn hear(self: &Arc<Self>, back: Back, packet: &[u8], pace: Pace) {
        match super::hear(&self.bmc, back.to, packet) {
            Heard::Ignored(why) => tracing::trace!(machine = %self.bmc.config.name, why, "packet ignored"),
            Heard::Refused(packet) => {
                self.bmc.failed_login();
                self.reply(back, packet, pace, false);
            }
            Heard::Reply { packet, again } => {
                let changes = again.is_some_and(|(netfn, command)| super::changes(netfn, command));
                self.reply(back, packet, pace, changes);
            }
            Heard::Asked(asked) => match super::begin(&self.bmc, &asked) {
                Begun::Silent => {}
                Begun::Done(code, data) => self.finish(back, &asked, code, &data, pace),
                Begun::Work(work) => match self.slot() {
                    None => self.finish(back, &asked, code::BUSY, &[], pace),
                    Some(slot) => {
                        let port = Arc::clone(self);
                        tokio::spawn(async move {
                            let code = super::perform(&port.bmc, &asked, work).await;
                            port.finish(back, &asked, code, &[], pace);
                            drop(slot);
                        });
                    }
                },
            },
        }
    }

    fn finish(self: &Arc<Self>, back: Back, asked: &Asked, code: u8, data: &[u8], pace: Pace) {
        let noise = if pace.garbage { rand::random::<[u8; 24]>().to_vec() } else { Vec::new() };
        let data = if pace.garbage { &noise } else { data };
        let changes = super::changes(asked.head.netfn, asked.head.command);
        if let Some(packet) = super::seal(&self.bmc, asked, code, data) {
            self.reply(back, packet, pace, changes);
        }
    }

    /// Lets a reply go as the quirks say.
    fn reply(self: &Arc<Self>, back: Back, packet: Vec<u8>, pace: Pace, changes: bool) {
        if pace.drop_reply && changes {
            return;
        }
        let fate = locked(&self.weather).fate(&pace);
        if fate.lost {
            return;
        }
        if fate.held && locked(&self.held).is_none() {
            return self.hold(back, packet);
        }
        let wait = pace.reply_delay.saturating_add(fate.late);
        if wait == 0 {
            return self.leave(&back, &packet, fate.twice);
        }
        if let Some(slot) = self.slot() {
            let port = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                port.leave(&back, &packet, fate.twice);
                drop(slot);
            });
        }
    }

    /// Keeps a reply back until the next one has gone, or for a while.
    fn hold(self: &Arc<Self>, back: Back, packet: Vec<u8>) {
        *locked(&self.held) = Some((back, packet));
        if let Some(slot) = self.slot() {
            let port = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(limits::HELD).await;
                port.release();
                drop(slot);
            });
        }
    }

    fn release(&self) {
        let held = locked(&self.held).take();
        if let Some((back, packet)) = held {
            self.send(&back, &packet);
        }
    }

    fn leave(&self, back: &Back, packet: &[u8], twice: bool) {
        self.send(back, packet);
        if twice {
            self.send(back, packet);
        }
        self.release();
    }

    fn send(&self, back: &Back, packet: &[u8]) {
        let link = *self.bmc.link.borrow();
        if link.epoch != back.epoch || link.reach != Reach::Answering {
            return;
        }
        if let Some(socket) = back.socket.upgrade()
            && let Err(e) = socket.try_send_to(packet, back.to)
        {
            // as good as lost on the way
            tracing::debug!(machine = %self.bmc.config.name, error = %e, "packet not sent");
        }
    }
}
