//! A journal whose append fails although its records are in it: what sled does where the flush after an insert fails.

use super::*;
use crate::agents::{BMC_AGENT, Ear};
use contract::gate::{Gate, Identity};
use journal::conformance::{sample, sample_meta};
use journal::sled_store::SledStore;
use journal::{Meta, Reader};
use vocabulary::estate::{Estate, StoreKind};

/// A real store whose first failing appends come to nothing but an error, with their records in it.
struct Unflushed {
    store: SledStore,
    fails: u32,
}

impl Store for Unflushed {
    fn append(&mut self, expected: &Head, records: &[Record]) -> Result<Head, Error> {
        let head = self.store.append(expected, records)?;
        if self.fails == 0 {
            return Ok(head);
        }
        self.fails -= 1;
        Err(Error::Io("flush".into()))
    }
    fn head(&self) -> Result<Head, Error> {
        self.store.head()
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
    let authority = contract::wire::Authority::open(&folder.join("authority"), estate.clone(), lineage.clone()).unwrap();
    let vantage = Arc::new(check::Checker::new(&check::VantageConfig::default()));
    let ear = Ear { queue, started: std::time::Instant::now() };
    Agents::new(estate, lineage, &Estate::default(), &authority.issue_controller().unwrap(), gate, vantage, ear).unwrap()
}

/// A core on an empty store, whose first append fails.
fn core(folder: &std::path::Path) -> Core {
    let meta = sample_meta();
    // what is held is the folder; the store in it is another
    journal::create(folder, StoreKind::Sqlite, &meta).unwrap();
    let mut held = journal::open(folder).unwrap();
    held.store = Box::new(Unflushed { store: SledStore::create(folder, &meta).unwrap(), fails: 1 });
    let (queue, _) = mpsc::channel(1);
    let agents = nobody(folder, &meta, queue.clone());
    Core {
        state: Some(State::new()),
        head: Head::default(),
        started: std::time::Instant::now(),
        agents: Arc::new(agents),
        queue,
        revision: Arc::default(),
        broadcast: broadcast::channel(64).0,
        history: History::new(held.store.reader().unwrap()),
        held,
        life: 0,
        runtime: Runtime::current(),
        crash_after: None,
        replies: BTreeMap::new(),
        next_ticket: 0,
        stuck: None,
        wake: None,
    }
}

impl Core {
    fn note_all(&mut self, numbers: std::ops::Range<u64>) {
        self.let_out(numbers.map(sample).collect(), vec![], vec![]);
    }

    fn try_again(&mut self) {
        self.stuck.as_mut().unwrap().again = std::time::Instant::now();
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
