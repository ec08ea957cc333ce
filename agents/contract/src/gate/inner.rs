//! The gate at work: admits a command, makes its intent durable, lets the driver act, records how it ended. It never holds its lock
//! across a wait, and never lets a command go before its intent is on disk.

use super::confirm;
use super::disk::{Disk, Kept};
use super::memory::{Memory, OpRecord, sha256_hex};
use super::rules::{self, Recorded, name, refused};
use super::{BUSY, Clock};
use crate::agent::{Device, Readopt, Standing};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use vocabulary::request::{Action, AgentError, Answer, Holder, Resource, Token};
use vocabulary::{AgentBootId, ControllerLife, Epoch, EstateUuid, Lineage, OpId, Secret};

/// How a command ended; `None` while it runs.
pub(crate) type Ended = watch::Receiver<Option<Result<Answer, AgentError>>>;

pub(crate) struct Inner<D> {
    pub disk: Arc<dyn Disk>,
    /// The newest serial that is on disk. Whoever holds it writes for all who wait: one write makes all changes up to then durable.
    pub durable: Arc<tokio::sync::Mutex<u64>>,
    pub live: Mutex<Live>,
    pub device: D,
    pub clock: Arc<dyn Clock>,
    pub boot: AgentBootId,
    /// What a controller last said of this life's memory: true if it is current, `None` if none has said anything.
    pub word: watch::Sender<Option<bool>>,
    /// How long a driver is waited for: `limits::PERFORM_MAX`.
    pub perform_max: Duration,
}

pub(crate) struct Live {
    pub memory: Memory,
    pub in_flight: BTreeMap<Resource, InFlight>,
    /// Resources on which a command was left unfinished, by an earlier life or by a driver that hung, with its epoch.
    pub settling: BTreeMap<Resource, Epoch>,
    /// Until this tick the device may still be working on it.
    pub settle_until: u64,
    /// The driver takes up the ledger, or puts back what it says: no command is admitted meanwhile.
    pub reseeding: bool,
}

#[derive(Clone)]
pub(crate) struct InFlight {
    op: OpId,
    digest: String,
    epoch: Epoch,
    ended: Ended,
    tell: Arc<watch::Sender<Option<Result<Answer, AgentError>>>>,
}

/// What becomes of a command that passed the questions.
pub(crate) enum Admission {
    /// It ended before; this is how.
    Answer(Result<Answer, AgentError>),
    /// The memory changed; this is the answer once the change is durable.
    Durably { serial: u64, answer: Answer },
    /// The same command is running: its outcome is the answer.
    Join(Ended),
    /// Another command of the same plan is running: ask again when it ended.
    Wait(Ended),
    /// Run it once its intent is durable.
    Run { serial: u64, before: Before, ended: Ended },
}

/// Holder and bar of each resource before the command was taken into memory.
pub(crate) type Before = BTreeMap<Resource, (Option<Holder>, Option<Epoch>)>;

/// The memory could not be made durable, so nothing was done.
pub(crate) fn not_written(error: &io::Error) -> AgentError {
    tracing::error!(%error, "gate file cannot be written: refusing every command");
    refused(format!("the agent cannot write its gate file ({error}): free its disk or mend it, then retry"))
}

/// So much of what a peer wrote is told in a log.
const TOLD_CHARS: usize = 64;
/// So many resources of one refused command are told.
const TOLD_RESOURCES: usize = 3;

/// Whoever reads this agent's log must find that somebody else commands it: another estate, another store, or one that time has passed.
pub(crate) fn tell(token: &Token, action: &Action, refusal: &AgentError) {
    if matches!(refusal, AgentError::LowerEpoch { .. } | AgentError::Foreign { .. }) {
        let Token { estate, plan, step, op, .. } = token;
        let head = |text: &str| text.chars().take(TOLD_CHARS).collect::<String>();
        let (estate, step, resources) = (head(&estate.to_string()), head(step), action.resources());
        let some = resources.get(..TOLD_RESOURCES).unwrap_or(&resources);
        tracing::warn!(estate, %plan, step, %op, resources = ?some, of = resources.len(), reason = %refusal, "not obeyed");
    }
}

/// Waits for a command's outcome.
pub(crate) async fn outcome_of(mut ended: Ended) -> Result<Answer, AgentError> {
    let lost = || AgentError::Unreachable { reason: "the agent is stopping: whether it happened is unknown".to_owned() };
    match ended.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(lost())),
        Err(_) => Err(lost()),
    }
}

/// SHA-256 of an action without its secrets.
fn digest(action: &Action) -> String {
    let mut bare = action.clone();
    match &mut bare {
        Action::GrantVolume { secret, .. } => *secret = Secret::new(""),
        Action::GrantPermit { permit } => permit.root.secret = Secret::new(""),
        _ => {}
    }
    sha256_hex(&serde_json::to_vec(&bare).unwrap_or_default())
}

impl<D> Inner<D> {
    /// The live state. A poisoned lock is taken over: every change below is complete before the next fallible line.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once everything up to this serial is on disk.
    pub async fn persist(&self, serial: u64) -> io::Result<()> {
        let mut durable = self.durable.clone().lock_owned().await;
        if *durable >= serial {
            return Ok(());
        }
        let (bytes, newest) = {
            let live = self.live();
            (live.memory.encode()?, live.memory.serial)
        };
        let disk = self.disk.clone();
        // The turn to write goes along: a caller that gives up while the disk works must not let another write overtake this one.
        let write = async move {
            disk.replace_beside(Kept::Memory, bytes).await?;
            *durable = newest;
            Ok(())
        };
        tokio::spawn(write).await.map_err(io::Error::other)?
    }
}

impl<D: Device> Inner<D> {
    /// What is to be put back, and from here on no command is admitted; `None` while one is in flight.
    pub fn begin_putting_back(&self) -> Option<Vec<Standing>> {
        let mut live = self.live();
        if !live.in_flight.is_empty() || live.reseeding {
            return None;
        }
        live.reseeding = true;
        Some(live.memory.standing())
    }

    /// A command that comes while the driver puts back what was set waits a moment for it.
    pub async fn while_putting_back(&self) {
        let begun = tokio::time::Instant::now();
        while self.live().reseeding && begun.elapsed() < limits::PUT_BACK_WAIT {
            tokio::time::sleep(limits::PUT_BACK_PAUSE).await;
        }
    }

    /// Asks every question of the rules and, if the answer is yes, takes the command into memory.
    pub fn admit(&self, token: &Token, action: &Action) -> Result<Admission, AgentError> {
        let tick = self.clock.tick();
        let mut live = self.live();
        live.settle(tick);
        let resources = self.resources(&live, action)?;
        rules::addressed(&live.memory, &self.boot, tick, token)?;
        for resource in &resources {
            rules::epoch(&live.memory, resource, token)?;
        }
        if live.reseeding {
            return Err(refused(format!("{BUSY}: the agent takes the ledger up; ask again")));
        }
        if matches!(action, Action::AdvanceEpoch { .. }) {
            return Ok(live.advance(&resources, token, tick));
        }
        let digest = digest(action);
        for resource in &resources {
            if let Some(admission) = live.occupied(resource, token, &digest, tick)? {
                return Ok(admission);
            }
        }
        for resource in &resources {
            match rules::recorded(live.memory.kept.get(resource), token, &digest)? {
                Recorded::Ended(outcome) => return Ok(Admission::Answer(outcome)),
                Recorded::New => {}
            }
        }
        let older = *self.word.borrow() == Some(false);
        if (!live.memory.trusted || older) && !action.takes_away() {
            return Err(refused(
                "untrusted: this agent's memory is empty, lost or an older copy, it only observes and revokes until `agent readopt`",
            ));
        }
        for resource in &resources {
            rules::bar_and_holder(live.memory.kept.get(resource), resource, token, action)?;
        }
        Ok(live.begin(&resources, token, action, digest))
    }

    /// The resources of an action, each once, all of them ours.
    fn resources(&self, live: &Live, action: &Action) -> Result<BTreeSet<Resource>, AgentError> {
        let resources: BTreeSet<Resource> = action.resources().into_iter().collect();
        if resources.is_empty() {
            return Err(refused("no resource named: an empty list is never all"));
        }
        if resources.len() > limits::RESOURCES_PER_REQUEST_MAX {
            return Err(refused(format!("too many resources in one request: at most {}", limits::RESOURCES_PER_REQUEST_MAX)));
        }
        if let Some(foreign) = resources.iter().find(|r| !self.device.owns(r)) {
            return Err(refused(format!("not mine: {} belongs to another agent", name(foreign))));
        }
        let new = resources.iter().filter(|r| !live.memory.kept.contains_key(*r)).count();
        if live.memory.kept.len() + new > limits::RESOURCES_MAX {
            return Err(refused(format!("this gate keeps {} resources already", limits::RESOURCES_MAX)));
        }
        Ok(resources)
    }

    /// Runs an admitted command: intent on disk, then the driver, then the outcome on disk, then the answer.
    pub async fn run(self: Arc<Self>, serial: u64, before: Before, token: Token, action: Action)
    where
        D: 'static,
    {
        let outcome = match self.persist(serial).await {
            Ok(()) => self.perform(&token, &action).await,
            Err(error) => Err(not_written(&error)),
        };
        let outcome = if outcome.as_ref().is_err_and(AgentError::is_refusal) {
            self.live().undo(&before, token.op);
            outcome
        } else {
            let serial = self.live().record(&before, token.op, &action, &outcome);
            match self.persist(serial).await {
                Ok(()) => outcome,
                Err(error) => self.unrecorded(&before, token.op, &action, outcome, &error),
            }
        };
        self.end(&before, token.op, outcome);
    }

    /// The outcome is known but not on disk. What the device said stays true; a lifted bar does not stay lifted.
    fn unrecorded(
        &self,
        before: &Before,
        op: OpId,
        action: &Action,
        outcome: Result<Answer, AgentError>,
        error: &io::Error,
    ) -> Result<Answer, AgentError> {
        let refusal = not_written(error);
        if matches!(action, Action::LiftBar { .. }) && outcome.is_ok() {
            self.live().undo(before, op);
            return Err(refusal);
        }
        outcome
    }

    /// Lets the driver act in a task of its own, so that neither a panic nor a hang of it takes the gate along.
    async fn perform(self: &Arc<Self>, token: &Token, action: &Action) -> Result<Answer, AgentError>
    where
        D: 'static,
    {
        if matches!(action, Action::LiftBar { .. }) {
            return Ok(Answer::Done);
        }
        tracing::info!(plan = %token.plan, step = %token.step, op = %token.op, resources = ?action.resources(), "acting");
        let (inner, command) = (self.clone(), action.clone());
        let task = tokio::spawn(async move {
            if let Action::GrantVolume { volume, initiator, .. } = &command {
                inner.cut_off(volume, initiator).await?;
            }
            inner.device.perform(&command).await
        });
        let abort = task.abort_handle();
        match tokio::time::timeout(self.perform_max, task).await {
            Ok(Ok(outcome)) => outcome.and_then(|answer| confirm::confirmed(action, answer)),
            Ok(Err(failed)) => {
                tracing::error!(%failed, "a driver failed inside");
                Err(AgentError::Unconfirmed { reason: "the driver failed inside the agent; read the device".to_owned() })
            }
            Err(_) => {
                abort.abort();
                self.unsettle(token.epoch, action);
                Err(AgentError::Unreachable {
                    reason: "the driver did not end in time: whether it happened is unknown".to_owned(),
                })
            }
        }
    }

    /// The driver was given up on, but the device may still be at it: to newer plans it stays busy for as long as after a restart.
    fn unsettle(&self, epoch: Epoch, action: &Action) {
        let mut live = self.live();
        live.settle_until = self.clock.tick().saturating_add(limits::INTERRUPTED_SETTLE_MS);
        for resource in action.resources() {
            live.settling.entry(resource).and_modify(|old| *old = epoch.min(*old)).or_insert(epoch);
        }
    }

    /// The storage law: a volume is granted only by an agent that has just seen that nobody else can write to it.
    async fn cut_off(
        &self,
        volume: &vocabulary::VolumeId,
        initiator: &vocabulary::storage::InitiatorName,
    ) -> Result<(), AgentError> {
        match self.device.perform(&Action::ReadVolume { volume: volume.clone() }).await? {
            Answer::Volume(reading) => confirm::only(&reading, Some(initiator))
                .map_err(|seen| refused(format!("not cut off: {seen}; revoke the volume first"))),
            _ => Err(AgentError::Unconfirmed { reason: "the driver's answer is not a volume's reading".to_owned() }),
        }
    }

    /// Takes the command out of flight and answers whoever waits for it.
    fn end(&self, before: &Before, op: OpId, outcome: Result<Answer, AgentError>) {
        let mut live = self.live();
        let mut tell = None;
        for resource in before.keys() {
            if live.in_flight.get(resource).is_some_and(|f| f.op == op) {
                tell = live.in_flight.remove(resource).map(|f| f.tell).or(tell);
            }
        }
        drop(live);
        if let Some(tell) = tell {
            tell.send_replace(Some(outcome));
        }
    }

    /// A process of a controller takes the place of one that its store knows to have come before it; of nobody else, and not where this gate
    /// knows an epoch that its store had not drawn.
    pub fn introduce(
        &self,
        (estate, lineage): (&EstateUuid, &Lineage),
        controller: &ControllerLife,
        (before, counter): (&[ControllerLife], Epoch),
    ) {
        let mut live = self.live();
        let memory = &mut live.memory;
        let highest = memory.kept.values().map(|kept| kept.epoch).max().unwrap_or_default().max(memory.floor);
        let ours = *estate == memory.estate && *lineage == memory.lineage && !controller.0.is_empty();
        let follows = memory.controller.as_ref().is_none_or(|obeyed| obeyed != controller && before.contains(obeyed));
        if ours && follows && highest <= counter {
            tracing::info!(%controller, "obeys this process of the controller from here on");
            memory.controller = Some(controller.clone());
            memory.serial += 1;
        }
    }

    /// Takes the estate's ledger into memory. Never lowers an epoch, never drops a bar.
    pub fn readopt(&self, seed: Readopt) -> Result<u64, AgentError> {
        let mut live = self.live();
        if seed.estate != live.memory.estate {
            return Err(refused("foreign estate: this agent is enrolled elsewhere"));
        }
        if seed.entries.len().max(seed.ports.len()) > limits::RESOURCES_MAX {
            return Err(refused(format!("too many entries: at most {}", limits::RESOURCES_MAX)));
        }
        let is_port =
            |action: &Action| matches!(action, Action::BarPort { .. } | Action::JoinPort { .. } | Action::ParkPort { .. });
        if !seed.ports.iter().all(is_port) {
            return Err(refused("malformed: a port stands as it is barred, joined or parked, and as nothing else"));
        }
        let named = seed.entries.iter().map(|entry| entry.resource.clone()).chain(seed.ports.iter().flat_map(Action::resources));
        if let Some(foreign) = named.into_iter().find(|resource| !self.device.owns(resource)) {
            return Err(refused(format!("not mine: {} belongs to another agent", name(&foreign))));
        }
        let highest = live.memory.kept.values().map(|kept| kept.epoch).max().unwrap_or_default().max(live.memory.floor);
        if seed.floor < highest {
            return Err(refused(format!(
                "this gate has seen {highest}, the store's counter stands at {}: the store is older than the gate; adopt it first",
                seed.floor
            )));
        }
        if !live.in_flight.is_empty() || live.reseeding {
            return Err(refused(format!("{BUSY}: a command is in flight; readopt when it ended")));
        }
        live.reseeding = true;
        let memory = &mut live.memory;
        seed.entries.into_iter().for_each(|entry| memory.adopt(entry));
        seed.ports.into_iter().for_each(|port| memory.adopt_port(port));
        memory.floor = seed.floor;
        memory.lineage = seed.lineage;
        memory.controller = seed.controller;
        memory.trusted = true;
        memory.serial += 1;
        Ok(memory.serial)
    }

    /// Makes a ledger that was taken in durable, and has the driver take up what it says: bars are kept from here on, not from the next
    /// start. A driver that fails at it is asked again by its own keeper, or at the next start.
    pub async fn take_up(self: Arc<Self>, serial: u64) -> Result<(), AgentError>
    where
        D: 'static,
    {
        let written = self.persist(serial).await.map_err(|error| not_written(&error));
        if written.is_ok() {
            let inner = self.clone();
            let task = tokio::spawn(async move {
                let standing = inner.live().memory.standing();
                inner.device.restore(&standing).await
            });
            let abort = task.abort_handle();
            match tokio::time::timeout(self.perform_max, task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::warn!(%error, "the ledger was taken, but not everything stands as it says yet"),
                Ok(Err(failed)) => tracing::error!(%failed, "a driver failed inside"),
                Err(_) => abort.abort(),
            }
        }
        self.live().reseeding = false;
        written
    }
}

impl Live {
    fn advance(&mut self, resources: &BTreeSet<Resource>, token: &Token, tick: u64) -> Admission {
        let (mut clear, mut busy) = (Vec::new(), Vec::new());
        for resource in resources {
            if self.older_in_flight(resource, token.epoch, tick) { &mut busy } else { &mut clear }.push(resource.clone());
            self.memory.kept_mut(resource).raise(token.epoch, token.plan);
        }
        self.memory.serial += 1;
        Admission::Durably { serial: self.memory.serial, answer: Answer::Advanced { clear, busy } }
    }

    fn older_in_flight(&self, resource: &Resource, epoch: Epoch, tick: u64) -> bool {
        let running = self.in_flight.get(resource).is_some_and(|f| f.epoch < epoch);
        let settling = tick < self.settle_until && self.settling.get(resource).is_some_and(|old| *old < epoch);
        running || settling
    }

    /// Is another command in the way, or this same one already running?
    fn occupied(&self, resource: &Resource, token: &Token, digest: &str, tick: u64) -> Result<Option<Admission>, AgentError> {
        if self.older_in_flight(resource, token.epoch, tick) {
            return Err(refused(format!("{BUSY}: an older operation on {} is in flight; ask again", name(resource))));
        }
        match self.in_flight.get(resource) {
            None => Ok(None),
            Some(f) if f.op != token.op => Ok(Some(Admission::Wait(f.ended.clone()))),
            Some(f) if f.digest == digest => Ok(Some(Admission::Join(f.ended.clone()))),
            Some(_) => Err(refused(format!("op {} is another command; number commands durably", token.op))),
        }
    }

    /// Takes the command into memory: its epoch, its bar and its holder stand from now on, whatever the device will say.
    fn begin(&mut self, resources: &BTreeSet<Resource>, token: &Token, action: &Action, digest: String) -> Admission {
        let (tell, ended) = watch::channel(None);
        let tell = Arc::new(tell);
        let mut before = Before::new();
        for resource in resources {
            let kept = self.memory.kept_mut(resource);
            before.insert(resource.clone(), (kept.holder.clone(), kept.barred));
            kept.raise(token.epoch, token.plan);
            kept.remember(OpRecord { op: token.op, digest: digest.clone(), outcome: None });
            if rules::bars(action) {
                // a bar bears the epoch at which it was first set: a release cuts off again what it is about to lift, at its own epoch
                kept.barred.get_or_insert(token.epoch);
            }
            if matches!(action, Action::BarPort { .. }) {
                kept.standing = Some(action.clone());
            }
            if let Some(holder) = rules::grants_to(action) {
                kept.holder = Some(holder);
            }
            let flight =
                InFlight { op: token.op, digest: digest.clone(), epoch: token.epoch, ended: ended.clone(), tell: tell.clone() };
            self.in_flight.insert(resource.clone(), flight);
        }
        self.memory.serial += 1;
        Admission::Run { serial: self.memory.serial, before, ended }
    }

    /// Nothing was done: the holder and a lifted bar are as before, and a retry is a first try. A bar that was set stays: it only forbids.
    fn undo(&mut self, before: &Before, op: OpId) {
        for (resource, (holder, barred)) in before {
            if let Some(kept) = self.memory.kept.get_mut(resource) {
                kept.holder = holder.clone();
                kept.barred = kept.barred.max(*barred);
                kept.ops.retain(|record| record.op != op);
            }
        }
        self.memory.serial += 1;
    }

    /// Records how a command ended.
    fn record(&mut self, before: &Before, op: OpId, action: &Action, outcome: &Result<Answer, AgentError>) -> u64 {
        for resource in before.keys() {
            let Some(kept) = self.memory.kept.get_mut(resource) else { continue };
            if let Some(record) = kept.ops.iter_mut().find(|record| record.op == op) {
                record.outcome = Some(outcome.clone());
            }
            if outcome.is_ok() {
                if op.epoch == kept.epoch {
                    kept.done = kept.done.map(|number| number.max(op.number));
                }
                if rules::frees(action) {
                    kept.holder = None;
                }
                if matches!(action, Action::LiftBar { .. }) {
                    kept.barred = None;
                }
                if matches!(action, Action::JoinPort { .. } | Action::ParkPort { .. }) {
                    kept.standing = Some(action.clone());
                }
            }
        }
        self.memory.serial += 1;
        self.memory.serial
    }

    /// Once the device has had its time, a command that an earlier life left unfinished is no longer in flight; how it ended stays unknown.
    fn settle(&mut self, tick: u64) {
        if tick < self.settle_until {
            return;
        }
        for resource in std::mem::take(&mut self.settling).into_keys() {
            let running = self.in_flight.get(&resource).map(|f| f.op);
            if let Some(kept) = self.memory.kept.get_mut(&resource) {
                for record in kept.ops.iter_mut().filter(|r| r.outcome.is_none() && Some(r.op) != running) {
                    record.outcome = Some(Err(rules::interrupted()));
                }
            }
        }
    }
}
