//! The laws as functions over the state: run in tests and in the simulator after every step. Each names what it found.

use crate::ledger::Standing;
use crate::record::Fact;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{MachineId, ServerId};

/// Every breach of a law in this state; empty if all hold.
pub fn breaches(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    one_server_a_machine(state, &mut found);
    one_open_plan(state, &mut found);
    volumes_follow_owner(state, &mut found);
    quarantine_is_sticky(state, &mut found);
    found
}

/// I9: a machine bears one server at most, and a server is on one machine.
fn one_server_a_machine(state: &State, found: &mut Vec<String>) {
    let mut bears: BTreeMap<&MachineId, &ServerId> = BTreeMap::new();
    for (server, row) in &state.ledger.servers {
        let Some(placement) = &row.placement else { continue };
        if let Some(other) = bears.insert(&placement.machine, server) {
            found.push(format!("{} bears {other} and {server}", placement.machine));
        }
        if state.ledger.standing(&placement.machine) != Standing::Bearing(server.clone()) {
            found.push(format!("{} is placed on {}, whose row says otherwise", server, placement.machine));
        }
    }
}

/// One open plan per server and per machine.
fn one_open_plan(state: &State, found: &mut Vec<String>) {
    let open = state.ledger.plans.values().filter(|row| row.is_open());
    if !open.map(|row| row.plan.id()).eq(state.ledger.open_plans().map(|row| row.plan.id())) {
        found.push("the open plans are not those that are not closed".to_owned());
    }
    let mut machines = BTreeSet::new();
    let mut servers = BTreeSet::new();
    for row in state.ledger.open_plans() {
        for machine in row.machines() {
            if !machines.insert(machine.clone()) {
                found.push(format!("two open plans work on {machine}"));
            }
        }
        if let Some(server) = row.plan.server()
            && !servers.insert(server.clone())
        {
            found.push(format!("two open plans for {server}"));
        }
    }
}

/// A volume's owner is its server's placement.
fn volumes_follow_owner(state: &State, found: &mut Vec<String>) {
    for (volume, (server, machine, epoch)) in &state.ledger.volumes {
        let placed = state.ledger.placement(server);
        if placed.is_none_or(|placement| placement.machine != *machine || placement.epoch != *epoch) {
            found.push(format!("{volume} belongs to {server} on {machine} ({epoch}), which is not its placement"));
        }
    }
}

/// I8: a machine that held a server and was not released is that server's machine, or in quarantine.
fn quarantine_is_sticky(state: &State, found: &mut Vec<String>) {
    for (server, row) in &state.ledger.servers {
        let present = row.placement.as_ref().map(|placement| &placement.machine);
        // of one that nobody can place every machine that may bear it is remembered as one that did
        let unclear = |machine: &MachineId| state.ledger.unclear.get(server).is_some_and(|machines| machines.contains(machine));
        for machine in row.past.iter().filter(|machine| Some(*machine) != present && !unclear(machine)) {
            if !matches!(state.ledger.standing(machine), Standing::Quarantined { .. }) {
                found.push(format!("{machine} held {server}, was not released, and is not in quarantine"));
            }
        }
    }
}

/// I2 and I5 over a stream of facts: ownership only after a proof of the same plan, each outcome only after its intent.
pub fn stream_breaches<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<String> {
    let (mut proven, mut intended, mut found) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut owners: BTreeMap<ServerId, u64> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Proven { plan, .. } => {
                proven.insert(*plan);
            }
            Fact::Intent { op, .. } if !intended.insert(*op) => found.push(format!("op {op} was intended twice")),
            Fact::Owned(ownership) => {
                if !proven.contains(&ownership.plan) {
                    found.push(format!("plan {} took ownership without a proof", ownership.plan));
                }
                let before = owners.insert(ownership.server.clone(), ownership.epoch.0);
                if before.is_some_and(|before| before >= ownership.epoch.0) {
                    found.push(format!("the epoch of {} did not rise", ownership.server));
                }
            }
            _ => {}
        }
    }
    found
}
