//! The management network: BMCs by their addresses, and what happens to packets and requests on their way. Drivers speak over it as over
//! sockets; it carries bytes and knows nothing of what they mean.

use crate::life::Life;
use crate::link::Weather;
use async_trait::async_trait;
use bmc::Outside;
use bmc::ipmi::Lines;
use bmc::ipmi::air::Air;
use bmc::ipmi::noise::Noise;
use bmc::outside::{Given, Pin};
use bmc::transport::{Ask, Came, Chunks, Failure, Stream, Transport, Via};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use vocabulary::WallTime;
use world::bmc::ipmi::{Out, Port};
use world::bmc::redfish::{Body, Connection};
use world::bmc::{Bmc, Link, Reach};
use world::{Dice, Wall, watch};

/// Where every agent's packets come from; nobody asks.
const AGENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 254, 0, 1)), 40_000);

/// One BMC as it is met.
#[derive(Clone)]
struct Place {
    bmc: Arc<Bmc>,
    port: Arc<Port>,
    /// What it shows where TLS would be spoken.
    certificate: Arc<[u8]>,
    weather: Weather,
}

/// See the module. Clones are the same network.
#[derive(Clone)]
pub struct Management {
    places: Arc<Mutex<BTreeMap<SocketAddr, Place>>>,
    dice: Dice,
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Management")
    }
}

impl Management {
    /// Without a BMC.
    pub fn new(dice: Dice) -> Management {
        Management { places: Arc::default(), dice }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Place>> {
        // nothing that holds it can fail in between
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plugs a BMC in at this address; whoever was there is no more.
    pub fn plug(&self, address: SocketAddr, bmc: &Arc<Bmc>) {
        let certificate = format!("certificate of {}", bmc.config.name).into_bytes().into();
        let place = Place { bmc: bmc.clone(), port: Arc::new(Port::new(bmc)), certificate, weather: Weather::FAIR };
        self.places().insert(address, place);
    }

    /// Changes the way to one BMC.
    pub fn set_weather(&self, address: SocketAddr, weather: Weather) {
        if let Some(place) = self.places().get_mut(&address) {
            place.weather = weather;
        }
    }

    fn place(&self, address: SocketAddr) -> Option<Place> {
        self.places().get(&address).cloned()
    }

    /// How long a passage takes now; `None` if what goes is lost.
    fn passage(&self, address: SocketAddr) -> Option<Duration> {
        let weather = self.places().get(&address)?.weather;
        let lost = weather.cut || self.dice.in_a_million(weather.lost);
        (!lost).then(|| self.dice.duration(weather.least, weather.most))
    }

    /// What the drivers of one process have from outside.
    pub fn outside(&self, life: &Life, wall: &Wall) -> Outside {
        let (management, lived, wall, dice) = (self.clone(), life.clone(), wall.clone(), self.dice.clone());
        let random: bmc::outside::Random = Arc::new(move |bytes: &mut [u8]| dice.fill(bytes));
        let road = move |address: SocketAddr, pin: &Arc<Pin>, patience: bmc::Patience| {
            let connections = Mutex::default();
            let (management, life, pin) = (management.clone(), lived.clone(), pin.clone());
            let road = Road { management, address, pin, life, connections, connect: patience.connect };
            Ok::<Box<dyn Transport>, String>(Box::new(road))
        };
        let wall_time = move || {
            let since = wall.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        };
        let lines = Lines::over(Packets::new(self.clone(), life.clone()), random.clone());
        Outside { given: Given { wall: Arc::new(wall_time), random }, road: Arc::new(road), lines }
    }
}

// -- IPMI --

type Packet = (Vec<u8>, SocketAddr);

/// The packets of one process.
struct Packets {
    management: Management,
    life: Life,
    inbox: mpsc::UnboundedReceiver<Packet>,
    sender: mpsc::UnboundedSender<Packet>,
    /// Its end of the way to each BMC.
    ends: BTreeMap<SocketAddr, Arc<dyn Out>>,
    unheard: BTreeSet<SocketAddr>,
}

/// By which a BMC's packets come back.
struct Mouth {
    from: SocketAddr,
    bmc: Arc<Bmc>,
    management: Management,
    inbox: mpsc::UnboundedSender<Packet>,
}

impl Out for Mouth {
    fn send(&self, _to: SocketAddr, packet: &[u8]) {
        let Some(passage) = self.management.passage(self.from) else { return };
        let (inbox, came) = (self.inbox.clone(), (packet.to_vec(), self.from));
        let (bmc, told) = (self.bmc.clone(), self.bmc.state().told());
        tokio::spawn(async move {
            tokio::time::sleep(passage).await;
            bmc.state().arrived(told);
            // whoever waited may be gone
            let _ = inbox.send(came);
        });
    }
}

impl Packets {
    fn new(management: Management, life: Life) -> Packets {
        let (sender, inbox) = mpsc::unbounded_channel();
        Packets { management, life, inbox, sender, ends: BTreeMap::new(), unheard: BTreeSet::new() }
    }

    fn end(&mut self, to: SocketAddr, bmc: &Arc<Bmc>) -> Arc<dyn Out> {
        let (management, inbox, bmc) = (self.management.clone(), self.sender.clone(), bmc.clone());
        self.ends.entry(to).or_insert_with(|| Arc::new(Mouth { from: to, bmc, management, inbox })).clone()
    }
}

fn cut_to(buffer: &mut [u8], (packet, from): Packet) -> (usize, SocketAddr) {
    let length = packet.len().min(buffer.len());
    if let (Some(place), Some(bytes)) = (buffer.get_mut(..length), packet.get(..length)) {
        place.copy_from_slice(bytes);
    }
    (length, from)
}

impl Air for Packets {
    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            self.life.passes().await;
            // it holds a sender of its own, so there is always one
            match self.inbox.recv().await {
                Some(came) if !self.unheard.contains(&came.1) => return Ok(cut_to(buffer, came)),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn there(&mut self, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
        if !self.life.runs() {
            return None;
        }
        loop {
            let came = self.inbox.try_recv().ok()?;
            if !self.unheard.contains(&came.1) {
                return Some(Ok(cut_to(buffer, came)));
            }
        }
    }

    async fn send(&mut self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        self.life.passes().await;
        let (Some(place), Some(passage)) = (self.management.place(to), self.management.passage(to)) else { return Ok(()) };
        let (end, packet) = (self.end(to, &place.bmc), packet.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(passage).await;
            place.port.take(&end, AGENT, &packet);
        });
        Ok(())
    }

    fn listen(&mut self, noise: &Noise) {
        self.unheard = noise.unheard().collect();
    }

    fn gather(&mut self) {}
}

// -- Redfish --

/// The way of one process to one BMC.
struct Road {
    management: Management,
    address: SocketAddr,
    pin: Arc<Pin>,
    life: Life,
    connections: Mutex<BTreeMap<bool, Kept>>,
    connect: Duration,
}

/// A connection that is kept.
#[derive(Clone)]
struct Kept {
    bmc: Arc<Bmc>,
    connection: Arc<Connection>,
    /// The link's epoch in which it was made.
    epoch: u64,
}

impl Kept {
    fn leads_to(&self, bmc: &Arc<Bmc>) -> bool {
        Arc::ptr_eq(&self.bmc, bmc)
    }
}

impl fmt::Debug for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

impl Road {
    /// Goes there, or back; what is lost is waited for in vain.
    async fn pass(&self) {
        match self.management.passage(self.address) {
            Some(passage) => tokio::time::sleep(passage).await,
            None => std::future::pending().await,
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<bool, Kept>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, or why there is none.
    async fn connected(&self) -> Result<Kept, Failure> {
        let silent = || Failure::Connect(format!("no connection within {} ms", self.connect.as_millis()));
        let meets = async {
            self.pass().await;
            let Some(place) = self.management.place(self.address) else { return std::future::pending().await };
            match place.bmc.link().get().reach {
                Reach::Answering => {}
                Reach::Unreachable => return std::future::pending().await,
                Reach::Refuse => return Err(Failure::Connect("connection refused".into())),
                Reach::Garbage => return Err(Failure::Connect("it speaks no TLS".into())),
            }
            if !self.pin.admits(&place.certificate) {
                return Err(Failure::Connect("its certificate is not the one that is held to".into()));
            }
            let epoch = place.bmc.link().get().epoch;
            Ok(Kept { connection: Arc::new(Connection::new(&place.bmc)), bmc: place.bmc, epoch })
        };
        tokio::time::timeout(self.connect, meets).await.unwrap_or_else(|_| Err(silent()))
    }

    /// The kept connection, or a new one.
    async fn connection(&self, hand: bool) -> Result<Kept, Failure> {
        let kept = self.kept().get(&hand).cloned();
        let place = self.management.place(self.address);
        if let (Some(kept), Some(place)) = (kept, place)
            && kept.leads_to(&place.bmc)
            && still(place.bmc.link().get(), kept.epoch)
        {
            return Ok(kept);
        }
        let made = self.connected().await?;
        self.kept().insert(hand, made.clone());
        Ok(made)
    }

    /// Sends a request on a connection, and takes the beginning of its answer.
    async fn ask(&self, kept: &Kept, ask: Ask) -> Result<Response<Body>, Failure> {
        let mut link = kept.bmc.link();
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        if let Some(headers) = request.headers_mut() {
            *headers = ask.headers;
        }
        let body = Full::new(Bytes::from(ask.body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| Failure::Unusable(error.to_string()))?;
        self.pass().await;
        let answer = async {
            tokio::select! {
                biased;
                () = interrupted(&mut link, kept.epoch) => {
                    closed(&mut link).await;
                    Err(Failure::Broken("connection closed".into()))
                }
                answer = kept.connection.answer(request) => answer.map_err(|dropped| Failure::Broken(dropped.to_string())),
            }
        };
        let answer = answer.await;
        let told = kept.bmc.state().told();
        self.pass().await;
        kept.bmc.state().arrived(told);
        answer
    }
}

/// True if nobody has noticed yet that a connection of this epoch is dead, be it so or not.
fn still(link: Link, epoch: u64) -> bool {
    link.epoch == epoch || link.reach == Reach::Unreachable
}

/// Returns when the connections of this epoch are dead.
async fn interrupted(link: &mut watch::Receiver<Link>, epoch: u64) {
    link.wait_for(|now| now.epoch != epoch).await;
}

/// Returns when that could be noticed: of a BMC that cannot be reached nobody hears that it has closed something.
async fn closed(link: &mut watch::Receiver<Link>) {
    link.wait_for(|now| now.reach != Reach::Unreachable).await;
}

#[async_trait]
impl Transport for Road {
    async fn exchange(&self, ask: Ask) -> Result<Came, Failure> {
        let (wait, hand) = (ask.wait, ask.via == Via::Hand);
        let whole = async {
            let kept = self.connection(hand).await?;
            let asked = self.ask(&kept, ask).await;
            if asked.is_err() {
                self.kept().remove(&hand);
            }
            let response = asked?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.into_body().collect().await.map_err(|error| Failure::Broken(error.to_string()))?;
            let body = body.to_bytes().to_vec();
            if body.len() > bmc::limits::BODY_MAX {
                return Err(Failure::Unusable(format!("the answer is larger than {} bytes", bmc::limits::BODY_MAX)));
            }
            Ok(Came { status, headers, body })
        };
        let outcome = self.life.live(async { tokio::time::timeout(wait, whole).await }).await;
        outcome.unwrap_or_else(|_| {
            self.kept().remove(&hand);
            Err(Failure::Slow(wait))
        })
    }

    async fn listen(&self, ask: Ask) -> Result<Stream, Failure> {
        let wait = ask.wait;
        let opened = async {
            let kept = self.connected().await?;
            let response = self.ask(&kept, ask).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = Box::new(Heard { body: response.into_body(), life: self.life.clone() });
            Ok(Stream { status, headers, body })
        };
        let outcome = self.life.live(async { tokio::time::timeout(wait, opened).await }).await;
        outcome.unwrap_or(Err(Failure::Slow(wait)))
    }
}

/// A stream as it is heard.
struct Heard {
    body: Body,
    life: Life,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heard")
    }
}

#[async_trait]
impl Chunks for Heard {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            self.life.passes().await;
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        return Ok(Some(data.to_vec()));
                    }
                }
            }
        }
    }
}
