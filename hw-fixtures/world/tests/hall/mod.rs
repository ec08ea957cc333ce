//! A hall in which machines can live: one wire to a provisioning service, one storage target with an object, and clients who hear what is
//! acknowledged. Each has a state of its own and can say no; nothing happens at once. What a machine has sent comes to its effect whether
//! or not the machine still lives.
#![allow(dead_code, reason = "each test binary uses its part")]

use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;
use world::Dice;
use world::machine::frames::{self, EVERYBODY};
use world::machine::{
    BootDevice, Build, CLIENTS, Cables, Happened, Login, LoginError, Lost, Mac, Machine, Page, Root, Session, Source, Times,
};

/// What the provisioning network offers.
#[async_trait]
pub trait Provisioning: Send + Sync {
    /// The frame that answers a DHCP packet; `None` is silence.
    fn dhcp(&self, packet: &[u8]) -> Option<Vec<u8>>;
    /// The page for a client at this address; `None`: it is hung up on.
    async fn page(&self, from: Ipv4Addr, path: &str) -> Option<Page>;
}

#[derive(Default)]
struct Target {
    /// Who may log in, with user and secret.
    bound: BTreeMap<String, (String, String)>,
    sessions: BTreeMap<u64, String>,
    begun: u64,
    blocks: BTreeMap<u64, u64>,
    root: Option<Root>,
    /// Initiators that tried, and whether they were let in.
    tried: Vec<(String, bool)>,
}

#[derive(Default)]
struct State {
    /// What waits at each NIC that shows a link.
    waiting: BTreeMap<Mac, VecDeque<Vec<u8>>>,
    arrived: BTreeMap<Mac, Arc<Notify>>,
    /// NICs whose ports forward nothing.
    barred: BTreeSet<Mac>,
    target: Target,
    acknowledged: Vec<(Mac, String)>,
    sent: BTreeMap<Mac, u64>,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Hall {
    dice: Dice,
    provisioning: Arc<dyn Provisioning>,
    state: Arc<Mutex<State>>,
}

pub const TARGET: &str = "iqn.2026-01.lab.understudy:web1-root";

impl Hall {
    pub fn new(seed: u64, provisioning: Arc<dyn Provisioning>) -> Hall {
        let hall = Hall { dice: Dice::of(seed, "hall"), provisioning, state: Arc::default() };
        let root = Root { server: "web1".to_owned(), production: Some(([10, 20, 0, 11].into(), 24)) };
        hall.state().target.root = Some(root);
        hall
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn takes(&self, least: u64, most: u64) {
        sleep(Duration::from_micros(self.dice.between(least, most))).await;
    }

    /// Lets an initiator in from now on.
    pub fn bind(&self, initiator: &str, user: &str, secret: &str) {
        self.state().target.bound.insert(initiator.to_owned(), (user.to_owned(), secret.to_owned()));
    }

    /// Lets nobody in any more; who is in stays.
    pub fn unbind_all(&self) {
        self.state().target.bound.clear();
    }

    /// Cuts all sessions off.
    pub fn cut_sessions(&self) {
        self.state().target.sessions.clear();
    }

    /// A port forwards nothing any more, or all again.
    pub fn bar(&self, nic: Mac, barred: bool) {
        let mut state = self.state();
        if barred {
            state.barred.insert(nic)
        } else {
            state.barred.remove(&nic)
        };
    }

    /// Initiators that tried to log in, and whether they were let in.
    pub fn tried(&self) -> Vec<(String, bool)> {
        self.state().target.tried.clone()
    }

    pub fn sessions(&self) -> usize {
        self.state().target.sessions.len()
    }

    /// Frames that came from a NIC.
    pub fn sent(&self, nic: Mac) -> u64 {
        self.state().sent.get(&nic).copied().unwrap_or(0)
    }

    /// The clients' lines, with the NIC each came from.
    pub fn acknowledged(&self) -> Vec<(Mac, String)> {
        self.state().acknowledged.clone()
    }

    /// Fails if a client was told of a record that is not on the volume, or twice of one, or if the log has a hole.
    pub fn judge(&self) {
        let state = self.state();
        let mut seen = BTreeSet::new();
        for (_, line) in &state.acknowledged {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, incarnation, number] = words.as_slice() else { panic!("{line}") };
            let number: u64 = number.parse().unwrap();
            let there = state.target.blocks.get(&number).copied();
            assert_eq!(
                there,
                u64::from_str_radix(incarnation, 16).ok(),
                "record {number} was acknowledged and is not on the volume"
            );
            assert!(seen.insert(number), "record {number} was acknowledged twice");
        }
        assert!(state.target.blocks.keys().copied().eq(1..=state.target.blocks.len() as u64), "the log has a hole");
    }

    fn deliver(&self, frame: Vec<u8>) {
        let Some(to) = frames::destination(&frame) else { return };
        let mut state = self.state();
        let State { waiting, arrived, barred, .. } = &mut *state;
        for (nic, queue) in waiting.iter_mut().filter(|(nic, _)| (**nic == to || to == EVERYBODY) && !barred.contains(*nic)) {
            queue.push_back(frame.clone());
            arrived.entry(*nic).or_default().notify_one();
        }
    }

    /// Does it beside whoever asked, who may be gone when it is done.
    async fn beside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, is_done) = oneshot::channel();
        tokio::spawn(async move { drop(done.send(work.await)) });
        is_done.await.ok()
    }

    fn put(&self, session: Session, block: u64, value: u64) -> bool {
        let target = &mut self.state().target;
        let there = target.sessions.contains_key(&session.0);
        if there {
            target.blocks.insert(block, value);
        }
        there
    }

    fn reaches(&self, nic: Mac) -> bool {
        let state = self.state();
        state.waiting.contains_key(&nic) && !state.barred.contains(&nic)
    }
}

#[async_trait]
impl Cables for Hall {
    fn link(&self, nic: Mac, up: bool) {
        let mut state = self.state();
        state.waiting.remove(&nic);
        if up {
            state.waiting.insert(nic, VecDeque::new());
        }
    }

    fn send(&self, nic: Mac, frame: Vec<u8>) {
        *self.state().sent.entry(nic).or_default() += 1;
        if !self.reaches(nic) {
            return;
        }
        let Some(datagram) = frames::datagram(&frame) else { return };
        if datagram.to == CLIENTS {
            self.state().acknowledged.push((nic, String::from_utf8(datagram.payload).unwrap()));
        } else if datagram.to.port() == 67 {
            let hall = self.clone();
            tokio::spawn(async move {
                hall.takes(200, 3_000).await;
                if let Some(answer) = hall.provisioning.dhcp(&datagram.payload) {
                    hall.takes(200, 3_000).await;
                    hall.deliver(answer);
                }
            });
        }
    }

    async fn receive(&self, nic: Mac) -> Vec<u8> {
        loop {
            let arrived = {
                let mut state = self.state();
                if let Some(frame) = state.waiting.get_mut(&nic).and_then(VecDeque::pop_front) {
                    return frame;
                }
                state.arrived.entry(nic).or_default().clone()
            };
            arrived.notified().await;
        }
    }

    async fn get(&self, from: Source, _: SocketAddrV4, path: &str) -> Result<Page, Lost> {
        let (hall, path) = (self.clone(), path.to_owned());
        let page = self.beside(async move {
            hall.takes(500, 20_000).await;
            if !hall.reaches(from.nic) {
                std::future::pending::<()>().await;
            }
            let page = hall.provisioning.page(from.address, &path).await;
            hall.takes(500, 50_000).await;
            page
        });
        page.await.flatten().ok_or(Lost)
    }

    async fn log_in(&self, from: Source, _: SocketAddrV4, login: &Login) -> Result<Session, LoginError> {
        let (hall, login) = (self.clone(), login.clone());
        let session = self.beside(async move {
            hall.takes(2_000, 30_000).await;
            if !hall.reaches(from.nic) {
                std::future::pending::<()>().await;
            }
            let mut state = hall.state();
            let target = &mut state.target;
            let account = target.bound.get(&login.initiator);
            let in_order = login.target == TARGET && account.is_some() && account == login.account.as_ref();
            target.tried.push((login.initiator, in_order));
            target.begun += u64::from(in_order);
            let session = target.begun;
            if !in_order {
                return Err(LoginError::Denied);
            }
            target.sessions.insert(session, format!("{:?}", from.nic));
            Ok(Session(session))
        });
        session.await.unwrap_or(Err(LoginError::Lost))
    }

    async fn root(&self, session: Session) -> Result<Option<Root>, Lost> {
        self.takes(1_000, 10_000).await;
        let state = self.state();
        if state.target.sessions.contains_key(&session.0) { Ok(state.target.root.clone()) } else { Err(Lost) }
    }

    async fn read(&self, session: Session, block: u64) -> Result<u64, Lost> {
        self.takes(200, 3_000).await;
        let state = self.state();
        let there = state.target.sessions.contains_key(&session.0);
        if there { Ok(state.target.blocks.get(&block).copied().unwrap_or(0)) } else { Err(Lost) }
    }

    async fn write(&self, session: Session, block: u64, value: u64) -> Result<(), Lost> {
        let hall = self.clone();
        let written = self.beside(async move {
            hall.takes(200, 5_000).await;
            if !hall.put(session, block, value) {
                return Err(Lost);
            }
            hall.takes(200, 5_000).await;
            Ok(())
        });
        written.await.unwrap_or(Err(Lost))
    }

    async fn log_out(&self, session: Session) {
        self.takes(1_000, 5_000).await;
        self.state().target.sessions.remove(&session.0);
    }
}

/// The NIC of a machine: provisioning, storage, production are 1, 2, 3.
pub fn nic(machine: u8, role: u8) -> Mac {
    [0x52, 0x54, 0, 0x0c, machine, role]
}

/// A machine of the hall that boots over the network.
pub fn build(machine: u8) -> Build {
    Build {
        name: format!("m{machine}"),
        nics: (1..=3).map(|role| nic(machine, role)).collect(),
        order: vec![BootDevice::Network],
        local_disk: false,
        times: Times::default(),
    }
}

pub fn machine(seed: u64, build: Build, hall: &Hall) -> Machine {
    let dice = Dice::of(seed, &build.name);
    Machine::new(build, dice, Arc::new(hall.clone()))
}

/// The events of a trace without their times.
pub fn events(machine: &Machine) -> Vec<world::machine::Event> {
    machine.trace().into_iter().map(|Happened { event, .. }| event).collect()
}
