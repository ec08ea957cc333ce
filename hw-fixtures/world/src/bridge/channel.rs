//! Port-channels of one switch: ports that are one port to the bridge. Frames come in and leave by the members; VLANs, learnt addresses and
//! the administration's up and down are the channel's. A member is a port of its own no more: it must never forward past its channel.

use super::{Address, Bridge, State};
use crate::dice::Dice;
use std::collections::BTreeSet;

impl Bridge {
    /// Makes ports the members of a port-channel that bears the name of a port without a cable of its own. This belongs to the switch's
    /// hardware here: every start finds it so. False if one of them is not there, or is in a channel already.
    pub fn bundle(&self, channel: &str, members: &[&str]) -> bool {
        let mut state = self.lock();
        let free =
            |name: &str| state.ports.contains_key(name) && state.channel_of(name).is_none() && !state.channels.contains_key(name);
        if !free(channel) || !members.iter().all(|member| *member != channel && free(member)) {
            return false;
        }
        state.channels.insert(channel.to_owned(), members.iter().map(|member| (*member).to_owned()).collect());
        state.bundle_all();
        state.settle(channel, &self.dice);
        members.iter().for_each(|member| state.settle(member, &self.dice));
        true
    }

    /// True while whoever is at the other end of the port's cable sees a link.
    pub fn shows_link(&self, port: &str) -> bool {
        let state = self.lock();
        state.running() && state.ports.get(port).is_some_and(|port| port.up && port.cable)
    }

    /// True if the port, or the channel that it is a member of, forwards in this VLAN now.
    pub fn forwards(&self, port: &str, vlan: u16) -> bool {
        let state = self.lock();
        let port = state.channel_of(port).unwrap_or(port);
        state.vlans(port).contains(&vlan)
    }

    /// The channel that a port is a member of, or the port itself.
    pub(super) fn logical(&self, port: &str) -> String {
        self.lock().channel_of(port).unwrap_or(port).to_owned()
    }

    /// The channels that forward in this VLAN.
    pub(super) fn channels_in(&self, vlan: u16) -> BTreeSet<String> {
        let state = self.lock();
        state.channels.keys().filter(|channel| state.vlans(channel).contains(&vlan)).cloned().collect()
    }
}

impl State {
    pub(super) fn channel_of(&self, member: &str) -> Option<&str> {
        self.channels.iter().find(|(_, members)| members.contains(member)).map(|(channel, _)| channel.as_str())
    }

    /// After a start: members are no ports of the bridge, and a channel has a carrier as long as one of its members has.
    pub(super) fn bundle_all(&mut self) {
        for member in self.channels.values().flatten() {
            if let Some(port) = self.ports.get_mut(member) {
                (port.attached, port.pvid) = (false, None);
                port.vlans.clear();
            }
        }
        let channels: Vec<String> = self.channels.keys().cloned().collect();
        for channel in &channels {
            // a start tells of every port
            let _ = self.recount(channel);
        }
    }

    /// After a change of a port: its channel may have another carrier.
    pub(super) fn settle_channel(&mut self, member: &str, dice: &Dice) {
        let Some(channel) = self.channel_of(member).map(str::to_owned) else { return };
        if self.recount(&channel) {
            self.settle(&channel, dice);
        }
    }

    fn recount(&mut self, channel: &str) -> bool {
        let carrier = self.carrying(channel).next().is_some();
        self.ports.get_mut(channel).is_some_and(|port| std::mem::replace(&mut port.cable, carrier) != carrier)
    }

    /// The members that carry frames.
    fn carrying(&self, channel: &str) -> impl Iterator<Item = &String> {
        let members = self.channels.get(channel).into_iter().flatten();
        members.filter(|member| self.ports.get(*member).is_some_and(|port| port.up && port.cable))
    }

    /// By which cable a frame leaves a port: of a channel, by the member that its addresses choose, always the same for a conversation.
    pub(super) fn exit(&self, port: &str, (source, destination): (Address, Address)) -> String {
        if !self.channels.contains_key(port) {
            return port.to_owned();
        }
        let carrying: Vec<&String> = self.carrying(port).collect();
        let [.., from] = source;
        let [.., to] = destination;
        let place = usize::from(from ^ to).checked_rem(carrying.len()).unwrap_or(0);
        carrying.get(place).map_or_else(|| port.to_owned(), |member| (*member).clone())
    }
}
