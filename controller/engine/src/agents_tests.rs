//! Tests of what a plan may rest on: an agent that has lost its memory since it was found sound gives no evidence.

use super::*;
use async_trait::async_trait;
use contract::agent::Device;
use contract::gate::Identity;
use std::path::Path;
use vocabulary::request::Resource;
use vocabulary::{Span, VolumeId, WallTime};

/// A volume.
struct Volume;

#[async_trait]
impl Device for Volume {
    fn owns(&self, _: &Resource) -> bool {
        true
    }
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        let Action::ReadVolume { volume } = action else { panic!("{action:?}") };
        Ok(Answer::Volume(vocabulary::storage::VolumeReading {
            volume: volume.clone(),
            allowed: vec![],
            open_to_others: false,
            sessions: vec![],
            in_flight: Some(0),
            exports: 1,
            operations: None,
            persistent: true,
            read_at: WallTime(0),
        }))
    }
}

/// An agent's host: the agent there may be replaced by another life of it.
struct Host(Arc<std::sync::Mutex<Gate<Volume>>>);

#[async_trait]
impl Client for Host {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        let gate = self.0.lock().unwrap().clone();
        gate.call(request).await
    }
}

struct Nowhere;

#[async_trait]
impl Vantage for Nowhere {
    async fn run(&self, _: &vocabulary::check::Check) -> vocabulary::check::CheckOutcome {
        panic!("nothing is checked here")
    }
}

fn ids() -> (EstateUuid, Lineage) {
    (EstateUuid("estate".into()), Lineage("lineage".into()))
}

fn life(path: &Path) -> Gate<Volume> {
    let (estate, lineage) = ids();
    Gate::open(path, Identity::in_process("store1".parse().unwrap(), estate, lineage, true), Volume).unwrap()
}

fn agents(folder: &Path, host: Host) -> (Agents, mpsc::Receiver<Message>) {
    let (estate, lineage) = ids();
    let identity = Identity::in_process(BMC_AGENT.parse().unwrap(), estate.clone(), lineage.clone(), true);
    let fleet = Gate::open(folder.join("bmc"), identity, Arc::new(Fleet::new())).unwrap();
    let (queue, receiver) = mpsc::channel(64);
    let key = Agent::Storage("store1".parse().unwrap());
    let links =
        [(key, Link { client: Arc::new(host), address: None, life: Mutex::default(), renewal: renewal::Tried::default() })]
            .into();
    let ear = Ear { queue, clock: Clock::of_the_machine() };
    (
        Agents {
            estate,
            lineage,
            links,
            bmcs: BTreeMap::new(),
            fleet,
            vantage: Arc::new(Nowhere),
            ear,
            authority: None,
            introduction: Arc::new(std::sync::OnceLock::from((
                vocabulary::ControllerLife("this one".into()),
                Vec::new(),
                Epoch::default(),
            ))),
        },
        receiver,
    )
}

#[tokio::test]
async fn a_reading_of_a_life_that_lost_its_memory_since_is_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate");
    let place = Arc::new(std::sync::Mutex::new(life(&path)));
    let (agents, _told) = agents(folder.path(), Host(place.clone()));
    let agent = Agent::Storage("store1".parse().unwrap());
    let volume = VolumeId { storage: "store1".parse().unwrap(), volume: "web1-root".parse().unwrap() };
    let stamp = Stamp { plan: PlanId(Epoch(3)), step: "test", op: OpId { epoch: Epoch(3), number: 1 } };
    let read = || agents.read_for_plan(&agent, &stamp, Action::ReadVolume { volume: volume.clone() }, Duration::from_secs(5));
    assert!(read().await.is_ok(), "its life is known from here on");

    // the agent restarts, and a restart alone costs nothing
    let elsewhere = folder.path().join("elsewhere");
    *place.lock().unwrap() = life(&elsewhere);
    *place.lock().unwrap() = life(&path);
    assert!(read().await.is_ok(), "it is asked in its new life");

    // it restarts without its gate file
    *place.lock().unwrap() = life(&elsewhere);
    std::fs::remove_file(&path).unwrap();
    *place.lock().unwrap() = life(&path);
    let seen = read().await;
    assert!(matches!(&seen, Err(AgentError::Unconfirmed { .. })), "{seen:?}");
}

#[tokio::test]
async fn a_life_is_told_what_its_memory_is_worth_before_it_is_asked_for_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let gate = life(&folder.path().join("gate"));
    let (agents, mut told) = agents(folder.path(), Host(Arc::new(std::sync::Mutex::new(gate.clone()))));
    tokio::spawn(async move {
        let state = pipeline::State::new();
        while let Some(message) = told.recv().await {
            if let Message::Query(question) = message {
                question(&state);
            }
        }
    });
    let agent = Agent::Storage("store1".parse().unwrap());
    let volume = VolumeId { storage: "store1".parse().unwrap(), volume: "web1-root".parse().unwrap() };
    let stamp = Stamp { plan: PlanId(Epoch(3)), step: "test", op: OpId { epoch: Epoch(3), number: 1 } };
    let cleared = || async { tokio::time::timeout(Duration::from_millis(50), gate.cleared()).await.is_ok() };
    assert!(!cleared().await, "nobody has said anything");
    let advance = Action::AdvanceEpoch { resources: vec![Resource::Volume(volume)] };
    agents.change(&agent, &stamp, advance, Duration::from_secs(5)).await.unwrap();
    assert!(cleared().await);
}

/// A core that has confirmed epoch 3 for the volume, stepped by what the shell tells it.
fn core_that_knows(volume: &VolumeId) -> pipeline::State {
    use pipeline::event::{Event, What};
    use pipeline::record::{Fact, Raised, Record};
    let paths = vocabulary::estate::VolumePaths { paths: vec![] };
    let storage = vocabulary::estate::Storage {
        site: "lab".parse().unwrap(),
        driver: "tgt".into(),
        agent: "127.0.0.1:1".parse().unwrap(),
        vlan: vocabulary::VlanId::constant(30),
        volumes: [(volume.volume.clone(), paths)].into(),
    };
    let mut estate = Estate::default();
    estate.storages.insert(volume.storage.clone(), storage);
    let raised = Some(Raised { agent: "store1".into(), resources: vec![Resource::Volume(volume.clone())], done: true });
    let op = OpId { epoch: Epoch(3), number: 1 };
    let fact = Fact::Outcome { plan: PlanId(Epoch(3)), op, ok: true, read_back: String::new(), raised, took: Span(0) };
    let record = Record { at: WallTime(0), fact };
    let mut state = pipeline::State::new();
    for what in [What::Replayed(Box::new(record)), What::EstateLoaded(Arc::new(estate))] {
        let event = Event { now: vocabulary::Instant(0), wall: WallTime(0), what };
        state = pipeline::step(state, event).0;
    }
    state
}

#[tokio::test]
async fn a_grant_does_not_leave_for_a_life_whose_gate_is_an_older_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate");
    let place = Arc::new(std::sync::Mutex::new(life(&path)));
    let (agents, mut told) = agents(folder.path(), Host(place.clone()));
    let agent = Agent::Storage("store1".parse().unwrap());
    let volume = VolumeId { storage: "store1".parse().unwrap(), volume: "web1-root".parse().unwrap() };
    let mut state = core_that_knows(&volume);
    let core = tokio::spawn(async move {
        while let Some(message) = told.recv().await {
            match message {
                Message::Event(what) => {
                    let event = pipeline::event::Event { now: vocabulary::Instant(1), wall: WallTime(1), what };
                    state = pipeline::step(state, event).0;
                }
                Message::Query(question) => question(&state),
                _ => panic!("nothing else is told"),
            }
        }
        state
    });
    // the gate file knows nothing of epoch 3, and looks sound to its agent; the core asked for the grant before it heard of this life
    let stamp = Stamp { plan: PlanId(Epoch(4)), step: "test", op: OpId { epoch: Epoch(4), number: 1 } };
    let holder =
        vocabulary::request::Holder { server: "web1".parse().unwrap(), machine: "m3".parse().unwrap(), plan: PlanId(Epoch(4)) };
    let grant = Action::GrantVolume {
        volume,
        initiator: vocabulary::storage::InitiatorName("iqn.x".into()),
        user: "web1".into(),
        secret: vocabulary::Secret::new("0123456789abcdef"),
        holder,
    };
    // the device panics at anything but a reading
    let seen = agents.change(&agent, &stamp, grant, Duration::from_secs(5)).await;
    assert!(matches!(&seen, Err(AgentError::Refused { reason }) if reason.contains("F1008")), "{seen:?}");
    drop(agents);
    assert!(core.await.unwrap().ledger.older.contains_key("store1"));
}

/// Counts what may change something.
struct Counting(Gate<Volume>, Arc<std::sync::atomic::AtomicUsize>);

#[async_trait]
impl Client for Counting {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        self.1.fetch_add(usize::from(!request.action.is_read()), std::sync::atomic::Ordering::Relaxed);
        self.0.call(request).await
    }
}

/// A core that was started as this process, stepped by what the shell tells it.
async fn core_of(controller: &str, mut told: mpsc::Receiver<Message>) -> pipeline::State {
    use pipeline::event::{Event, What};
    let (key, lineage) = (vocabulary::Secret::new("0123456789abcdef"), ids().1);
    let started = What::Started { key, lab: true, controller: vocabulary::ControllerLife(controller.into()), lineage };
    let mut state = pipeline::State::new();
    let step = |state, what| pipeline::step(state, Event { now: vocabulary::Instant(1), wall: WallTime(1), what }).0;
    state = step(state, started);
    while let Some(message) = told.recv().await {
        match message {
            Message::Event(what) => state = step(state, what),
            Message::Query(question) => question(&state),
            _ => panic!("nothing else is told"),
        }
    }
    state
}

#[tokio::test]
async fn a_second_process_on_a_copy_is_refused_and_asks_for_nothing_from_then_on() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gate = life(&folder.path().join("gate"));
    let agent = Agent::Storage("store1".parse().unwrap());
    let volume = VolumeId { storage: "store1".parse().unwrap(), volume: "web1-root".parse().unwrap() };
    let advance = |epoch| {
        let stamp = Stamp { plan: PlanId(epoch), step: "test", op: OpId { epoch, number: 1 } };
        (stamp, Action::AdvanceEpoch { resources: vec![Resource::Volume(volume.clone())] })
    };
    let asked = |agents: &mut Agents| {
        let asked = Arc::<std::sync::atomic::AtomicUsize>::default();
        let client = Arc::new(Counting(gate.clone(), asked.clone()));
        agents.links.get_mut(&agent).unwrap().client = client;
        asked
    };
    let (mut first, told) = agents(folder.path(), Host(Arc::new(std::sync::Mutex::new(gate.clone()))));
    let (of_first, first_core) = (asked(&mut first), tokio::spawn(core_of("this one", told)));
    let (stamp, action) = advance(Epoch(1));
    first.change(&agent, &stamp, action, Duration::from_secs(5)).await.unwrap();

    // another process knows the first one, which has drawn more since that copy was made
    let (mut second, told) = agents(other.path(), Host(Arc::new(std::sync::Mutex::new(gate.clone()))));
    let before = vec![vocabulary::ControllerLife("this one".into())];
    second.introduction =
        Arc::new(std::sync::OnceLock::from((vocabulary::ControllerLife("copy".into()), before, Epoch::default())));
    let (of_second, second_core) = (asked(&mut second), tokio::spawn(core_of("copy", told)));
    let (stamp, action) = advance(Epoch(2));
    let refused = second.change(&agent, &stamp, action.clone(), Duration::from_secs(5)).await;
    assert!(matches!(&refused, Err(AgentError::Refused { reason }) if reason.contains("F0302")), "{refused:?}");
    let read = second.read_for_plan(&agent, &stamp, Action::ReadVolume { volume: volume.clone() }, Duration::from_secs(5)).await;
    assert!(matches!(&read, Err(AgentError::Foreign { .. })), "nor is it told what a plan could rest on: {read:?}");
    let count = |of: &std::sync::atomic::AtomicUsize| of.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&of_first), count(&of_second)), (1, 0));

    // were its core to ask all the same, the gate does not obey
    let life = second.life(&agent, &second.links[&agent], true, Duration::from_secs(5)).await.unwrap();
    let sent =
        call(&second.links[&agent], second.stamped(&life, &stamp, action, Duration::from_secs(5)), Duration::from_secs(5)).await;
    assert!(matches!(&sent, Err(AgentError::Foreign { .. })), "{sent:?}");
    assert_eq!(gate.entries()[0].epoch, Epoch(1));
    drop((first, second));
    assert!(first_core.await.unwrap().ledger.overruled.is_empty());
    assert_eq!(second_core.await.unwrap().ledger.overruled["store1"].rival, Some(vocabulary::ControllerLife("this one".into())));
}
