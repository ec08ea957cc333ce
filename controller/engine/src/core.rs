//! The ring: one thread that steps the core, makes its records durable, and only then lets its effects out.
//! A journal that cannot be written stops effects, never watching.

use crate::agents::{Agents, Introduction};
use crate::clock::Clock;
use crate::history::History;
use crate::limits;
use crate::message::Message;
use crate::perform::perform;
use crate::retention::{Keeper, Known, Replacement, ledger_of};
use journal::chain::Head;
use journal::{Entry, Error, Held, Store};
use pipeline::effect::Command;
use pipeline::event::{Event, What};
use pipeline::record::Fact;
use pipeline::stage::Stage;
use pipeline::{Effect, Record, State, step};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{broadcast, mpsc, oneshot};
use vocabulary::request::AgentError;
use vocabulary::{Fault, Instant, OpId, PlanId, Span};

/// In a lab: how a process ends right after a failover's stage became durable, and before any of its effects.
#[derive(Clone)]
pub struct Crash {
    /// The stage.
    pub after: Stage,
    /// Ends the process as kill -9 would. Where it comes back, nothing of the process happens any more all the same.
    pub end: Arc<dyn Fn() + Send + Sync>,
}

impl Crash {
    /// Ends the program that this is.
    pub fn of_this_process(after: Stage) -> Crash {
        let end = || {
            // it cannot be refused: a process may end itself
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
        };
        Crash { after, end: Arc::new(end) }
    }
}

/// The core's thread.
pub struct Core {
    pub(crate) state: Option<State>,
    pub(crate) held: Held,
    pub(crate) head: Head,
    pub(crate) clock: Clock,
    pub(crate) agents: Arc<Agents>,
    pub(crate) queue: mpsc::Sender<Message>,
    pub(crate) revision: Arc<std::sync::atomic::AtomicU64>,
    pub(crate) broadcast: broadcast::Sender<Arc<Entry>>,
    pub(crate) history: History,
    /// Counts how often the state was folded anew: answers to commands of an earlier one are nobody's.
    pub(crate) life: u64,
    /// Set once that this process began is durable.
    pub(crate) introduction: Introduction,
    pub(crate) runtime: Runtime,
    pub(crate) crash: Option<Crash>,
    /// The process has ended as told; seen only where that is not the end of this very program.
    pub(crate) crashed: bool,
    pub(crate) replies: BTreeMap<u64, oneshot::Sender<Result<Option<PlanId>, Fault>>>,
    pub(crate) next_ticket: u64,
    pub(crate) stuck: Option<Stuck>,
    pub(crate) wake: Option<Instant>,
    pub(crate) keeper: Keeper,
}

/// A journal that could not be written: what waits for it.
pub struct Stuck {
    records: Vec<Record>,
    unsent: Vec<OpId>,
    replies: Vec<(u64, Result<Option<PlanId>, Fault>)>,
    again: tokio::time::Instant,
}

fn cannot_write() -> Fault {
    let remedy = "make room on the disk, or mend it; then ask again: watching goes on, and so will all that was begun";
    Fault::new(1104, "the journal cannot be written, so nothing is begun", remedy)
}

/// Folds a whole journal into a state, from its base on, whose digest the chain must tell. The head reached.
pub fn fold(store: &dyn Store, state: &mut State, mut each: impl FnMut(&Entry)) -> Result<Head, Error> {
    let base = store.base()?;
    let mut folded = std::mem::take(state);
    let mut untold = None;
    if let Some(base) = &base {
        folded.ledger = ledger_of(base)?;
        untold = Some(base.digest());
    }
    let head = store.replay(&base.map(|base| base.head()).unwrap_or_default(), &mut |entry| {
        each(&entry);
        if matches!(&entry.record.fact, Fact::Pruned { base, .. } if Some(base) == untold.as_ref()) {
            untold = None;
        }
        let event = Event { now: Instant(0), wall: entry.record.at, what: What::Replayed(Box::new(entry.record)) };
        folded = step(std::mem::take(&mut folded), event).0;
    })?;
    if untold.is_some() {
        return Err(Error::Broken("what stands in place of removed entries is not what was put there".to_owned()));
    }
    *state = folded;
    Ok(head)
}

impl Core {
    /// Runs until it is told to stop or nobody can tell it anything any more. It writes to the disk in between: it wants a thread of its own,
    /// or a world in which disks take no time.
    pub async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        loop {
            match tokio::time::timeout_at(self.next_wake(), receiver.recv()).await {
                Ok(None | Some(Message::Stop)) => return,
                Ok(Some(message)) => self.handle(message),
                Err(_) => self.event(What::Tick),
            }
            // a wake-up that came due while another event was handled is not lost
            if self.wake.is_some_and(|at| at <= self.clock.now()) {
                self.event(What::Tick);
            }
            self.unstick();
            self.retain();
            if self.crashed {
                return;
            }
        }
    }

    fn next_wake(&self) -> tokio::time::Instant {
        let idle = tokio::time::Instant::now() + limits::IDLE;
        self.wake.map_or(idle, |at| idle.min(self.clock.at(at)))
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Event(what) => self.event(what),
            Message::Answer { life, op, outcome, took } if life == self.life => self.event(What::Completed { op, outcome, took }),
            Message::Answer { .. } => {}
            Message::Intent { reply, .. } if self.stuck.is_some() => {
                // whoever asked may have gone
                let _ = reply.send(Err(cannot_write()));
            }
            Message::Intent { principal, intent, reply } => {
                self.next_ticket += 1;
                let ticket = self.next_ticket;
                self.replies.insert(ticket, reply);
                self.event(What::Intent { ticket, principal, intent });
            }
            Message::Query(question) => {
                if let Some(state) = &self.state {
                    question(state);
                }
            }
            Message::Stop => {}
        }
    }

    /// One turn of the ring.
    pub fn event(&mut self, what: What) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if matches!(what, What::Tick) {
            self.wake = None;
        }
        if self.crashed {
            return;
        }
        // the state is absent only while `step` runs
        let Some(state) = self.state.take() else { return };
        let (state, effects) = step(state, Event { now, wall, what });
        self.state = Some(state);
        let (mut records, mut commands, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Record(record) => records.push(*record),
                Effect::Command(command) => commands.push(*command),
                Effect::Wake(at) => self.wake = Some(self.wake.map_or(at, |already| already.min(at))),
                Effect::Reply { ticket, answer } => replies.push((ticket, answer)),
            }
        }
        self.let_out(records, commands, replies);
    }

    /// Makes records durable, then performs. The order is the law.
    pub(crate) fn let_out(
        &mut self,
        records: Vec<Record>,
        commands: Vec<Command>,
        replies: Vec<(u64, Result<Option<PlanId>, Fault>)>,
    ) {
        if let Some(stuck) = &mut self.stuck {
            stuck.records.extend(records);
            stuck.unsent.extend(commands.iter().map(|command| command.op));
            stuck.replies.extend(replies);
            if stuck.records.len() > limits::STUCK_RECORDS {
                self.forget();
            }
            return;
        }
        let appended = if records.is_empty() { Ok(()) } else { self.append(&records) };
        if let Err(error) = appended {
            tracing::error!(%error, "the journal cannot be written: effects stop, watching goes on");
            let unsent = commands.iter().map(|command| command.op).collect();
            self.wait_for_journal(records);
            self.stuck = self.stuck.take().map(|stuck| Stuck { unsent, replies, ..stuck });
            return;
        }
        self.crash_if_told(&records);
        if self.crashed {
            return;
        }
        for (ticket, answer) in replies {
            self.reply(ticket, answer);
        }
        for command in commands {
            self.runtime.spawn(perform(self.agents.clone(), self.queue.clone(), self.life, command));
        }
    }

    /// These records could not be written, and are tried again.
    pub(crate) fn wait_for_journal(&mut self, records: Vec<Record>) {
        let again = tokio::time::Instant::now() + limits::JOURNAL_AGAIN;
        self.stuck = Some(Stuck { records, unsent: Vec::new(), replies: Vec::new(), again });
    }

    fn reply(&mut self, ticket: u64, answer: Result<Option<PlanId>, Fault>) {
        if let Some(reply) = self.replies.remove(&ticket) {
            let _ = reply.send(answer);
        }
    }

    fn append(&mut self, records: &[Record]) -> Result<(), Error> {
        let before = self.head.clone();
        self.head = match self.held.store.append(&before, records) {
            Err(Error::HeadMoved { expected, found }) => self.go_on(records)?.ok_or(Error::HeadMoved { expected, found })?,
            outcome => outcome?,
        };
        let mut at = before;
        for record in records {
            if let Ok((entry, _)) = at.next(record) {
                at = Head { number: entry.number, hash: entry.hash.clone() };
                self.keep(Arc::new(entry));
            }
        }
        Ok(())
    }

    /// A failed append may have left its records in the store after all. If the chain ends with one of these, the others are appended
    /// after it, and with them all is durable. `None` if somebody else has appended.
    fn go_on(&mut self, records: &[Record]) -> Result<Option<Head>, Error> {
        let found = self.held.store.head()?;
        let (mut at, mut left) = (self.head.clone(), records);
        while let [record, rest @ ..] = left {
            let Ok((entry, _)) = at.next(record) else { return Ok(None) };
            (at, left) = (Head { number: entry.number, hash: entry.hash }, rest);
            if at == found {
                return self.held.store.append(&found, rest).map(Some);
            }
        }
        Ok(None)
    }

    /// Tells watchers of an entry that is durable.
    pub fn keep(&mut self, entry: Arc<Entry>) {
        self.history.note(entry.number, &entry.record.fact);
        self.revision.store(entry.number, std::sync::atomic::Ordering::Release);
        // nobody may be watching
        let _ = self.broadcast.send(entry);
    }

    /// Tries a journal again that could not be written. What was not sent meanwhile is known not to be done.
    fn unstick(&mut self) {
        if self.stuck.as_ref().is_none_or(|stuck| stuck.again > tokio::time::Instant::now()) {
            return;
        }
        let Some(mut stuck) = self.stuck.take() else { return };
        if self.append(&stuck.records).is_err() {
            stuck.again = tokio::time::Instant::now() + limits::JOURNAL_AGAIN;
            self.stuck = Some(stuck);
            return;
        }
        tracing::warn!("the journal can be written again");
        self.introduce_if_known();
        for (ticket, answer) in stuck.replies {
            self.reply(ticket, answer);
        }
        for op in stuck.unsent {
            let reason = "not sent: the journal could not be written".to_owned();
            self.event(What::Completed { op, outcome: Err(AgentError::Unreachable { reason }), took: Span(0) });
        }
    }

    /// Too much waits for the journal: what is not durable is forgotten, as a restart would forget it, but what is being seen is kept.
    /// Nothing that is forgotten has left, since no effect leaves before its record is durable.
    fn forget(&mut self) {
        let (Some(stuck), Some(before)) = (&mut self.stuck, self.state.take()) else { return };
        tracing::error!(
            records = stuck.records.len(),
            "the journal cannot be written for long: what was not recorded is forgotten"
        );
        let replies = std::mem::take(&mut stuck.replies);
        let (mut state, known) = (State::new(), self.head.number);
        // what a failed append has left in the store after all: nobody was told of it yet
        let mut left = Vec::new();
        let each = |entry: &Entry| {
            if entry.number > known {
                left.push(Arc::new(entry.clone()))
            }
        };
        match fold(self.held.store.as_ref(), &mut state, each) {
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read either: what is known stays as it is");
                self.state = Some(before);
            }
            Ok(head) => {
                stuck.records.clear();
                stuck.unsent.clear();
                state.watch = before.watch;
                self.life += 1;
                self.state = Some(state);
                self.head = head;
                left.into_iter().for_each(|entry| self.keep(entry));
                self.event(What::EstateLoaded(before.estate));
                if let Some(life) = before.life {
                    let controller = life.controller.clone();
                    self.event(What::Started {
                        key: life.key,
                        lab: life.lab,
                        controller: life.controller,
                        lineage: life.lineage,
                    });
                    if self.introduction.get().is_none() {
                        // what was forgotten with the rest
                        self.note(Fact::Began { controller });
                    }
                }
            }
        }
        for (ticket, _) in replies {
            self.reply(ticket, Err(cannot_write()));
        }
    }

    /// One small step towards less old records, if one is due. None while the journal cannot be written.
    pub(crate) fn retain(&mut self) {
        let Some(state) = self.state.as_ref().filter(|_| self.stuck.is_none() && self.keeper.is_due()) else { return };
        let (ledger, retention) = (&state.ledger, &state.estate.settings.retention);
        let (wall, store) = (self.clock.wall(), self.held.store.as_mut());
        if let Some(found) = self.keeper.turn(&mut Known { store, head: &self.head, retention, ledger, wall }) {
            self.replace(found);
        }
    }

    fn replace(&mut self, Replacement { base, record }: Replacement) {
        // a record is text
        let Ok((entry, line)) = self.head.next(&record) else { return };
        match self.held.store.rebase(&self.head, &base, &[line]) {
            Ok(head) => {
                self.head = head;
                self.keep(Arc::new(entry));
                self.history.forget_before(base.number);
                tracing::info!(entries = base.number, "old records were removed");
            }
            Err(error) => {
                tracing::error!(%error, "old records could not be removed, and the journal perhaps not be written");
                // it may be there after all: then it is gone on from. If it is not, no harm is done by a base that does not come
                self.wait_for_journal(vec![record.clone()]);
            }
        }
        self.event(What::Replayed(Box::new(record)));
    }

    /// Agents may hear of this process once that it began is durable: nothing in `state` is waiting for the journal any more.
    pub(crate) fn introduce_if_known(&self) {
        let Some(state) = self.state.as_ref().filter(|_| self.stuck.is_none() && self.introduction.get().is_none()) else {
            return;
        };
        if let Some((controller, before)) = state.ledger.controllers.iter().rev().cloned().collect::<Vec<_>>().split_first()
            && state.life.as_ref().is_some_and(|life| life.controller == *controller)
        {
            self.introduction.get_or_init(|| (controller.clone(), before.to_vec(), state.watch.drawn_before));
        }
    }

    /// See [`Crash`].
    fn crash_if_told(&mut self, records: &[Record]) {
        let Some(Crash { after: stage, end }) = self.crash.clone() else { return };
        let state = self.state.as_ref();
        let of_failover = |plan: &PlanId| {
            let row = state.and_then(|state| state.ledger.plans.get(plan));
            row.is_some_and(|row| row.plan.body().kind == pipeline::plan::Kind::Failover)
        };
        let reached = records.iter().any(|record| match &record.fact {
            Fact::Suspected { symptom, .. } => stage == Stage::Detect && symptom != "rebooting" && symptom != "partitioned",
            Fact::Verdict { .. } => stage == Stage::Decide,
            Fact::Entered { plan, stage: entered } => *entered == stage && of_failover(plan),
            _ => false,
        });
        if reached {
            tracing::warn!(%stage, "crashing as told");
            end();
            self.crashed = true;
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod retention_tests;

#[cfg(test)]
#[path = "core_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests;
