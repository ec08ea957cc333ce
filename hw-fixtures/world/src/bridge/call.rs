//! The bridge's administration: conversations, their calls, and what befalls calls. A call is done whole before the next one, but a call
//! that nobody waits for any more may still be done. Must never answer for a switch that started anew meanwhile.

use super::forward::is_old;
use super::{Address, BRIDGE, Bridge, Error, FIRST_INDEX, Later, MTU, Membership, State, Trouble};
use crate::clock::now;
use crate::dice::Dice;
use crate::limits::{CALL_GIVEN_UP, VLAN_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its number, until the switch starts anew.
    pub index: u32,
    /// The number of the bridge that it is a port of.
    pub controller: Option<u32>,
    /// For a bridge: whether it filters VLANs.
    pub filters: Option<bool>,
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// Largest frame payload.
    pub mtu: u32,
    /// Frames received.
    pub frames_in: u64,
}

/// What changes something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Sets VLANs, from the first to the last of each run.
    Join(u32, Vec<(u16, u16, Membership)>),
    /// Deletes VLANs.
    Leave(u32, Vec<(u16, u16)>),
    /// Up or down.
    Put(u32, bool),
    /// The MTU.
    Mtu(u32, u32),
    /// Forgets what was learnt on a port.
    Flush(u32),
}

impl Call {
    fn index(&self) -> u32 {
        match self {
            Call::Join(index, _) | Call::Leave(index, _) | Call::Put(index, _) | Call::Mtu(index, _) | Call::Flush(index) => {
                *index
            }
        }
    }
}

fn possible(first: u16, last: u16, pvid: bool) -> Result<(), Error> {
    // there is one VLAN of frames without a tag, so no range of them
    let fits = first >= 1 && first <= last && last <= VLAN_MAX && (!pvid || first == last);
    if fits { Ok(()) } else { Err(Error::Invalid) }
}

impl State {
    /// Does it, or as many of its parts as are allowed and then says that it could not.
    pub(super) fn perform(&mut self, call: &Call, parts: usize, dice: &Dice) -> Result<(), Error> {
        let name = self.by_index(call.index())?;
        let done = self.change(&name, call, parts);
        self.settle(&name, dice);
        done
    }

    fn change(&mut self, name: &str, call: &Call, parts: usize) -> Result<(), Error> {
        let Some(port) = self.ports.get_mut(name) else { return Err(Error::NoDevice) };
        let enough = |place: usize| if place < parts { Ok(()) } else { Err(Error::NoMemory) };
        match call {
            Call::Join(..) | Call::Leave(..) if !port.attached => return Err(Error::Invalid),
            Call::Join(_, runs) => {
                for (place, (first, last, membership)) in runs.iter().enumerate() {
                    enough(place)?;
                    possible(*first, *last, membership.pvid)?;
                    (*first..=*last).for_each(|vlan| port.join(vlan, *membership));
                }
            }
            Call::Leave(_, runs) => {
                for (place, (first, last)) in runs.iter().enumerate() {
                    enough(place)?;
                    possible(*first, *last, false)?;
                    (*first..=*last).for_each(|vlan| port.leave(vlan));
                }
            }
            Call::Put(_, up) => {
                enough(0)?;
                port.up = *up;
            }
            Call::Mtu(_, mtu) => {
                enough(0)?;
                if !(MTU.2..=MTU.0).contains(mtu) {
                    return Err(Error::Invalid);
                }
                port.mtu = *mtu;
            }
            Call::Flush(_) => {
                enough(0)?;
                self.learnt.retain(|_, (at, _)| at != name);
            }
        }
        Ok(())
    }

    fn trouble(&mut self, dice: &Dice) -> Option<Trouble> {
        self.calls += 1;
        if let Some(ordered) = self.orders.pop_front() {
            return Some(ordered);
        }
        if dice.in_a_million(self.weather.fails) {
            return Some(Trouble::Fails(usize::try_from(dice.between(0, 2)).unwrap_or(0)));
        }
        if dice.in_a_million(self.weather.hangs) {
            return Some(Trouble::Hangs(dice.in_a_million(500_000)));
        }
        let late = dice.in_a_million(self.weather.late);
        late.then(|| Trouble::Late(dice.duration(Duration::from_millis(1), self.weather.late_most)))
    }
}

/// One conversation with the switch's kernel; it is cut when the switch starts anew.
pub struct Conversation {
    bridge: Bridge,
    life: u64,
}

impl Bridge {
    /// Begins a conversation.
    pub fn converse(&self) -> Result<Conversation, Error> {
        let state = self.lock();
        if !state.running() {
            return Err(Error::Gone);
        }
        Ok(Conversation { bridge: self.clone(), life: state.life })
    }
}

impl Conversation {
    /// A look at the switch, as soon as the weather lets it.
    async fn look<T>(&self, look: impl FnOnce(&State) -> Result<T, Error> + Send) -> Result<T, Error> {
        let trouble = {
            let mut state = self.bridge.lock();
            let trouble = state.trouble(&self.bridge.dice);
            self.mark(&mut state, trouble);
            trouble
        };
        match trouble {
            Some(Trouble::Fails(_)) => return Err(Error::NoMemory),
            Some(Trouble::Hangs(_)) => std::future::pending().await,
            Some(Trouble::Late(by)) => tokio::time::sleep(by).await,
            None => {}
        }
        let state = self.bridge.lock();
        if state.life != self.life || !state.running() {
            return Err(Error::Gone);
        }
        look(&state)
    }

    /// Until when this trouble keeps the switch from being mended.
    fn mark(&self, state: &mut State, trouble: Option<Trouble>) {
        let until = match trouble {
            None => return,
            Some(Trouble::Fails(_)) => now(),
            Some(Trouble::Hangs(_)) => now() + CALL_GIVEN_UP,
            Some(Trouble::Late(by)) => now() + by,
        };
        state.troubled = state.troubled.max(until);
    }

    /// A change.
    pub async fn change(&self, call: Call) -> Result<(), Error> {
        let (wait, answer) = {
            let mut state = self.bridge.lock();
            if state.life != self.life || !state.running() {
                return Err(Error::Gone);
            }
            let trouble = state.trouble(&self.bridge.dice);
            self.mark(&mut state, trouble);
            match trouble {
                None => return state.perform(&call, usize::MAX, &self.bridge.dice),
                Some(Trouble::Fails(parts)) => {
                    return state.perform(&call, parts, &self.bridge.dice).and(Err(Error::NoMemory));
                }
                Some(Trouble::Hangs(done)) => {
                    if done {
                        // nobody will ever hear how that ended
                        let _ = state.perform(&call, usize::MAX, &self.bridge.dice);
                    }
                    (None, Arc::default())
                }
                Some(Trouble::Late(by)) => {
                    let (due, answer) = (now() + by, Arc::<Mutex<Option<Result<(), Error>>>>::default());
                    state.later.push(Later { due, life: self.life, call, answer: answer.clone() });
                    (Some(due), answer)
                }
            }
        };
        let Some(due) = wait else { return std::future::pending().await };
        tokio::time::sleep_until(due.into()).await;
        drop(self.bridge.lock());
        let answered = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answered.unwrap_or(Err(Error::Gone))
    }

    /// An interface by its name.
    pub async fn interface(&self, name: &str) -> Result<Interface, Error> {
        self.look(|state| {
            let controller = FIRST_INDEX - 1;
            if name == BRIDGE {
                let (filters, mtu) = (Some(state.filters), MTU.1);
                return Ok(Interface {
                    index: controller,
                    controller: None,
                    filters,
                    up: true,
                    carrier: true,
                    mtu,
                    frames_in: 0,
                });
            }
            let port = state.ports.get(name).ok_or(Error::NoDevice)?;
            Ok(Interface {
                index: port.index,
                controller: port.attached.then_some(controller),
                filters: None,
                up: port.up,
                carrier: port.up && port.cable,
                mtu: port.mtu,
                frames_in: port.frames_in,
            })
        })
        .await
    }

    /// What a port is a member of.
    pub async fn vlans(&self, index: u32) -> Result<BTreeMap<u16, Membership>, Error> {
        self.look(|state| {
            let port = state.ports.values().find(|port| port.index == index && port.attached);
            port.map(super::Port::memberships).ok_or(Error::NoDevice)
        })
        .await
    }

    /// The addresses learnt on a port.
    pub async fn learnt(&self, index: u32) -> Result<BTreeSet<Address>, Error> {
        self.look(|state| {
            let name = state.by_index(index)?;
            Ok(state
                .learnt
                .iter()
                .filter(|(_, (at, seen))| *at == name && !is_old(*seen, now()))
                .map(|((_, address), _)| *address)
                .collect())
        })
        .await
    }
}
