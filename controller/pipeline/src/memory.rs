//! What an agent must remember. A gate whose file was restored from an older copy looks sound to its agent; here its hello is compared
//! with what it has confirmed to us. An agent with an older memory only observes and takes away, and nothing it says counts, until an
//! operator seeds it anew. Never clears that by itself: our own next epoch would make the gap invisible.

use crate::effect::Agent;
use crate::out::Out;
use crate::overrule;
use crate::record::Fact;
use crate::reseed;
use crate::state::State;
use crate::watch::{Gate, Kept, Life, Rise, Watch};
use std::collections::BTreeMap;
use vocabulary::estate::Estate;
use vocabulary::request::{AgentHello, GateEntry, Holder, Resource};
use vocabulary::{Epoch, Instant, OpId, PlanId, ServerId, Span};

/// How many forgotten resources an alarm names.
const NAMED: usize = 3;
/// A confirmation is newer than a hello for at most this long: no hello is under way for longer. Documented in docs/limits.md.
pub const HELLO_UNDER_WAY: Span = Span::seconds(60);

/// True if the estate as it is now gives the resource to the agent. What it no longer gives is not asked for and cannot be seeded.
fn belongs(estate: &Estate, agent: &str, resource: &Resource) -> bool {
    match resource {
        Resource::Machine(machine) => {
            estate.machines.contains_key(machine) && agent == Agent::of_bmc(estate, machine).to_string()
        }
        Resource::Port(port) => {
            port.switch.as_str() == agent && estate.machines.values().any(|machine| machine.ports().contains(port))
        }
        Resource::Volume(volume) => {
            let storage = estate.storages.get(&volume.storage).filter(|_| volume.storage.as_str() == agent);
            storage.is_some_and(|storage| storage.volumes.contains_key(&volume.volume))
        }
        Resource::Outlet(outlet) => {
            outlet.pdu.as_str() == agent && estate.machines.values().any(|machine| machine.outlets.contains(outlet))
        }
        Resource::Permit(machine) => estate.boot_services_of(machine).iter().any(|service| service.as_str() == agent),
    }
}

/// What an agent's gate must know: the newest commands and epochs that it has confirmed, for what the estate gives it.
pub fn known(state: &State, agent: &str) -> BTreeMap<Resource, OpId> {
    let of_agent =
        state.ledger.confirmed.iter().filter(|((of, resource), _)| of == agent && belongs(&state.estate, agent, resource));
    of_agent.map(|((_, resource), op)| (resource.clone(), *op)).collect()
}

/// What a hello that was asked for at `asked` has forgotten, in sentences; empty if nothing. What its life has confirmed since it was asked
/// for may be missing: the two may have crossed. What an earlier life has confirmed may not.
fn forgotten(state: &State, agent: &str, asked: Instant, life: Life, hello: &AgentHello) -> Vec<String> {
    if life == Life::Former {
        return Vec::new();
    }
    let says: BTreeMap<&Resource, &GateEntry> = hello.entries.iter().map(|entry| (&entry.resource, entry)).collect();
    let mut found = Vec::new();
    for (resource, confirmed) in known(state, agent) {
        let rises = state.watch.rises.get(&(agent.to_owned(), resource.clone())).filter(|_| life == Life::Present);
        let since = rises.into_iter().flatten().find(|rise| rise.at >= asked);
        let must = since.map_or(confirmed, |rise| rise.before);
        match says.get(&resource) {
            _ if must.epoch == Epoch::default() => {}
            // an agent of before it told that is held to its epochs alone
            Some(GateEntry { epoch, done, .. }) if OpId { epoch: *epoch, number: done.unwrap_or(u64::MAX) } >= must => {}
            Some(GateEntry { epoch, .. }) if *epoch == must.epoch => {
                found.push(format!("{resource} is at {epoch} there without command {}, which was confirmed", must.number));
            }
            Some(GateEntry { epoch, .. }) => {
                found.push(format!("{resource} is at {epoch} there, and was confirmed at {}", must.epoch));
            }
            None => found.push(format!("{resource} is missing there, and was confirmed at {}", must.epoch)),
        }
    }
    found
}

/// Folds a hello in. One that has forgotten something is recorded once, and stands until the agent is seeded anew.
pub fn hello(state: &mut State, out: &mut Out, agent: &str, asked: Instant, hello: &AgentHello) {
    let life = state.watch.hears(agent, &hello.boot, asked, out.now);
    remember(state, agent, asked, life, hello);
    if state.ledger.restored.is_some() {
        // who knows better than a backup is no rival: it is asked what happened since
        return;
    }
    // what was asked for before it was seeded says nothing of what it knows since
    let seeded = seeded_since(state, agent, asked);
    overrule::note(state, out, agent, hello);
    if !seeded {
        overrule::measure(state, out, agent, hello);
    }
    // an agent that knows that it lost its memory says so itself, durably, until it is seeded
    if seeded || !hello.trusted || state.ledger.older.contains_key(agent) {
        return;
    }
    let mut evidence = forgotten(state, agent, asked, life, hello);
    if evidence.is_empty() {
        return;
    }
    let more = evidence.len().saturating_sub(NAMED);
    evidence.truncate(NAMED);
    if more > 0 {
        evidence.push(format!("and {more} more"));
    }
    out.record(&mut state.ledger, Fact::OlderMemory { agent: agent.to_owned(), evidence });
}

fn seeded_since(state: &State, agent: &str, asked: Instant) -> bool {
    state.watch.readopted.get(agent).is_some_and(|at| *at >= asked)
}

/// Keeps what an agent said while there is something to adopt. What was asked for earlier, and comes later, is older.
fn remember(state: &mut State, agent: &str, asked: Instant, life: Life, hello: &AgentHello) {
    if !state.ledger.has_to_adopt() {
        return state.watch.gates.clear();
    }
    let late = state.watch.gates.get(agent).is_some_and(|gate| gate.asked > asked);
    if !late && !seeded_since(state, agent, asked) {
        let forgotten = forgotten(state, agent, asked, life, hello);
        state.watch.gates.insert(agent.to_owned(), Gate { asked, hello: hello.clone(), forgotten });
    }
}

/// An operator had the agent seeded: from here on it is believed again.
pub fn readopted(state: &mut State, out: &mut Out, agent: String, principal: String) {
    state.watch.readopted.insert(agent.clone(), out.now);
    state.watch.gates.remove(&agent);
    out.record(&mut state.ledger, Fact::Readopted { agent, principal });
}

/// What the ledger knows of one agent's resources, to seed its memory with: the estate's counter, and an entry for each resource. Bars
/// first: what is not certain is barred.
pub fn seed(state: &State, agent: &str) -> (Epoch, Vec<GateEntry>) {
    let (counter, known) = (state.ledger.epoch, known(state, agent));
    // the counter's epoch is one plan's alone, there as well
    let plan = Some(PlanId(counter));
    // what the newest plan has done there already stands in the entry: it is not to be found missing
    let done = |resource: &Resource| Some(known.get(resource).filter(|op| op.epoch == counter).map_or(0, |op| op.number));
    let mut entries = Vec::new();
    let mut add = |resource: Resource, holder: Option<Holder>, barred: Option<Epoch>| {
        if belongs(&state.estate, agent, &resource) {
            let done = done(&resource);
            entries.push(GateEntry { resource, epoch: counter, plan, holder, barred, done });
        }
    };
    for (id, machine) in &state.estate.machines {
        let (holder, barred) = reseed::bearing(&state.ledger, id);
        // nobody holds a machine's power; a fenced one stays barred
        add(Resource::Machine(id.clone()), None, barred);
        for port in machine.ports() {
            add(Resource::Port(port), holder.clone(), barred);
        }
        add(Resource::Permit(id.clone()), holder, barred);
        let cut = state.ledger.machines.get(id).and_then(|row| row.outlets_cut).map(|plan| plan.0);
        for outlet in &machine.outlets {
            add(Resource::Outlet(outlet.clone()), None, cut);
        }
    }
    // of what nobody can place the agent knows more
    let clear = |server: &ServerId| !state.ledger.unclear.contains_key(server);
    for (volume, (server, machine, epoch)) in state.ledger.volumes.iter().filter(|(_, (server, ..))| clear(server)) {
        let holder = Holder { server: server.clone(), machine: machine.clone(), plan: PlanId(*epoch) };
        add(Resource::Volume(volume.clone()), Some(holder), None);
    }
    // whatever else it has confirmed, so that it is not found older again for want of it
    for resource in known.keys() {
        if entries.iter().all(|entry| entry.resource != *resource) {
            let (resource, done) = (resource.clone(), done(resource));
            entries.push(GateEntry { resource, epoch: counter, plan, holder: None, barred: None, done });
        }
    }
    (counter, entries)
}

/// Remembers when something was confirmed, so that a hello asked for before it is not held to it.
pub(crate) fn note(watch: &mut Watch, now: Instant, before: Vec<(Kept, OpId)>) {
    for (kept, before) in before {
        let rises = watch.rises.entry(kept).or_default();
        rises.retain(|rise| now.since(rise.at) < HELLO_UNDER_WAY);
        rises.push(Rise { before, at: now });
    }
}
