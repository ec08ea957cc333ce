//! The mains of a hall's machines: cords from the outlets of two power distribution units, and a breaker before each machine. Machine and BMC
//! lose their power together, when the last cord that brings any is dead. It must never start a machine: that is its BMC's business.

use crate::hall;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use world::bmc::Bmc;
use world::machine::Machine;
use world::outlet::{Load, Mains, Unit};

/// What a machine that is on takes from all its cords together, watts.
const RUNNING_W: u32 = 240;
/// The same of one that is off: its BMC runs.
const STANDBY_W: u32 = 12;

/// An outlet at which a machine hangs.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The unit.
    pub unit: Unit,
    /// The outlet's number there.
    pub number: u16,
}

struct Inner {
    machine: Machine,
    bmc: Arc<Bmc>,
    mains: Mutex<Mains>,
    /// Somebody brings the BMC to what the mains are by now.
    following: AtomicBool,
}

/// The power supplies of one machine. Clones are the same.
#[derive(Clone)]
pub struct Supplies(Arc<Inner>);

impl fmt::Debug for Supplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supplies({:?})", self.0.machine)
    }
}

/// The two units of a hall of so many machines: at the first hangs every machine with its first power supply, at the second every other
/// one with its second.
pub fn units(machines: u16) -> [Unit; 2] {
    hall::PDUS.map(|name| Unit::new(name, 1..=machines))
}

/// Plugs in the machine of this number, from 1. Where it hangs, in the order of its power supplies.
pub fn plugged(units: &[Unit; 2], number: u16, machine: &Machine, bmc: &Arc<Bmc>) -> (Supplies, Vec<Socket>) {
    let count = hall::supplies(number);
    let (machine, bmc) = (machine.clone(), bmc.clone());
    let supplies =
        Supplies(Arc::new(Inner { machine, bmc, mains: Mutex::new(Mains::new(count)), following: AtomicBool::new(false) }));
    let socket = |(supply, unit): (usize, &Unit)| {
        let plugged = unit.plug(number, Arc::new(supplies.clone()), supply);
        plugged.then(|| Socket { unit: unit.clone(), number })
    };
    let sockets = units.iter().take(count).enumerate().filter_map(socket).collect();
    (supplies, sockets)
}

impl Supplies {
    fn mains(&self) -> MutexGuard<'_, Mains> {
        // every change is complete before the lock is given back
        self.0.mains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while the machine has mains power.
    pub fn have_power(&self) -> bool {
        self.mains().are_there()
    }

    /// Changes something about the mains. The machine feels it at once; true if it does, and then its BMC has to be told.
    fn turn(&self, change: impl FnOnce(&mut Mains)) -> bool {
        let mut mains = self.mains();
        let before = mains.are_there();
        change(&mut mains);
        let after = mains.are_there();
        if before != after {
            self.0.machine.mains(after);
        }
        before != after
    }

    /// The breaker before the machine opens or closes. False if that changed nothing, or if what followed went wrong.
    pub async fn breaker(&self, closed: bool) -> bool {
        let mut changed = false;
        let felt = self.turn(|mains| changed = mains.breaker(closed));
        if felt { self.follow().await } else { changed }
    }

    /// Brings the BMC to what the mains are, one change after the other, and returns when it is there. Whoever comes while somebody is at it
    /// need not wait: that one sees the change too.
    async fn follow(&self) -> bool {
        if self.0.following.swap(true, Ordering::Relaxed) {
            return true;
        }
        let mut done = true;
        loop {
            let (there, known) = (self.have_power(), self.0.bmc.state().supply);
            done = match (there, known) {
                (true, false) => self.0.bmc.power_return().await.is_ok(),
                (false, true) => self.0.bmc.power_loss().await.is_ok(),
                (true, true) | (false, false) => break,
            };
        }
        self.0.following.store(false, Ordering::Relaxed);
        done
    }
}

impl Load for Supplies {
    fn fed(&self, supply: usize, live: bool) {
        if self.turn(|mains| mains.cord(supply, live)) {
            let supplies = self.clone();
            tokio::spawn(async move {
                // nobody asked for it
                let _ = supplies.follow().await;
            });
        }
    }

    fn watts(&self, supply: usize) -> u32 {
        let mains = self.mains();
        let all = if self.0.machine.is_on() { RUNNING_W } else { STANDBY_W };
        let bearing = u32::try_from(mains.bearing()).unwrap_or(u32::MAX);
        if mains.bears(supply) { all / bearing.max(1) } else { 0 }
    }
}
