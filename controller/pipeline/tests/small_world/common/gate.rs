//! The gates of the small world's agents, by the rules of the real one: foreign store, lower epoch, equal epoch of another plan, the same
//! command again, trust, bars; what a restart, a lost or an older memory and a restored store change. It never looks at what the core
//! believes, but to say which agent has forgotten something.

use super::World;
use pipeline::Record;
use pipeline::adoption::Adoption;
use pipeline::effect::{Agent, Command};
use pipeline::event::{Intent, Observation, What};
use pipeline::record::Fact;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Holder, Resource};
use vocabulary::*;

/// How long a restarted agent's devices may still be at work on what its last life asked for.
const SETTLE: u64 = 2_000;

/// The agents outside `serve`.
const OUTSIDE: [&str; 3] = ["sw1", "store1", "boot1"];

/// What an agent's gate keeps on its disk.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub epochs: BTreeMap<Resource, Epoch>,
    pub done: BTreeMap<Resource, u64>,
    pub barred: BTreeSet<Resource>,
    pub holders: BTreeMap<VolumeId, PlanId>,
    pub holds: BTreeMap<Resource, Holder>,
}

/// What the gates go by besides epochs, bars and holders.
#[derive(Default)]
pub struct Gates {
    /// The plan of each resource's epoch.
    pub owners: BTreeMap<(String, Resource), PlanId>,
    /// The newest command that was confirmed at each resource's epoch.
    pub done: BTreeMap<(String, Resource), u64>,
    /// Who holds what, as told in a hello.
    pub holds: BTreeMap<Resource, Holder>,
    /// The epoch at which a bar was set.
    pub bars: BTreeMap<Resource, Epoch>,
    /// The lineage of the store that an agent obeys; ours is 0.
    pub lineages: BTreeMap<String, u64>,
    /// The process that an agent obeys, where it is not ours.
    pub obeys: BTreeMap<String, ControllerLife>,
    /// Agents whose memory is empty or lost.
    pub untrusted: BTreeSet<String>,
    /// Agents that cannot write their gate file.
    pub full: BTreeSet<String>,
    /// No resource takes an epoch below.
    pub floors: BTreeMap<String, Epoch>,
    /// Until when a restarted agent's resources are busy.
    pub busy_until: BTreeMap<String, u64>,
    /// Commands that ended, and how.
    ended: BTreeMap<(String, OpId), (String, Result<Answer, AgentError>)>,
    /// A backup of the store: how many records, and the gate file beside it.
    backup: Option<(usize, Memory)>,
}

fn refused(reason: &str) -> AgentError {
    AgentError::Refused { reason: reason.into() }
}

fn bars(action: &Action) -> bool {
    matches!(action, Action::PowerOff { .. } | Action::BarPort { .. } | Action::RevokePermit { .. })
}

fn grants_to(action: &Action) -> Option<Holder> {
    match action {
        Action::JoinPort { holder, .. } | Action::GrantVolume { holder, .. } => Some(holder.clone()),
        Action::GrantPermit { permit } => {
            Some(Holder { server: permit.server.clone(), machine: permit.machine.clone(), plan: permit.plan })
        }
        _ => None,
    }
}

fn frees(action: &Action) -> bool {
    let revoked = matches!(action, Action::RevokeVolume { keep: None, .. } | Action::RevokePermit { .. });
    revoked || matches!(action, Action::BarPort { .. } | Action::ParkPort { .. })
}

impl World {
    /// One command through the gate to the device. What an agent without a trusted memory answers is worth nothing.
    pub(super) fn ask(&mut self, agent: &str, command: &Command) -> Result<Answer, AgentError> {
        let action = command.action();
        let vantage = matches!(command.agent, Agent::Vantage(_));
        let outcome = if action.is_read() || vantage { self.act(&command.agent, action) } else { self.change(agent, command) };
        match outcome {
            Ok(_) if !vantage && self.gates.untrusted.contains(agent) => {
                Err(AgentError::Unconfirmed { reason: "its memory is empty".into() })
            }
            other => other,
        }
    }

    fn change(&mut self, agent: &str, command: &Command) -> Result<Answer, AgentError> {
        let action = command.action();
        let (epoch, plan) = (command.plan.0, command.plan);
        self.addressed(agent, action, epoch, plan)?;
        let digest = format!("{action:?}");
        let advance = matches!(action, Action::AdvanceEpoch { .. });
        if !advance {
            match self.gates.ended.get(&(agent.to_owned(), command.op)) {
                Some((other, _)) if *other != digest => return Err(refused("this op was another command")),
                Some((_, outcome)) => return outcome.clone(),
                None => {}
            }
            self.allowed(agent, action, epoch)?;
        }
        for resource in action.resources() {
            if bars(action) && !self.barred.contains(&resource) {
                self.gates.bars.insert(resource.clone(), epoch);
            }
            let kept = (agent.to_owned(), resource);
            if self.epochs.insert(kept.clone(), epoch).is_none_or(|before| before < epoch) {
                self.gates.done.remove(&kept);
            }
            self.gates.owners.insert(kept, plan);
        }
        let outcome = self.act(&command.agent, action);
        for resource in action.resources().into_iter().filter(|_| outcome.is_ok()) {
            if !advance {
                let number = self.gates.done.entry((agent.to_owned(), resource.clone())).or_default();
                *number = command.op.number.max(*number);
            }
            if let Some(holder) = grants_to(action) {
                self.gates.holds.insert(resource, holder);
            } else if frees(action) {
                self.gates.holds.remove(&resource);
            }
        }
        if !advance && !outcome.as_ref().is_err_and(AgentError::is_refusal) {
            self.gates.ended.insert((agent.to_owned(), command.op), (digest, outcome.clone()));
        }
        outcome
    }

    /// Is it of our store, and is its epoch the highest, and its plan's own?
    fn addressed(&self, agent: &str, action: &Action, epoch: Epoch, plan: PlanId) -> Result<(), AgentError> {
        if self.gates.full.contains(agent) {
            return Err(refused("the agent cannot write its gate file"));
        }
        if self.gates.lineages.get(agent).is_some_and(|lineage| *lineage != 0) {
            return Err(AgentError::Foreign { reason: "foreign lineage".into() });
        }
        for resource in action.resources() {
            assert!(World::keeps(agent, &resource), "{agent} is asked for {resource}");
            let kept = (agent.to_owned(), resource);
            let known = self.epochs.get(&kept).copied().unwrap_or_default();
            let highest = known.max(self.gates.floors.get(agent).copied().unwrap_or_default());
            if epoch < highest {
                let reason = format!("lower epoch: {} has seen {highest}, this command bears {epoch}", kept.1);
                return Err(AgentError::LowerEpoch { highest, reason });
            }
            if known == epoch && self.gates.owners.get(&kept).is_some_and(|owner| *owner != plan) {
                return Err(AgentError::Foreign { reason: format!("equal epoch of another plan: {}", kept.1) });
            }
        }
        Ok(())
    }

    /// Do trust and bars allow it? What a bar forbids to grant, the devices below know themselves.
    fn allowed(&self, agent: &str, action: &Action, epoch: Epoch) -> Result<(), AgentError> {
        if self.gates.untrusted.contains(agent) && !action.takes_away() {
            return Err(refused("untrusted"));
        }
        let bar = |resource: &Resource| {
            self.barred.contains(resource).then(|| self.gates.bars.get(resource).copied().unwrap_or_default())
        };
        let forbids = |at: Epoch| match action {
            Action::ParkPort { .. } => epoch <= at,
            Action::LiftBar { .. } => epoch < at,
            _ => false,
        };
        if action.resources().iter().filter_map(bar).any(forbids) {
            return Err(refused("barred: it needs a higher epoch"));
        }
        Ok(())
    }

    pub(super) fn advanced(&self, agent: &Agent, resources: &[Resource]) -> Answer {
        let busy = self.gates.busy_until.get(&agent.to_string()).is_some_and(|until| *until > self.now);
        let (clear, busy) = if busy { (vec![], resources.to_vec()) } else { (resources.to_vec(), vec![]) };
        Answer::Advanced { clear, busy }
    }

    /// The agent stops and starts with its memory.
    pub fn restart_agent(&mut self, agent: &str) {
        *self.boots.entry(agent.to_owned()).or_default() += 1;
        self.gates.busy_until.insert(agent.to_owned(), self.now + SETTLE);
    }

    /// The agent stops and starts without a memory: it knows that itself.
    pub fn forget_gate(&mut self, agent: &str) {
        self.copies.remove(agent);
        self.restore_gate(agent);
        self.gates.untrusted.insert(agent.to_owned());
        // it says so itself: nobody has to find it out
        self.forgetful.remove(agent);
        self.restored.remove(agent);
    }

    /// Somebody else's plan has been at all of an agent's resources.
    pub fn foreign_plan(&mut self, agent: &str, epoch: Epoch, plan: PlanId) {
        let machines = self.estate.machines.iter().flat_map(|(id, machine)| {
            let ports = machine.ports().into_iter().map(Resource::Port);
            ports.chain([Resource::Machine(id.clone()), Resource::Permit(id.clone())])
        });
        let all: Vec<Resource> = machines.chain(self.volumes.keys().cloned().map(Resource::Volume)).collect();
        for resource in all.into_iter().filter(|resource| World::keeps(agent, resource)) {
            let kept = (agent.to_owned(), resource);
            self.epochs.insert(kept.clone(), epoch);
            self.gates.owners.insert(kept, plan);
        }
    }

    /// A backup of the state directory is made: the journal, and the gate of the agent that lives in `serve`.
    pub fn back_up(&mut self) {
        self.gates.backup = Some((self.records.len(), self.memory("bmc")));
    }

    /// The backup is put back and `serve` starts from it. The agents outside know nothing of that.
    pub fn roll_back(&mut self) {
        let Some((records, memory)) = self.gates.backup.clone() else { return };
        self.records.truncate(records);
        self.facts.truncate(records);
        self.put_back("bmc", memory);
        self.boot_core();
    }

    /// The backup is restored into a store with a lineage of its own, elsewhere: the gates outside obey another store, and the one inside
    /// `serve` begins anew.
    pub fn restore(&mut self) {
        let Some((records, _)) = self.gates.backup.clone() else { return };
        self.records.truncate(records);
        self.facts.truncate(records);
        let fact = Fact::Restored { entries: records as u64, hash: String::new(), taken: WallTime(0) };
        self.facts.push(fact.clone());
        self.records.push(Record { at: WallTime(self.now), fact });
        for agent in OUTSIDE {
            self.gates.lineages.insert(agent.to_owned(), 7);
        }
        self.gates.floors.clear();
        self.forget_gate("bmc");
        self.boot_core();
    }

    /// `understudy adopt`: every agent is asked, what they say is agreed to, and those that answered are seeded.
    pub fn adopt(&mut self) -> Adoption {
        for agent in OUTSIDE {
            if !self.dead_agents.iter().any(|dead| dead.to_string() == agent) {
                self.tell(self.hello(agent));
            }
        }
        let adoption = pipeline::adopt::read(self.state(), Instant(self.now));
        self.intent(Intent::Adopt { hash: adoption.hash(), reason: "the old one is gone".into() });
        if self.state().ledger.unadopted().is_none() {
            for agent in adoption.heard.iter().map(String::as_str).chain(["bmc"]) {
                self.readopt(agent);
            }
        }
        adoption
    }

    /// What the shell does before it asks anything of an agent's life that it does not know yet: the core is told what it says.
    pub(super) fn greet(&mut self, agent: &Agent) {
        let name = agent.to_string();
        let boot = self.boots.get(&name).copied().unwrap_or_default();
        if matches!(agent, Agent::Vantage(_)) || self.lives.get(&name) == Some(&boot) {
            return;
        }
        self.lives.insert(name.clone(), boot);
        self.tell(self.hello(&name));
    }

    /// What an agent says of itself, asked now.
    pub fn hello(&self, agent: &str) -> What {
        let entry = |((of, resource), epoch): (&(String, Resource), &Epoch)| GateEntry {
            resource: resource.clone(),
            epoch: *epoch,
            plan: self.gates.owners.get(&(of.clone(), resource.clone())).copied(),
            holder: self.gates.holds.get(resource).cloned(),
            barred: self.barred.contains(resource).then(|| self.gates.bars.get(resource).copied().unwrap_or(*epoch)),
            done: Some(self.gates.done.get(&(of.clone(), resource.clone())).copied().unwrap_or_default()),
        };
        let entries = self.epochs.iter().filter(|((of, _), _)| of == agent).map(entry).collect();
        let boot = AgentBootId(self.boots.get(agent).copied().unwrap_or_default().to_string());
        let lineage = Some(Lineage(self.gates.lineages.get(agent).copied().unwrap_or_default().to_string()));
        let trusted = !self.gates.untrusted.contains(agent);
        let obeys = self.gates.obeys.get(agent).cloned();
        let hello = AgentHello { boot, tick: self.now, estate: None, lineage, obeys, trusted, entries };
        What::Observed(Observation::Hello { agent: agent.to_owned(), asked: Instant(self.now), hello })
    }

    /// The same, but its answer is under way for some time.
    pub fn slow_hello(&mut self, agent: &str, ms: u64) {
        let hello = self.hello(agent);
        self.later(self.now + ms, hello);
    }

    fn keeps(agent: &str, resource: &Resource) -> bool {
        match resource {
            Resource::Machine(_) => agent == "bmc",
            Resource::Permit(_) => agent == "boot1",
            Resource::Port(port) => port.switch.as_str() == agent,
            Resource::Volume(volume) => volume.storage.as_str() == agent,
            Resource::Outlet(outlet) => outlet.pdu.as_str() == agent,
        }
    }

    fn memory(&self, agent: &str) -> Memory {
        let epochs = self.epochs.iter().filter(|((of, _), _)| of == agent).map(|((_, r), e)| (r.clone(), *e)).collect();
        let barred = self.barred.iter().filter(|resource| World::keeps(agent, resource)).cloned().collect();
        let holders = if agent == "store1" { self.holders.clone() } else { BTreeMap::new() };
        let holds = self.gates.holds.iter().filter(|(resource, _)| World::keeps(agent, resource));
        let holds = holds.map(|(resource, holder)| (resource.clone(), holder.clone())).collect();
        let done = self.gates.done.iter().filter(|((of, _), _)| of == agent).map(|((_, r), n)| (r.clone(), *n)).collect();
        Memory { epochs, done, barred, holders, holds }
    }

    fn put_back(&mut self, agent: &str, memory: Memory) {
        self.epochs.retain(|(of, _), _| of != agent);
        self.gates.owners.retain(|(of, _), _| of != agent);
        self.gates.ended.retain(|(of, _), _| of != agent);
        self.gates.floors.remove(agent);
        self.gates.done.retain(|(of, _), _| of != agent);
        self.gates.done.extend(memory.done.into_iter().map(|(resource, number)| ((agent.to_owned(), resource), number)));
        for (resource, epoch) in memory.epochs {
            self.gates.owners.insert((agent.to_owned(), resource.clone()), PlanId(epoch));
            self.epochs.insert((agent.to_owned(), resource), epoch);
        }
        self.barred.retain(|resource| !World::keeps(agent, resource));
        self.barred.extend(memory.barred);
        self.gates.holds.retain(|resource, _| !World::keeps(agent, resource));
        self.gates.holds.extend(memory.holds);
        if agent == "store1" {
            self.holders = memory.holders;
        }
        *self.boots.entry(agent.to_owned()).or_default() += 1;
    }

    /// Somebody puts a copy of an agent's gate file away, if it is sound.
    pub fn copy_gate(&mut self, agent: &str) {
        if self.gates.untrusted.contains(agent) {
            return;
        }
        self.copies.insert(agent.to_owned(), self.memory(agent));
    }

    /// The agent stops, the copy is put back (or, without one, nothing), and it starts: its memory looks sound to it.
    pub fn restore_gate(&mut self, agent: &str) {
        let copy = self.copies.get(agent).cloned().unwrap_or_default();
        self.put_back(agent, copy);
        // the copy was made while the memory was sound
        self.gates.untrusted.remove(agent);
        self.restored.insert(agent.to_owned());
        self.find_forgetful();
    }

    /// Which of the agents whose memory was put back know less than they have confirmed; also by an answer that was under way meanwhile.
    pub(super) fn find_forgetful(&mut self) {
        for agent in self.restored.clone() {
            let known = pipeline::memory::known(self.state(), &agent);
            let kept = |resource: &Resource| {
                let kept = (agent.clone(), resource.clone());
                let epoch = self.epochs.get(&kept).copied().unwrap_or_default();
                OpId { epoch, number: self.gates.done.get(&kept).copied().unwrap_or_default() }
            };
            if known.iter().any(|(resource, op)| kept(resource) < *op) {
                self.forgetful.insert(agent);
            }
        }
    }

    /// `agent readopt`: never lowers an epoch, never drops a bar.
    pub fn readopt(&mut self, agent: &str) {
        let (floor, entries) = pipeline::memory::seed(self.state(), agent);
        let highest = self.epochs.iter().filter(|((of, _), _)| of == agent).map(|(_, epoch)| *epoch).max().unwrap_or_default();
        if floor < highest.max(self.gates.floors.get(agent).copied().unwrap_or_default()) {
            // the store is older than the gate
            return;
        }
        self.gates.floors.insert(agent.to_owned(), floor);
        self.gates.lineages.remove(agent);
        self.gates.obeys.remove(agent);
        self.gates.untrusted.remove(agent);
        for entry in entries {
            let kept = (agent.to_owned(), entry.resource.clone());
            let epoch = self.epochs.entry(kept.clone()).or_default();
            if entry.epoch >= *epoch {
                let number = self.gates.done.entry(kept).or_default();
                *number = entry.done.unwrap_or_default().max(if entry.epoch > *epoch { 0 } else { *number });
            }
            *epoch = entry.epoch.max(*epoch);
            self.gates.owners.remove(&(agent.to_owned(), entry.resource.clone()));
            if entry.barred.is_some() {
                self.barred.insert(entry.resource.clone());
            }
            if let Some(holder) = &entry.holder {
                self.gates.holds.insert(entry.resource.clone(), holder.clone());
            }
            if let (Resource::Volume(volume), Some(holder)) = (entry.resource, entry.holder) {
                self.holders.insert(volume, holder.plan);
            }
        }
        // how ports are to stand is taken up by the driver at once
        for action in pipeline::reseed::ports(self.state(), agent) {
            let barred = action.resources().iter().any(|resource| self.barred.contains(resource));
            if barred == matches!(action, Action::BarPort { .. }) {
                let _ = self.act(&Agent::Switch(super::id(agent)), &action);
            }
        }
        self.forgetful.remove(agent);
        self.restored.remove(agent);
        self.tell(What::Readopted { agent: agent.to_owned(), principal: "uid 0".into() });
    }
}
