//! Frames in the small world: who lives sends some as time passes, a switch counts them and learns who sent them.

use super::{Box_, World};
use std::collections::BTreeSet;
use vocabulary::network::PortReading;
use vocabulary::power::PowerState;
use vocabulary::request::{AgentError, Answer};
use vocabulary::{Mac, PortId, WallTime};

impl World {
    /// It is later now: who lives has sent frames meanwhile.
    pub(super) fn pass(&mut self, to: u64) {
        let ms = to.saturating_sub(self.now);
        for box_ in self.machines.values_mut() {
            box_.frames.0 += if box_.talks() { ms } else { 0 };
            box_.frames.1 += if box_.sideband { ms } else { 0 };
        }
        self.now += ms;
    }

    /// What a switch says of a port now.
    pub(super) fn read_port(&self, port: &PortId) -> Result<Answer, AgentError> {
        let (machine, own) = &self.names.nics[port];
        let (box_, own) = (&self.machines[machine], *own);
        let mut learnt = BTreeSet::from_iter(box_.talks().then_some(own));
        let mut frames_in = box_.frames.0;
        if box_.sideband && *port == self.names.provisioning[machine] {
            learnt.insert(Mac([0x52, 0x54, 0, 0xbb, own.0[4], 0]));
            frames_in += box_.frames.1;
        }
        Ok(Answer::Port(PortReading {
            port: port.clone(),
            setting: self.ports[port].clone(),
            leaks: false,
            admin_up: true,
            link_up: true,
            learnt,
            frames_in,
            saved: !self.unsaved,
            read_at: WallTime(self.now),
        }))
    }
}

impl Box_ {
    /// True while it sends frames.
    pub fn talks(&self) -> bool {
        self.power == PowerState::On && (!self.frozen || self.chatty)
    }
}
