//! The agents of an estate: how each is reached, which life it is in, and what its clock says. A request is sent at most once; only a
//! request that an agent provably refused because it has restarted is made anew for its new life.

mod renewal;

use crate::clock::Clock;
use crate::limits;
use crate::message::Message;
use bmc::registry::Fleet;
use contract::agent::{Client, Readopt};
use contract::check::Vantage;
use contract::gate::Gate;
use contract::wire::{Authority, ControllerIdentity, WireClient};
use pipeline::effect::Agent;
use pipeline::event::{Observation, What};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use vocabulary::estate::{Estate, Machine};
use vocabulary::findings::Findings;
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Request, Token};
use vocabulary::survey::{Scope, Survey};
use vocabulary::{AgentId, ControllerLife, Epoch, EstateUuid, Fault, Lineage, MachineId, OpId, PlanId, WallTime};

/// The name of the agent inside `serve`.
pub const BMC_AGENT: &str = vocabulary::estate::INSIDE;

/// One agent.
struct Link {
    client: Arc<dyn Client>,
    address: Option<SocketAddr>,
    life: Mutex<Option<Life>>,
    renewal: renewal::Tried,
}

/// What an agent said of itself, and when.
#[derive(Clone)]
struct Life {
    hello: AgentHello,
    at: Instant,
    /// True once it was told what its memory is worth.
    told: Arc<AtomicBool>,
}

/// How an agent is reached, and where it listens; nowhere for one inside this process.
pub type Way = (Arc<dyn Client>, Option<SocketAddr>);

/// The ways to the agents of an estate that are programs of their own; talks to nobody yet.
pub fn over_the_wire(estate: &Estate, identity: &ControllerIdentity) -> Result<BTreeMap<Agent, Way>, contract::wire::WireError> {
    let remote = estate
        .switches
        .iter()
        .map(|(id, doc)| (Agent::Switch(id.clone()), id.as_str(), doc.agent))
        .chain(estate.storages.iter().map(|(id, doc)| (Agent::Storage(id.clone()), id.as_str(), doc.agent)))
        .chain(estate.boot_services.iter().map(|(id, doc)| (Agent::Boot(id.clone()), id.as_str(), doc.agent)))
        .chain(estate.pdus.iter().map(|(id, doc)| (Agent::Outlets(id.clone()), id.as_str(), doc.agent)))
        .chain(estate.bmc_agents.iter().map(|(id, doc)| (Agent::Bmc(Some(id.clone())), id.as_str(), doc.agent)));
    let mut ways = BTreeMap::new();
    for (key, name, address) in remote {
        // names of devices are names of agents: the same alphabet
        let Ok(agent) = name.parse::<AgentId>() else { continue };
        let client: Arc<dyn Client> = Arc::new(WireClient::connect(address, &agent, identity)?);
        ways.insert(key, (client, Some(address)));
    }
    Ok(ways)
}

/// All agents.
pub struct Agents {
    estate: EstateUuid,
    lineage: Lineage,
    links: BTreeMap<Agent, Link>,
    /// Which agent outside owns a machine's BMC; all others are inside.
    bmcs: BTreeMap<MachineId, AgentId>,
    fleet: Gate<Arc<Fleet>>,
    vantage: Arc<dyn Vantage>,
    ear: Ear,
    authority: Option<Arc<Authority>>,
    introduction: Introduction,
}

/// Who this process is, who came before it, and how far its store had drawn by then: known once that it began is durable. Before that no agent hears of it, since one that
/// obeyed a process which no store knows would obey none that comes after it.
pub type Introduction = Arc<OnceLock<(ControllerLife, Vec<ControllerLife>, Epoch)>>;

/// The core, which is told what every agent says of itself before anything is asked of it.
#[derive(Clone)]
pub struct Ear {
    /// The core's queue.
    pub queue: mpsc::Sender<Message>,
    /// The engine's clock.
    pub clock: Clock,
}

impl Ear {
    async fn hello(&self, agent: &Agent, asked: vocabulary::Instant, hello: AgentHello) {
        let observation = Observation::Hello { agent: agent.to_string(), asked, hello };
        // the core is gone only when the process ends
        let _ = self.queue.send(Message::Event(What::Observed(observation))).await;
    }

    /// The agents that the core only observes.
    async fn overruled(&self) -> BTreeSet<String> {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |state: &pipeline::State| {
            // whoever asked may have gone; nothing is lost
            let _ = reply.send(state.ledger.overruled.keys().cloned().collect());
        });
        match self.queue.send(Message::Query(question)).await {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// What the core, which has judged every hello told before, says of the agent's memory.
    async fn vouches(&self, agent: &Agent) -> Option<bool> {
        let (reply, answer) = oneshot::channel();
        let agent = agent.clone();
        let question = Box::new(move |state: &pipeline::State| {
            // whoever asked may have gone; nothing is lost
            let _ = reply.send(pipeline::trust::vouches(&state.ledger, &agent));
        });
        self.queue.send(Message::Query(question)).await.ok()?;
        answer.await.ok()?
    }

    /// Whether the core, which has judged every hello told before, lets this be asked of the agent.
    async fn refusal(&self, agent: &Agent, action: &Action) -> Option<AgentError> {
        if action.is_read() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let (agent, action) = (agent.clone(), action.clone());
        let question = Box::new(move |state: &pipeline::State| {
            // whoever asked may have gone; nothing is lost
            let _ = reply.send(pipeline::trust::refusal(&state.ledger, &agent, &action));
        });
        let stopping = || Some(unreachable("the controller is stopping: nothing was sent"));
        if self.queue.send(Message::Query(question)).await.is_err() {
            return stopping();
        }
        answer.await.unwrap_or_else(|_| stopping())
    }
}

/// The agent has begun another life since it was heard.
#[derive(PartialEq, Eq)]
struct AnotherLife;

/// An agent as operators see it.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Its name.
    pub agent: String,
    /// Where it listens; `None` for the one inside `serve`.
    pub address: Option<std::net::SocketAddr>,
    /// Its last answer to `Hello`, or why there is none.
    pub hello: Result<AgentHello, String>,
    /// The evidence that its memory is an older copy, while it was not seeded since.
    pub older: Option<Vec<String>>,
    /// When the certificate ends that it showed last.
    pub certificate_until: Option<WallTime>,
    /// Why that certificate, which is due, is not renewed; `None` if there is nothing to tell a person yet.
    pub not_renewed: Option<String>,
}

/// What a command's token says besides the agent's own part.
pub struct Stamp {
    /// The plan.
    pub plan: PlanId,
    /// The step, for people.
    pub step: &'static str,
    /// The command.
    pub op: OpId,
}

fn unreachable(reason: impl Into<String>) -> AgentError {
    AgentError::Unreachable { reason: reason.into() }
}

impl Agents {
    /// By these ways, and the BMCs behind the gate inside this process, unless there is a way to that gate already; talks to nobody yet.
    pub fn new(
        (estate, lineage): (EstateUuid, Lineage),
        documents: &Estate,
        mut ways: BTreeMap<Agent, Way>,
        fleet: Gate<Arc<Fleet>>,
        vantage: Arc<dyn Vantage>,
        ear: Ear,
        introduction: Introduction,
    ) -> Agents {
        ways.entry(Agent::Bmc(None)).or_insert_with(|| (Arc::new(fleet.clone()), None));
        let link = |(client, address)| Link { client, address, life: Mutex::default(), renewal: renewal::Tried::default() };
        let links = ways.into_iter().map(|(agent, way)| (agent, link(way))).collect();
        let outside = |(id, machine): (&MachineId, &Machine)| Some((id.clone(), machine.bmc.agent.clone()?));
        let bmcs = documents.machines.iter().filter_map(outside).collect();
        Agents { estate, lineage, links, bmcs, fleet, vantage, ear, authority: None, introduction }
    }

    /// The same, who get new certificates from this authority when theirs are half over.
    #[must_use]
    pub fn renewed_by(self, authority: Arc<Authority>) -> Agents {
        Agents { authority: Some(authority), ..self }
    }

    /// True if the estate has an agent of this name beyond the one inside `serve`.
    pub fn knows(&self, agent: &AgentId) -> bool {
        self.links.iter().any(|(key, link)| link.address.is_some() && key.to_string() == agent.as_str())
    }

    fn controller(&self) -> ControllerLife {
        self.introduction.get().map(|(controller, ..)| controller.clone()).unwrap_or_default()
    }

    /// The agent that owns a machine's BMC.
    pub fn of_bmc(&self, machine: &MachineId) -> Agent {
        Agent::Bmc(self.bmcs.get(machine).cloned())
    }

    /// Observes a machine by its BMC, within the usual time.
    pub async fn read_bmc(&self, machine: &MachineId, action: Action) -> Result<Answer, AgentError> {
        let deadline = contract::limits::deadline(&action);
        self.read(&self.of_bmc(machine), action, deadline).await
    }

    /// What was found out of a machine's BMC, if anything was; asks its agent, and not the BMC.
    pub async fn found(&self, machine: &MachineId) -> Option<Findings> {
        match self.read_bmc(machine, Action::ReadFindings { machine: machine.clone() }).await {
            Ok(Answer::Findings { findings }) => findings,
            // not known is what an agent that is away knows
            Ok(_) | Err(_) => None,
        }
    }

    /// Asks a machine's BMC for what it tells beyond its readings.
    pub async fn survey(&self, machine: &MachineId, scope: Scope) -> Result<Survey, Fault> {
        let untold = |why: String| Fault::new(1007, why, "look at the machine's document, and at `understudy agent list`");
        match self.read_bmc(machine, Action::Survey { machine: machine.clone(), scope }).await {
            Ok(Answer::Survey { told }) => told,
            Ok(answer) => Err(untold(format!("the agent answers {answer:?}"))),
            Err(error) => Err(untold(error.to_string())),
        }
    }

    /// Ends the BMC sessions.
    pub async fn close(&self) {
        self.fleet.device().close().await;
    }

    fn link(&self, agent: &Agent) -> Option<&Link> {
        match agent {
            // a vantage point is the agent of a switch
            Agent::Vantage(id) => self.links.iter().find(|(key, _)| key.to_string() == id.as_str()).map(|(_, link)| link),
            other => self.links.get(other),
        }
    }

    /// Observes: no token, no life needed.
    pub async fn read(&self, agent: &Agent, action: Action, deadline: Duration) -> Result<Answer, AgentError> {
        if let (Agent::Vantage(id), Action::RunCheck { check }) = (agent, &action)
            && id.as_str() == pipeline::watch::CONTROLLER
        {
            return Ok(Answer::Check { outcome: self.vantage.run(check).await });
        }
        let link = self.link(agent).ok_or_else(|| unreachable(format!("the estate has no agent {agent}")))?;
        call(link, Request { token: None, action }, deadline).await
    }

    /// Observes for a plan: what an agent without a trusted memory says is no evidence. The reading is stamped like a change, so that only
    /// the life answers it that was found to be trusted.
    pub async fn read_for_plan(
        &self,
        agent: &Agent,
        stamp: &Stamp,
        action: Action,
        deadline: Duration,
    ) -> Result<Answer, AgentError> {
        if let Agent::Vantage(_) = agent {
            return self.read(agent, action, deadline).await;
        }
        let link = self.link(agent).ok_or_else(|| unreachable(format!("the estate has no agent {agent}")))?;
        let life = self.trusted_life(agent, link, deadline).await?;
        let ask = |life: &Life| call(link, self.stamped(life, stamp, action.clone(), deadline), deadline);
        let outcome = worth(&life, ask(&life).await);
        if !outcome.as_ref().is_err_and(AgentError::is_refusal) {
            return outcome;
        }
        match self.life(agent, link, true, limits::HELLO_DEADLINE).await {
            Ok(now) if now.hello.boot != life.hello.boot => worth(&now, ask(&now).await),
            _ => outcome,
        }
    }

    /// Changes something: stamped for the agent's present life, with an expiry on its own clock.
    pub async fn change(&self, agent: &Agent, stamp: &Stamp, action: Action, deadline: Duration) -> Result<Answer, AgentError> {
        let link = self.link(agent).ok_or_else(|| unreachable(format!("the estate has no agent {agent}")))?;
        let started = Instant::now();
        let life = self.trusted_life(agent, link, deadline).await?;
        // the core may have asked for it before it knew this hello
        if let Some(refusal) = self.ear.refusal(agent, &action).await {
            return Err(refusal);
        }
        if !life.told.load(Ordering::Relaxed) {
            // it keeps what it is given from itself until it knows; whether this life is still its own is asked by the command's stamp
            let _ = self.vouch(agent, link, &life).await;
        }
        let request = self.stamped(&life, stamp, action.clone(), deadline);
        let outcome = worth(&life, call(link, request, deadline).await);
        // a refusal or a silence may be of another life; one for good tells the core how high that agent's memory stands
        let refused = outcome.as_ref().is_err_and(AgentError::is_refusal);
        if !refused && !matches!(outcome, Err(AgentError::Unreachable { .. })) {
            return outcome;
        }
        let now = match self.life(agent, link, true, limits::HELLO_DEADLINE).await {
            Ok(now) => now,
            Err(_) => return outcome,
        };
        // refused because the agent has restarted since: nothing was done, so it is asked in its new life
        if refused && now.hello.boot != life.hello.boot && started.elapsed() < deadline {
            if let Some(refusal) = self.ear.refusal(agent, &action).await {
                return Err(refusal);
            }
            let request = self.stamped(&now, stamp, action, deadline);
            return worth(&now, call(link, request, deadline).await);
        }
        outcome
    }

    fn stamped(&self, life: &Life, stamp: &Stamp, action: Action, deadline: Duration) -> Request {
        let since = life.at.elapsed().saturating_add(deadline);
        let expires_tick = life.hello.tick.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let token = Token {
            estate: self.estate.clone(),
            lineage: self.lineage.clone(),
            // whoever stamps has heard the agent, and was introduced by that
            controller: self.controller(),
            plan: stamp.plan,
            step: stamp.step.to_owned(),
            epoch: stamp.plan.0,
            op: stamp.op,
            agent_boot: life.hello.boot.clone(),
            expires_tick,
        };
        Request { token: Some(token), action }
    }

    /// Every agent, asked now.
    pub async fn views(&self) -> Vec<AgentView> {
        let ask = self.links.iter().map(|(key, link)| async move {
            let life = self.life(key, link, true, limits::HELLO_DEADLINE).await;
            let hello = life.map(|life| life.hello).map_err(|error| error.to_string());
            let (certificate_until, not_renewed) = (link.client.certificate_until(), self.not_renewed(link));
            AgentView { agent: key.to_string(), address: link.address, hello, older: None, certificate_until, not_renewed }
        });
        // all at once: a dead one costs its deadline once
        futures::future::join_all(ask).await
    }

    /// Every agent that is reached by a link.
    pub fn names(&self) -> Vec<Agent> {
        self.links.keys().cloned().collect()
    }

    /// Hears an agent that was not heard yet, before anything is drawn against it, and anew one that the core only observes: what it says
    /// may have changed. It is told whether its memory is current; one that began another life since is heard anew first.
    pub async fn greet(&self, agent: &Agent) {
        let Some(link) = self.links.get(agent) else { return };
        let known = match self.ear.overruled().await.contains(&agent.to_string()) {
            true => self.life(agent, link, true, limits::HELLO_DEADLINE).await,
            false => self.trusted_life(agent, link, limits::HELLO_DEADLINE).await,
        };
        // one that does not answer is heard before it is asked anything
        let Ok(life) = known else { return };
        if self.vouch(agent, link, &life).await == Err(AnotherLife)
            && let Ok(life) = self.life(agent, link, true, limits::HELLO_DEADLINE).await
        {
            // one that begins life after life is told in the next round
            let _ = self.vouch(agent, link, &life).await;
        }
        self.renew(agent, link).await;
    }

    /// Tells the agent whether what it said of itself in this life is current, if this store can know it. Silence says nothing.
    async fn vouch(&self, agent: &Agent, link: &Link, life: &Life) -> Result<(), AnotherLife> {
        let Some(believed) = self.ear.vouches(agent).await else { return Ok(()) };
        let vouch = Action::Vouch {
            boot: life.hello.boot.clone(),
            estate: self.estate.clone(),
            lineage: self.lineage.clone(),
            controller: self.controller(),
            current: believed && life.hello.trusted,
        };
        match call(link, Request { token: None, action: vouch }, limits::HELLO_DEADLINE).await {
            // or it obeys another process by now: that too is heard by a hello
            Err(AgentError::Refused { .. } | AgentError::Foreign { .. }) => Err(AnotherLife),
            Ok(_) => {
                life.told.store(true, Ordering::Relaxed);
                Ok(())
            }
            // silence; the next round tells it again
            Err(_) => Ok(()),
        }
    }

    /// The agent's life; one that was not trusted is asked again, since an operator may have seeded it.
    async fn trusted_life(&self, agent: &Agent, link: &Link, deadline: Duration) -> Result<Life, AgentError> {
        let life = self.life(agent, link, false, deadline).await?;
        if life.hello.trusted { Ok(life) } else { self.life(agent, link, true, deadline).await }
    }

    /// The agent's life; asked anew if wanted or never asked. The core is told of it before anybody rests on it.
    async fn life(&self, agent: &Agent, link: &Link, anew: bool, deadline: Duration) -> Result<Life, AgentError> {
        if let Some(life) = link.life.lock().await.clone().filter(|_| !anew) {
            return Ok(life);
        }
        let Some((controller, before, counter)) = self.introduction.get().cloned() else {
            return Err(unreachable("the journal does not know this process yet: nothing was sent"));
        };
        let (estate, lineage) = (self.estate.clone(), self.lineage.clone());
        let introduce = Action::Introduce { estate, lineage, controller, before, counter };
        let asked = self.ear.clock.now();
        // not held while asking: one dead agent must not queue up those who wait for it
        match call(link, Request { token: None, action: introduce }, deadline.min(limits::HELLO_DEADLINE)).await? {
            Answer::Hello(hello) => {
                // the tick was read before the answer came: an expiry made from it errs on the early side by the way back
                let at = Instant::now();
                self.ear.hello(agent, asked, hello.clone()).await;
                let life = Life { hello, at, told: Arc::default() };
                *link.life.lock().await = Some(life.clone());
                Ok(life)
            }
            _ => Err(unreachable("the agent answered something else to Hello")),
        }
    }

    /// Seeds an agent's memory.
    pub async fn readopt(
        &self,
        agent: &AgentId,
        floor: Epoch,
        entries: Vec<GateEntry>,
        ports: Vec<Action>,
    ) -> Result<AgentHello, Fault> {
        let found = self.links.iter().find(|(key, _)| key.to_string() == agent.as_str());
        let (_, link) = found
            .ok_or_else(|| Fault::new(1003, format!("there is no agent `{agent}`"), "`understudy agent list` shows them"))?;
        if self.introduction.get().is_none() {
            // it would obey nobody who comes after
            let reason = "the journal does not know this process yet";
            return Err(Fault::new(
                1005,
                format!("agent {agent} was not given the ledger: {reason}"),
                "look at the disk, then try again",
            ));
        }
        let (estate, lineage, controller) = (self.estate.clone(), self.lineage.clone(), Some(self.controller()));
        let seed = Readopt { estate, lineage, controller, floor, entries, ports };
        link.client.readopt(seed).await.map_err(|error| {
            Fault::new(1005, format!("agent {agent} did not take the ledger: {error}"), "mend what it says, then try again")
        })
    }
}

/// What an answer is worth: an agent whose memory is empty, older or copied may cut off, but nothing it says confirms anything.
fn worth(life: &Life, outcome: Result<Answer, AgentError>) -> Result<Answer, AgentError> {
    match outcome {
        Ok(_) if !life.hello.trusted => Err(AgentError::Unconfirmed {
            reason:
                "the agent's memory is empty, older or copied, so nothing it says counts; `understudy agent readopt` seeds it"
                    .to_owned(),
        }),
        other => other,
    }
}

async fn call(link: &Link, request: Request, deadline: Duration) -> Result<Answer, AgentError> {
    match tokio::time::timeout(deadline, link.client.call(request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(unreachable(format!("no answer within {} ms", deadline.as_millis()))),
    }
}

#[cfg(test)]
#[path = "agents_tests.rs"]
mod tests;
