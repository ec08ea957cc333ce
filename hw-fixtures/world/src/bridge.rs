//! A switch whose forwarding is a kernel's VLAN-filtering bridge: ports, VLANs, learnt addresses, counters; a running configuration that a
//! reboot loses to a start-up configuration; other people's hands; an administration that can fail, hang and be late. Whether ports are
//! apart is asked of `forward` alone. It must never tell by its configuration what it does not do with frames.

mod call;
mod channel;
mod forward;
mod notes;
pub mod pair;

pub use call::{Call, Conversation, Interface};
pub use forward::Leaving;
pub use notes::{Note, Notes};

use crate::clock::now;
use crate::dice::Dice;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An Ethernet address.
pub type Address = [u8; 6];

/// What a bridge's interface is called here.
pub const BRIDGE: &str = "br0";
/// The largest and the usual MTU of a port, and the least that carries IPv4.
const MTU: (u32, u32, u32) = (9_216, 1_500, 68);
/// Interfaces before the first port: loopback, a management port, the bridge itself.
const FIRST_INDEX: u32 = 4;

/// How a port is a member of one VLAN, as the kernel lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Frames without a tag that come in belong to this VLAN.
    pub pvid: bool,
    /// Frames of this VLAN leave without a tag.
    pub untagged: bool,
}

impl Membership {
    /// As an access port is a member.
    pub const NATIVE: Membership = Membership { pvid: true, untagged: true };
    /// As a trunk is.
    pub const TAGGED: Membership = Membership { pvid: false, untagged: false };
}

/// One port's part of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Administratively up.
    pub up: bool,
    /// Largest frame payload.
    pub mtu: u32,
    /// The VLANs; of several with a `pvid` the last one has it.
    pub vlans: BTreeMap<u16, Membership>,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { up: false, mtu: MTU.1, vlans: BTreeMap::new() }
    }
}

impl Setting {
    /// Up, in one VLAN without tags.
    pub fn access(vlan: u16) -> Setting {
        Setting { up: true, vlans: [(vlan, Membership::NATIVE)].into(), ..Setting::default() }
    }

    /// Up, in these VLANs with tags.
    pub fn trunk(vlans: &[u16]) -> Setting {
        Setting { up: true, vlans: vlans.iter().map(|vlan| (*vlan, Membership::TAGGED)).collect(), ..Setting::default() }
    }
}

/// The ports by name.
pub type Configuration = BTreeMap<String, Setting>;

/// How often a call fares ill, in a million, and what becomes of notes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Weather {
    /// Calls that are refused, perhaps after a part was done.
    pub fails: u32,
    /// Calls that are never answered; half of them are done.
    pub hangs: u32,
    /// Calls that are done late, whether or not somebody still waits.
    pub late: u32,
    /// By how much at most.
    pub late_most: Duration,
    /// Notes that never come.
    pub notes_lost: u32,
    /// By how much a note is late at most.
    pub notes_late_most: Duration,
}

/// What befalls one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Refused, after this many of its parts were done.
    Fails(usize),
    /// Never answered; done or not.
    Hangs(bool),
    /// Done and answered after this time; done even if nobody waits any more.
    Late(Duration),
}

/// Why the administration said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The switch is not running, or this conversation is from before its last start.
    Gone,
    /// There is no such interface.
    NoDevice,
    /// The kernel does not take that.
    Invalid,
    /// The kernel cannot now.
    NoMemory,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Error::Gone => "Connection reset by peer (os error 104)",
            Error::NoDevice => "No such device (os error 19)",
            Error::Invalid => "Invalid argument (os error 22)",
            Error::NoMemory => "Cannot allocate memory (os error 12)",
        })
    }
}

/// A port as it is now.
#[derive(Clone, Debug)]
struct Port {
    index: u32,
    address: Address,
    /// Part of the bridge; an interface that is not has no VLANs.
    attached: bool,
    up: bool,
    cable: bool,
    mtu: u32,
    /// The VLAN of frames without a tag; the kernel keeps one number for it beside the list.
    pvid: Option<u16>,
    /// VLANs, and whether their frames leave without a tag.
    vlans: BTreeMap<u16, bool>,
    frames_in: u64,
    frames_out: u64,
}

impl Port {
    fn forwards(&self) -> bool {
        self.attached && self.up && self.cable
    }

    fn memberships(&self) -> BTreeMap<u16, Membership> {
        let membership =
            |(vlan, untagged): (&u16, &bool)| (*vlan, Membership { pvid: self.pvid == Some(*vlan), untagged: *untagged });
        self.vlans.iter().map(membership).collect()
    }

    /// As the kernel does it: a new `pvid` leaves the old VLAN a member, and setting a VLAN without it takes it away from that VLAN.
    fn join(&mut self, vlan: u16, membership: Membership) {
        self.vlans.insert(vlan, membership.untagged);
        match (membership.pvid, self.pvid == Some(vlan)) {
            (true, _) => self.pvid = Some(vlan),
            (false, true) => self.pvid = None,
            (false, false) => {}
        }
    }

    /// Leaving what it is no member of is no error.
    fn leave(&mut self, vlan: u16) {
        self.vlans.remove(&vlan);
        if self.pvid == Some(vlan) {
            self.pvid = None;
        }
    }

    fn take(&mut self, setting: &Setting) {
        (self.up, self.mtu, self.pvid) = (setting.up, setting.mtu, None);
        self.vlans.clear();
        for (vlan, membership) in &setting.vlans {
            self.join(*vlan, *membership);
        }
    }
}

/// The VLANs in which a port forwards from then on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forwards {
    /// The port.
    pub port: String,
    /// None while it is down, and while the switch does not run; without filtering all that any port is in, for then it is one wire.
    pub vlans: BTreeSet<u16>,
    /// The same whether it has a link or not: what it would forward if the machine at its other end were on. `None` while the switch does not
    /// run.
    pub carries: Option<BTreeSet<u16>>,
    /// Another hand made it so.
    pub by_hand: bool,
    /// When.
    pub at: Instant,
}

/// Who is told at once what a port forwards. It is called in the middle of the change, and must not ask the switch anything.
pub type Observer = Arc<dyn Fn(Forwards) + Send + Sync>;

/// A change that comes later, perhaps after whoever asked for it has gone.
struct Later {
    due: Instant,
    life: u64,
    call: Call,
    answer: Arc<Mutex<Option<Result<(), Error>>>>,
}

struct State {
    ports: BTreeMap<String, Port>,
    /// Port-channels and their members.
    channels: BTreeMap<String, BTreeSet<String>>,
    /// The ports' own addresses.
    own: BTreeMap<Address, String>,
    /// What a start puts up.
    startup: Configuration,
    learnt: BTreeMap<(u16, Address), (String, Instant)>,
    /// Counts the starts; a conversation belongs to one.
    life: u64,
    /// Runs from then on.
    runs_from: Instant,
    filters: bool,
    weather: Weather,
    orders: VecDeque<Trouble>,
    later: Vec<Later>,
    listeners: Vec<notes::Listener>,
    /// When a port was last touched by other hands, or by a call that fared ill.
    disturbed: BTreeMap<String, Instant>,
    /// When a call that never ended, or ended ill, was last made: until then nobody could mend anything.
    troubled: Instant,
    calls: u64,
    observer: Option<Observer>,
    /// Ports that may forward otherwise than the observer was told, and whether by another hand.
    moved: BTreeMap<String, bool>,
    shown: BTreeMap<String, (BTreeSet<u16>, Option<BTreeSet<u16>>)>,
    /// It starts, and its ports will forward when it runs.
    starting: bool,
    /// Other hands wrote what a start puts up.
    startup_by_hand: bool,
}

/// The switch in one call: whoever observes it hears at the end what the call changed.
struct Held<'a>(MutexGuard<'a, State>);

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.0.moved.is_empty() {
            self.0.tell(now());
        }
    }
}

/// One switch. Clones are the same.
#[derive(Clone)]
pub struct Bridge {
    state: Arc<Mutex<State>>,
    dice: Dice,
}

impl Bridge {
    /// A running switch with this start-up configuration; its ports have cables. Chance comes from these dice.
    pub fn start(startup: Configuration, dice: Dice) -> Bridge {
        let state = State {
            ports: BTreeMap::new(),
            channels: BTreeMap::new(),
            own: BTreeMap::new(),
            startup,
            learnt: BTreeMap::new(),
            life: 0,
            runs_from: now(),
            filters: true,
            weather: Weather::default(),
            orders: VecDeque::new(),
            later: Vec::new(),
            listeners: Vec::new(),
            disturbed: BTreeMap::new(),
            troubled: now(),
            calls: 0,
            observer: None,
            moved: BTreeMap::new(),
            shown: BTreeMap::new(),
            starting: false,
            startup_by_hand: false,
        };
        let bridge = Bridge { state: Arc::new(Mutex::new(state)), dice };
        bridge.lock().begin();
        bridge
    }

    fn lock(&self) -> Held<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.catch_up(&self.dice);
        Held(state)
    }

    /// This one is told what every port forwards, now and at each change.
    pub fn observe(&self, observer: Observer) {
        let mut state = self.lock();
        state.observer = Some(observer);
        state.shown.clear();
        state.all_moved(false);
    }

    /// How calls and notes fare from now on.
    pub fn weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// What befalls the next calls, one each, whatever the weather.
    pub fn order(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.lock().orders.extend(troubles);
    }

    /// The names of its ports.
    pub fn ports(&self) -> Vec<String> {
        self.lock().ports.keys().cloned().collect()
    }

    /// How many calls its administration was asked.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// What the port is configured as now; `None` for a port that is not there. For stories, never for judging.
    pub fn running(&self, port: &str) -> Option<Setting> {
        let state = self.lock();
        let port = state.ports.get(port)?;
        Some(Setting { up: port.up, mtu: port.mtu, vlans: port.memberships() })
    }

    /// When other hands, a start or a call that fared ill last stood between the port and what it was last told.
    pub fn disturbed(&self, port: &str) -> Instant {
        let state = self.lock();
        let last = state.disturbed.get(port).copied().unwrap_or(state.runs_from);
        last.max(state.troubled).max(state.runs_from)
    }

    /// A colleague sets a port, past every agent.
    pub fn set_by_hand(&self, port: &str, setting: &Setting) {
        let mut state = self.lock();
        if let Some(found) = state.ports.get_mut(port) {
            found.take(setting);
            state.changed_by_hand(port, &self.dice);
        }
    }

    /// A colleague adds a VLAN to a port.
    pub fn add_by_hand(&self, port: &str, vlan: u16, membership: Membership) {
        let mut state = self.lock();
        if let Some(found) = state.ports.get_mut(port).filter(|port| port.attached) {
            found.join(vlan, membership);
            state.changed_by_hand(port, &self.dice);
        }
    }

    /// A colleague pushes a whole configuration: a port that it does not name is reset. Whether it is kept for the next start as well.
    pub fn push_by_hand(&self, configuration: &Configuration, saved: bool) {
        let mut state = self.lock();
        let names: Vec<String> = state.ports.keys().cloned().collect();
        for name in &names {
            if let Some(port) = state.ports.get_mut(name) {
                port.take(&configuration.get(name).cloned().unwrap_or_default());
            }
            state.changed_by_hand(name, &self.dice);
        }
        if saved {
            state.startup_by_hand = true;
            let known = |name: &String| (name.clone(), configuration.get(name).cloned().unwrap_or_default());
            state.startup = names.iter().map(known).collect();
        }
    }

    /// A colleague takes a port out of the bridge, or puts it back, without VLANs.
    pub fn attach_by_hand(&self, port: &str, attached: bool) {
        let mut state = self.lock();
        if let Some(found) = state.ports.get_mut(port) {
            found.attached = attached;
            found.vlans.clear();
            found.pvid = None;
            state.changed_by_hand(port, &self.dice);
        }
    }

    /// A colleague turns VLAN filtering off, or on again: without it the bridge is one wire.
    pub fn filter_by_hand(&self, filters: bool) {
        let mut state = self.lock();
        state.filters = filters;
        state.learnt.clear();
        let names: Vec<String> = state.ports.keys().cloned().collect();
        names.iter().for_each(|name| state.changed_by_hand(name, &self.dice));
    }

    /// A cable is pulled or plugged. A port-channel has none of its own.
    pub fn plug(&self, port: &str, plugged: bool) {
        let mut state = self.lock();
        if state.channels.contains_key(port) {
            return;
        }
        if let Some(found) = state.ports.get_mut(port) {
            found.cable = plugged;
            state.settle(port, &self.dice);
        }
    }

    /// Power off and on: nothing is forwarded for this long, then by the start-up configuration. Conversations and listeners are cut.
    pub fn reboot(&self, down: Duration) {
        let mut state = self.lock();
        state.runs_from = now() + down;
        state.begin();
    }

    /// True while it runs.
    pub fn runs(&self) -> bool {
        self.lock().running()
    }
}

impl State {
    fn running(&self) -> bool {
        now() >= self.runs_from
    }

    /// A start: numbers are given anew, cables stay.
    fn begin(&mut self) {
        self.life += 1;
        self.starting = !self.running();
        let before = std::mem::take(&mut self.ports);
        self.own.clear();
        let shift = u32::try_from(self.life % 7).unwrap_or(0);
        for ((name, setting), index) in self.startup.iter().zip(FIRST_INDEX + shift..) {
            let [_, _, high, low] = index.to_be_bytes();
            let mut port = Port {
                index,
                address: [0x02, 0xb0, 0, 0, high, low],
                attached: true,
                up: false,
                cable: before.get(name).is_none_or(|port| port.cable),
                mtu: MTU.1,
                pvid: None,
                vlans: BTreeMap::new(),
                frames_in: 0,
                frames_out: 0,
            };
            port.take(setting);
            self.own.insert(port.address, name.clone());
            self.ports.insert(name.clone(), port);
        }
        self.bundle_all();
        self.filters = true;
        self.learnt.clear();
        self.later.clear();
        self.listeners.drain(..).for_each(|listener| listener.close());
        self.all_moved(self.startup_by_hand);
    }

    fn all_moved(&mut self, by_hand: bool) {
        let names: Vec<String> = self.ports.keys().cloned().collect();
        names.into_iter().for_each(|name| self.moved(name, by_hand));
    }

    fn moved(&mut self, name: String, by_hand: bool) {
        if self.observer.is_some() {
            *self.moved.entry(name).or_default() |= by_hand;
        }
    }

    fn vlans(&self, name: &str) -> BTreeSet<u16> {
        let Some(port) = self.ports.get(name).filter(|port| self.running() && port.forwards()) else { return BTreeSet::new() };
        if self.filters {
            return port.vlans.keys().copied().collect();
        }
        self.ports.values().filter(|port| port.attached).flat_map(|port| port.vlans.keys().copied()).collect()
    }

    fn carries(&self, name: &str) -> Option<BTreeSet<u16>> {
        let port = self.ports.get(name).filter(|_| self.running())?;
        let kept = if port.attached && port.up { port.vlans.keys().copied().collect() } else { BTreeSet::new() };
        Some(kept)
    }

    /// Tells the observer what has changed.
    fn tell(&mut self, at: Instant) {
        if self.moved.is_empty() {
            return;
        }
        if !self.filters {
            self.all_moved(true);
        }
        let Some(observer) = self.observer.clone() else { return self.moved.clear() };
        for (port, by_hand) in std::mem::take(&mut self.moved) {
            let (vlans, carries) = (self.vlans(&port), self.carries(&port));
            if self.shown.get(&port).is_none_or(|(shown, carried)| (shown, carried) != (&vlans, &carries)) {
                self.shown.insert(port.clone(), (vlans.clone(), carries.clone()));
                observer(Forwards { port, vlans, carries, by_hand, at });
            }
        }
    }

    /// Does what was due meanwhile, in its order.
    fn catch_up(&mut self, dice: &Dice) {
        if !self.starting && self.later.is_empty() {
            return;
        }
        let at = now();
        if self.starting && self.running() {
            self.starting = false;
            self.all_moved(self.startup_by_hand);
            self.tell(self.runs_from);
        }
        while let Some(place) = (0..self.later.len())
            .filter(|place| self.later.get(*place).is_some_and(|later| later.due <= at))
            .min_by_key(|place| self.later.get(*place).map(|later| later.due))
        {
            let later = self.later.remove(place);
            let done = if later.life == self.life { self.perform(&later.call, usize::MAX, dice) } else { Err(Error::Gone) };
            *later.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            self.tell(later.due);
        }
    }

    fn changed_by_hand(&mut self, port: &str, dice: &Dice) {
        self.disturbed.insert(port.to_owned(), now());
        self.moved(port.to_owned(), true);
        self.settle(port, dice);
    }

    /// After a change: addresses learnt where they cannot be any more are forgotten, and whoever listens is told.
    fn settle(&mut self, name: &str, dice: &Dice) {
        self.settle_channel(name, dice);
        self.moved(name.to_owned(), false);
        if let Some(port) = self.ports.get(name) {
            let filters = self.filters;
            let stays = |vlan: &u16| port.forwards() && (!filters || port.vlans.contains_key(vlan));
            self.learnt.retain(|(vlan, _), (at, _)| at != name || stays(vlan));
        }
        let weather = &self.weather;
        self.listeners.retain(|listener| {
            if !dice.in_a_million(weather.notes_lost) {
                listener.tell(name, now() + dice.duration(Duration::ZERO, weather.notes_late_most));
            }
            listener.listens()
        });
    }

    fn by_index(&self, index: u32) -> Result<String, Error> {
        let found = self.ports.iter().find(|(_, port)| port.index == index);
        found.map(|(name, _)| name.clone()).ok_or(Error::NoDevice)
    }
}

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod tests;
