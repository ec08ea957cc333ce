//! A hall of three simulated machines, three agents on loopback, an estate and a store. It knows nothing of the engine's inside.

use crate::shelf::Shelf;
use bmc_sim::{Config as SimulatorConfig, MachineConfig, Simulator};
use contract::Gate;
use contract::wire::{self, Authority};
use engine::{Config, Handle};
use journal::chain::Head;
use journal::sqlite_store::{FILE, SqliteStore};
use journal::{Meta, Store};
use pipeline::event::Intent;
use pipeline::record::Fact;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use vocabulary::estate::StoreKind;
use vocabulary::request::GateEntry;
use vocabulary::{AgentId, EstateUuid, Lineage, Secret};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub struct Hall {
    folder: tempfile::TempDir,
    pub simulator: bmc_sim::Handle,
    pub shelf: Arc<Shelf>,
    gates: Vec<Gate<Arc<Shelf>>>,
    agents: Vec<tokio::task::JoinHandle<()>>,
}

impl Hall {
    pub async fn new() -> Hall {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let machines = (1..=3).map(|n| MachineConfig {
            uuid: format!("00000000-0000-4000-8000-00000000000{n}"),
            serial: format!("LAB000{n}"),
            ..MachineConfig::for_test(&format!("m{n}"))
        });
        let config = SimulatorConfig { machines: machines.collect(), ..SimulatorConfig::default() };
        let simulator = Simulator::start(config).await.unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let meta = Meta {
            estate: EstateUuid("5f0c8a3e-7a3b-4c52-9d3c-6a0f7a1b2c3d".into()),
            lineage: Lineage("lineage-1".into()),
            key: Secret::new("0123456789abcdef0123456789abcdef"),
            lab: true,
        };
        journal::create(&state, StoreKind::Sqlite, &meta).unwrap();
        let shelf = Arc::new(Shelf::new(state.clone()));
        let authority = Authority::open(&state.join("authority"), meta.estate.clone(), meta.lineage.clone()).unwrap();
        let (mut agents, mut gates, mut words) =
            (Vec::new(), Vec::new(), vec![("http://10.20.0.".to_owned(), "http://127.20.0.".to_owned())]);
        for (name, written) in [("sw1", "10.255.0.2:7443"), ("store1", "127.0.0.1:7444"), ("boot1", "127.0.0.1:7445")] {
            let agent: AgentId = name.parse().unwrap();
            let bundle = authority.issue_agent(&agent).unwrap();
            let gate = folder.path().join(format!("gate-{name}"));
            let identity = bundle.identity(&folder.path().join(format!("bundle-{name}")));
            let gate = Gate::open(gate, identity, shelf.clone()).unwrap();
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            words.push((written.to_owned(), listener.local_addr().unwrap().to_string()));
            gates.push(gate.clone());
            let credentials = wire::Credentials::in_memory(bundle).unwrap();
            agents.push(tokio::spawn(async move { wire::serve(listener, credentials, Arc::new(gate)).await.unwrap() }));
        }
        for n in 1..=3 {
            words.push((format!("10.254.0.1{n}:443"), simulator.address_of(&format!("m{n}")).unwrap().to_string()));
        }
        let estate = folder.path().join("estate");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/catalogue/examples/lab"), &estate, &words);
        std::fs::create_dir_all(estate.join("secrets")).unwrap();
        std::fs::write(estate.join("secrets/bmc"), "lab\n").unwrap();
        std::fs::set_permissions(estate.join("secrets/bmc"), std::fs::Permissions::from_mode(0o600)).unwrap();
        Hall { folder, simulator, shelf, gates, agents }
    }

    /// The journal's database.
    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("state").join(FILE)
    }

    /// What the agents' gates keep: the first thing that any command changes.
    pub fn entries(&self) -> Vec<GateEntry> {
        self.gates.iter().flat_map(Gate::entries).collect()
    }

    /// A controller.
    pub fn start(&self) -> engine::start::Running {
        self.try_start().unwrap()
    }

    /// Another controller, once what the one before left behind in this process has ended: its gate is held until then.
    pub async fn start_again(&self) -> engine::start::Running {
        let began = Instant::now();
        loop {
            match self.try_start() {
                Err(fault) if fault.code.0 == 1001 && began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                started => return started.unwrap(),
            }
        }
    }

    /// Edits a document, as an operator would.
    pub fn edit(&self, document: &str, was: &str, is: &str) {
        let path = self.folder.path().join("estate").join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(was), "{text}");
        std::fs::write(path, text.replace(was, is)).unwrap();
    }

    pub fn try_start(&self) -> Result<engine::start::Running, engine::Error> {
        let folder = self.folder.path();
        engine::start(&Config { state: folder.join("state"), estate: folder.join("estate"), crash_after: None })
    }

    /// Takes all machines in.
    pub async fn enrol(&self, engine: &Handle) {
        for name in ["m1", "m2", "m3"] {
            let machine = name.parse().unwrap();
            engine.intent("uid 0".into(), Intent::EnrolMachine { machine }).await.unwrap();
        }
        until("three machines are enrolled", || async {
            let done = |state: &pipeline::State| state.ledger.open_plans().count() == 0;
            engine.query(done).await.unwrap()
        })
        .await;
        let enrolled = self.facts().iter().filter(|fact| matches!(fact, Fact::Enrolled { .. })).count();
        assert_eq!(enrolled, 3, "{:?}", self.facts().last());
        until("all are seen off", || async {
            let off = |state: &pipeline::State| {
                state.watch.machines.len() == 3
                    && state.watch.machines.values().all(|watch| watch.last.as_ref().is_some_and(|(_, r)| r.all_off()))
            };
            engine.query(off).await.unwrap()
        })
        .await;
    }

    /// What is durable now.
    pub fn facts(&self) -> Vec<Fact> {
        facts(&self.folder.path().join("state"))
    }

    pub async fn end(self) {
        self.agents.iter().for_each(tokio::task::JoinHandle::abort);
        self.simulator.shutdown().await;
    }
}

/// What is durable in a store, read beside whoever writes it.
pub fn facts(state: &Path) -> Vec<Fact> {
    let store = SqliteStore::open(state).unwrap();
    let mut facts = Vec::new();
    store.replay(&Head::default(), &mut |entry| facts.push(entry.record.fact)).unwrap();
    facts
}

fn copy(from: &Path, to: &Path, words: &[(String, String)]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, words);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = words.iter().fold(text, |text, (before, after)| text.replace(before, after));
            std::fs::write(target, text).unwrap();
        }
    }
}
