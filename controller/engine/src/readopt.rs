//! What the ledger knows of one agent's resources: seeds the memory of an agent that lost it. Bars first: what is not certain is barred.

use pipeline::State;
use pipeline::ledger::Standing;
use vocabulary::request::{GateEntry, Holder, Resource};
use vocabulary::{AgentId, Epoch, MachineId, PlanId};

/// The estate's counter, and an entry for each resource of the agent.
pub fn entries(state: &State, agent: &AgentId) -> (Epoch, Vec<GateEntry>) {
    let mut entries = Vec::new();
    for (id, machine) in &state.estate.machines {
        let (holder, barred) = bearing(state, id);
        let mut add = |resource: Resource| {
            entries.push(GateEntry { resource, epoch: state.ledger.epoch, plan: None, holder: holder.clone(), barred });
        };
        for port in machine.ports().into_iter().filter(|port| port.switch.as_str() == agent.as_str()) {
            add(Resource::Port(port));
        }
        if state.estate.boot_services_of(id).into_iter().any(|service| service.as_str() == agent.as_str()) {
            add(Resource::Permit(id.clone()));
        }
    }
    for (volume, (server, machine, epoch)) in &state.ledger.volumes {
        if volume.storage.as_str() == agent.as_str() {
            let holder = Some(Holder { server: server.clone(), machine: machine.clone(), plan: PlanId(*epoch) });
            let resource = Resource::Volume(volume.clone());
            entries.push(GateEntry { resource, epoch: state.ledger.epoch, plan: None, holder, barred: None });
        }
    }
    (state.ledger.epoch, entries)
}

fn bearing(state: &State, machine: &MachineId) -> (Option<Holder>, Option<Epoch>) {
    match state.ledger.standing(machine) {
        Standing::Bearing(server) => {
            let epoch = state.ledger.placement(&server).map(|placement| placement.epoch);
            (epoch.map(|epoch| Holder { server, machine: machine.clone(), plan: PlanId(epoch) }), None)
        }
        Standing::Quarantined { plan, .. } => (None, Some(plan.0)),
        Standing::Free | Standing::Reserved(_) => (None, None),
    }
}
