//! What is true in the small world, from facts alone: who answers, and who is effective (section 1 of the design). Never looks at what
//! the core believes.

use super::{World, estate, id};
use std::collections::BTreeSet;
use vocabulary::check::CheckOutcome;
use vocabulary::power::PowerState;
use vocabulary::storage::InitiatorName;
use vocabulary::{Epoch, MachineId, ServerId};

impl World {
    /// Runs until the server is served by that machine, or fails.
    pub fn run_until_served(&mut self, server: &str, machine: &str, at_most_ms: u64) {
        let (server, machine): (ServerId, MachineId) = (id(server), id(machine));
        let end = self.now + at_most_ms;
        while self.now < end {
            self.run(100);
            let placed = self.state().ledger.placement(&server).is_some_and(|p| p.machine == machine);
            if placed && self.state().ledger.open_plan_of(&server).is_none() && self.look(&server) == CheckOutcome::Healthy {
                return;
            }
        }
        panic!("{server} is not served by {machine}:\n{}", self.story());
    }

    /// What a health check sees: some machine that runs the server, is not frozen, is ready and has the production VLAN; if its service has
    /// ended there, that refuses.
    pub fn look(&self, server: &ServerId) -> CheckOutcome {
        let lives = self.machines.iter().filter(|(machine, box_)| {
            box_.power == PowerState::On
                && !box_.frozen
                && box_.ready_at <= self.now
                && box_.runs.as_ref() == Some(server)
                && self.has_network(machine)
        });
        let crashed: Vec<bool> = lives.map(|(_, box_)| box_.crashed).collect();
        match crashed.iter().all(|crashed| *crashed) {
            false => CheckOutcome::Healthy,
            true if self.dumps.contains(server) => CheckOutcome::Dumping("its kernel has crashed".into()),
            true if crashed.is_empty() => CheckOutcome::Silent("no answer".into()),
            true => CheckOutcome::Wrong("connection refused".into()),
        }
    }

    fn has_network(&self, machine: &MachineId) -> bool {
        self.ports[&self.names.production[machine]] == estate::vlan(20)
    }

    /// Section 1 of the design, from facts alone.
    pub fn effective(&self, server: &ServerId) -> BTreeSet<MachineId> {
        self.machines
            .iter()
            .filter(|(machine, box_)| {
                let permit = self.permits.get(machine).filter(|(of, _)| of == server);
                let boots = permit.is_some() && self.ports[&self.names.provisioning[machine]] == estate::vlan(10);
                let runs = box_.power == PowerState::On && box_.runs.as_ref() == Some(server);
                let writes = || permit.is_some_and(|(_, epoch)| self.writes(server, *epoch));
                boots || runs && (self.has_network(machine) || writes())
            })
            .map(|(machine, _)| machine.clone())
            .collect()
    }

    /// A machine writes with the session it opened: its epoch's initiator, still in session.
    fn writes(&self, server: &ServerId, epoch: Epoch) -> bool {
        let initiator = InitiatorName::of_placement(server, epoch);
        self.names.volumes[server].iter().any(|volume| self.volumes[volume].1.contains(&initiator))
    }

    /// Fails the test if a server is effective twice.
    pub(super) fn judge(&mut self) {
        for server in self.names.servers.clone() {
            let effective = self.effective(&server);
            self.most_effective = self.most_effective.max(effective.len());
            assert!(effective.len() <= 1, "at {} ms {server} is effective on {effective:?}", self.now);
        }
    }
}
