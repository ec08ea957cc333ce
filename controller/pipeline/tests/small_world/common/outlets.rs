//! Power distribution units of the small world: relays, meters, and cords that may lead elsewhere than the documents say. A machine whose
//! cords are all dead loses its power and its BMC. Never reads what the core believes.

use super::{Box_, World, id};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::outlet::{OnReturn, OutletReading, Relay};
use vocabulary::power::PowerState;
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::*;

/// How long a BMC takes until it answers again once it has mains.
const BMC_BOOTS_MS: u64 = 4_000;

/// All outlets of the world.
#[derive(Default)]
pub struct Outlets {
    /// Relays that are off.
    pub off: BTreeSet<OutletId>,
    /// What each does when its unit returns; those that are not here turn on.
    pub stays_off: BTreeSet<OutletId>,
    /// Where the cords of each machine really end.
    pub cords: BTreeMap<MachineId, Vec<OutletId>>,
    /// Outlets that say yes and do nothing.
    pub stuck: BTreeSet<OutletId>,
    /// Outlets whose meter always reads zero.
    pub blind: BTreeSet<OutletId>,
    /// What the BMCs count.
    pub supplies: BTreeMap<MachineId, u32>,
    /// How often each was switched.
    pub switched: BTreeMap<OutletId, u32>,
}

impl World {
    /// The machine's power supplies hang at these outlets, as its document says and in truth.
    pub fn plug(&mut self, machine: &str, outlets: &[&str]) {
        let outlets: Vec<OutletId> = outlets.iter().map(|outlet| id(outlet)).collect();
        for outlet in &outlets {
            let agent = "127.0.0.1:7443".parse().unwrap();
            let pdu = estate::Pdu { site: id("lab"), driver: "snmp".into(), agent };
            self.estate.pdus.insert(outlet.pdu.clone(), pdu);
        }
        let machine: MachineId = id(machine);
        self.estate.machines.get_mut(&machine).unwrap().outlets = outlets.clone();
        self.outlets.cords.insert(machine, outlets);
    }

    /// True while the machine has mains.
    fn has_mains(&self, machine: &MachineId) -> bool {
        let cords = self.outlets.cords.get(machine);
        cords.is_none_or(|cords| cords.iter().any(|outlet| !self.outlets.off.contains(outlet)))
    }

    /// Switches a relay, whoever does it.
    pub fn switch_outlet(&mut self, outlet: &OutletId, on: bool) {
        let machines: Vec<MachineId> = self.machines.keys().cloned().collect();
        let before: Vec<bool> = machines.iter().map(|machine| self.has_mains(machine)).collect();
        if on {
            self.outlets.off.remove(outlet)
        } else {
            self.outlets.off.insert(outlet.clone())
        };
        for (machine, before) in machines.iter().zip(before) {
            match (before, self.has_mains(machine)) {
                (true, false) => self.power_off(machine),
                (false, true) => self.machines.get_mut(machine).unwrap().bmc_back_at = self.now + BMC_BOOTS_MS,
                _ => {}
            }
        }
    }

    /// True if the machine's BMC answers, as far as its mains go.
    pub(super) fn bmc_has_power(&self, machine: &MachineId) -> bool {
        self.has_mains(machine) && self.machines[machine].bmc_back_at <= self.now
    }

    fn read_outlet(&self, outlet: &OutletId) -> Answer {
        let on = !self.outlets.off.contains(outlet);
        let at = |cords: &Vec<OutletId>| cords.contains(outlet);
        let draws = |box_: &Box_| if box_.power == PowerState::On { 240 } else { 12 };
        let bearer = self.outlets.cords.iter().find(|(_, cords)| at(cords)).map(|(machine, _)| &self.machines[machine]);
        let watts = bearer.filter(|_| on && !self.outlets.blind.contains(outlet)).map_or(0, draws);
        let on_return = if self.outlets.stays_off.contains(outlet) { OnReturn::StaysOff } else { OnReturn::TurnsOn };
        let relay = if on { Relay::On } else { Relay::Off };
        let (outlet, read_at) = (outlet.clone(), WallTime(self.now));
        Answer::Outlet(OutletReading { outlet, relay, watts: Some(watts), on_return, read_at })
    }

    pub(super) fn act_on_outlet(&mut self, action: &Action) -> Result<Answer, AgentError> {
        let (outlet, on) = match action {
            Action::ReadOutlet { outlet } => return Ok(self.read_outlet(outlet)),
            Action::CountSupplies { machine } if !self.machine_answers(machine) => {
                return Err(AgentError::Unreachable { reason: "the BMC does not answer".into() });
            }
            Action::CountSupplies { machine } => {
                return Ok(Answer::Supplies { count: self.outlets.supplies.get(machine).copied() });
            }
            Action::CutOutlet { outlet } => (outlet, false),
            Action::FeedOutlet { outlet } => (outlet, true),
            _ => return World::refused("not an outlet's action"),
        };
        let resource = Resource::Outlet(outlet.clone());
        if on && self.barred.contains(&resource) {
            return World::refused("barred");
        }
        if !on {
            self.barred.insert(resource);
        }
        *self.outlets.switched.entry(outlet.clone()).or_default() += 1;
        if !self.outlets.stuck.contains(outlet) {
            if on {
                self.outlets.stays_off.remove(outlet)
            } else {
                self.outlets.stays_off.insert(outlet.clone())
            };
            self.switch_outlet(outlet, on);
        }
        match self.read_outlet(outlet) {
            // the gate believes no driver
            Answer::Outlet(reading) if !on && !reading.is_cut() => {
                Err(AgentError::Unconfirmed { reason: reading.not_cut().unwrap_or_default() })
            }
            answer => Ok(answer),
        }
    }
}

impl Box_ {
    /// Off, and well.
    pub(super) fn off() -> Box_ {
        Box_ {
            power: PowerState::Off,
            frozen: false,
            crashed: false,
            runs: None,
            ready_at: 0,
            resets: 0,
            session: 1,
            bmc_dead: false,
            bmc_back_at: 0,
            lies_off: false,
            chatty: false,
            sideband: false,
            frames: (0, 0),
            stuck: false,
            hangs: false,
            wrong_serial: false,
            boot_progress: None,
            operations: 0,
        }
    }
}
