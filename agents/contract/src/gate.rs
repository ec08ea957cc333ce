//! The gate: decides whether a command may touch a device, and remembers durably what it must never forget: per resource the highest
//! epoch, its plan, the holder, the bar, and the commands of that epoch with their outcomes.
//!
//! It writes before it acts; it never acts on a command of a lower epoch, of another plan's epoch, of another estate, lineage or life;
//! it never lets two mutations of one resource overlap; it never takes a recorded outcome for evidence; and without a memory it can
//! trust it only observes and takes away. A lost connection never cancels a command halfway: it runs to its end in a task of its own.

pub mod clock;
mod confirm;
mod disk;
mod inner;
pub(crate) mod memory;
mod rules;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use disk::{Disk, Kept};

use crate::agent::{Client, Device, Readopt};
use crate::limits;
use async_trait::async_trait;
use inner::{Admission, Inner};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Request};
use vocabulary::{AgentBootId, AgentId, EstateUuid, Lineage};

/// How the text of a refusal begins that is worth asking again: an older operation is still in flight.
pub const BUSY: &str = "busy";

/// True if the gate refused only because something is in flight: the same command may be sent again.
pub fn is_busy(error: &AgentError) -> bool {
    matches!(error, AgentError::Refused { reason } if reason.starts_with(BUSY))
}

/// Who an agent is, and what its enrolment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The agent.
    pub agent: AgentId,
    /// The estate.
    pub estate: EstateUuid,
    /// The store's lineage at the time of enrolment; used only for a new memory.
    pub lineage: Lineage,
    /// True if the estate never had a memory of this agent: then, and only once, an absent file is a first start.
    pub fresh: bool,
    /// Names this enrolment, so that a used one can be told from a new one.
    pub enrolment: String,
    /// Where, besides next to the gate file, the use of the enrolment is marked.
    pub mark: Option<PathBuf>,
}

impl Identity {
    /// An agent inside `serve`. `fresh` comes from the journal: true only if it has no record of this gate ever having been opened.
    pub fn in_process(agent: AgentId, estate: EstateUuid, lineage: Lineage, fresh: bool) -> Identity {
        let enrolment = format!("in-process {agent} {estate} {lineage}");
        Identity { agent, estate, lineage, fresh, enrolment, mark: None }
    }
}

/// Why a gate does not open. A file whose content cannot be trusted is no reason: then it opens untrusted.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The disk said no.
    #[error("cannot {what} gate file {path}: check that the directory exists, is writable by the agent and has room")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The gate file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("gate file {path} is in use by another process: one device, one agent instance; stop the other one")]
    Locked {
        /// The gate file.
        path: PathBuf,
    },
}

/// A gate in front of one agent's devices. Clones share it.
pub struct Gate<D> {
    inner: Arc<Inner<D>>,
}

impl<D> Clone for Gate<D> {
    fn clone(&self) -> Self {
        Gate { inner: self.inner.clone() }
    }
}

/// A name for a life that begins now.
fn new_life() -> AgentBootId {
    AgentBootId(uuid::Uuid::new_v4().to_string())
}

impl<D: Device + 'static> Gate<D> {
    /// Opens the gate's file, or begins it. Blocks on the disk: called at start.
    pub fn open(path: impl AsRef<Path>, identity: Identity, device: D) -> Result<Gate<D>, GateError> {
        Gate::open_with(path, identity, device, Arc::new(clock::Monotonic::start()))
    }

    /// The same with a given clock.
    pub fn open_with(path: impl AsRef<Path>, identity: Identity, device: D, clock: Arc<dyn Clock>) -> Result<Gate<D>, GateError> {
        let files = disk::Files::hold(path.as_ref(), identity.mark.clone())?;
        Gate::open_on(Arc::new(files), identity, device, clock, new_life())
    }

    /// On a given disk, which this gate alone uses, and with a name for this life that no other life of the agent has.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        identity: Identity,
        device: D,
        clock: Arc<dyn Clock>,
        life: AgentBootId,
    ) -> Result<Gate<D>, GateError> {
        let memory = disk::open(&*disk, &identity)?;
        Ok(Gate::over(disk, memory, device, clock, life))
    }

    fn over(disk: Arc<dyn Disk>, memory: memory::Memory, device: D, clock: Arc<dyn Clock>, boot: AgentBootId) -> Gate<D> {
        let settle_until = clock.tick().saturating_add(limits::INTERRUPTED_SETTLE_MS);
        let settling = memory
            .kept
            .values()
            .filter_map(|kept| {
                let unfinished = kept.ops.iter().filter(|record| record.outcome.is_none());
                unfinished.map(|record| record.op.epoch).min().map(|epoch| (kept.resource.clone(), epoch))
            })
            .collect();
        let durable = Arc::new(tokio::sync::Mutex::new(memory.serial));
        let live = Mutex::new(inner::Live { memory, in_flight: BTreeMap::new(), settling, settle_until, reseeding: false });
        let (word, perform_max) = (tokio::sync::watch::Sender::new(None), limits::PERFORM_MAX);
        Gate { inner: Arc::new(Inner { disk, durable, live, device, clock, boot, word, perform_max }) }
    }

    /// What the gate keeps, by resource.
    pub fn entries(&self) -> Vec<GateEntry> {
        self.inner.live().memory.entries()
    }

    /// Returns once what the gate keeps may be put back: a controller knows that it is current, or none was heard for `VOUCH_PATIENCE`.
    /// Whose memory is an older copy cannot see it itself: it waits here until it is seeded, lest it serve a former holder again. So does
    /// one that knows that its memory was lost: what a driver keeps beside it may be of any age.
    pub async fn cleared(&self) {
        let current = |word: &Option<bool>| *word == Some(true);
        let mut word = self.inner.word.subscribe();
        let waited = tokio::time::timeout(limits::VOUCH_PATIENCE, word.wait_for(current)).await.map(drop);
        let not_believed = word.borrow().is_some() || !self.trusted();
        match waited {
            Ok(()) => {}
            Err(_) if not_believed => drop(word.wait_for(current).await),
            Err(_) => tracing::warn!("no controller says whether this memory is current: what it says is put back now"),
        }
    }

    /// True while a controller says that the memory is an older copy.
    pub fn held_for_older(&self) -> bool {
        *self.inner.word.borrow() == Some(false)
    }

    /// What an agent does beside serving, for ever: puts back what the gate keeps once that is cleared, stops it while a controller says
    /// that it is older, and puts it back again when that is over.
    pub async fn keep_put_back(&self) {
        let mut word = self.inner.word.subscribe();
        loop {
            self.cleared().await;
            match self.restore().await {
                Ok(()) => tracing::info!("what was set before stands again"),
                Err(error) => tracing::warn!(%error, "not everything could be put back yet; it is tried again"),
            }
            // the sender lives as long as this gate
            drop(word.wait_for(|word| *word == Some(false)).await.map(drop));
            tracing::error!(
                "a controller says that this memory is an older copy: nothing is put back by it any more until `agent readopt`"
            );
            self.inner.device.suspend();
        }
    }

    /// Hands what each device was last set to, or is to be kept at, to the driver. An agent calls this once it is `cleared`.
    /// No command is admitted meanwhile, and none is in flight: what one sets must not be put back to what was before it.
    pub async fn restore(&self) -> Result<(), AgentError> {
        let standing = loop {
            match self.inner.begin_putting_back() {
                Some(standing) => break standing,
                None => tokio::time::sleep(limits::PUT_BACK_PAUSE).await,
            }
        };
        let done = tokio::time::timeout(self.inner.perform_max, self.inner.device.restore(&standing)).await;
        self.inner.live().reseeding = false;
        done.unwrap_or_else(|_| Err(AgentError::Unreachable { reason: "the device did not take it in time".to_owned() }))
    }

    /// True if the memory may be trusted: only then does the agent grant.
    pub fn trusted(&self) -> bool {
        self.inner.live().memory.trusted
    }

    /// The device behind the gate, for its own background work (watching bars). Whoever mutates it past the gate breaks the gate.
    pub fn device(&self) -> &D {
        &self.inner.device
    }

    async fn hello(&self) -> AgentHello {
        let serial = self.inner.live().memory.serial;
        // What is told must be durable: an agent that cannot write tells it, but is not to be relied on.
        let durable = self.inner.persist(serial).await.is_ok();
        let tick = self.inner.clock.tick();
        let live = self.inner.live();
        AgentHello {
            boot: self.inner.boot.clone(),
            tick,
            estate: Some(live.memory.estate.clone()),
            lineage: Some(live.memory.lineage.clone()),
            obeys: live.memory.controller.clone(),
            trusted: live.memory.trusted && durable,
            entries: live.memory.entries(),
        }
    }

    /// Reads. A reading that a plan rests on bears a token: asked of another life, or under another lineage, it is none.
    async fn read(&self, Request { token, action }: &Request) -> Result<Answer, AgentError> {
        if let Some(token) = token {
            rules::addressed(&self.inner.live().memory, &self.inner.boot, self.inner.clock.tick(), token)?;
        }
        if let Some(foreign) = action.resources().iter().find(|r| !self.inner.device.owns(r)) {
            return Err(rules::refused(format!("not mine: {} belongs to another agent", rules::name(foreign))));
        }
        match tokio::time::timeout(limits::READ_MAX, self.inner.device.perform(action)).await {
            Ok(answer) => {
                if let Some(token) = token {
                    // whose place was taken meanwhile is told nothing that he could rest on
                    rules::obeyed(&self.inner.live().memory, &token.controller)?;
                }
                answer
            }
            Err(_) => Err(AgentError::Unreachable { reason: "the device did not answer in time".to_owned() }),
        }
    }

    async fn mutate(&self, request: Request) -> Result<Answer, AgentError> {
        let Request { token, action } = request;
        let token = token.ok_or_else(|| rules::refused("no token: a command that changes something needs one"))?;
        loop {
            self.inner.while_putting_back().await;
            match self.inner.admit(&token, &action).inspect_err(|refusal| inner::tell(&token, &action, refusal))? {
                Admission::Answer(answer) => return answer,
                Admission::Durably { serial, answer } => {
                    self.inner.persist(serial).await.map_err(|error| inner::not_written(&error))?;
                    return Ok(answer);
                }
                Admission::Join(ended) => return inner::outcome_of(ended).await,
                Admission::Wait(ended) => {
                    // The epoch, the expiry and everything else is asked anew once the other command has ended.
                    let _ = inner::outcome_of(ended).await;
                }
                Admission::Run { serial, before, ended } => {
                    tokio::spawn(self.inner.clone().run(serial, before, token, action));
                    return inner::outcome_of(ended).await;
                }
            }
        }
    }
}

#[async_trait]
impl<D: Device + 'static> Client for Gate<D> {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        match &request.action {
            Action::Hello => Ok(Answer::Hello(self.hello().await)),
            Action::Introduce { estate, lineage, controller, before, counter } => {
                self.inner.introduce((estate, lineage), controller, (before, *counter));
                // what is told is durable
                Ok(Answer::Hello(self.hello().await))
            }
            Action::Vouch { boot, estate, lineage, controller, current } => {
                rules::vouched(&self.inner.live().memory, &self.inner.boot, (boot, estate, lineage, controller))?;
                self.inner.word.send_replace(Some(*current));
                Ok(Answer::Done)
            }
            action if action.is_read() => self.read(&request).await,
            _ => self.mutate(request).await,
        }
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        let serial = self.inner.readopt(seed)?;
        let lost =
            |_| AgentError::Unreachable { reason: "the agent is stopping: whether it took the ledger is unknown".to_owned() };
        tokio::spawn(self.inner.clone().take_up(serial)).await.map_err(lost)??;
        // what it keeps is now what the estate's ledger says
        self.inner.word.send_replace(Some(true));
        Ok(self.hello().await)
    }
}
