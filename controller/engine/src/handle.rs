//! What the API may do with a running engine: ask the state, send intents, follow the journal.

use crate::agents::{AgentView, Agents};
use crate::clock::Clock;
use crate::history::History;
use crate::message::Message;
use crate::polls::{Counted, Polls};
use contract::wire::enrol::{Authority, Bundle};
use journal::{Entry, Meta};
use pipeline::State;
use pipeline::event::{Intent, What};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{broadcast, mpsc, oneshot};
use vocabulary::findings::Findings;
use vocabulary::light::{Light, LightReading};
use vocabulary::request::{Action, AgentHello, Answer};
use vocabulary::survey::{Scope, Survey};
use vocabulary::{AgentId, EstateUuid, Fault, MachineId, PlanId, Secret};

/// What makes a store this one, besides its entries.
pub struct Origin {
    /// What it is about.
    pub meta: Meta,
    /// The keys of the estate's authority.
    pub files: BTreeMap<String, Secret>,
}

/// A running engine. Clones share it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) queue: mpsc::Sender<Message>,
    pub(crate) entries: broadcast::Sender<Arc<Entry>>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) revision: Arc<AtomicU64>,
    pub(crate) history: History,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) polls: Arc<Polls>,
    pub(crate) clock: Clock,
    pub(crate) estate: EstateUuid,
    pub(crate) origin: Arc<Origin>,
}

fn dark(machine: &MachineId, why: &str) -> Fault {
    Fault::new(
        1018,
        format!("the identify light of {machine} was not switched as asked: {why}"),
        "the message says what the BMC answered; find the machine by its place, `understudy machine show` names it",
    )
}

fn gone() -> Fault {
    Fault::new(51, "the controller is stopping", "ask again when it has started")
}

impl Handle {
    /// Tells the core to end. What was asked before is done before.
    pub async fn stop(&self) {
        // it may have ended by itself
        let _ = self.queue.send(Message::Stop).await;
    }

    /// Closes the sessions with BMCs, of which each has few. For the end of the process, when the core has ended.
    pub async fn say_farewell(&self) {
        self.agents.close().await;
    }

    /// The number of the newest durable entry.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The estate's UUID.
    pub fn estate(&self) -> &EstateUuid {
        &self.estate
    }

    /// Runs a question on the state, between two events.
    pub async fn query<T: Send + 'static>(&self, question: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |state: &State| {
            // whoever asked may have gone; nothing is lost
            let _ = reply.send(question(state));
        });
        self.queue.send(Message::Query(ask)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Sends an intent and waits until it is accepted (durably) or refused.
    pub async fn intent(&self, principal: String, intent: Intent) -> Result<Option<PlanId>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Message::Intent { principal, intent, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Journal entries after a number, at most `limit`, and those that follow.
    pub async fn follow(&self, after: u64, limit: usize) -> Result<(Vec<Entry>, broadcast::Receiver<Arc<Entry>>), Fault> {
        // subscribed first: what is appended meanwhile comes twice at most, and the reader drops what it has seen
        let receiver = self.entries.subscribe();
        Ok((self.history.page(after, limit).await?, receiver))
    }

    /// What was recorded.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many routine observations were dropped because the core did not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What was counted of the polls of all BMCs, since the start.
    pub fn polls(&self) -> Counted {
        self.polls.counted()
    }

    /// What was found out of a machine's BMC since its agent's start, if anything was; the BMC is not asked.
    pub async fn found(&self, machine: &MachineId) -> Option<Findings> {
        self.agents.found(machine).await
    }

    /// Asks a machine's BMC now for what it tells beyond its readings; for people, and nothing of it reaches the core.
    pub async fn survey(&self, machine: &MachineId, scope: Scope) -> Result<Survey, Fault> {
        self.agents.survey(machine, scope).await
    }

    /// Switches a machine's identify light; what it reads afterwards. Nothing rests on it, so nothing is recorded of it but a line in the log.
    pub async fn identify(&self, principal: &str, machine: &MachineId, light: Light) -> Result<LightReading, Fault> {
        let action = Action::Identify { machine: machine.clone(), light };
        tracing::info!(%machine, %principal, ?light, "identify light");
        match self.agents.read_bmc(machine, action).await {
            Ok(Answer::Light { light }) => Ok(light),
            Ok(other) => Err(dark(machine, &format!("the agent answers {other:?}"))),
            Err(error) => Err(dark(machine, &error.to_string())),
        }
    }

    /// All agents, asked now, and judged by what they just said.
    pub async fn agents(&self) -> Vec<AgentView> {
        let mut views = self.agents.views().await;
        // the hellos were told before this question
        let older = self.query(|state| state.ledger.older.clone()).await.unwrap_or_default();
        for view in &mut views {
            view.older = older.get(&view.agent).cloned();
        }
        views
    }

    /// A certificate for an agent; recorded before it is handed out.
    pub async fn enroll_agent(&self, principal: String, agent: AgentId) -> Result<Bundle, Fault> {
        if !self.agents.knows(&agent) {
            return Err(Fault::new(
                1003,
                format!(
                    "no switch, storage target, boot service, unit of outlets or agent of BMCs of the estate is called `{agent}`"
                ),
                "agents bear the name of their device; `understudy agent list` shows them",
            ));
        }
        let asked = agent.clone();
        let known = self.query(move |state| state.ledger.agents.contains(&asked)).await?;
        self.intent(principal, Intent::EnrolAgent { agent: agent.clone() }).await?;
        let bundle = if known { self.authority.issue_agent_again(&agent) } else { self.authority.issue_agent(&agent) };
        bundle.map_err(|error| {
            Fault::new(1004, format!("no certificate could be made for {agent}: {error}"), "look at the controller's log")
        })
    }

    /// Seeds an agent whose memory was lost from the ledger. Who wanted it is durable before it happens.
    pub async fn readopt(&self, principal: String, agent: AgentId) -> Result<AgentHello, Fault> {
        self.intent(principal.clone(), Intent::ReadoptAgent { agent: agent.clone() }).await?;
        self.seed(principal, agent).await
    }

    /// The same, where what was recorded before says who wanted it.
    pub(crate) async fn seed(&self, principal: String, agent: AgentId) -> Result<AgentHello, Fault> {
        let asked = agent.clone();
        let seed =
            move |state: &State| (pipeline::memory::seed(state, asked.as_str()), pipeline::reseed::ports(state, asked.as_str()));
        let ((floor, entries), ports) = self.query(seed).await?;
        tracing::info!(agent = %agent, %principal, entries = entries.len(), "re-seeding an agent");
        let hello = self.agents.readopt(&agent, floor, entries, ports).await?;
        let what = What::Readopted { agent: agent.to_string(), principal };
        self.queue.send(Message::Event(what)).await.map_err(|_| gone())?;
        // whoever asked may rest on it: it is folded in
        self.query(|_| ()).await?;
        Ok(hello)
    }
}
