//! What the core is shown of the small world, and when, as the shell shows it.

use super::{World, id};
use pipeline::effect::Agent;
use pipeline::event::{Observation, What};
use vocabulary::boot::{BootContact, BootStep};
use vocabulary::check::CheckOutcome;
use vocabulary::power::PowerState;
use vocabulary::request::Answer;
use vocabulary::{MachineId, Span, WallTime};

use super::Box_;

/// A machine that is off and was not is looked at so often for so long.
const CLOSE_GAP: Span = Span::seconds(1);
const CLOSELY_MS: u64 = 10_000;

impl World {
    /// Polls are as far apart, and windows as long, from now on.
    pub fn detect_with(&mut self, detection: vocabulary::estate::Detection) {
        self.estate.settings.detection = detection;
        self.tell(What::EstateLoaded(std::sync::Arc::new(self.estate.clone())));
    }

    /// A machine's firmware asks its boot service then.
    pub(super) fn asks(&mut self, machine: &MachineId, at: u64) {
        let contact = BootContact { sequence: at, machine: machine.clone(), step: BootStep::Dhcp, epoch: None, at: WallTime(at) };
        self.later(at, What::Observed(Observation::Contact { service: id("boot1"), contact }));
    }

    pub(super) fn observe(&mut self) {
        self.judge();
        let detection = &self.estate.settings.detection;
        let due = |every: Span| self.now.is_multiple_of(every.0.max(1));
        let closely = self.now < self.closely.0 && due(CLOSE_GAP);
        let (poll, check) = (due(detection.power_every) || closely, due(detection.check_every));
        let names: Vec<MachineId> = self.machines.keys().cloned().collect();
        for machine in &names {
            let box_ = self.machines.get_mut(machine).unwrap();
            if box_.power == PowerState::On
                && !(box_.frozen || box_.crashed || self.idle)
                && box_.runs.is_some()
                && box_.ready_at <= self.now
            {
                box_.operations += 1;
            }
        }
        self.tell(What::Observed(Observation::Canaries { alive: self.canaries }));
        for machine in names.into_iter().filter(|_| poll) {
            let reading = match self.read_machine(&machine) {
                Ok(Answer::Machine(reading)) => Ok(reading),
                Ok(_) => unreachable!(),
                Err(error) => Err(error),
            };
            if let Ok(reading) = &reading {
                let before = self.closely.1.insert(machine.clone(), reading.all_off());
                if before.is_some_and(|before| before != reading.all_off()) {
                    self.closely.0 = self.now + CLOSELY_MS;
                }
            }
            self.tell(What::Observed(Observation::Machine { machine, reading }));
        }
        for server in self.servers() {
            for vantage in ["controller", "sw1"].into_iter().filter(|_| check) {
                if self.gone.contains(&id(vantage)) {
                    continue;
                }
                let seen = self.seen.clone().unwrap_or_else(|| self.look(&server));
                let outcome = if matches!(self.plugin, CheckOutcome::Failed(_)) { seen.and(self.plugin.clone()) } else { seen };
                self.tell(What::Observed(Observation::Check { server: server.clone(), vantage: id(vantage), outcome }));
            }
            let counted = !self.dead_agents.contains(&Agent::Storage(id("store1")));
            for volume in self.names.volumes[&server].clone().into_iter().filter(|_| poll && counted) {
                if let Ok(Answer::Volume(mut reading)) = self.read_volume(&volume) {
                    let runs = |b: &&Box_| b.runs.as_ref() == Some(&server);
                    reading.operations = Some(self.machines.values().filter(runs).map(|b| b.operations).sum());
                    self.tell(What::Observed(Observation::Volume { volume, reading: Ok(reading) }));
                }
            }
        }
        self.tell(What::Tick);
    }
}
