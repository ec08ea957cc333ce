//! A witness before an agent's gate, outside of it: what epoch each resource was acted on with, over all lives of the agent and whatever its
//! disk forgets, and of one plan alone (I4); whether what is done was recorded before (I5, I12); that no answer of an agent whose memory is lost counts (I2); that no power command reaches a BMC more often than it was asked for
//! (I5); that nothing of a server is given while another machine is effective as it (I2); and that no reading is older than its question, and no Off the agent's own (I6). It lets everything pass as it is.

use super::{Inner, Judge};
use async_trait::async_trait;
use contract::agent::{Client, Readopt};
use journal::Entry;
use pipeline::record::Fact;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use vocabulary::power::{MachineReading, PowerState};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, Request, Resource, Token};
use vocabulary::{AgentId, Epoch, MachineId, PlanId, ServerId};
use world::bmc::{Answered, Reset};

/// See the module.
pub struct Witness {
    agent: AgentId,
    inner: Arc<dyn Client>,
    judge: Judge,
    /// True while its last word was that its memory is lost.
    is_lost: AtomicBool,
}

impl Witness {
    /// Before an agent's gate and all behind it, in one life of it; the judge is told.
    pub fn of(agent: AgentId, inner: Arc<dyn Client>, judge: Judge) -> Witness {
        Witness { agent, inner, judge, is_lost: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Client for Witness {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        if let Action::ReadMachine { machine } | Action::WatchMachine { machine } = &request.action {
            let (machine, asked) = (machine.clone(), world::clock::now());
            let answer = self.inner.call(request).await;
            if let Ok(Answer::Machine(reading)) = &answer {
                self.judge.read(&machine, asked, reading);
            }
            return answer;
        }
        if let Action::Hello | Action::Introduce { .. } = &request.action {
            let answer = self.inner.call(request).await;
            if let Ok(Answer::Hello(hello)) = &answer {
                self.is_lost.store(!hello.trusted, Ordering::Relaxed);
            }
            return answer;
        }
        // whoever only reads acts on nothing
        let Some(token) = request.token.clone().filter(|_| !request.action.is_read()) else {
            return self.inner.call(request).await;
        };
        let resources = request.action.resources();
        let power = power(&request.action);
        let recorded = self.judge.recorded(&token);
        let unproven = grants_to(&request.action).and_then(|(server, machine)| self.judge.unproven(server, machine));
        let before = self.judge.asked(&token, &resources, power.as_ref());
        let done = request.clone();
        let answer = self.inner.call(request).await;
        match &answer {
            Err(error) if error.is_refusal() => self.judge.refused(&self.agent, error, &token, power.as_ref()),
            Err(_) => self.judge.tried(&self.agent, &token, recorded),
            Ok(_) => {
                self.judge.acted(&self.agent, &done, &token, &before);
                if self.is_lost.load(Ordering::Relaxed) {
                    self.judge.inner().worthless.insert(token.op);
                }
                if let Some(sentence) = unproven {
                    self.judge.granted(&token, sentence);
                }
                self.judge.tried(&self.agent, &token, recorded);
                self.judge.inner().last.insert(self.agent.clone(), done);
            }
        }
        if resources.iter().any(|resource| matches!(resource, Resource::Permit(_))) {
            self.judge.look_at_permits();
        }
        answer
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        let answer = self.inner.readopt(seed).await;
        if answer.is_ok() {
            self.is_lost.store(false, Ordering::Relaxed);
            self.judge.inner().forgetful.remove(&self.agent);
        }
        self.judge.look_at_permits();
        answer
    }
}

/// The highest epoch that a resource was acted on with, and whose; if it was.
type Highest = Option<(Epoch, PlanId)>;

/// A machine and a power command, as its BMC hears it.
pub(super) type Power = (MachineId, &'static str);

/// What a command has its agent tell a BMC about power.
fn power(action: &Action) -> Option<Power> {
    let (machine, reset) = match action {
        Action::PowerOff { machine } => (machine, Reset::ForceOff),
        Action::PowerOn { machine } => (machine, Reset::On),
        Action::ShutDown { machine } => (machine, Reset::GracefulShutdown),
        _ => return None,
    };
    Some((machine.clone(), reset.word()))
}

/// The server of which a command gives something, and the machine to which.
fn grants_to(action: &Action) -> Option<(&ServerId, &MachineId)> {
    match action {
        Action::JoinPort { holder, .. } | Action::GrantVolume { holder, .. } => Some((&holder.server, &holder.machine)),
        Action::GrantPermit { permit } => Some((&permit.server, &permit.machine)),
        _ => None,
    }
}

impl Judge {
    /// Whoever else is effective as this server, if somebody is: no proof of his harmlessness can be true. What a foreign hand has just
    /// done nobody could know of.
    fn unproven(&self, server: &ServerId, machine: &MachineId) -> Option<String> {
        let inner = self.inner();
        if inner.hand_was_there(inner.now_ns()) {
            return None;
        }
        let now = inner.courses.get(server)?.now();
        let (other, reasons) = now.iter().find(|(actor, _)| actor.as_str() != machine.as_str())?;
        let reasons: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        Some(format!("{machine} was given what is {server}'s while {other} was effective as it: {}", reasons.join("; ")))
    }

    /// Something was given while somebody else still had it.
    fn granted(&self, token: &Token, sentence: String) {
        let mut inner = self.inner();
        let at_ns = inner.now_ns();
        inner.violated("I2", at_ns, token.op.to_string(), sentence);
    }

    /// The store holds the intent of this command.
    fn recorded(&self, token: &Token) -> bool {
        let mut inner = self.inner();
        if !inner.intents.contains(&token.op) {
            inner.read_store();
        }
        // whoever lost his place records beside
        let of_it = |entry: &Entry| matches!(&entry.record.fact, Fact::Intent { op, .. } if *op == token.op);
        inner.intents.contains(&token.op) || inner.stores_before.iter().any(|store| store.entries().iter().any(of_it))
    }

    /// An agent's gate has let this command pass, whatever became of it.
    fn tried(&self, agent: &AgentId, token: &Token, recorded: bool) {
        if !recorded {
            let mut inner = self.inner();
            let at_ns = inner.now_ns();
            let sentence = format!("{agent} was at op {} ({}) before the store held an intent of it", token.op, token.step);
            inner.violated("I5", at_ns, token.op.to_string(), sentence);
        }
    }

    /// What this agent did last.
    pub fn last_of(&self, agent: &AgentId) -> Option<Request> {
        self.inner().last.get(agent).cloned()
    }

    /// A command has come. The highest epochs that its resources were acted on with.
    fn asked(&self, token: &Token, resources: &[Resource], power: Option<&Power>) -> Vec<Highest> {
        let mut inner = self.inner();
        if let Some(power) = power {
            inner.wanted.entry(power.clone()).or_default().insert(token.op);
        }
        resources.iter().map(|resource| inner.epochs.get(resource).copied()).collect()
    }

    /// A machine was read, on a question of that moment.
    fn read(&self, machine: &MachineId, asked: Instant, reading: &MachineReading) {
        let mut inner = self.inner();
        let Some(bmc) = inner.bmcs.get(machine).cloned() else { return };
        let heard = bmc.state().heard();
        let before = |told: Option<Instant>| told.is_none_or(|told| told < asked);
        let sentence = match reading.system_power {
            PowerState::Off if before(heard.off_at) => {
                "was read Off, and nothing arrived that its BMC has said so since it was asked"
            }
            PowerState::Unknown => return,
            _ if before(heard.at) => "was read, and nothing arrived that its BMC has told of its power since it was asked",
            _ => return,
        };
        let at_ns = inner.now_ns();
        inner.violated("I6", at_ns, machine.to_string(), format!("{machine} {sentence}"));
    }

    /// Nothing was done for it.
    fn refused(&self, agent: &AgentId, error: &AgentError, token: &Token, power: Option<&Power>) {
        let mut inner = self.inner();
        if matches!(error, AgentError::LowerEpoch { .. } | AgentError::Foreign { .. }) {
            *inner.refusals.entry(agent.clone()).or_default() += 1;
        }
        if let Some(ops) = power.and_then(|power| inner.wanted.get_mut(power)) {
            ops.remove(&token.op);
        }
    }

    /// What an agent keeps is lost, or older than it was: until it is seeded it may take away for whoever wants it, and nothing else.
    pub fn forgets(&self, agent: &AgentId) {
        self.inner().forgetful.insert(agent.clone());
    }

    /// An agent has acted; `before` is what it had acted with when it was asked.
    fn acted(&self, agent: &AgentId, done: &Request, token: &Token, before: &[Highest]) {
        let mut inner = self.inner();
        let (at_ns, epoch) = (inner.now_ns(), token.epoch);
        let may = inner.forgetful.contains(agent) && done.action.takes_away();
        for (resource, before) in done.action.resources().iter().zip(before) {
            let lower = |(before, of): &(Epoch, PlanId)| epoch < *before || (epoch == *before && token.plan != *of);
            if let Some((before, of)) = before.filter(|before| !may && lower(before)) {
                let now = format!("{agent} acted on {resource} at {epoch} of {}", token.plan);
                inner.violated("I4", at_ns, resource.to_string(), format!("{now}, after it had acted on it at {before} of {of}"));
            }
            let highest = inner.epochs.entry(resource.clone()).or_insert((epoch, token.plan));
            if epoch > highest.0 {
                *highest = (epoch, token.plan);
            }
        }
    }
}

impl Inner {
    /// A power command has come to a BMC.
    pub(super) fn commanded(&mut self, machine: &MachineId, reset: Reset, answered: Answered) {
        let wanted = self.wanted.entry((machine.clone(), reset.word())).or_default();
        // what it did not take may come again
        let taken = !matches!(answered, Answered::Conflict | Answered::Refused);
        let asked = if taken { wanted.pop_first() } else { wanted.first().copied() };
        if asked.is_none() {
            let sentence = format!("{} came to the BMC of {machine} more often than it was asked for", reset.word());
            self.violated("I5", self.now_ns(), machine.to_string(), sentence);
        }
    }
}
