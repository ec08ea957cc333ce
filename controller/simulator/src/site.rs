//! One world: a hall's machines, BMCs, switch, storage target and boot service, their agents, and the controller, all in one thread and one
//! time. It raises them, and offers what happens to them; it decides nothing.

use crate::agents::{AgentHost, Fault};
use crate::eyes::Eyes;
use crate::fabric::{Fabric, STORE};
use crate::hall::{BMCS, Hall, PDUS, SWITCH};
use crate::judge::{Door, Judge, Witness, roster};
use crate::life::Life;
use crate::management::Management;
use crate::plant::{self, Around, Crew, Plant, object};
use crate::store::{Copy, Platter};
use contract::agent::Client;
use contract::check::Vantage;
use contract::gate::{Gate, Identity as GateIdentity};
use contract::wire::enrol::Authority;
use engine::Handle;
use engine::agents::{Agents, BMC_AGENT, Way};
use engine::assemble::{Assembled, Flaw, Parts, assemble};
use engine::clock::{Chance, Clock};
use engine::core::Crash;
use engine::watch::Canary;
use journal::{Held, Meta};
use pipeline::State;
use pipeline::effect::Agent;
use pipeline::stage::Stage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinHandle;
use vocabulary::estate::Estate;
use vocabulary::{AgentId, ControllerLife, EstateUuid, Lineage, MachineId, Secret, WallTime};
use world::bmc::Ports;
use world::bridge::Bridge;
use world::disk::{Disk, Lock};
use world::target::Target;
use world::{Dice, Wall};

pub use crate::plant::Stand;

/// A controller that runs.
pub struct Controller {
    /// What operators use.
    pub handle: Handle,
    /// Its life.
    pub life: Life,
    /// What it sees of production.
    pub eyes: Eyes,
    /// Its store.
    pub store: Platter,
    watchers: Vec<JoinHandle<()>>,
    core: JoinHandle<()>,
    /// Of its store: it ends with this object, as that of a process ends with it.
    _lock: Lock,
}

impl Controller {
    /// Ends it in order, as SIGTERM would. Servers run on.
    pub async fn stop(self) {
        self.watchers.iter().for_each(JoinHandle::abort);
        self.handle.stop().await;
        // it ended, in order or not
        let _ = self.core.await;
        self.handle.say_farewell().await;
        self.life.kill();
    }

    /// Ends it as kill -9 would.
    pub fn kill(self) {
        self.life.kill();
        self.watchers.iter().for_each(JoinHandle::abort);
        self.core.abort();
    }
}

/// See the module.
pub struct Site {
    /// The seed.
    pub seed: u64,
    /// Its hall.
    pub hall: Hall,
    /// The hall's documents, as its equipment was raised from them.
    pub estate: Arc<Estate>,
    /// The documents that the next controller of this estate is started on.
    pub documents: Arc<Estate>,
    /// The time of day that everybody means.
    pub wall: Wall,
    /// The management network.
    pub management: Management,
    /// The switch.
    pub bridge: Bridge,
    /// The storage target.
    pub target: Target,
    /// The data network.
    pub fabric: Fabric,
    /// All machines.
    pub stands: BTreeMap<MachineId, Stand>,
    plant: Plant,
    /// The hosts of the agents: switch, storage, boot.
    pub hosts: BTreeMap<AgentId, AgentHost>,
    /// The controller's store.
    pub store: Platter,
    /// And the disk of the gate inside it.
    pub disk: Disk,
    /// By how much the controller's time of day has jumped, seconds.
    pub jumped: Arc<AtomicI64>,
    /// Who judges it all.
    pub judge: Judge,
    authority: Arc<Authority>,
    lives: u64,
}

/// The estates of a seed: that of its world, and one that has no business in it.
const FIRST: &str = "9000";
/// See [`FIRST`].
const OTHER: &str = "a000";

/// What is wrong with a hall whose names do not fit; never happens.
fn odd() -> Fault {
    "the hall has no estate".into()
}

/// Who an estate of this seed is; the group of hexadecimal digits tells it from the seed's others.
fn meta(seed: u64, group: &str) -> Meta {
    let of = if group == FIRST { format!("{seed}") } else { format!("{seed}, {group}") };
    Meta {
        estate: EstateUuid(format!("00000000-0000-4000-{group}-{seed:012x}")),
        lineage: Lineage(format!("lineage of {of}")),
        key: Secret::new(format!("key of {of}")),
        lab: true,
    }
}

impl Site {
    /// Raises everything but the controller.
    pub async fn raise(seed: u64, hall: Hall, authority: Arc<Authority>) -> Result<Site, Fault> {
        let estate = Arc::new(hall.estate().ok_or_else(odd)?);
        let wall = crate::first_day();
        let meta = meta(seed, FIRST);
        let around = Around {
            seed,
            wall: wall.clone(),
            times: hall.times.clone(),
            firmware: hall.firmware,
            address_lease: hall.address_lease,
            ports: &|_| Ports::default(),
        };
        let plant = Plant::raise(&estate, &around)?;
        let mut hosts = plant::hosts(seed, &estate, (&meta.estate, &meta.lineage))?;
        let management = Management::new(Dice::of(seed, "management"));
        for (stand, document) in plant.stands.values().zip(estate.machines.values()) {
            management.plug(document.bmc.address, &stand.bmc);
        }
        let store = Platter::new(meta);
        let Plant { bridge, target, fabric, stands, .. } = &plant;
        let machines = stands.iter().map(|(name, stand)| (name.clone(), stand.machine.clone(), stand.bmc.clone())).collect();
        let racks = estate.machines.iter().map(|(name, machine)| (name.clone(), machine.rack.clone())).collect();
        let door = Door { bridge, target, fabric, machines, store: &store, objects: plant.objects(), racks };
        let judge = Judge::attach(roster(&estate, object), door);
        hosts.values_mut().for_each(|host| host.judge = Some(judge.clone()));
        let mut site = Site {
            seed,
            hall,
            documents: estate.clone(),
            estate,
            wall,
            management,
            bridge: bridge.clone(),
            target: target.clone(),
            fabric: fabric.clone(),
            stands: stands.clone(),
            plant,
            hosts,
            store,
            disk: Disk::default(),
            jumped: Arc::default(),
            judge,
            authority,
            lives: 0,
        };
        let agents: Vec<AgentId> = site.hosts.keys().cloned().collect();
        for agent in agents {
            site.start_agent(&agent).await?;
        }
        Ok(site)
    }

    fn eyes(&self, life: Life) -> Eyes {
        Eyes::new(self.fabric.clone(), self.plant.machines.clone(), life)
    }

    /// Starts an agent's process, on whatever lies on its disk.
    pub async fn start_agent(&mut self, name: &AgentId) -> Result<(), Fault> {
        let (fabric, machines) = (self.fabric.clone(), self.plant.machines.clone());
        let eyes = move |life| -> Arc<dyn Vantage> { Arc::new(Eyes::new(fabric.clone(), machines.clone(), life)) };
        let (management, wall) = (self.management.clone(), self.wall.clone());
        let bmcs = move |life: &Life| management.outside(life, &wall);
        let crew = Crew { seed: self.seed, wall: &self.wall, eyes: &eyes, bmcs: &bmcs };
        let Some(host) = self.hosts.get_mut(name) else { return Ok(()) };
        self.plant.start_agent(host, &crew).await
    }

    /// Starts an agent's program a second time beside its process, where that lies or on a copy of all that lies there.
    pub async fn double_agent(&self, name: &AgentId, copied: bool) -> Result<AgentHost, Fault> {
        let host = self.hosts.get(name).ok_or("there is no such agent")?;
        let mut other = host.again(copied, Dice::of(self.seed, &format!("way to another {name}")));
        let (fabric, machines) = (self.fabric.clone(), self.plant.machines.clone());
        let eyes = move |life| -> Arc<dyn Vantage> { Arc::new(Eyes::new(fabric.clone(), machines.clone(), life)) };
        let (management, wall) = (self.management.clone(), self.wall.clone());
        let bmcs = move |life: &Life| management.outside(life, &wall);
        let crew = Crew { seed: self.seed, wall: &self.wall, eyes: &eyes, bmcs: &bmcs };
        self.plant.start_agent(&mut other, &crew).await?;
        Ok(other)
    }

    /// Starts the controller, on whatever lies in its store.
    pub fn start_controller(&mut self) -> Result<Controller, Fault> {
        self.start_controller_until(None)
    }

    /// The same; with a stage, it dies when a failover enters that.
    pub fn start_controller_until(&mut self, crash_after: Option<Stage>) -> Result<Controller, Fault> {
        self.judge.begins_anew();
        self.start_on(&self.store.clone(), &self.disk.clone(), crash_after)
    }

    /// Starts another one where the first lies.
    pub fn second_controller(&mut self) -> Result<Controller, Fault> {
        self.start_on(&self.store.clone(), &self.disk.clone(), None)
    }

    /// The store is lost, and made anew from a copy: with a lineage of its own, and nothing beside it. The controller must be dead.
    pub fn restore(&mut self, backup: &Copy) -> Result<(), Fault> {
        let now = WallTime(crate::wall(&self.wall).0);
        self.judge.restores(backup.len());
        self.store.restore(backup, now)?;
        self.disk = Disk::default();
        Ok(())
    }

    /// A backup is restored beside the store, which stays as it is for whoever still has it: the next controller runs on the restored one.
    pub fn restore_beside(&mut self, backup: &Copy) -> Result<(), Fault> {
        let mut store = Platter::from(backup);
        store.restore(backup, WallTime(crate::wall(&self.wall).0))?;
        self.judge.follows(store.clone(), backup.len());
        (self.store, self.disk) = (store, Disk::default());
        Ok(())
    }

    /// The store and all that lies with it are copied as they lie: the next controller runs on the copy, and whoever has the first one keeps it.
    pub fn copy_beside(&mut self) {
        let store = Platter::from(&self.store.copy());
        self.judge.follows(store.clone(), store.copy().len());
        (self.store, self.disk) = (store, self.disk.copy());
    }

    /// Starts the controller of another estate beside it: another UUID, lineage and store, nothing enrolled, and documents that name the same
    /// equipment.
    pub fn another_estate(&mut self) -> Result<Controller, Fault> {
        self.start_on(&Platter::new(meta(self.seed, OTHER)), &Disk::default(), None)
    }

    fn start_on(&mut self, store: &Platter, disk: &Disk, crash_after: Option<Stage>) -> Result<Controller, Fault> {
        let lock = disk.lock("store").ok_or_else(|| {
            let (directory, holder) = ("the store".to_owned(), format!("controller life {}", self.lives));
            journal::Error::Held { directory, holder }
        })?;
        self.lives += 1;
        let life = Life::default();
        let eyes = self.eyes(life.clone());
        let (wall, jumped) = (self.wall.clone(), self.jumped.clone());
        let shown = move || WallTime(crate::wall(&wall).0.saturating_add_signed(jumped.load(Ordering::Relaxed) * 1_000));
        let chance = Dice::of(self.seed, &format!("controller's life {}", self.lives)).between(0, u64::MAX);
        let canary = {
            let eyes = eyes.clone();
            Canary(Arc::new(move |_| {
                let eyes = eyes.clone();
                Box::pin(async move { eyes.canary().await })
            }))
        };
        let parts = Parts {
            held: Held::alone(Box::new(store.within(&life))),
            estate: self.documents.clone(),
            clock: Clock::with(shown),
            chance: Chance::of(chance),
            controller: ControllerLife(format!("controller life {}", self.lives)),
            agents: |state: &State, ear, introduction| self.agents((state, ear, introduction), (store, disk), &life, &eyes),
            authority: self.authority.clone(),
            canary,
            crash: crash_after.map(|after| {
                let life = life.clone();
                Crash { after, end: Arc::new(move || life.kill()) }
            }),
        };
        let assembled = assemble(parts).map_err(|flaw| match flaw {
            Flaw::Store(error) => Fault::from(error),
            Flaw::Other(fault) => Fault::from(fault.to_string()),
        })?;
        let watchers = assembled.watch();
        let Assembled { handle, core, receiver, .. } = assembled;
        let core = tokio::spawn(life.embody(core.run(receiver)));
        Ok(Controller { handle, life, eyes, store: store.clone(), watchers, core, _lock: lock })
    }

    fn agents(
        &self,
        (state, ear, introduction): (&State, engine::agents::Ear, engine::agents::Introduction),
        (store, disk): (&Platter, &Disk),
        life: &Life,
        eyes: &Eyes,
    ) -> Result<Agents, vocabulary::Fault> {
        let odd = |error: String| vocabulary::Fault::new(1002, error, "look at the simulator");
        let meta = journal::Store::meta(store);
        let fleet = Arc::new(::bmc::Fleet::within(self.management.outside(life, &self.wall)));
        for (id, machine) in self.documents.machines.iter().filter(|(_, machine)| machine.bmc.agent.is_none()) {
            let enrolled = state.ledger.machines.get(id).and_then(|row| row.enrolled.as_ref());
            let pin = enrolled.and_then(|enrolled| enrolled.certificate.clone());
            fleet.admit(id.clone(), &plant::door(machine, pin)).map_err(|error| odd(error.to_string()))?;
        }
        let name: AgentId = BMC_AGENT.parse().map_err(|_| odd("a name".into()))?;
        let bmc = name.clone();
        let fresh = !state.ledger.agents.contains(&name);
        let identity = GateIdentity::in_process(name, meta.estate.clone(), meta.lineage.clone(), fresh);
        let shelf = crate::disk::Shelf { disk: disk.clone(), owner: BMC_AGENT.to_owned(), life: life.clone() };
        let boot = vocabulary::AgentBootId(format!("controller life {}", self.lives));
        let ticks = Arc::new(crate::clock::Ticks::start(1_000_000));
        let gate = Gate::open_on(Arc::new(shelf), identity, fleet, ticks, boot).map_err(|error| odd(error.to_string()))?;
        let mut ways: BTreeMap<Agent, Way> = BTreeMap::new();
        // what another estate's gate lets pass nobody here has asked for, and the judge is not told that somebody has
        let of_ours = meta.estate == journal::Store::meta(&self.store).estate;
        let inner: Arc<dyn Client> = Arc::new(gate.clone());
        let way: Arc<dyn Client> = if of_ours { Arc::new(Witness::of(bmc, inner, self.judge.clone())) } else { inner };
        ways.insert(Agent::Bmc(None), (way, None));
        for (name, host) in &self.hosts {
            let address = Some(std::net::SocketAddr::from(([10, 99, 0, 9], 7443)));
            let key = match name.as_str() {
                BMCS => Agent::Bmc(Some(name.clone())),
                SWITCH => Agent::Switch(SWITCH.parse().map_err(|_| odd("a name".into()))?),
                name if PDUS.contains(&name) => Agent::Outlets(name.parse().map_err(|_| odd("a name".into()))?),
                name if name == STORE.0 => Agent::Storage(name.parse().map_err(|_| odd("a name".into()))?),
                name => Agent::Boot(name.parse().map_err(|_| odd("a name".into()))?),
            };
            ways.insert(key, (host.way.client(life.clone()), address));
        }
        let vantage = Arc::new(eyes.clone());
        Ok(Agents::new((meta.estate.clone(), meta.lineage.clone()), &self.documents, ways, gate, vantage, ear, introduction))
    }
}
