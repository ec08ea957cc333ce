//! The IPMI port of one BMC: packets in, replies out that leave when the quirks let them. Whoever carries packets is not its business.
//! Must never hold more than a bounded number of packets, nor let a reply out that belongs to a time before the last interruption.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::weather::{Pace, Weather};
use super::{Begun, code};
use crate::bmc::quirks::Reach;
use crate::bmc::rmcp::{Asked, Heard};
use crate::bmc::{Bmc, limits};

/// By which packets leave. It must take them at once, and may lose them: after this nobody asks for them again.
pub trait Out: Send + Sync {
    /// A packet leaves, for this address.
    fn send(&self, to: SocketAddr, packet: &[u8]);
}

/// Where a reply goes, and when it may still go there.
#[derive(Clone)]
struct Back {
    out: Arc<dyn Out>,
    to: SocketAddr,
    epoch: u64,
}

/// See the module.
pub struct Port {
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
    /// That of this BMC. There should be one a BMC: it counts what waits.
    pub fn new(bmc: &Arc<Bmc>) -> Port {
        let bmc = Arc::clone(bmc);
        let weather = Mutex::new(Weather::new(&bmc.config.name));
        Port { bmc, weather, held: Mutex::new(None), slots: Arc::new(Semaphore::new(limits::WAITING_MAX)) }
    }

    fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// A packet has come. What is said to it, if anything, leaves by `out`, at once or later. Needs a tokio runtime.
    pub fn take(self: &Arc<Self>, out: &Arc<dyn Out>, from: SocketAddr, packet: &[u8]) {
        let link = self.bmc.link.get();
        let back = Back { out: Arc::clone(out), to: from, epoch: link.epoch };
        match link.reach {
            Reach::Unreachable | Reach::Refuse => return,
            Reach::Garbage => {
                out.send(from, &self.bmc.dice.bytes::<32>());
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
        let noise = if pace.garbage { self.bmc.dice.bytes::<24>().to_vec() } else { Vec::new() };
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
        let link = self.bmc.link.get();
        if link.epoch != back.epoch || link.reach != Reach::Answering {
            return;
        }
        back.out.send(back.to, packet);
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port({})", self.bmc.config.name)
    }
}
