//! A machine below its BMC: mains, power, firmware, NICs, and the system that it boots over them. It has a state of its own and no idea of
//! controllers, plans or fences: an old machine that comes back tries with all that it still remembers. It must never be off while
//! anything in it still moves, nor remember over a loss of power what lay in its memory.

mod build;
pub mod cables;
mod dhcp;
mod firmware;
pub mod frames;
mod initiator;
mod ipxe;
mod limits;
mod system;
pub mod trace;

pub use build::{Between, BootDevice, Build, Console, Stage, Times};
pub use cables::{Cables, Login, LoginError, Lost, Mac, Page, Root, Session, Source};
pub use system::CLIENTS;
pub use trace::{Event, Happened};

use crate::clock::now;
use crate::dice::Dice;
use crate::watch;
use frames::EVERYBODY;
use limits::{DUMP_KERNEL, DUMP_MESSAGE, DUMP_TOLD_EVERY, ORDERS_MAX, TRACE_MAX};
use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Why a machine does not do what its power button or its BMC wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// It has no mains power.
    NoMains,
    /// It is broken.
    Broken,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::On => "it is on",
            Refused::Off => "it is off",
            Refused::NoMains => "it has no mains power",
            Refused::Broken => "its hardware is broken",
        })
    }
}

/// Where a kernel that writes another one's memory away says so: `fence_kdump`'s port.
pub const DUMPS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 7410);

/// What can happen inside a machine that nobody ordered from below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accident {
    /// Somebody restarts the system in order, from inside.
    Reboot,
    /// The service's process ends. The system lives on: it answers, refuses connections, and can be stopped in order.
    Crash,
    /// The kernel panics, writes its memory away for so long, and the machine restarts.
    Panic(Duration),
    /// The kernel panics and stops for ever.
    Halt,
    /// The hardware dies: its power goes, and cannot be switched on until it is repaired.
    Die,
}

/// The life of one start: it ends when the machine is off and nothing of it is left, and says how it ended. The machine lives whether or
/// not anybody waits for that.
pub type Life = Pin<Box<dyn Future<Output = String> + Send>>;

/// How a boot ended.
enum End {
    Off,
    Reset,
    Dumps(Duration),
    Halts,
}

/// What a running system was asked for.
enum Order {
    PowerOff,
    Reboot,
    Crash,
}

/// The service while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Whose it is.
    pub server: String,
    /// Which start of the server it is.
    pub incarnation: u64,
    /// The last record that was acknowledged.
    pub last: u64,
    /// Its volume failed.
    pub failed: bool,
    /// Its process has ended: who asks it is refused.
    pub crashed: bool,
    /// Where it answers.
    pub at: Source,
}

/// A system is there, and nothing of it listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionRefused;

/// Who is told at once what befalls a machine. It must not ask the machine anything.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

struct Live {
    cut: Option<oneshot::Sender<String>>,
    accidents: mpsc::Sender<Accident>,
}

#[derive(Default)]
struct State {
    no_mains: bool,
    broken: bool,
    live: Option<Live>,
    frozen: bool,
    waker: Option<Waker>,
    kernel: bool,
    service: Option<Service>,
    /// Where the service of this boot answers, or has answered.
    address: Option<Source>,
    orders: Option<mpsc::Sender<Order>>,
    /// On the local disk.
    installed: Option<system::Facts>,
    trace: VecDeque<Happened>,
    /// Events that were ever told.
    told: usize,
    observer: Option<Observer>,
}

struct Shared {
    build: Build,
    dice: Dice,
    cables: Arc<dyn Cables>,
    begun: Instant,
    state: Mutex<State>,
    /// How many events were told.
    moved: watch::Sender<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // every change is complete before the lock is given back
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happened(&self, event: Event) {
        let at = now().saturating_duration_since(self.begun);
        let observer = self.state().observer.clone();
        if let Some(observer) = observer {
            observer(&event);
        }
        let told = {
            let mut state = self.state();
            if state.trace.len() == TRACE_MAX {
                state.trace.pop_front();
            }
            state.trace.push_back(Happened { at, event });
            state.told += 1;
            state.told
        };
        self.moved.set(told);
    }

    fn links(&self, up: bool) {
        for nic in &self.build.nics {
            self.cables.link(*nic, up);
        }
    }
}

/// One machine. Clones are the same.
#[derive(Clone)]
pub struct Machine(Arc<Shared>);

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({})", self.0.build.name)
    }
}

impl Machine {
    /// A machine that is off, with mains power.
    pub fn new(build: Build, dice: Dice, cables: Arc<dyn Cables>) -> Machine {
        let moved = watch::Sender::new(0);
        Machine(Arc::new(Shared { build, dice, cables, begun: now(), state: Mutex::default(), moved }))
    }

    /// This one is told what befalls it from now on.
    pub fn observe(&self, observer: Observer) {
        self.0.state().observer = Some(observer);
    }

    /// Powers on; firmware tries this device before all others, once.
    pub fn start(&self, first: Option<BootDevice>, console: Arc<dyn Console>) -> Result<Life, Refused> {
        let (cut, is_cut) = oneshot::channel();
        let (accidents, befalls) = mpsc::channel(ORDERS_MAX);
        {
            let mut state = self.0.state();
            match &*state {
                State { live: Some(_), .. } => return Err(Refused::On),
                State { no_mains: true, .. } => return Err(Refused::NoMains),
                State { broken: true, .. } => return Err(Refused::Broken),
                State { .. } => state.live = Some(Live { cut: Some(cut), accidents }),
            }
        }
        self.0.links(true);
        self.0.happened(Event::On);
        let (ends, ended) = oneshot::channel();
        let run = Run { shared: self.0.clone(), console };
        tokio::spawn(async move {
            let shared = run.shared.clone();
            let end = {
                let body = Hanging { shared: shared.clone(), inner: Box::pin(live(run, first, befalls)) };
                tokio::select! {
                    // without power nothing moves, whatever was due at that instant
                    biased;
                    why = is_cut => why.unwrap_or_default(),
                    why = body => why,
                }
            };
            // all that lay in memory was dropped with the body
            shared.links(false);
            shared.happened(Event::Off(end.clone()));
            {
                let mut state = shared.state();
                (state.live, state.frozen, state.waker) = (None, false, None);
            }
            // nobody may be waiting
            drop(ends.send(end));
        });
        Ok(Box::pin(async move { ended.await.unwrap_or_default() }))
    }

    /// Cuts its power. It is off when its life ends, not before.
    pub fn kill(&self) -> Result<(), Refused> {
        self.cut("its power was cut", self.draw(self.0.build.times.falls))
    }

    /// Once a cut is under way it needs no second.
    fn cut(&self, why: &str, falls: Duration) -> Result<(), Refused> {
        let cut = {
            let mut state = self.0.state();
            state.live.as_mut().ok_or(Refused::Off)?.cut.take()
        };
        let Some(cut) = cut else { return Ok(()) };
        let why = why.to_owned();
        if falls.is_zero() {
            drop(cut.send(why));
        } else {
            tokio::spawn(async move {
                tokio::time::sleep(falls).await;
                drop(cut.send(why));
            });
        }
        Ok(())
    }

    fn draw(&self, (least, most): Between) -> Duration {
        self.0.dice.duration(least, most)
    }

    /// A finger on its button: a running system is asked to stop; firmware and a dead kernel do not look.
    pub fn press(&self) {
        self.order(Order::PowerOff);
    }

    fn order(&self, order: Order) -> bool {
        self.0.state().orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// It hangs from now on: its power stays on, and nothing in it moves.
    pub fn freeze(&self) -> Result<(), Refused> {
        self.0.state().live.as_ref().map(|_| ()).ok_or(Refused::Off)?;
        self.0.happened(Event::Frozen);
        self.0.state().frozen = true;
        Ok(())
    }

    /// It goes on where it hung.
    pub fn thaw(&self) -> Result<(), Refused> {
        let waker = {
            let mut state = self.0.state();
            state.live.as_ref().map(|_| ()).ok_or(Refused::Off)?;
            state.frozen = false;
            state.waker.take()
        };
        self.0.happened(Event::Thawed);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Mains power goes, and everything with it at once; or it returns, and nothing starts by itself: that is its BMC's business.
    pub fn mains(&self, there: bool) {
        self.0.state().no_mains = !there;
        if !there {
            // refused if it is off, and then nothing is left to be done
            let _ = self.cut("mains power failed", Duration::ZERO);
        }
    }

    /// Broken hardware is exchanged.
    pub fn repair(&self) {
        self.0.state().broken = false;
    }

    /// Something happens inside of it; false if it is not in a state in which that could.
    pub fn befall(&self, accident: Accident) -> bool {
        match accident {
            Accident::Reboot => self.order(Order::Reboot),
            Accident::Crash => self.order(Order::Crash),
            Accident::Die => {
                self.0.state().broken = true;
                // refused if it is off: then it is found broken at its next start
                let _ = self.cut("its hardware failed", Duration::ZERO);
                true
            }
            Accident::Panic(_) | Accident::Halt => {
                let state = self.0.state();
                state.kernel && state.live.as_ref().is_some_and(|live| live.accidents.try_send(accident).is_ok())
            }
        }
    }

    /// True from a start until the end of that start's life.
    pub fn is_on(&self) -> bool {
        self.0.state().live.is_some()
    }

    /// The service, if it would answer now.
    pub fn service(&self) -> Option<Service> {
        let state = self.0.state();
        state.service.clone().filter(|service| !state.frozen && !service.crashed)
    }

    /// Where its system answers now, whether or not its service still does.
    pub fn address(&self) -> Option<Source> {
        let state = self.0.state();
        state.service.as_ref().filter(|_| !state.frozen).map(|service| service.at)
    }

    /// What a client gets that asks for a page at this address over this NIC; `None` is silence.
    pub fn answer(&self, nic: Mac, to: Ipv4Addr, path: &str) -> Option<Result<Page, ConnectionRefused>> {
        let state = self.0.state();
        let here = |service: &&Service| !state.frozen && service.at == Source { nic, address: to };
        let service = state.service.as_ref().filter(here)?;
        if service.crashed {
            return Some(Err(ConnectionRefused));
        }
        let (status, text) = match path {
            "/" => (200, format!("{} incarnation={:x} last={}\n", service.server, service.incarnation, service.last)),
            "/healthz" if service.failed => (503, "the volume failed\n".to_owned()),
            "/healthz" => (200, "ok\n".to_owned()),
            _ => (404, "nothing here\n".to_owned()),
        };
        Some(Ok(Page { status, body: text.into_bytes() }))
    }

    /// What befell it, oldest first, as far as it is kept.
    pub fn trace(&self) -> Vec<Happened> {
        self.0.state().trace.iter().cloned().collect()
    }

    /// Waits until such a thing befalls it, from now on.
    pub async fn sees(&self, wanted: impl Fn(&Event) -> bool) {
        let mut moved = self.0.moved.subscribe();
        let mut looked = moved.see();
        loop {
            moved.changed().await;
            let told = moved.see();
            let state = self.0.state();
            if state.trace.iter().rev().take(told - looked).any(|happened| wanted(&happened.event)) {
                return;
            }
            looked = told;
        }
    }
}

/// One start of a machine, as all that runs in it sees it.
struct Run {
    shared: Arc<Shared>,
    console: Arc<dyn Console>,
}

impl Run {
    fn build(&self) -> &Build {
        &self.shared.build
    }

    fn cables(&self) -> &dyn Cables {
        &*self.shared.cables
    }

    fn happened(&self, event: Event) {
        self.shared.happened(event);
    }

    fn reached(&self, stage: Stage) {
        self.console.reached(stage);
    }

    async fn sleep(&self, (least, most): Between) {
        tokio::time::sleep(self.shared.dice.duration(least, most)).await;
    }

    fn number(&self) -> u32 {
        u32::try_from(self.shared.dice.between(0, u64::from(u32::MAX))).unwrap_or(u32::MAX)
    }

    fn remembers(&self) -> bool {
        self.shared.state().installed.is_some()
    }

    fn remembered(&self) -> Option<system::Facts> {
        self.shared.state().installed.clone()
    }

    /// On the local disk, if there is one.
    fn remember(&self, facts: &system::Facts) {
        if self.build().local_disk {
            self.shared.state().installed = Some(facts.clone());
        }
    }

    /// A kernel runs until this is dropped.
    fn kernel(&self) -> Kernel<'_> {
        self.shared.state().kernel = true;
        Kernel(self)
    }

    /// A service stands until this is dropped.
    fn stand(&self, service: Service, orders: mpsc::Sender<Order>) -> Standing<'_> {
        let mut state = self.shared.state();
        state.address = Some(service.at);
        (state.service, state.orders) = (Some(service), Some(orders));
        Standing(self)
    }

    fn service(&self, change: impl FnOnce(&mut Service)) {
        if let Some(service) = &mut self.shared.state().service {
            change(service);
        }
    }
}

struct Kernel<'r>(&'r Run);

impl Drop for Kernel<'_> {
    fn drop(&mut self) {
        self.0.shared.state().kernel = false;
    }
}

struct Standing<'r>(&'r Run);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.shared.state();
        (state.service, state.orders) = (None, None);
    }
}

/// From power-on until the machine itself goes off: boot after boot. What a boot had in its memory ends with it.
async fn live(run: Run, first: Option<BootDevice>, mut befalls: mpsc::Receiver<Accident>) -> String {
    let mut first = first;
    loop {
        let end = tokio::select! {
            // a panic does not wait for what is being done
            biased;
            accident = befalls.recv() => match accident {
                Some(Accident::Panic(dump)) => End::Dumps(dump),
                _ => End::Halts,
            },
            end = booted(&run, first.take()) => end,
        };
        match end {
            End::Off => return "the system switched it off".to_owned(),
            End::Reset => {}
            End::Dumps(dump) => {
                run.happened(Event::Panicked);
                // nothing else of it tells anybody anything, so this is all of it
                drop(tokio::time::timeout(dump, tells_of_dump(&run)).await);
            }
            End::Halts => {
                run.happened(Event::Panicked);
                std::future::pending::<()>().await;
            }
        }
        run.shared.state().address = None;
        run.happened(Event::Reset);
        run.console.reset("OSSoftRestart");
    }
}

/// As the kernel does it that writes another one's memory away: once it is there it says so again and again. Never returns.
async fn tells_of_dump(run: &Run) {
    run.sleep(DUMP_KERNEL).await;
    let from = run.shared.state().address;
    loop {
        if let Some(Source { nic, address }) = from {
            let at = SocketAddrV4::new(address, DUMPS.port());
            run.cables().send(nic, frames::udp((nic, EVERYBODY), at, DUMPS, &DUMP_MESSAGE));
        }
        tokio::time::sleep(DUMP_TOLD_EVERY).await;
    }
}

async fn booted(run: &Run, first: Option<BootDevice>) -> End {
    match firmware::boot(run, first).await {
        Some(handed) => system::run(run, handed).await,
        None => End::Reset,
    }
}

/// Moves on only while the machine does not hang. What comes due meanwhile waits.
struct Hanging {
    shared: Arc<Shared>,
    inner: Life,
}

impl Future for Hanging {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<String> {
        {
            let mut state = self.shared.state();
            if state.frozen {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(context)
    }
}
