//! What the bridge does with a frame: which VLAN it belongs to, what is learnt from it, which ports it leaves and with which tag.
//! Must never look at anything but forwarding state.

use super::pair::Across;
use super::{Address, Bridge, Port, State};
use crate::clock::now;
use std::time::{Duration, Instant};

/// How long an address is remembered that sent nothing more.
const AGEING: Duration = Duration::from_secs(300);
/// The VLAN under which a bridge learns that does not filter.
const UNAWARE: u16 = 0;

/// A frame as it leaves a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leaving {
    /// The port.
    pub port: String,
    /// Its tag.
    pub tag: Option<u16>,
    /// The VLAN to which the bridge counted it; 0 where it does not filter.
    pub vlan: u16,
}

impl Bridge {
    /// A frame comes in at a port.
    pub fn forward(&self, from: &str, tag: Option<u16>, source: Address, destination: Address) -> Vec<Leaving> {
        self.forward_across(from, tag, (source, destination), &Across::default())
    }

    /// The same of a frame that comes over the link from the other switch of a pair, with what that tells beside it.
    pub(super) fn forward_across(
        &self,
        from: &str,
        tag: Option<u16>,
        frame: (Address, Address),
        across: &Across,
    ) -> Vec<Leaving> {
        let mut state = self.lock();
        let at = now();
        if at < state.runs_from {
            return Vec::new();
        }
        let mut out = state.way(from, tag, (frame, across), at);
        if !state.channels.is_empty() {
            out.iter_mut().for_each(|leaving| leaving.port = state.exit(&leaving.port, frame));
        }
        for leaving in &out {
            if let Some(port) = state.ports.get_mut(&leaving.port) {
                port.frames_out += 1;
            }
        }
        out
    }

    /// How many frames came in at a port and left it since the start.
    pub fn frames(&self, port: &str) -> (u64, u64) {
        self.lock().ports.get(port).map_or((0, 0), |port| (port.frames_in, port.frames_out))
    }
}

fn is_group(address: Address) -> bool {
    let [first, ..] = address;
    first & 1 == 1
}

/// An address that was last heard then is known no more.
pub(super) fn is_old(seen: Instant, at: Instant) -> bool {
    at.saturating_duration_since(seen) >= AGEING
}

impl State {
    fn way(
        &mut self,
        from: &str,
        tag: Option<u16>,
        ((source, destination), across): ((Address, Address), &Across),
        at: Instant,
    ) -> Vec<Leaving> {
        let filters = self.filters;
        let Some(entrance) = self.ports.get_mut(from) else { return Vec::new() };
        if !entrance.up || !entrance.cable {
            return Vec::new();
        }
        entrance.frames_in += 1;
        let channel = self.channel_of(from).map(str::to_owned);
        let from = channel.as_deref().unwrap_or(from);
        let Some(entrance) = self.ports.get(from).filter(|port| port.up) else { return Vec::new() };
        // a tag of VLAN 0 carries a priority and no VLAN
        let tagged = tag.filter(|tag| *tag != 0);
        let vlan = match (filters, tagged) {
            (false, _) => Some(UNAWARE),
            (true, Some(tag)) => Some(tag).filter(|tag| entrance.vlans.contains_key(tag)),
            (true, None) => entrance.pvid.filter(|pvid| entrance.vlans.contains_key(pvid)),
        };
        let Some(vlan) = vlan.filter(|_| entrance.attached) else { return Vec::new() };
        let local = |state: &State, address| {
            let own = state.own.get(&address).and_then(|name| state.ports.get(name));
            own.is_some_and(|port| port.attached)
        };
        if !is_group(source) && source != Address::default() && !local(self, source) {
            // whoever came in by a leg of a channel over there is behind the leg here, as long as that carries
            let behind = across.channel.as_deref().filter(|channel| self.channels.contains_key(*channel));
            let leg = behind.filter(|channel| self.vlans(channel).contains(&vlan)).unwrap_or(from);
            self.learn((vlan, source), leg, at);
        }
        if !is_group(destination) && local(self, destination) {
            return Vec::new();
        }
        let tag_of = |untagged: Option<&bool>| match (filters, untagged) {
            (false, _) => tag,
            (true, Some(true)) => None,
            (true, _) => Some(vlan),
        };
        let leaves = |(name, port): (&String, &Port)| {
            let leaves =
                *name != from && !across.served.contains(name) && port.forwards() && (!filters || port.vlans.contains_key(&vlan));
            leaves.then(|| Leaving { port: name.clone(), tag: tag_of(port.vlans.get(&vlan)), vlan })
        };
        let known = self.learnt.get(&(vlan, destination)).filter(|(_, seen)| !is_old(*seen, at) && !is_group(destination));
        match known {
            Some((port, _)) => self.ports.get_key_value(port).and_then(leaves).into_iter().collect(),
            None => self.ports.iter().filter_map(leaves).collect(),
        }
    }

    fn learn(&mut self, what: (u16, Address), from: &str, at: Instant) {
        match self.learnt.get_mut(&what) {
            Some((port, seen)) => {
                *seen = at;
                if port != from {
                    from.clone_into(port);
                }
            }
            None => {
                self.learnt.retain(|_, (_, seen)| !is_old(*seen, at));
                self.learnt.insert(what, (from.to_owned(), at));
            }
        }
    }
}
