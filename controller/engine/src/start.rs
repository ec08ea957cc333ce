//! From a state directory and an estate to a running engine: open, verify, fold, look again.

use crate::agents::{Agents, BMC_AGENT, Ear};
use crate::core::{Core, fold};
use crate::handle::Handle;
use crate::history::History;
use crate::message::Message;
use crate::polls::Polls;
use crate::{limits, watch};
use bmc::registry::{Door, Fleet};
use contract::gate::{Gate, Identity as GateIdentity};
use contract::wire::enrol::Authority;
use pipeline::State;
use pipeline::event::What;
use pipeline::record::{Fact, Record};
use pipeline::stage::Stage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{broadcast, mpsc};
use vocabulary::estate::Estate;
use vocabulary::power::Identity;
use vocabulary::{AgentId, Fault, WallTime};

/// Where things are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store, the gate and the authority.
    pub state: PathBuf,
    /// The estate's documents.
    pub estate: PathBuf,
    /// In a lab: end as kill -9 would when a failover enters this stage.
    pub crash_after: Option<Stage>,
}

/// Why the engine does not start. Each says what to do.
pub type Error = Fault;

/// A running engine: its handle, and how to stop it.
pub struct Running {
    /// What the API uses.
    pub handle: Handle,
    watchers: Vec<tokio::task::JoinHandle<()>>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    /// Stops watching, lets the core end, closes BMC sessions. Servers run on.
    pub async fn stop(self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
        let _ = self.handle.queue.send(Message::Stop).await;
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        self.handle.agents.close().await;
    }
}

fn store_fault(error: journal::Error, state: &Path) -> Fault {
    match &error {
        journal::Error::Held { .. } => Fault::new(
            1101,
            error.to_string(),
            "one controller a store: stop the other `understudy serve`, or use another --state",
        ),
        journal::Error::Absent(_) => {
            Fault::new(1102, error.to_string(), format!("make one with `understudy estate init DIR --state {}`", state.display()))
        }
        journal::Error::Broken(_) => {
            Fault::new(1103, error.to_string(), "do not start from it: keep the directory as it is and restore a backup")
        }
        journal::Error::HeadMoved { .. } | journal::Error::Io(_) => {
            Fault::new(1104, error.to_string(), "look at the disk: space, permissions, file system errors")
        }
    }
}

/// Loads and checks the estate; its faults are one fault here, told in full by `estate check`.
fn load_estate(folder: &Path, lab: bool) -> Result<Estate, Fault> {
    let flavor = if lab { catalogue::Flavor::Lab } else { catalogue::Flavor::Production };
    let loaded = catalogue::load_for(folder, Some(flavor));
    let first = loaded.complaints.iter().find(|complaint| complaint.severity == catalogue::Severity::Error);
    let text = first.map_or_else(String::new, |complaint| format!("; the first: {complaint}"));
    let errors = loaded.errors();
    loaded.estate.ok_or_else(|| {
        Fault::new(
            57,
            format!("the estate in {} has {errors} faults{text}", folder.display()),
            format!("`understudy estate check {}` shows all of them with their remedies", folder.display()),
        )
    })
}

/// Starts everything.
pub fn start(config: &Config) -> Result<Running, Error> {
    let held = journal::open(&config.state).map_err(|error| store_fault(error, &config.state))?;
    let meta = held.store.meta().clone();
    let crash_after = config.crash_after.filter(|_| meta.lab);
    if config.crash_after.is_some() && !meta.lab {
        return Err(Fault::new(58, "--crash-after exists only in a lab estate", "leave it out"));
    }
    let estate = Arc::new(load_estate(&config.estate, meta.lab)?);
    let mut state = State::new();
    let store_fault = |error| store_fault(error, &config.state);
    let history = History::new(held.store.reader().map_err(store_fault)?);
    let head =
        fold(held.store.as_ref(), &mut state, |entry| history.note(entry.number, &entry.record.fact)).map_err(store_fault)?;
    pipeline::reload::accept(&state.ledger, &estate)?;
    let (queue, receiver) = mpsc::channel(limits::QUEUE);
    let started = std::time::Instant::now();
    let ear = Ear { queue: queue.clone(), started };
    let agents = Arc::new(agents(config, &meta, &estate, &state, ear)?);
    let authority = authority(config, &meta)?;
    let (entries, _) = broadcast::channel(limits::WATCHER_LAG);
    let first_life = state.ledger.agents.is_empty();
    let revision = Arc::new(AtomicU64::new(head.number));
    let mut core = Core {
        state: Some(state),
        held,
        head,
        started,
        agents: agents.clone(),
        queue: queue.clone(),
        revision: revision.clone(),
        broadcast: entries.clone(),
        history: history.clone(),
        life: 0,
        runtime: tokio::runtime::Handle::current(),
        crash_after,
        replies: BTreeMap::new(),
        next_ticket: 0,
        stuck: None,
        wake: None,
    };
    core.first_records(&estate, first_life);
    core.event(What::EstateLoaded(estate.clone()));
    core.event(What::Started { key: meta.key.clone(), lab: meta.lab });
    let thread = std::thread::Builder::new()
        .name("core".to_owned())
        .spawn(move || core.run(receiver))
        .map_err(|error| Fault::new(1104, format!("no thread for the core: {error}"), "look at the machine's limits"))?;
    let dropped: Arc<AtomicU64> = Arc::default();
    let mouth = watch::Mouth { queue: queue.clone(), dropped: dropped.clone() };
    let polls: Arc<Polls> = Arc::default();
    let watchers = watch::start(&estate, &agents, mouth, polls.clone());
    let authority = Arc::new(authority);
    let handle = Handle { queue, entries, agents, authority, revision, history, dropped, polls, started, estate: meta.estate };
    Ok(Running { handle, watchers, thread })
}

impl Core {
    /// The estate in force, if it changed, and the agent inside `serve`, the first time.
    fn first_records(&mut self, estate: &Estate, first_life: bool) {
        let revision = estate.revisions.iter().map(|(name, hash)| format!("{name}={hash}\n")).collect::<String>();
        let mut facts = vec![Fact::Estate { revision: digest(&revision) }];
        if let (true, Ok(agent)) = (first_life, BMC_AGENT.parse::<AgentId>()) {
            facts.push(Fact::AgentEnrolled { agent });
        }
        for fact in facts {
            self.note(fact);
        }
    }

    /// Appends a fact that no event brings.
    fn note(&mut self, fact: Fact) {
        let at = WallTime(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        );
        let record = Record { at, fact };
        match self.held.store.append(&self.head, std::slice::from_ref(&record)) {
            Ok(head) => {
                if let Ok((entry, _)) = self.head.next(&record) {
                    self.keep(Arc::new(entry));
                }
                self.head = head;
                self.event(What::Replayed(Box::new(record)));
            }
            Err(error) => tracing::error!(%error, "the journal cannot be written"),
        }
    }
}

fn digest(text: &str) -> String {
    pipeline::plan::digest(text)
}

fn authority(config: &Config, meta: &journal::Meta) -> Result<Authority, Fault> {
    Authority::open(&config.state.join("authority"), meta.estate.clone(), meta.lineage.clone()).map_err(|error| {
        Fault::new(
            1006,
            format!("the certificate authority cannot be opened: {error}"),
            "look at the state directory's `authority` folder",
        )
    })
}

/// The agents: the BMCs behind the gate inside this process, all others over the wire.
fn agents(config: &Config, meta: &journal::Meta, estate: &Estate, state: &State, ear: Ear) -> Result<Agents, Fault> {
    let fleet = Arc::new(Fleet::new());
    for (id, machine) in &estate.machines {
        let password = catalogue::secrets::resolve(&machine.bmc.password, &config.estate)?;
        let identity = Identity { uuid: machine.uuid.clone(), serial: machine.serial.clone() };
        let enrolled = state.ledger.machines.get(id).and_then(|row| row.enrolled.as_ref());
        let pin = enrolled.and_then(|enrolled| enrolled.certificate.clone());
        let key = machine.bmc.ipmi.as_ref().and_then(|ipmi| ipmi.key.as_ref());
        let key = key.map(|key| catalogue::secrets::resolve(key, &config.estate)).transpose()?;
        let firmware = machine.hardware.firmware.clone();
        let door = Door { key, firmware, ..Door::new(machine.bmc.clone(), identity, password, pin) };
        let admitted = fleet.admit(id.clone(), &door);
        admitted.map_err(|error| {
            Fault::new(1007, format!("the BMC of {id}: {error}"), "look at the machine's `bmc` in the estate")
        })?;
    }
    let name: AgentId = BMC_AGENT.parse().map_err(|_| Fault::new(1002, "bad agent name", "report this"))?;
    let fresh = !state.ledger.agents.contains(&name);
    let identity = GateIdentity::in_process(name, meta.estate.clone(), meta.lineage.clone(), fresh);
    let gate = Gate::open(config.state.join("gate-bmc.json"), identity, fleet).map_err(|error| {
        Fault::new(
            1001,
            format!("the gate of the BMC agent: {error}"),
            "look at the state directory: permissions, space, another process",
        )
    })?;
    let vantage = Arc::new(check::Checker::new(&check::VantageConfig::default()));
    let controller = authority(config, meta)?.issue_controller().map_err(|error| {
        Fault::new(
            1006,
            format!("no certificate for the controller: {error}"),
            "look at the state directory's `authority` folder",
        )
    })?;
    Agents::new(meta.estate.clone(), meta.lineage.clone(), estate, &controller, gate, vantage, ear)
        .map_err(|error| Fault::new(1006, error.to_string(), "look at the state directory's `authority` folder"))
}
