//! The data network of a simulated world: every cable of a machine ends at a port of the switch, as do those of the boot service, the storage
//! target and the gateway. Whether anything arrives is asked of the switch's forwarding for every frame and every step of a conversation, in
//! both directions. It must never carry what the switch would not.

use crate::boot_server::BootServer;
use crate::life::Life;
use async_trait::async_trait;
use boot::desk::Desk;
use boot::dhcp::Destination;
use boot::{dhcp_wire, http};
use check::kdump::{DUMP_HEARD, is_message};
use http_body_util::BodyExt as _;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use vocabulary::storage::InitiatorName;
use vocabulary::{MachineId, ServerId};
use world::Dice;
use world::bridge::Bridge;
use world::machine::frames::{self, EVERYBODY};
use world::machine::{
    CLIENTS, Cables, ConnectionRefused, DUMPS, Login, LoginError, Lost, Mac, Machine, Page, Root, Session, Source,
};
use world::target::{Initiator, SessionId, Target};

/// The ports of what is no machine, and who is there.
pub const BOOT: (&str, Mac) = ("boot1", [2, 0, 0, 0, 0, 1]);
/// See [`BOOT`].
pub const STORE: (&str, Mac) = ("store1", [2, 0, 0, 0, 0, 2]);
/// See [`BOOT`].
pub const GATEWAY: (&str, Mac) = ("gateway", [2, 0, 0, 0, 0, 3]);
/// The boot service's address and port for DHCP.
const BOOT_AT: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 10, 0, 1), 67);
/// How long a step of a conversation takes.
const STEP_LEAST: Duration = Duration::from_micros(200);
const STEP_MOST: Duration = Duration::from_millis(3);
/// How long the disk takes for a block.
const DISK_LEAST: Duration = Duration::from_millis(0);
const DISK_MOST: Duration = Duration::from_millis(5);

/// A record that a client was told is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// From which NIC.
    pub nic: Mac,
    /// Server, incarnation and number, as the service writes them.
    pub line: String,
}

/// Who hears what passes, at once. It must not ask the network anything while it is told.
pub trait Hears: Send + Sync {
    /// A machine is about to have a session under this initiator's name, which it knows.
    fn logs_in(&self, nic: Mac, initiator: &str);
    /// A client was told that this record is durable.
    fn told(&self, line: &str);
    /// The boot service has answered for this path, and gave out what lies there.
    fn handed_out(&self, path: &str);
}

/// A volume of the target, for the hall.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The target's name.
    pub target: String,
    /// The object behind it.
    pub path: String,
    /// What its file system says.
    pub root: Root,
}

#[derive(Default)]
struct State {
    /// What waits at each NIC that shows a link.
    waiting: BTreeMap<Mac, VecDeque<Vec<u8>>>,
    arrived: BTreeMap<Mac, Arc<Notify>>,
    sessions: BTreeMap<u64, Logged>,
    /// The boot service, in the life it has.
    desk: Option<(Life, Arc<Desk>)>,
    /// A boot server that somebody has put beside it.
    by_hand: Option<Arc<BootServer>>,
    told: Vec<Told>,
    /// Hosts that said to the gateway that they write their memory away, and when last.
    dumps: BTreeMap<Ipv4Addr, Instant>,
    /// Nothing is added to it any more.
    keeps_nothing_told: bool,
    judge: Option<Arc<dyn Hears>>,
}

#[derive(Clone)]
struct Logged {
    id: SessionId,
    nic: Mac,
    target: String,
    unit: u64,
}

struct Inner {
    bridge: Bridge,
    target: Target,
    dice: Dice,
    ports: BTreeMap<Mac, String>,
    /// The NIC at each port.
    nics: BTreeMap<String, Mac>,
    volumes: Vec<Volume>,
    /// Of a million pages so many are lost on their way.
    pages_lost: AtomicU32,
    state: Mutex<State>,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Fabric(Arc<Inner>);

impl Fabric {
    /// Between these; `ports` says where each NIC's cable ends.
    pub fn new(bridge: Bridge, target: Target, dice: Dice, ports: BTreeMap<Mac, String>, volumes: Vec<Volume>) -> Fabric {
        let nics = ports.iter().rev().map(|(nic, port)| (port.clone(), *nic)).collect();
        let pages_lost = AtomicU32::new(0);
        Fabric(Arc::new(Inner { bridge, target, dice, ports, nics, volumes, pages_lost, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // nothing that holds it can fail in between
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a million pages that machines fetch so many are lost on their way from now on: the connection breaks before all of it is there.
    pub fn lose_pages(&self, share: u32) {
        self.0.pages_lost.store(share, Ordering::Relaxed);
    }

    /// The boot service runs, in this life.
    pub fn serve(&self, life: Life, desk: Arc<Desk>) {
        self.state().desk = Some((life, desk));
    }

    /// Another boot server stands at the boot service's port from now on.
    pub fn serve_by_hand(&self, server: BootServer) {
        self.state().by_hand = Some(Arc::new(server));
    }

    /// The sessions that stand at the target: from which NIC, and to which target. For judges.
    pub fn sessions(&self) -> Vec<(Mac, String)> {
        let all: Vec<Logged> = self.state().sessions.values().cloned().collect();
        all.into_iter().filter(|logged| self.0.target.connected(logged.id)).map(|logged| (logged.nic, logged.target)).collect()
    }

    /// The boot service, if it runs.
    pub fn desk(&self) -> Option<Arc<Desk>> {
        self.state().desk.as_ref().filter(|(life, _)| life.runs()).map(|(_, desk)| desk.clone())
    }

    /// This judge hears from now on who logs in, and what clients are told.
    pub fn judge_by(&self, judge: Arc<dyn Hears>) {
        self.state().judge = Some(judge);
    }

    fn judge(&self) -> Option<Arc<dyn Hears>> {
        self.state().judge.clone()
    }

    /// Whom a boot service that runs would boot now, as which server and by which initiator's name.
    pub fn served(&self) -> BTreeMap<MachineId, (ServerId, InitiatorName)> {
        let Some(desk) = self.desk() else { return BTreeMap::new() };
        let live = desk.standing().into_iter().filter_map(|permit| desk.live(&permit.machine));
        live.map(|permit| (permit.machine.clone(), (permit.server.clone(), permit.root.initiator.clone()))).collect()
    }

    /// From now on only the judge knows what clients are told: for a hall that stays up.
    pub fn keep_nothing_told(&self) {
        self.state().keeps_nothing_told = true;
    }

    /// What clients were told, in its order, as long as it was kept.
    pub fn told(&self) -> Vec<Told> {
        self.state().told.clone()
    }

    async fn step(&self) {
        tokio::time::sleep(self.0.dice.duration(STEP_LEAST, STEP_MOST)).await;
    }

    /// True if a frame from the one port comes to the other.
    fn carries(&self, from: (&str, Mac), to: (&str, Mac)) -> bool {
        let leaving = self.0.bridge.forward(from.0, None, from.1, to.1);
        leaving.iter().any(|leaving| leaving.port == to.0 && leaving.tag.is_none())
    }

    /// True if a machine's NIC and a service hear each other now.
    fn joins(&self, nic: Mac, service: (&str, Mac)) -> bool {
        let Some(port) = self.0.ports.get(&nic) else { return false };
        let shows_link = self.state().waiting.contains_key(&nic);
        shows_link && self.carries((port, nic), service) && self.carries(service, (port, nic))
    }

    /// Waits in vain unless they hear each other.
    async fn reaches(&self, nic: Mac, service: (&str, Mac)) {
        self.step().await;
        if !self.joins(nic, service) {
            std::future::pending::<()>().await;
        }
    }

    /// Does it beside whoever asked, who may be gone when it is done.
    async fn beside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, is_done) = oneshot::channel();
        // nobody may be waiting
        tokio::spawn(async move { drop(done.send(work.await)) });
        is_done.await.ok()
    }

    fn deliver(&self, port: &str, frame: &[u8]) {
        let to = self.0.nics.get(port).copied();
        let Some((nic, wanted)) = to.zip(frames::destination(frame)) else { return };
        let mut state = self.state();
        if wanted != nic && wanted != EVERYBODY {
            return;
        }
        if let Some(queue) = state.waiting.get_mut(&nic) {
            queue.push_back(frame.to_vec());
            state.arrived.entry(nic).or_default().notify_one();
        }
    }

    /// The boot service hears a packet, and may answer.
    async fn asks_boot(&self, from: Mac, payload: Vec<u8>) {
        self.step().await;
        let by_hand = self.state().by_hand.clone();
        let answered = |desk: Arc<Desk>| dhcp_wire::answer(&desk, &dhcp_wire::site(desk.config()), &payload);
        let reply = self.desk().and_then(answered).or_else(|| by_hand?.answer(&payload));
        let Some(reply) = reply else { return };
        let (to, frame) = match (reply.to, dhcp_wire::framed(BOOT_AT, &reply)) {
            (_, Some((to, datagram))) => (to.0, [&to.0[..], &BOOT.1, &[8, 0], &datagram].concat()),
            // whoever has asked with its address is known by it
            (Destination::Datagram(to), None) => {
                (from, frames::udp((BOOT.1, from), SocketAddrV4::new(BOOT_AT.0, BOOT_AT.1), to, &reply.bytes))
            }
            (_, None) => return,
        };
        self.step().await;
        for leaving in self.0.bridge.forward(BOOT.0, None, BOOT.1, to) {
            if leaving.tag.is_none() {
                self.deliver(&leaving.port, &frame);
            }
        }
    }

    fn logged(&self, session: Session) -> Option<Logged> {
        self.state().sessions.get(&session.0).cloned()
    }

    /// A session that still stands, once a step of its conversation went both ways.
    async fn in_session(&self, session: Session) -> Result<Logged, Lost> {
        let logged = self.logged(session).ok_or(Lost)?;
        self.reaches(logged.nic, STORE).await;
        if self.0.target.connected(logged.id) { Ok(logged) } else { Err(Lost) }
    }

    /// True if this host has said lately that it writes its memory away.
    pub fn dumps(&self, host: Ipv4Addr) -> bool {
        self.state().dumps.get(&host).is_some_and(|at| at.elapsed() < DUMP_HEARD)
    }

    /// A client's page from whoever answers at this address in the production network; `None` is silence.
    pub async fn page(&self, machines: &[Machine], to: Ipv4Addr, path: &str) -> Option<Result<Page, ConnectionRefused>> {
        self.step().await;
        let there = |machine: &Machine| Some(machine.address()?.nic);
        let answer = |machine: &Machine| there(machine).and_then(|nic| Some((nic, machine.answer(nic, to, path)?)));
        // of several that have the address the first NIC is heard; every one of them hears the question
        let answers: BTreeMap<Mac, Result<Page, ConnectionRefused>> = machines.iter().filter_map(answer).collect();
        // collected, since each question moves the bridge
        let heard: Vec<_> = answers.into_iter().filter(|(nic, _)| self.joins(*nic, GATEWAY)).map(|(_, page)| page).collect();
        heard.into_iter().next()
    }
}

#[async_trait]
impl Cables for Fabric {
    fn link(&self, nic: Mac, up: bool) {
        if let Some(port) = self.0.ports.get(&nic) {
            self.0.bridge.plug(port, up);
        }
        let mut state = self.state();
        state.waiting.remove(&nic);
        if up {
            state.waiting.insert(nic, VecDeque::new());
        }
    }

    fn send(&self, nic: Mac, frame: Vec<u8>) {
        let (Some(port), Some(to)) = (self.0.ports.get(&nic), frames::destination(&frame)) else { return };
        for leaving in self.0.bridge.forward(port, None, nic, to) {
            if leaving.tag.is_some() {
                continue;
            }
            // machines read their frames themselves
            let service = [BOOT.0, GATEWAY.0].contains(&leaving.port.as_str());
            match (leaving.port.as_str(), service.then(|| frames::datagram(&frame)).flatten()) {
                (at, Some(datagram)) if at == BOOT.0 && datagram.to.port() == BOOT_AT.1 => {
                    let fabric = self.clone();
                    tokio::spawn(async move { fabric.asks_boot(nic, datagram.payload).await });
                }
                (at, Some(datagram)) if at == GATEWAY.0 && datagram.to == CLIENTS => {
                    let line = String::from_utf8_lossy(&datagram.payload).into_owned();
                    if let Some(judge) = self.judge() {
                        judge.told(&line);
                    }
                    let mut state = self.state();
                    if !state.keeps_nothing_told {
                        state.told.push(Told { nic, line });
                    }
                }
                (at, Some(datagram)) if at == GATEWAY.0 && datagram.to == DUMPS && is_message(&datagram.payload) => {
                    self.state().dumps.insert(*datagram.from.ip(), Instant::now());
                }
                (at, _) => self.deliver(at, &frame),
            }
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

    async fn get(&self, from: Source, _server: SocketAddrV4, path: &str) -> Result<Page, Lost> {
        let (fabric, path) = (self.clone(), path.to_owned());
        let page = self.beside(async move {
            fabric.reaches(from.nic, BOOT).await;
            let by_hand = fabric.state().by_hand.clone();
            let Some(desk) = fabric.desk() else {
                let page = by_hand?.page(&path);
                fabric.reaches(from.nic, BOOT).await;
                return Some(page);
            };
            let request = hyper::Request::get(path).body(()).ok()?;
            let response = http::served(&desk, &request, IpAddr::V4(from.address)).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.ok()?.to_bytes().to_vec();
            if let (Some(judge), 200) = (fabric.judge(), status) {
                judge.handed_out(request.uri().path());
            }
            fabric.reaches(from.nic, BOOT).await;
            if fabric.0.dice.in_a_million(fabric.0.pages_lost.load(Ordering::Relaxed)) {
                return None;
            }
            Some(Page { status, body })
        });
        page.await.flatten().ok_or(Lost)
    }

    async fn log_in(&self, from: Source, _portal: SocketAddrV4, login: &Login) -> Result<Session, LoginError> {
        let (fabric, login) = (self.clone(), login.clone());
        let session = self.beside(async move {
            fabric.reaches(from.nic, STORE).await;
            let [.., first, second, third] = from.nic;
            let isid = u64::from_be_bytes([0, 0, 0, 0, 0, first, second, third]);
            let address = IpAddr::V4(from.address);
            let pending_name = login.initiator.clone();
            let initiator = Initiator { name: login.initiator, address, isid, alias: String::new() };
            let chap = login.account.as_ref().map(|(user, secret)| (user.as_str(), secret.as_str()));
            let pending = fabric.0.target.begin_login(&login.target, &initiator, chap).await.map_err(|_| LoginError::Denied)?;
            fabric.reaches(from.nic, STORE).await;
            if let Some(judge) = fabric.judge() {
                judge.logs_in(from.nic, &pending_name);
            }
            let id = fabric.0.target.finish_login(pending).await.map_err(|_| LoginError::Lost)?;
            let mut state = fabric.state();
            let number = state.sessions.keys().next_back().map_or(1, |last| last + 1);
            state.sessions.insert(number, Logged { id, nic: from.nic, target: login.target, unit: login.lun });
            Ok(Session(number))
        });
        session.await.unwrap_or(Err(LoginError::Lost))
    }

    async fn root(&self, session: Session) -> Result<Option<Root>, Lost> {
        let logged = self.in_session(session).await?;
        Ok(self.0.volumes.iter().find(|volume| volume.target == logged.target).map(|volume| volume.root.clone()))
    }

    async fn read(&self, session: Session, block: u64) -> Result<u64, Lost> {
        let logged = self.in_session(session).await?;
        let volume = self.0.volumes.iter().find(|volume| volume.target == logged.target).ok_or(Lost)?;
        Ok(self.0.target.block(&volume.path, block).unwrap_or(0))
    }

    async fn write(&self, session: Session, block: u64, value: u64) -> Result<(), Lost> {
        let fabric = self.clone();
        let written = self.beside(async move {
            let logged = fabric.in_session(session).await?;
            let takes = fabric.0.dice.duration(DISK_LEAST, DISK_MOST);
            fabric.0.target.write(logged.id, logged.unit, block, value, takes).await.map_err(|_| Lost)?;
            fabric.reaches(logged.nic, STORE).await;
            Ok(())
        });
        written.await.unwrap_or(Err(Lost))
    }

    async fn log_out(&self, session: Session) {
        if let Ok(logged) = self.in_session(session).await {
            self.0.target.log_out(logged.id);
        }
        self.state().sessions.remove(&session.0);
    }
}
