//! A journal whose append fails although its records are in it: what sled does where the flush after an insert fails.

use super::*;
use crate::agents::{BMC_AGENT, Ear};
use contract::gate::{Gate, Identity};
use journal::chain::{Base, Line};
use journal::conformance::{sample, sample_meta};
use journal::sled_store::SledStore;
use journal::{Meta, Reader};
use std::sync::atomic::{AtomicU32, Ordering};
use vocabulary::estate::StoreKind;

/// A real store whose first failing appends come to nothing but an error, with their records in it.
struct Unflushed {
    store: SledStore,
    fails: Arc<AtomicU32>,
}

impl Unflushed {
    fn answer(&self, head: Head) -> Result<Head, Error> {
        let left = self.fails.load(Ordering::Relaxed);
        self.fails.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Ok(head) } else { Err(Error::Io("flush".into())) }
    }
}

impl Store for Unflushed {
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error> {
        let head = self.store.append_lines(expected, lines)?;
        self.answer(head)
    }
    fn head(&self) -> Result<Head, Error> {
        self.store.head()
    }
    fn base(&self) -> Result<Option<Base>, Error> {
        self.store.base()
    }
    fn rebase(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<Head, Error> {
        let head = self.store.rebase(expected, base, lines)?;
        self.answer(head)
    }
    fn sweep(&mut self, limit: usize) -> Result<bool, Error> {
        self.store.sweep(limit)
    }
    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        self.store.replay(after, each)
    }
    fn meta(&self) -> &Meta {
        self.store.meta()
    }
    fn reader(&self) -> Result<Box<dyn Reader>, Error> {
        self.store.reader()
    }
}

/// No agents but the empty one inside.
fn nobody(folder: &std::path::Path, meta: &Meta, queue: mpsc::Sender<Message>) -> Agents {
    let (estate, lineage) = (meta.estate.clone(), meta.lineage.clone());
    let identity = Identity::in_process(BMC_AGENT.parse().unwrap(), estate.clone(), lineage.clone(), true);
    let gate = Gate::open(folder.join("gate"), identity, Arc::new(bmc::Fleet::new())).unwrap();
    let vantage = Arc::new(check::Checker::default());
    let ear = Ear { queue, clock: Clock::of_the_machine() };
    Agents::new((estate, lineage), &vocabulary::estate::Estate::default(), BTreeMap::new(), gate, vantage, ear, Arc::default())
}

/// A core on an empty store, whose first append fails.
pub(crate) fn core(folder: &std::path::Path) -> Core {
    core_on(folder, Arc::new(AtomicU32::new(1)))
}

/// A core on an empty store, whose next appends fail, so many.
pub(crate) fn core_on(folder: &std::path::Path, fails: Arc<AtomicU32>) -> Core {
    let meta = sample_meta();
    // what is held is the folder; the store in it is another
    journal::create(folder, StoreKind::Sqlite, &meta).unwrap();
    let mut held = journal::open(folder).unwrap();
    held.store = Box::new(Unflushed { store: SledStore::create(folder, &meta).unwrap(), fails });
    let (queue, _) = mpsc::channel(1);
    let agents = nobody(folder, &meta, queue.clone());
    Core {
        state: Some(State::new()),
        head: Head::default(),
        clock: Clock::of_the_machine(),
        agents: Arc::new(agents),
        queue,
        revision: Arc::default(),
        broadcast: broadcast::channel(64).0,
        history: History::new(held.store.reader().unwrap()),
        held,
        life: 0,
        introduction: Arc::default(),
        runtime: Runtime::current(),
        crash: None,
        crashed: false,
        replies: BTreeMap::new(),
        next_ticket: 0,
        stuck: None,
        wake: None,
        keeper: Keeper::default(),
    }
}

impl Core {
    fn note_all(&mut self, numbers: std::ops::Range<u64>) {
        self.let_out(numbers.map(sample).collect(), vec![], vec![]);
    }

    pub(crate) fn try_again(&mut self) {
        self.stuck.as_mut().unwrap().again = tokio::time::Instant::now();
        self.unstick();
        assert!(self.stuck.is_none(), "the journal can be written again");
        assert_eq!(self.head, self.held.store.head().unwrap());
        assert_eq!(self.revision.load(std::sync::atomic::Ordering::Acquire), self.head.number, "watchers are told of all");
    }
}

#[tokio::test]
async fn a_failed_append_whose_records_are_there_after_all_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = core(folder.path());
    core.note_all(0..2);
    core.note_all(2..3);
    core.try_again();
    assert_eq!(core.head.number, 3, "each record is there once");
    core.note_all(3..4);
    assert!(core.stuck.is_none() && core.head.number == 4);
}

#[tokio::test]
async fn what_is_forgotten_but_is_there_after_all_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = core(folder.path());
    core.note_all(0..2);
    core.forget();
    assert_eq!(core.head.number, 2);
    core.note_all(2..3);
    core.try_again();
    assert!(core.head.number >= 3);
}

#[tokio::test]
async fn the_first_records_of_a_life_may_fail_and_be_there_after_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = core(folder.path());
    core.note(sample(0).fact);
    core.note_all(1..2);
    core.try_again();
    assert_eq!(core.head.number, 2, "what comes later is appended after it");
}

#[tokio::test]
async fn after_it_crashed_as_told_nothing_of_it_happens_any_more() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let mut core = core(folder.path());
    core.note_all(0..1);
    core.try_again();
    let ended = Arc::new(AtomicU32::new(0));
    let counts = ended.clone();
    let end = move || {
        counts.fetch_add(1, Ordering::Relaxed);
    };
    core.crash = Some(Crash { after: Stage::Detect, end: Arc::new(end) });
    let suspected = |symptom: &str| {
        let (server, machine) = ("web1".parse().unwrap(), "m1".parse().unwrap());
        let fact = Fact::Suspected { server, machine, symptom: symptom.to_owned(), evidence: Vec::new() };
        Record { at: vocabulary::WallTime(1), fact }
    };
    core.let_out(vec![suspected("rebooting")], vec![], vec![]);
    assert_eq!((ended.load(Ordering::Relaxed), core.crashed), (0, false), "that begins no failover");
    let (reply, mut answer) = oneshot::channel();
    core.replies.insert(7, reply);
    core.let_out(vec![suspected("hung")], vec![], vec![(7, Ok(None))]);
    let durable = core.head.number;
    assert_eq!((ended.load(Ordering::Relaxed), core.crashed, durable), (1, true, 3), "durable, and then the end");
    assert!(answer.try_recv().is_err(), "nobody is answered any more");
    core.event(What::Intent {
        ticket: 8,
        principal: "uid 0".into(),
        intent: pipeline::event::Intent::EnrolAgent { agent: "sw1".parse().unwrap() },
    });
    assert_eq!(core.held.store.head().unwrap().number, durable, "and nothing is recorded");
}
