//! A storage target as a SCSI target daemon is one inside: exports, logical units over objects, accounts, admissions, sessions, writes in
//! flight; a daemon that forgets all of it when it starts anew, beside objects that forget nothing. What it does and prints was learnt from
//! the daemon itself (tgt 1.0.85), command by command. It must never know who ought to be admitted.

mod admin;
mod daemon;
mod observe;
mod session;
mod show;

pub use admin::Keeps;
pub use observe::{Access, Accessed, Observer};
pub use session::{Initiator, LoginError, Pending, SessionId, Write, WriteError};

use crate::clock::now;
use crate::dice::Dice;
use crate::limits::{LANDED_MAX, REQUESTS_MAX};
use daemon::Daemon;
use observe::Held;
use session::Flight;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 512;

/// How one call of the administration tool ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit code; `None` if something ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub printed: String,
    /// Its standard error.
    pub said: String,
}

/// What befalls one call of the tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The daemon does not move for this time. What was asked meanwhile it does afterwards, in order, whoever still waits.
    Freezes(Duration),
    /// Refused for want of memory, nothing done.
    Refused,
    /// Done, but something else was printed in between.
    Garbled,
    /// Done, but the tool was ended before it could say so.
    Ended,
    /// The tool comes to its turn only after this time, unless nobody waits for it any more.
    Late(Duration),
    /// The daemon dies of it, before or after it was done.
    Dies(bool),
}

/// How often a call of the tool fares ill, in a million.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Weather {
    /// See [`Trouble::Freezes`].
    pub freezes: u32,
    /// For how long at most.
    pub freezes_most: Duration,
    /// See [`Trouble::Refused`].
    pub refused: u32,
    /// See [`Trouble::Garbled`].
    pub garbled: u32,
    /// See [`Trouble::Ended`].
    pub ended: u32,
    /// See [`Trouble::Late`].
    pub late: u32,
    /// By how much at most.
    pub late_most: Duration,
    /// See [`Trouble::Dies`].
    pub dies: u32,
}

/// An object: what a backing path leads to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Object {
    bytes: u64,
    blocks: BTreeMap<u64, u64>,
}

/// Whoever has a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Writer {
    /// The name it logged in with.
    pub name: String,
    /// When the first step of its login was let in: no admission was asked after that.
    pub admitted: Instant,
    /// When it had its session.
    pub since: Instant,
}

/// A write that changed an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landed {
    /// When.
    pub at: Instant,
    /// Whose.
    pub by: Writer,
    /// Where.
    pub block: u64,
    /// What.
    pub value: u64,
}

type Answer = Arc<Mutex<Option<Ended>>>;

/// What waits for a daemon that does not move.
enum Waiting {
    Call(Vec<String>, Answer),
    Submission(u64),
}

struct State {
    objects: BTreeMap<String, Object>,
    /// Paths, and the objects that they lead to.
    paths: BTreeMap<String, String>,
    daemon: Option<Daemon>,
    /// Counts the daemons.
    life: u64,
    /// When the next daemon starts, if one does.
    starts: Option<Instant>,
    /// After a death by itself somebody starts it again after this time.
    restarts_after: Option<Duration>,
    /// The daemon does not move until then.
    frozen: Option<Instant>,
    waiting: VecDeque<Waiting>,
    flights: BTreeMap<u64, Flight>,
    landed: VecDeque<(String, Landed)>,
    next_flight: u64,
    /// No write is done before.
    disk_until: Instant,
    weather: Weather,
    orders: VecDeque<Trouble>,
    /// When other hands or a call that fared ill last stood between the target and what it was told.
    disturbed: Instant,
    /// When another hand last called the tool.
    handled: Option<Instant>,
    calls: u64,
    observer: Option<Observer>,
    /// Something changed of which the observer may not know, and another hand did it.
    moved: bool,
    by_hand: bool,
    shown: BTreeMap<String, Access>,
    /// The list of targets as it was printed last, until one of them changes.
    printed: Option<String>,
    keeps: Keeps,
}

struct Shared {
    state: Mutex<State>,
    /// Something happened that somebody may wait for.
    news: Notify,
}

/// One storage target. Clones are the same.
#[derive(Clone)]
pub struct Target {
    shared: Arc<Shared>,
    dice: Dice,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("life", &self.lock().life).finish_non_exhaustive()
    }
}

impl Target {
    /// A host with a daemon that is empty, and no objects. Chance comes from these dice.
    pub fn start(dice: Dice) -> Target {
        let state = State {
            objects: BTreeMap::new(),
            paths: BTreeMap::new(),
            daemon: Some(Daemon::default()),
            life: 1,
            starts: None,
            restarts_after: Some(Duration::from_secs(1)),
            frozen: None,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            landed: VecDeque::new(),
            next_flight: 0,
            disk_until: now(),
            weather: Weather::default(),
            orders: VecDeque::new(),
            disturbed: now(),
            handled: None,
            calls: 0,
            observer: None,
            moved: false,
            by_hand: false,
            shown: BTreeMap::new(),
            printed: None,
            keeps: Keeps::default(),
        };
        Target { shared: Arc::new(Shared { state: Mutex::new(state), news: Notify::new() }), dice }
    }

    fn lock(&self) -> Held<'_> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.catch_up(&self.dice);
        Held(state)
    }

    /// This one is told who can write each object, now and at each change.
    pub fn observe(&self, observer: Observer) {
        let mut state = self.lock();
        state.observer = Some(observer);
        state.shown.clear();
        state.moved = true;
    }

    /// How calls of the tool fare from now on.
    pub fn weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// What befalls the next calls of the tool, one each, whatever the weather.
    pub fn order(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.lock().orders.extend(troubles);
    }

    /// From now on every call fares well: weather and orders are taken back.
    pub fn calm(&self) {
        let mut state = self.lock();
        state.weather = Weather::default();
        state.orders.clear();
    }

    /// Makes an object of this size, to which a path of this name leads. Objects outlive every daemon.
    pub fn add_object(&self, path: &str, bytes: u64) {
        let mut state = self.lock();
        state.objects.entry(path.to_owned()).or_default().bytes = bytes;
        state.paths.insert(path.to_owned(), path.to_owned());
    }

    /// Makes another path to the object to which this one leads.
    pub fn add_alias(&self, path: &str, to: &str) {
        let mut state = self.lock();
        if let Some(object) = state.paths.get(to).cloned() {
            state.paths.insert(path.to_owned(), object);
        }
    }

    /// Takes a path away. What has the object open keeps it.
    pub fn remove_path(&self, path: &str) {
        self.lock().paths.remove(path);
    }

    /// The name of the object to which this path leads.
    pub fn object(&self, path: &str) -> Option<String> {
        self.lock().paths.get(path).cloned()
    }

    /// What stands in each written block of the object to which this path leads.
    pub fn content(&self, path: &str) -> BTreeMap<u64, u64> {
        let state = self.lock();
        let object = state.paths.get(path).and_then(|name| state.objects.get(name));
        object.map(|object| object.blocks.clone()).unwrap_or_default()
    }

    /// What stands in one block of the object to which this path leads; `None` if it was never written.
    pub fn block(&self, path: &str, block: u64) -> Option<u64> {
        let state = self.lock();
        let object = state.paths.get(path).and_then(|name| state.objects.get(name))?;
        object.blocks.get(&block).copied()
    }

    /// Other hands put something into a block of the object to which this path leads, past every daemon; `None` makes it unwritten.
    pub fn set_by_hand(&self, path: &str, block: u64, value: Option<u64>) {
        let mut state = self.lock();
        let Some(object) = state.paths.get(path).cloned() else { return };
        if let Some(object) = state.objects.get_mut(&object) {
            match value {
                Some(value) => object.blocks.insert(block, value),
                None => object.blocks.remove(&block),
            };
        }
    }

    /// What changed the object to which this path leads since this was last asked, in order; of very much the last.
    pub fn take_landed(&self, path: &str) -> Vec<Landed> {
        let mut state = self.lock();
        let Some(object) = state.paths.get(path).cloned() else { return Vec::new() };
        let (taken, left) = std::mem::take(&mut state.landed).into_iter().partition(|(landed, _)| *landed == object);
        state.landed = left;
        let taken: VecDeque<(String, Landed)> = taken;
        taken.into_iter().map(|(_, landed)| landed).collect()
    }

    /// Who has a session at any export of the object to which this path leads.
    pub fn writers(&self, path: &str) -> Vec<Writer> {
        let state = self.lock();
        let Some(object) = state.paths.get(path) else { return Vec::new() };
        let exports = state.daemon.iter().flat_map(|daemon| daemon.exports.values());
        let of_object = exports.filter(|export| export.units.values().any(|unit| unit.object.as_ref() == Some(object)));
        of_object.flat_map(|export| export.sessions.values().map(session::Session::writer)).collect()
    }

    /// The daemon is killed, and another one starts after this time, empty.
    pub fn restart(&self, after: Duration) {
        let mut state = self.lock();
        state.die(&self.dice);
        state.starts = Some(now() + after);
        state.disturb(after);
        drop(state);
        self.shared.news.notify_waiters();
    }

    /// The daemon does not move for this time, nor do its writes.
    pub fn freeze(&self, span: Duration) {
        let mut state = self.lock();
        state.freeze(span);
    }

    /// The disk below the objects does nothing for this time; what it was told it does afterwards.
    pub fn stall(&self, span: Duration) {
        let mut state = self.lock();
        state.stall(span);
        state.disturb(span);
    }

    /// True while a daemon runs, even one that does not move.
    pub fn runs(&self) -> bool {
        self.lock().daemon.is_some()
    }

    /// When other hands, a start or a call that fared ill last stood between the target and what it was told.
    pub fn disturbed(&self) -> Instant {
        self.lock().disturbed
    }

    /// When another hand last called the tool.
    pub fn handled(&self) -> Option<Instant> {
        self.lock().handled
    }

    /// How many calls of the tool there were.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Another hand calls the tool, on a daemon that moves and in fair weather.
    pub fn by_hand(&self, arguments: &[&str]) -> Ended {
        let mut state = self.lock();
        state.disturb(Duration::ZERO);
        state.handled = Some(now());
        state.by_hand = true;
        let ended = state.execute(arguments, &self.dice);
        drop(state);
        self.shared.news.notify_waiters();
        ended
    }

    /// Calls the administration tool. Whoever stops waiting does not stop what the daemon was asked.
    pub async fn tgtadm(&self, arguments: &[&str]) -> Ended {
        let trouble = {
            let mut state = self.lock();
            let trouble = state.trouble(&self.dice);
            if let Some(Trouble::Freezes(span)) = trouble {
                state.freeze(span);
            }
            if let Some(Trouble::Late(by)) = trouble {
                state.disturb(by);
            } else if trouble.is_some() {
                state.disturb(Duration::ZERO);
            }
            trouble
        };
        match trouble {
            Some(Trouble::Refused) => return admin::refused("out of memory"),
            Some(Trouble::Late(by)) => tokio::time::sleep(by).await,
            Some(Trouble::Dies(false)) => {
                let mut state = self.lock();
                state.die_by_itself(&self.dice);
                return admin::closed();
            }
            _ => {}
        }
        let ended = self.ask(arguments).await;
        match trouble {
            Some(Trouble::Garbled) => admin::garbled(ended, &self.dice),
            Some(Trouble::Ended) => Ended { code: None, printed: String::new(), said: String::new() },
            Some(Trouble::Dies(true)) => {
                self.lock().die_by_itself(&self.dice);
                admin::closed()
            }
            _ => ended,
        }
    }

    /// Asks the daemon, in the order in which it is asked.
    async fn ask(&self, arguments: &[&str]) -> Ended {
        let answer = Answer::default();
        {
            let mut state = self.lock();
            if state.daemon.is_none() {
                return admin::no_daemon();
            }
            if state.frozen.is_none() {
                let ended = state.execute(arguments, &self.dice);
                drop(state);
                self.shared.news.notify_waiters();
                return ended;
            }
            if state.waiting.len() >= REQUESTS_MAX {
                return admin::no_daemon();
            }
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            state.waiting.push_back(Waiting::Call(arguments, answer.clone()));
        }
        loop {
            let news = self.shared.news.notified();
            let thaws = self.lock().frozen;
            if let Some(ended) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                self.shared.news.notify_waiters();
                return ended;
            }
            match thaws {
                Some(at) => drop(tokio::time::timeout_at(at.into(), news).await),
                // everything that waited was done or dropped, so the answer is there at the next look
                None => tokio::task::yield_now().await,
            }
        }
    }
}

impl State {
    /// The disk has done a write.
    fn put_down(&mut self, flight: &Flight, by: Writer, at: Instant) {
        let (block, value) = (flight.block, flight.value);
        if let Some(object) = self.objects.get_mut(&flight.object) {
            object.blocks.insert(block, value);
            self.landed.push_back((flight.object.clone(), Landed { at, by, block, value }));
            if self.landed.len() > LANDED_MAX {
                self.landed.pop_front();
            }
        }
    }

    fn disturb(&mut self, span: Duration) {
        self.disturbed = self.disturbed.max(now() + span);
    }

    fn trouble(&mut self, dice: &Dice) -> Option<Trouble> {
        self.calls += 1;
        if let Some(ordered) = self.orders.pop_front() {
            return Some(ordered);
        }
        let (moment, weather) = (Duration::from_millis(1), &self.weather);
        if dice.in_a_million(weather.freezes) {
            return Some(Trouble::Freezes(dice.duration(moment, weather.freezes_most)));
        }
        if dice.in_a_million(weather.late) {
            return Some(Trouble::Late(dice.duration(moment, weather.late_most)));
        }
        if dice.in_a_million(weather.dies) {
            return Some(Trouble::Dies(dice.in_a_million(500_000)));
        }
        let rest = [(weather.refused, Trouble::Refused), (weather.garbled, Trouble::Garbled), (weather.ended, Trouble::Ended)];
        rest.into_iter().find(|(odds, _)| dice.in_a_million(*odds)).map(|(_, trouble)| trouble)
    }

    fn freeze(&mut self, span: Duration) {
        if self.daemon.is_some() {
            let until = now() + span;
            self.frozen = Some(self.frozen.map_or(until, |before| before.max(until)));
            self.stall(span);
            self.disturb(span);
        }
    }

    fn stall(&mut self, span: Duration) {
        let until = now() + span;
        self.disk_until = self.disk_until.max(until);
        for flight in self.flights.values_mut() {
            flight.due = flight.due.max(until);
        }
    }

    /// The daemon is gone at once, and its sessions with it. What its writers had just begun the disk has or has not.
    fn die(&mut self, dice: &Dice) {
        let flights = std::mem::take(&mut self.flights);
        for flight in flights.into_values() {
            if flight.submitted
                && dice.in_a_million(500_000)
                && let Some(by) = self.writer(&flight)
            {
                self.put_down(&flight, by, now());
            }
        }
        for waiting in self.waiting.drain(..) {
            if let Waiting::Call(_, answer) = waiting {
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(admin::closed());
            }
        }
        self.daemon = None;
        self.moved = true;
        self.frozen = None;
        self.starts = None;
    }

    fn die_by_itself(&mut self, dice: &Dice) {
        self.die(dice);
        self.starts = self.restarts_after.map(|after| now() + after);
        self.disturb(self.restarts_after.unwrap_or_default());
    }

    /// Does everything that was due meanwhile, in its order.
    fn catch_up(&mut self, dice: &Dice) {
        if self.flights.is_empty() && self.frozen.is_none() && self.starts.is_none() {
            return;
        }
        let at = now();
        loop {
            let flight = self.flights.iter().filter(|(_, flight)| flight.submitted && flight.due <= at);
            let flight =
                flight.min_by_key(|(number, flight)| (flight.due, **number)).map(|(number, flight)| (flight.due, *number));
            let thaw = self.frozen.filter(|thaw| *thaw <= at);
            let start = self.starts.filter(|start| *start <= at);
            let first = [flight.map(|(due, _)| due), thaw, start].into_iter().flatten().min();
            let Some(first) = first else { return };
            if thaw == Some(first) {
                self.frozen = None;
                self.thaw(dice);
                self.tell(first);
            } else if let Some((_, number)) = flight.filter(|(due, _)| *due == first) {
                self.land(number);
                self.tell(first);
            } else {
                self.starts = None;
                self.daemon = Some(Daemon::default());
                self.life += 1;
                self.disturb(Duration::ZERO);
            }
        }
    }

    /// Moves again: what was asked meanwhile, in its order.
    fn thaw(&mut self, dice: &Dice) {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting {
                Waiting::Submission(number) => self.submit(number),
                Waiting::Call(arguments, answer) => {
                    let ended = self.execute(&arguments, dice);
                    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
