//! The one task that carries IPMI for all BMCs: one way for the packets of all, a session a BMC, one request at a time to each. In a program
//! it lives on a thread of its own, so that no caller's runtime ends it and no busy caller delays it.
//! Must never let one BMC delay another, and never send what its caller does not wait for any more.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::air::{Air, Sockets};
use super::fault::Fault;
use super::handshake::Account;
use super::noise::Noise;
use super::session::{Event, Heard, Reply, Request, Session, Spoken, Timing};
use super::wire;
use crate::given::{Given, Random, now};
use crate::limits;

/// A reply, and the session on which it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Names the session; no two have the same.
    pub session: u64,
    /// The GUID that the BMC told when this session was opened.
    pub guid: [u8; 16],
    /// True for a while after a session broke: the BMC may have restarted, which IPMI does not tell, and its Off is not believed.
    pub young: bool,
    /// How the session is spoken; `None` if it ended with this reply.
    pub spoken: Option<Spoken>,
    /// The reply itself.
    pub reply: Reply,
}

type Answer = oneshot::Sender<Result<Told, Fault>>;

enum Order {
    Admit { id: u64, peer: SocketAddr, account: Arc<Account>, timing: Timing },
    Ask { id: u64, waiting: Waiting },
    Close { id: u64, done: oneshot::Sender<()> },
    Dismiss { id: u64 },
}

struct Waiting {
    request: Request,
    /// Only on this session.
    on: Option<u64>,
    answer: Answer,
}

/// Numbers of lines; nobody sees them.
static LINES: AtomicU64 = AtomicU64::new(0);
/// The way to the process's own task; made at the first need.
static HUB: Mutex<Option<mpsc::UnboundedSender<Order>>> = Mutex::new(None);

/// Who makes lines to BMCs. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lines(Option<mpsc::UnboundedSender<Order>>);

impl Lines {
    /// Over the process's one task and its sockets.
    pub fn of_the_process() -> Lines {
        Lines(None)
    }

    /// Over a task of this runtime, which ends when the last of these and of their lines is gone.
    pub fn over(air: impl Air, random: Random) -> Lines {
        let (orders, inbox) = mpsc::unbounded_channel();
        tokio::spawn(run(inbox, air, random));
        Lines(Some(orders))
    }

    /// A line; talks to nobody yet.
    pub(crate) fn line(&self, peer: SocketAddr, account: Arc<Account>, timing: Timing) -> Result<Line, Fault> {
        let id = LINES.fetch_add(1, Ordering::Relaxed);
        let orders = match &self.0 {
            Some(orders) => orders.clone(),
            None => hub()?,
        };
        send(&orders, Order::Admit { id, peer, account, timing })?;
        Ok(Line { id, orders })
    }
}

/// One BMC, as its driver holds it. Dropping it ends the session.
pub struct Line {
    id: u64,
    orders: mpsc::UnboundedSender<Order>,
}

impl Line {
    /// Asks, on a session that is opened if need be, or only on the session `on`.
    pub async fn ask(&self, request: Request, on: Option<u64>) -> Result<Told, Fault> {
        let (answer, answered) = oneshot::channel();
        send(&self.orders, Order::Ask { id: self.id, waiting: Waiting { request, on, answer } })?;
        answered.await.unwrap_or(Err(Fault::Expired))
    }

    /// Ends the session.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if send(&self.orders, Order::Close { id: self.id, done }).is_ok() {
            let _ = closed.await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = send(&self.orders, Order::Dismiss { id: self.id });
    }
}

fn send(orders: &mpsc::UnboundedSender<Order>, order: Order) -> Result<(), Fault> {
    orders.send(order).map_err(|_| Fault::NoSocket("its task has ended".into()))
}

fn hub() -> Result<mpsc::UnboundedSender<Order>, Fault> {
    let mut hub = HUB.lock().unwrap_or_else(PoisonError::into_inner);
    match &*hub {
        Some(orders) if !orders.is_closed() => Ok(orders.clone()),
        _ => Ok(hub.insert(start().map_err(|error| Fault::NoSocket(error.to_string()))?).clone()),
    }
}

fn start() -> io::Result<mpsc::UnboundedSender<Order>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (orders, inbox) = mpsc::unbounded_channel();
    std::thread::Builder::new()
        .name("ipmi".into())
        .spawn(move || runtime.block_on(run(inbox, Sockets::default(), Given::by_the_machine().random)))?;
    Ok(orders)
}

async fn run<A: Air>(mut inbox: mpsc::UnboundedReceiver<Order>, air: A, random: Random) {
    let (mut hub, mut air, mut buffer) = (Hub::new(random), air, [0; wire::PACKET_MAX + 1]);
    loop {
        let next = hub.timers.first().map(|(at, _)| *at);
        // in this order, so that the same things happening mean the same; none of them is starved by it, since each turn takes what there is
        // of all three
        tokio::select! {
            biased;
            order = inbox.recv() => match order {
                Some(order) => hub.order(order, &mut air).await,
                None => return,
            },
            came = air.receive(&mut buffer) => hub.came(came, &buffer, &mut air).await,
            () = until(next) => {}
        }
        // all that is there is taken at once
        for _ in 0..limits::IPMI_BATCH_MAX {
            match inbox.try_recv() {
                Ok(order) => hub.order(order, &mut air).await,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        }
        if std::mem::take(&mut hub.sent) > 1 {
            air.gather();
        }
        // a wake-up for each packet would cost 10,000 BMCs a third more time, and memory for those who wait meanwhile
        for _ in 0..limits::IPMI_BATCH_MAX {
            let Some(came) = air.there(&mut buffer) else { break };
            hub.came(came, &buffer, &mut air).await;
        }
        hub.tick(&mut air).await;
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// One BMC, as the task holds it.
struct Link {
    peer: SocketAddr,
    /// Numbers for sessions.
    numbers: Arc<AtomicU64>,
    session: Session,
    /// Number and GUID of the open session.
    open: Option<(u64, [u8; 16])>,
    /// An open session broke, and none was opened since.
    broke: bool,
    /// Until then the BMC counts as just started.
    young: Option<Instant>,
    queue: VecDeque<Waiting>,
    current: Option<Answer>,
    /// When and why it is not tried for a while.
    refused: Option<(Instant, Fault)>,
    timer: Option<Instant>,
}

struct Hub {
    random: Random,
    /// Numbers of sessions, begun at random, so that two lives of an agent do not give the same one.
    numbers: Arc<AtomicU64>,
    links: HashMap<u64, Link>,
    peers: HashMap<SocketAddr, Vec<u64>>,
    timers: BTreeSet<(Instant, u64)>,
    noise: Noise,
    /// Packets sent since it was last looked.
    sent: usize,
}

impl Hub {
    fn new(random: Random) -> Hub {
        let mut first = [0; 4];
        random(&mut first);
        // 32 random bits above 20 counted ones: exact in every JSON reader
        let numbers = Arc::new(AtomicU64::new(u64::from(u32::from_le_bytes(first)) << 20));
        let (links, peers, timers, noise) = (HashMap::new(), HashMap::new(), BTreeSet::new(), Noise::default());
        Hub { random, numbers, links, peers, timers, noise, sent: 0 }
    }

    async fn order<A: Air>(&mut self, order: Order, air: &mut A) {
        let now = now();
        match order {
            Order::Admit { id, peer, account, timing } => {
                let session = Session::new(account, timing, Arc::clone(&self.random));
                self.links.insert(id, Link::new(peer, Arc::clone(&self.numbers), session));
                self.peers.entry(peer).or_default().push(id);
            }
            Order::Ask { id, waiting } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.enqueue(waiting);
                    self.settle(id, now, air).await;
                }
            }
            Order::Close { id, done } => {
                self.close(id, now, air).await;
                let _ = done.send(());
            }
            Order::Dismiss { id } => {
                self.close(id, now, air).await;
                self.forget(id);
            }
        }
    }

    async fn close<A: Air>(&mut self, id: u64, now: Instant, air: &mut A) {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.close();
            link.fail(&Fault::Expired);
            self.settle(id, now, air).await;
        }
    }

    fn forget(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        if let Some(at) = link.timer {
            self.timers.remove(&(at, id));
        }
        if let Some(ids) = self.peers.get_mut(&link.peer) {
            ids.retain(|one| *one != id);
            if ids.is_empty() {
                self.peers.remove(&link.peer);
            }
        }
    }

    async fn came<A: Air>(&mut self, came: io::Result<(usize, SocketAddr)>, buffer: &[u8], air: &mut A) {
        let (length, peer) = match came {
            Ok(came) => came,
            Err(error) => {
                tracing::debug!(%error, "IPMI socket");
                tokio::time::sleep(limits::SOCKET_PAUSE).await;
                return;
            }
        };
        let now = now();
        let packet = buffer.get(..length).unwrap_or_default();
        let ids = self.peers.get(&peer).cloned().unwrap_or_default();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            match link.session.receive(now, packet) {
                Heard::Taken => return self.settle(id, now, air).await,
                Heard::Ignored(why) => tracing::trace!(%peer, why, "packet ignored"),
            }
        }
        if self.noise.unwanted(peer, now) {
            self.not_heard(peer, now, air).await;
        }
    }

    /// From now on this sender is not listened to, and whoever waits for it is told so.
    async fn not_heard<A: Air>(&mut self, peer: SocketAddr, now: Instant, air: &mut A) {
        tracing::warn!(%peer, "it sends far more packets than it is asked for, and is not listened to for {:?}", limits::IPMI_UNHEARD);
        air.listen(&self.noise);
        for id in self.peers.get(&peer).cloned().unwrap_or_default() {
            if let Some(link) = self.links.get_mut(&id) {
                link.broke |= link.open.is_some();
                link.session.close();
                link.fail(&Fault::Loud);
                link.refused = Some((now, Fault::Loud));
                self.settle(id, now, air).await;
            }
        }
    }

    async fn tick<A: Air>(&mut self, air: &mut A) {
        let now = now();
        if self.noise.expired(now) {
            air.listen(&self.noise);
        }
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(link) = self.links.get_mut(&id) {
                link.timer = None;
                link.session.tick(now);
                self.settle(id, now, air).await;
            }
        }
    }

    /// After anything happened to a link: events to their callers, the next request, packets out, the timer.
    async fn settle<A: Air>(&mut self, id: u64, now: Instant, air: &mut A) {
        let Some(link) = self.links.get_mut(&id) else { return };
        while link.drain(now) || link.advance(now) {}
        let peer = link.peer;
        let packets: Vec<Vec<u8>> = std::iter::from_fn(|| link.session.poll_out()).collect();
        let (before, after) = (link.timer, link.session.deadline());
        link.timer = after;
        if before != after {
            before.map(|at| self.timers.remove(&(at, id)));
            after.map(|at| self.timers.insert((at, id)));
        }
        for packet in packets {
            self.sent += 1;
            if let Err(error) = air.send(peer, &packet).await {
                // as good as lost on the way: the session's own time-outs deal with it
                tracing::debug!(%peer, %error, "packet not sent");
            }
        }
    }
}

impl Link {
    fn new(peer: SocketAddr, numbers: Arc<AtomicU64>, session: Session) -> Link {
        let (queue, current) = (VecDeque::new(), None);
        Link { peer, numbers, session, open: None, broke: false, young: None, queue, current, refused: None, timer: None }
    }

    fn enqueue(&mut self, waiting: Waiting) {
        self.queue.retain(|one| !one.answer.is_closed());
        if self.queue.len() >= limits::IPMI_QUEUE_MAX {
            let _ = waiting.answer.send(Err(Fault::Crowded));
        } else {
            self.queue.push_back(waiting);
        }
    }

    fn fail(&mut self, fault: &Fault) {
        self.open = None;
        for answer in self.current.take().into_iter().chain(self.queue.drain(..).map(|waiting| waiting.answer)) {
            let _ = answer.send(Err(fault.clone()));
        }
    }

    /// Hands on one thing that happened; false if there was none.
    fn drain(&mut self, now: Instant) -> bool {
        let Some(event) = self.session.poll_event() else { return false };
        match event {
            Event::Opened(guid) => {
                let session = self.numbers.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(peer = %self.peer, session, "IPMI session opened");
                (self.open, self.refused) = (Some((session, guid)), None);
                if std::mem::take(&mut self.broke) {
                    self.young = now.checked_add(limits::BMC_EARLY);
                }
            }
            Event::Failed(fault) => {
                tracing::debug!(peer = %self.peer, %fault, "no IPMI session");
                self.refused = fault.is_about_the_account().then(|| (now, fault.clone()));
                self.fail(&fault);
            }
            Event::Lost => (self.open, self.broke) = (None, true),
            Event::Answered(outcome) => {
                self.broke |= matches!(outcome, Err(Fault::Broken));
                let young = self.young.is_some_and(|until| now < until);
                let told = match (outcome, self.open) {
                    (Ok(reply), Some((session, guid))) => Ok(Told { session, guid, young, spoken: self.session.spoken(), reply }),
                    (Ok(_), None) => Err(Fault::Expired),
                    (Err(fault), _) => Err(fault),
                };
                if self.session.is_closed() {
                    self.open = None;
                }
                if let Some(answer) = self.current.take() {
                    let _ = answer.send(told);
                }
            }
        }
        true
    }

    /// Does one thing for the longest waiting caller; false if there is nothing to do now.
    fn advance(&mut self, now: Instant) -> bool {
        if self.current.is_some() || !(self.session.is_closed() || self.session.is_free()) {
            return false;
        }
        let Some(waiting) = self.queue.pop_front() else { return false };
        if waiting.answer.is_closed() {
            return true;
        }
        if waiting.on.is_some() && waiting.on != self.open.map(|(session, _)| session) {
            let _ = waiting.answer.send(Err(Fault::Expired));
            return true;
        }
        if self.session.is_free() {
            self.current = Some(waiting.answer);
            self.session.ask(now, waiting.request);
            return true;
        }
        if let Some((when, why)) = &self.refused
            && now.saturating_duration_since(*when) < limits::LOGIN_PAUSE
        {
            let _ = waiting.answer.send(Err(why.clone()));
            return true;
        }
        self.queue.push_front(waiting);
        self.session.open(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::{Peer, account};
    use super::super::{commands, handshake};
    use super::*;
    use std::time::Duration;

    /// A link, the BMC in memory at its other end, and the time between them.
    struct Bench {
        link: Link,
        peer: Peer,
        now: Instant,
        /// How often the user's name was tried.
        tried: u32,
    }

    impl Bench {
        fn new() -> Bench {
            Bench::with("secret")
        }

        /// Whose password at both ends is this one.
        fn with(password: &str) -> Bench {
            let timing = Timing {
                step: Duration::from_secs(4),
                request: Duration::from_secs(4),
                pause: Duration::from_secs(1),
                idle: limits::IPMI_KEEP_ALIVE,
            };
            let session = Session::new(Arc::new(account(password)), timing, Given::by_the_machine().random);
            let link = Link::new(SocketAddr::from(([127, 0, 0, 1], 623)), Arc::default(), session);
            Bench { link, peer: Peer::new(account(password)), now: Instant::now(), tried: 0 }
        }

        /// It forgets its sessions.
        fn restart(&mut self) {
            self.peer = Peer::new(account("secret"));
        }

        /// Carries packets, and lets time pass while there are none, until it is so.
        fn run<T>(&mut self, mut done: impl FnMut(&Link) -> Option<T>) -> T {
            for _ in 0..200 {
                while self.link.drain(self.now) || self.link.advance(self.now) {}
                if let Some(packet) = self.link.session.poll_out() {
                    self.tried += u32::from(wire::read_plus(&packet).is_some_and(|(header, _)| header.kind == handshake::RAKP_1));
                    if let Some(reply) = self.peer.receive(&packet) {
                        self.link.session.receive(self.now, &reply);
                    }
                } else if let Some(done) = done(&self.link) {
                    return done;
                } else {
                    self.now = self.link.session.deadline().expect("something is waited for");
                    self.link.session.tick(self.now);
                }
            }
            panic!("nothing ever happens");
        }

        fn ask(&mut self) -> Result<bool, Fault> {
            let (answer, mut answered) = oneshot::channel();
            self.link.enqueue(Waiting { request: commands::chassis_status(), on: None, answer });
            self.run(|_| answered.try_recv().ok()).map(|told| told.young)
        }
    }

    #[test]
    fn an_account_that_was_refused_is_tried_once_within_the_pause() {
        const POLLS: u32 = 20;
        let long = "a password of 20 byt";
        for (kept, refuses) in [("another", None), (&long[..16], None), (long, Some((handshake::RAKP_1, 0x0d)))] {
            let mut bench = Bench::with(long);
            (bench.peer, bench.peer.refuses) = (Peer::new(account(kept)), refuses);
            let fault = bench.ask().unwrap_err();
            assert!(
                matches!(fault, Fault::WrongPassword | Fault::CutPassword(_) | Fault::Account(_)) && bench.tried == 1,
                "{fault}"
            );
            let begun = bench.now;
            for poll in 1..POLLS {
                bench.now = begun + limits::LOGIN_PAUSE * poll / POLLS;
                assert_eq!(bench.ask(), Err(fault.clone()));
            }
            assert_eq!(bench.tried, 1);
            bench.now = begun + limits::LOGIN_PAUSE;
            assert_eq!((bench.ask(), bench.tried), (Err(fault), 2));
        }
    }

    #[test]
    fn a_bmc_whose_session_broke_is_young_for_a_while() {
        let mut bench = Bench::new();
        assert_eq!((bench.ask(), bench.ask()), (Ok(false), Ok(false)));
        bench.restart();
        assert_eq!(bench.ask(), Err(Fault::Broken));
        bench.now += limits::BMC_EARLY;
        assert_eq!(bench.ask(), Ok(true), "counted from the new session on");
        let opened = bench.now;
        bench.now = opened + limits::BMC_EARLY / 2;
        assert_eq!(bench.ask(), Ok(true));
        bench.now = opened + limits::BMC_EARLY;
        assert_eq!(bench.ask(), Ok(false));
    }

    #[test]
    fn a_session_that_breaks_while_nothing_is_asked_counts_and_one_that_is_closed_does_not() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(), Ok(false));
        bench.restart();
        bench.run(|link| link.open.is_none().then_some(()));
        assert_eq!(bench.ask(), Ok(true));
        let mut bench = Bench::new();
        assert_eq!(bench.ask(), Ok(false));
        bench.link.session.close();
        bench.link.fail(&Fault::Expired);
        assert_eq!(bench.ask(), Ok(false));
    }
}
