//! An engine made of its parts, whoever made those: a program from a state directory, a simulated world from its own. What happens
//! between them is the same. It starts nothing by itself and asks neither disk nor network.

use crate::agents::{Agents, BMC_AGENT, Ear, Introduction};
use crate::clock::{Chance, Clock};
use crate::core::{Core, Crash, fold};
use crate::eyes::Mouth;
use crate::handle::{Handle, Origin};
use crate::history::History;
use crate::limits;
use crate::message::Message;
use crate::polls::Polls;
use crate::retention::Keeper;
use crate::watch::{self, Canary};
use contract::wire::enrol::Authority;
use journal::{Error, Held};
use pipeline::State;
use pipeline::event::What;
use pipeline::record::{Fact, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use vocabulary::estate::Estate;
use vocabulary::{AgentId, ControllerLife, Fault};

/// What an engine is made of. `agents` is asked for them when the journal is folded, since it says which certificates are held to.
pub struct Parts<A> {
    /// The store.
    pub held: Held,
    /// The estate in force.
    pub estate: Arc<Estate>,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub chance: Chance,
    /// This process, by a name that no other has.
    pub controller: ControllerLife,
    /// The ways to the agents.
    pub agents: A,
    /// Who issues certificates.
    pub authority: Arc<Authority>,
    /// Whether a canary answers.
    pub canary: Canary,
    /// In a lab: when and how to end as kill -9 would.
    pub crash: Option<Crash>,
}

/// An engine that only has to be run.
pub struct Assembled {
    /// What the API uses.
    pub handle: Handle,
    /// The core; see [`Core::run`].
    pub core: Core,
    /// What the core is told.
    pub receiver: mpsc::Receiver<Message>,
    estate: Arc<Estate>,
    chance: Chance,
    canary: Canary,
}

/// Why it cannot be assembled.
pub enum Flaw {
    /// The store said no.
    Store(Error),
    /// Something else; it says what to do.
    Other(Fault),
}

impl From<Fault> for Flaw {
    fn from(fault: Fault) -> Flaw {
        Flaw::Other(fault)
    }
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Flaw {
        Flaw::Store(error)
    }
}

/// Folds the journal, takes the estate into force, and puts everything together. Needs a runtime around it.
pub fn assemble<A>(parts: Parts<A>) -> Result<Assembled, Flaw>
where
    A: FnOnce(&State, Ear, Introduction) -> Result<Agents, Fault>,
{
    let Parts { held, estate, clock, chance, controller, agents, authority, canary, crash } = parts;
    let meta = held.store.meta().clone();
    let mut state = State::new();
    let history = History::new(held.store.reader()?);
    let head = fold(held.store.as_ref(), &mut state, |entry| history.note(entry.number, &entry.record.fact))?;
    pipeline::reload::accept(&state.ledger, &estate)?;
    let (queue, receiver) = mpsc::channel(limits::QUEUE);
    let introduction = Introduction::default();
    let agents = Arc::new(agents(&state, Ear { queue: queue.clone(), clock: clock.clone() }, introduction.clone())?);
    let (entries, _) = broadcast::channel(limits::WATCHER_LAG);
    let first_life = state.ledger.agents.is_empty();
    let revision = Arc::new(AtomicU64::new(head.number));
    let mut core = Core {
        state: Some(state),
        held,
        head,
        clock: clock.clone(),
        agents: agents.clone(),
        queue: queue.clone(),
        revision: revision.clone(),
        broadcast: entries.clone(),
        history: history.clone(),
        life: 0,
        introduction,
        runtime: tokio::runtime::Handle::current(),
        crash,
        crashed: false,
        replies: BTreeMap::new(),
        next_ticket: 0,
        stuck: None,
        wake: None,
        keeper: Keeper::default(),
    };
    core.first_records(&estate, first_life, &controller);
    core.event(What::EstateLoaded(estate.clone()));
    core.event(What::Started { key: meta.key.clone(), lab: meta.lab, controller, lineage: meta.lineage.clone() });
    core.introduce_if_known();
    let (dropped, polls) = (Arc::default(), Arc::default());
    let files = authority.files().map_err(|error| {
        Fault::new(
            1006,
            format!("the certificate authority cannot be read: {error}"),
            "look at the state directory's `authority` folder",
        )
    })?;
    let estate_uuid = meta.estate.clone();
    let origin = Arc::new(Origin { meta, files });
    let handle =
        Handle { queue, entries, agents, authority, revision, history, dropped, polls, clock, estate: estate_uuid, origin };
    Ok(Assembled { handle, core, receiver, estate, chance, canary })
}

impl Assembled {
    /// Begins to watch, on the current runtime.
    pub fn watch(&self) -> Vec<JoinHandle<()>> {
        let handle = &self.handle;
        let mouth = Mouth { queue: handle.queue.clone(), dropped: handle.dropped.clone() };
        let polls: Arc<Polls> = handle.polls.clone();
        watch::start(&self.estate, &handle.agents, mouth, polls, self.chance.clone(), self.canary.clone())
    }
}

impl Core {
    /// The estate in force, if it changed, and the agent inside `serve`, the first time.
    fn first_records(&mut self, estate: &Estate, first_life: bool, controller: &ControllerLife) {
        let revision = estate.revisions.iter().map(|(name, hash)| format!("{name}={hash}\n")).collect::<String>();
        let mut facts = vec![Fact::Estate { revision: pipeline::plan::digest(&revision) }];
        if let (true, Ok(agent)) = (first_life, BMC_AGENT.parse::<AgentId>()) {
            facts.push(Fact::AgentEnrolled { agent });
        }
        facts.push(Fact::Began { controller: controller.clone() });
        for fact in facts {
            self.note(fact);
        }
    }

    /// Appends a fact that no event brings, before anything else happens. If the journal cannot be written, everything waits for it.
    pub(crate) fn note(&mut self, fact: Fact) {
        let record = Record { at: self.clock.wall(), fact };
        self.let_out(vec![record.clone()], vec![], vec![]);
        self.event(What::Replayed(Box::new(record)));
    }
}
