//! When an agent's gate knows more than this store: a higher epoch than was ever drawn here, another store, another plan of the same epoch,
//! a grant that was never made here, a command that was never numbered here. Then this store was rolled back or doubled, and the agent's devices are only observed. Never draws
//! an epoch to overtake a gate, and never lets time end it: another hello does, or an operator.

use crate::effect::Agent;
use crate::ledger::Ledger;
use crate::out::Out;
use crate::plan::Plan;
use crate::record::Fact;
use crate::state::{Life, State};
use std::collections::BTreeSet;
use vocabulary::request::{AgentError, AgentHello, GateEntry, Holder};
use vocabulary::{ControllerLife, Epoch, MachineId, PlanId, ServerId};

/// What a hello knows that this store never drew or never let happen, if anything. The first hello of this life was asked for before
/// anything was sent there, so that not even this life's own epochs explain what it keeps.
fn beyond(ledger: &Ledger, agent: &str, hello: &AgentHello, drawn: Epoch) -> Option<String> {
    let highest = hello.entries.iter().filter(|entry| entry.epoch > drawn).max_by_key(|entry| entry.epoch);
    let higher = highest.map(|entry| format!("{} is at {} there, and this store had drawn {drawn}", entry.resource, entry.epoch));
    let told = |entry| granted_elsewhere(ledger, agent, entry).or_else(|| done_elsewhere(ledger, agent, entry));
    higher.or_else(|| hello.entries.iter().find_map(told))
}

/// A command of one of our plans that this store never numbered. Nothing leaves before its number is durable, so somebody else has gone on with that
/// plan. What the agent kept when it was seeded was vouched for.
fn done_elsewhere(ledger: &Ledger, agent: &str, entry: &GateEntry) -> Option<String> {
    let seeded = ledger.seeded.get(agent).copied().unwrap_or_default();
    let (plan, done) = (PlanId(entry.epoch), entry.done?);
    let next = ledger.plans.get(&plan).filter(|_| entry.epoch > seeded)?.next_op;
    (done >= next).then(|| {
        format!(
            "{} has command {done} of plan {plan} there, and this store numbered none beyond {}",
            entry.resource,
            next.saturating_sub(1)
        )
    })
}

/// A grant of a plan that by this store never owned its target. Nothing is granted before that is durable, so the store has lost it since.
/// Not if the agent was seeded after that: a person has vouched for what it kept.
fn granted_elsewhere(ledger: &Ledger, agent: &str, entry: &GateEntry) -> Option<String> {
    let seeded = ledger.seeded.get(agent).copied().unwrap_or_default();
    let holder = entry.holder.as_ref().filter(|holder| holder.plan.0 > seeded)?;
    let owned = ledger.has_owned(holder.plan);
    let (resource, Holder { server, machine, plan }) = (&entry.resource, holder);
    (!owned).then(|| {
        format!(
            "{resource} is held there for {server} on {machine} by plan {plan}, which by this store never gave {machine} anything"
        )
    })
}

fn store_of(hello: &AgentHello) -> String {
    let estate = hello.estate.as_ref().map_or("no estate", |estate| estate.0.as_str());
    let lineage = hello.lineage.as_ref().map_or("no lineage", |lineage| lineage.0.as_str());
    format!("{estate}/{lineage}")
}

/// The process on a copy of this store that an agent obeys in our place. It would obey this one if this store knew that one. Whom an agent of
/// another store obeys says nothing of copies of this one.
fn rival<'a>(state: &State, hello: &'a AgentHello) -> Option<&'a ControllerLife> {
    let Life { controller, lineage, .. } = state.life.as_ref()?;
    let of_ours = hello.lineage.as_ref() == Some(lineage);
    hello.obeys.as_ref().filter(|obeyed| of_ours && *obeyed != controller)
}

fn obeys(rival: &ControllerLife) -> String {
    format!("it obeys another process of a controller ({rival}), which this store does not know: it was copied or rolled back")
}

/// Whom an agent obeys that is not this process, in a sentence.
fn another(state: &State, hello: &AgentHello) -> Option<String> {
    if let Some(rival) = rival(state, hello) {
        return Some(obeys(rival));
    }
    let (own, lineage) = (&state.life.as_ref()?.lineage, hello.lineage.as_ref()?);
    (own != lineage).then(|| format!("it obeys another store (lineage {lineage}), and the lineage of this one is {own}"))
}

/// Keeps the name of the process that an agent obeys, where it is one on this store: one that this store forgot would be obeyed for ever.
pub(crate) fn note(state: &mut State, out: &mut Out, agent: &str, hello: &AgentHello) {
    let of_ours = state.life.as_ref().is_some_and(|life| hello.lineage.as_ref() == Some(&life.lineage));
    let Some(controller) = hello.obeys.clone().filter(|obeyed| of_ours && state.ledger.controllers.contains(obeyed)) else {
        return;
    };
    if state.ledger.obeyed.get(agent) != Some(&controller) {
        out.record(&mut state.ledger, Fact::Obeyed { agent: agent.to_owned(), controller });
    }
}

/// An agent that knows more than this store is overruling it, until it says something else or is seeded.
pub(crate) fn measure(state: &mut State, out: &mut Out, agent: &str, hello: &AgentHello) {
    let rival = rival(state, hello).cloned();
    let store = store_of(hello) + &rival.as_ref().map_or_else(String::new, |rival| format!("/{rival}"));
    let first = state.watch.stores.insert(agent.to_owned(), store.clone()).is_none();
    // one that was seeded in this life keeps the counter it was seeded with, which is this life's own
    let seeded = state.watch.readopted.contains_key(agent);
    let drawn = if first && !seeded { state.watch.drawn_before } else { state.ledger.epoch };
    let row = state.ledger.overruled.get(agent);
    let drawn = row.map_or(drawn, |row| row.drawn);
    let by_store = another(state, hello).map(|evidence| (Some(store.clone()), evidence));
    let found = by_store.or_else(|| beyond(&state.ledger, agent, hello, drawn).map(|evidence| (None, evidence)));
    let agent = agent.to_owned();
    let fact = match (row, found) {
        // what it waits to be seeded for stays the reason, whoever is obeyed meanwhile
        (Some(row), _) if row.until_seeded && row.rival != rival => {
            Fact::Overruled { agent, drawn, store: row.store.clone(), rival, evidence: row.evidence.clone() }
        }
        (Some(row), _) if row.until_seeded => return,
        (Some(row), None) if row.store.as_ref() != Some(&store) => Fact::OverruledNoMore { agent },
        (Some(row), Some((store, evidence))) if row.rival != rival => Fact::Overruled { agent, drawn, store, rival, evidence },
        (None, Some((store, evidence))) => Fact::Overruled { agent, drawn, store, rival, evidence },
        (Some(_), _) | (None, None) => return,
    };
    out.record(&mut state.ledger, fact);
}

/// An agent's gate said no to a plan of ours for good. If what it knows is not ours, it overrules this store from here on. True if it is
/// ours: a later plan has raised the epoch, or the memory was seeded.
pub(crate) fn overruled_by(state: &mut State, out: &mut Out, agent: &Agent, plan: &Plan, error: &AgentError) -> bool {
    let (drawn, store, evidence) = match error {
        AgentError::LowerEpoch { highest, .. } if *highest <= state.ledger.epoch => return true,
        AgentError::LowerEpoch { reason, .. } => (state.ledger.epoch, None, reason),
        other => {
            let AgentError::Foreign { reason } = other else { return false };
            let before = Epoch(plan.epoch().0.saturating_sub(1));
            (before, state.watch.stores.get(&agent.to_string()).cloned(), reason)
        }
    };
    let agent = agent.to_string();
    if !state.ledger.overruled.contains_key(&agent) {
        out.record(&mut state.ledger, Fact::Overruled { agent, drawn, store, rival: None, evidence: evidence.clone() });
    }
    false
}

/// The agent that overrules this store among those of these machines and of this server's volumes, and what it said.
pub fn overruler<'a>(
    state: &State,
    machines: impl IntoIterator<Item = &'a MachineId>,
    server: Option<&ServerId>,
) -> Option<(String, String)> {
    if state.ledger.overruled.is_empty() {
        return None;
    }
    let mut agents = BTreeSet::new();
    for machine in machines {
        agents.insert(Agent::of_bmc(&state.estate, machine).to_string());
        agents.extend(state.estate.boot_services_of(machine).into_iter().map(ToString::to_string));
        let ports = state.estate.machines.get(machine).map(|document| document.ports()).unwrap_or_default();
        agents.extend(ports.into_iter().map(|port| port.switch.to_string()));
    }
    let volumes = server.and_then(|id| state.estate.servers.get(id)).map(|profile| &profile.volumes);
    agents.extend(volumes.into_iter().flatten().map(|volume| volume.storage.to_string()));
    let owned = state.ledger.volumes.iter().filter(|(_, (owner, ..))| Some(owner) == server);
    agents.extend(owned.map(|(volume, _)| volume.storage.to_string()));
    agents.into_iter().find_map(|agent| {
        let evidence = state.ledger.overruled.get(&agent)?.evidence.clone();
        Some((agent, evidence))
    })
}

/// An agent of the estate that obeys a process on a copy of this store, and what it said. What that process does where nobody is heard is not known
/// here: it may start any server.
pub(crate) fn rivalled(state: &State) -> Option<(String, String)> {
    let rivals = state.ledger.overruled.iter().filter_map(|(agent, row)| Some((agent, row.rival.as_ref()?)));
    // one that the documents do not name any more is never heard again
    let (agent, rival) =
        rivals.into_iter().find(|(agent, _)| Agent::all(&state.estate).any(|known| known.to_string() == **agent))?;
    Some((agent.clone(), obeys(rival)))
}

/// The agent because of which no plan is sealed for these, and what it said: one of theirs overrules this store, or any one obeys a process on a copy.
pub fn forbids<'a>(
    state: &State,
    machines: impl IntoIterator<Item = &'a MachineId>,
    server: Option<&ServerId>,
) -> Option<(String, String)> {
    overruler(state, machines, server).or_else(|| rivalled(state))
}
