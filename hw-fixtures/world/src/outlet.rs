//! A power distribution unit: numbered outlets, each a relay in the cord of one power supply, with a meter; an administration that can
//! say no, say yes and do nothing, switch another outlet, tell its wish for its relay, and be late. Whether a load has power is the relays'
//! business alone, and they are all open while the unit itself has none. It must never tell a load of anything but its cords, nor undo a
//! switching because nobody waits for the answer.

mod feed;
pub mod mib;
#[cfg(test)]
mod mib_tests;
mod quirks;
#[cfg(test)]
mod tests;

pub use quirks::{NoQuirk, Quirk, Quirks};

use crate::clock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What hangs at outlets by the cords of its power supplies. It is told at once, in the middle of the switching, and must not ask the unit
/// anything.
pub trait Load: Send + Sync {
    /// The cord of this power supply is live from now on, or dead.
    fn fed(&self, supply: usize, live: bool);
    /// What this power supply takes from its cord now, watts; it takes nothing from a dead one.
    fn watts(&self, supply: usize) -> u32;
}

/// The mains of one load: what the site brings to the breaker before it, and the cords behind that. The load has power while the breaker
/// is closed and at least one cord is live.
#[derive(Clone, Debug)]
pub struct Mains {
    closed: bool,
    live: Vec<bool>,
}

impl Mains {
    /// With so many cords, all live.
    pub fn new(supplies: usize) -> Mains {
        Mains { closed: true, live: vec![true; supplies] }
    }

    /// True while the load has power.
    pub fn are_there(&self) -> bool {
        self.closed && self.live.contains(&true)
    }

    /// How many cords bring power.
    pub fn bearing(&self) -> usize {
        if self.closed { self.live.iter().filter(|live| **live).count() } else { 0 }
    }

    /// True if this power supply's cord brings power.
    pub fn bears(&self, supply: usize) -> bool {
        self.closed && self.live.get(supply).is_some_and(|live| *live)
    }

    /// The breaker opens or closes; false if it was so already.
    pub fn breaker(&mut self, closed: bool) -> bool {
        std::mem::replace(&mut self.closed, closed) != closed
    }

    /// A cord is live from now on, or dead.
    pub fn cord(&mut self, supply: usize, live: bool) {
        if let Some(cord) = self.live.get_mut(supply) {
            *cord = live;
        }
    }
}

/// What an outlet's reading says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// It is on.
    pub on: bool,
    /// What goes through it, watts.
    pub watts: u32,
    /// A switching was accepted and is still to come.
    pub switching: bool,
    /// What it does when the unit gets its own power back.
    pub on_return: OnReturn,
}

/// What an outlet does when its unit gets power back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnReturn {
    /// It stays off until it is told.
    StaysOff,
    /// It goes on.
    GoesOn,
    /// It is as it was.
    AsBefore,
}

/// Why the administration said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The unit has no outlet of this number.
    NoOutlet,
    /// It does not do that now.
    Refused,
    /// It has no power itself: nobody answers.
    Dark,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NoOutlet => "there is no such outlet",
            Error::Refused => "the unit refused",
            Error::Dark => "the unit has no power",
        })
    }
}

/// The plug in an outlet.
#[derive(Clone)]
struct Plug {
    load: Arc<dyn Load>,
    supply: usize,
}

struct Outlet {
    /// How it is.
    relay: bool,
    /// How it was when the unit last lost its power.
    before: bool,
    /// How it was last told to be, with a yes.
    wish: bool,
    /// From a yes until the relay moves.
    takes: Duration,
    /// The switching that is still to come, by its number: a later one stands in its place.
    coming: Option<u64>,
    /// How often a finger was at it: what was asked before that comes to nothing.
    fingers: u64,
    /// What it does when the unit gets power back.
    on_return: OnReturn,
    /// What it was last told to do then, with a yes.
    return_wish: OnReturn,
    /// When its relay last moved, and what went through it before, watts: a meter that lags still shows that.
    meter: Option<(Instant, u32)>,
    quirks: Quirks,
    plug: Option<Plug>,
}

struct State {
    outlets: BTreeMap<u16, Outlet>,
    /// Counts switchings that were accepted.
    accepted: u64,
    calls: u64,
    /// The unit itself has power.
    fed: bool,
    /// How often it lost that: what was asked before comes to nothing, and nobody is answered.
    losses: u64,
    /// Since when it runs.
    since: Instant,
}

/// A call as it came in.
#[derive(Clone, Copy)]
struct Call {
    late: Duration,
    fingers: u64,
    losses: u64,
}

/// One unit. Clones are the same.
#[derive(Clone)]
pub struct Unit {
    name: Arc<str>,
    serial: Arc<str>,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unit({})", self.name)
    }
}

impl Unit {
    /// With these outlets: all are on, go on when the unit gets power back, switch at once, and have nothing plugged in. Its serial number is
    /// its name.
    pub fn new(name: &str, outlets: impl IntoIterator<Item = u16>) -> Unit {
        let outlet = |number| {
            let quirks = Quirks::default();
            let outlet = Outlet {
                relay: true,
                before: true,
                wish: true,
                takes: Duration::ZERO,
                coming: None,
                fingers: 0,
                on_return: OnReturn::GoesOn,
                return_wish: OnReturn::GoesOn,
                meter: None,
                quirks,
                plug: None,
            };
            (number, outlet)
        };
        let outlets = outlets.into_iter().map(outlet).collect();
        let state = State { outlets, accepted: 0, calls: 0, fed: true, losses: 0, since: clock::now() };
        Unit { name: name.into(), serial: name.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// The same with another serial number.
    pub fn with_serial(self, serial: &str) -> Unit {
        Unit { serial: serial.into(), ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // every change is complete before the lock is given back
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its serial number.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The numbers of its outlets, in their order.
    pub fn outlets(&self) -> Vec<u16> {
        self.state().outlets.keys().copied().collect()
    }

    /// Plugs the cord of this power supply in; what was there before is dead. False if there is no such outlet.
    pub fn plug(&self, number: u16, load: Arc<dyn Load>, supply: usize) -> bool {
        let (before, live) = {
            let mut state = self.state();
            let Some(outlet) = state.outlets.get_mut(&number) else { return false };
            (outlet.plug.replace(Plug { load: load.clone(), supply }), outlet.relay)
        };
        if let Some(before) = before {
            before.load.fed(before.supply, false);
        }
        load.fed(supply, live);
        true
    }

    /// From now on a switching of this outlet takes so long, counted from its yes.
    pub fn takes(&self, number: u16, span: Duration) -> bool {
        self.state().outlets.get_mut(&number).map(|outlet| outlet.takes = span).is_some()
    }

    /// From now on this outlet has this quirk beside those that it has.
    pub fn has(&self, number: u16, quirk: Quirk) -> bool {
        self.state().outlets.get_mut(&number).map(|outlet| outlet.quirks.add(quirk)).is_some()
    }

    /// From now on this outlet has no quirks, and switches at once. What was accepted is still to come.
    pub fn well(&self, number: u16) -> bool {
        let mut state = self.state();
        let outlet = state.outlets.get_mut(&number);
        outlet.map(|outlet| (outlet.quirks, outlet.takes) = (Quirks::default(), Duration::ZERO)).is_some()
    }

    /// How the relay is, past every quirk; `None` if there is no such outlet. It is open while the unit has no power. For stories and judges,
    /// never for a driver.
    pub fn relay(&self, number: u16) -> Option<bool> {
        self.state().outlets.get(&number).map(|outlet| outlet.relay)
    }

    /// What an outlet does when the unit gets power back, past every quirk; `None` if there is no such outlet.
    pub fn on_return(&self, number: u16) -> Option<OnReturn> {
        self.state().outlets.get(&number).map(|outlet| outlet.on_return)
    }

    /// How many calls its administration was asked.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many switchings its administration accepted, whatever became of them.
    pub fn switchings(&self) -> u64 {
        self.state().accepted
    }

    /// A finger on the outlet's own button: the relay moves at once, and what was asked before and is still to come does not. The
    /// administration goes on wishing what it was told. False if there is no such outlet, or no power to move a relay with.
    pub fn by_hand(&self, number: u16, on: bool) -> bool {
        {
            let mut state = self.state();
            if !state.fed {
                return false;
            }
            let Some(outlet) = state.outlets.get_mut(&number) else { return false };
            outlet.coming = None;
            outlet.fingers += 1;
        }
        self.move_relay(number, on);
        true
    }

    // -- the administration --

    /// What the administration says of an outlet.
    pub async fn read(&self, number: u16) -> Result<Reading, Error> {
        let call = self.called(number)?;
        tokio::time::sleep(call.late).await;
        let (reading, plug, past, quirks) = {
            let state = self.state();
            let outlet = state.at(number, call)?;
            let quirks = outlet.quirks;
            let (on, on_return) =
                if quirks.reads_wish { (outlet.wish, outlet.return_wish) } else { (outlet.relay, outlet.on_return) };
            let reading = Reading { on, watts: 0, switching: outlet.coming.is_some(), on_return };
            let past = outlet.meter.filter(|(moved, _)| clock::since(*moved) < quirks.meter_lags).map(|(_, watts)| watts);
            (reading, outlet.plug.clone().filter(|_| outlet.relay), past, quirks)
        };
        // the meter sits behind the relay, whatever is said of that
        let watts = past.unwrap_or_else(|| plug.map_or(0, |plug| plug.load.watts(plug.supply)));
        Ok(Reading { watts: if quirks.reads_zero { 0 } else { watts }, ..reading })
    }

    /// Tells the administration to switch an outlet. A yes says that it was accepted, not that it is done.
    pub async fn switch(&self, number: u16, on: bool) -> Result<(), Error> {
        self.in_time(number, move |unit, call| unit.accept(number, on, call)).await
    }

    /// Tells the administration what an outlet is to do when the unit gets power back.
    pub async fn set_on_return(&self, number: u16, on_return: OnReturn) -> Result<(), Error> {
        self.in_time(number, move |unit, call| unit.accept_return(number, on_return, call)).await
    }

    /// Takes a call up, late where it is late: then it is done whether or not somebody still waits.
    async fn in_time(
        &self,
        number: u16,
        accept: impl FnOnce(&Unit, Call) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let call = self.called(number)?;
        if call.late.is_zero() {
            return accept(self, call);
        }
        let unit = self.clone();
        let accepted = tokio::spawn(async move {
            tokio::time::sleep(call.late).await;
            accept(&unit, call)
        });
        accepted.await.unwrap_or(Err(Error::Refused))
    }

    /// A call came; how late it is taken up, and how often a finger was there before it.
    fn called(&self, number: u16) -> Result<Call, Error> {
        let mut state = self.state();
        if !state.fed {
            return Err(Error::Dark);
        }
        state.calls += 1;
        let losses = state.losses;
        let call = |outlet: &Outlet| Call { late: outlet.quirks.late, fingers: outlet.fingers, losses };
        state.outlets.get(&number).map(call).ok_or(Error::NoOutlet)
    }

    fn accept(&self, number: u16, on: bool, call: Call) -> Result<(), Error> {
        let (moved, coming, takes) = {
            let mut state = self.state();
            let outlet = state.at_mut(number, call)?;
            let Quirks { refuses, ignores, another, .. } = outlet.quirks;
            if refuses || outlet.fingers != call.fingers {
                return Err(Error::Refused);
            }
            outlet.wish = on;
            state.accepted += 1;
            let coming = state.accepted;
            if ignores {
                return Ok(());
            }
            let moved = if another { state.after(number) } else { number };
            let Some(outlet) = state.outlets.get_mut(&moved) else { return Ok(()) };
            outlet.coming = Some(coming);
            (moved, coming, outlet.takes)
        };
        if takes.is_zero() {
            self.arrive(moved, coming, on);
        } else {
            let unit = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(takes).await;
                unit.arrive(moved, coming, on);
            });
        }
        Ok(())
    }

    fn accept_return(&self, number: u16, on_return: OnReturn, call: Call) -> Result<(), Error> {
        let mut state = self.state();
        let outlet = state.at_mut(number, call)?;
        let Quirks { refuses, ignores, another, .. } = outlet.quirks;
        if refuses {
            return Err(Error::Refused);
        }
        outlet.return_wish = on_return;
        if ignores {
            return Ok(());
        }
        let meant = if another { state.after(number) } else { number };
        if let Some(outlet) = state.outlets.get_mut(&meant) {
            outlet.on_return = on_return;
        }
        Ok(())
    }

    /// A switching that was accepted is due, unless something else stands in its place by now.
    fn arrive(&self, number: u16, coming: u64, on: bool) {
        let due = {
            let mut state = self.state();
            state.outlets.get_mut(&number).is_some_and(|outlet| outlet.coming.take_if(|due| *due == coming).is_some())
        };
        if due {
            self.move_relay(number, on);
        }
    }

    fn move_relay(&self, number: u16, on: bool) {
        let plugged = self.state().outlets.get(&number).and_then(|outlet| outlet.plug.clone().filter(|_| outlet.relay));
        // asked before the relay moves, and not under the lock: what hangs there has locks of its own
        let before = plugged.map_or(0, |plug| plug.load.watts(plug.supply));
        let plug = {
            let mut state = self.state();
            let Some(outlet) = state.outlets.get_mut(&number) else { return };
            let moved = std::mem::replace(&mut outlet.relay, on) != on;
            if moved {
                outlet.meter = Some((clock::now(), before));
            }
            outlet.plug.clone().filter(|_| moved)
        };
        if let Some(Plug { load, supply }) = plug {
            load.fed(supply, on);
        }
    }
}

impl State {
    /// The outlet of a call, unless the unit has lost its power since that came.
    fn at(&self, number: u16, call: Call) -> Result<&Outlet, Error> {
        self.hears(call)?;
        self.outlets.get(&number).ok_or(Error::NoOutlet)
    }

    fn at_mut(&mut self, number: u16, call: Call) -> Result<&mut Outlet, Error> {
        self.hears(call)?;
        self.outlets.get_mut(&number).ok_or(Error::NoOutlet)
    }

    fn hears(&self, call: Call) -> Result<(), Error> {
        if self.fed && self.losses == call.losses { Ok(()) } else { Err(Error::Dark) }
    }

    /// The outlet that is meant by whoever counts one too far.
    fn after(&self, number: u16) -> u16 {
        let next = self.outlets.keys().find(|other| **other > number);
        next.or_else(|| self.outlets.keys().next()).copied().unwrap_or(number)
    }
}
