//! The agents of a simulated world, each a process with a life, a disk and a way to it: gate, device and driver are the product's, what they
//! drive is the world's. Must never keep anything over a life but what lies on the disk.

use crate::clock::Ticks;
use crate::disk::Shelf;
use crate::fabric::Fabric;
use crate::images::Images;
use crate::judge::{Judge, Witness};
use crate::life::Life;
use crate::link::Way;
use crate::outlets::SimulatedTalk;
use crate::permits::Permits;
use crate::storage::SimulatedHost;
use crate::switch::SimulatedKernel;
use ::bmc::{Door, Fleet, Outside};
use async_trait::async_trait;
use boot::desk::Desk;
use boot::device::BootDevice;
use contract::agent::Client;
use contract::check::Vantage;
use contract::gate::{Gate, GateError, Identity};
use contract::{Action, AgentError, Answer, Device, Standing};
use outlet::OutletDevice;
use outlet::snmp::{SnmpOutlets, TableName};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::device::StorageDevice;
use storage::tgt::{Tgt, TgtConfig};
use switch::device::SwitchDevice;
use switch::linux_bridge::{LinuxBridge, LinuxBridgeConfig};
use tokio::task::JoinSet;
use vocabulary::request::Resource;
use vocabulary::{AgentBootId, AgentId, EstateUuid, Lineage, MachineId};
use world::bridge::Bridge;
use world::disk::{Disk, Lock};
use world::outlet::Unit;
use world::outlet::mib::Mib;
use world::target::Target;
use world::{Dice, Wall};

/// Why an agent does not start.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Who an agent is.
#[derive(Clone)]
pub struct Passport {
    /// Its name.
    pub agent: AgentId,
    /// The estate.
    pub estate: EstateUuid,
    /// The lineage that it was enrolled under.
    pub lineage: Lineage,
}

/// A process of an agent.
struct Process {
    life: Life,
    client: Arc<dyn Client>,
    tasks: JoinSet<()>,
    /// Of its gate's memory: it ends with the process.
    _lock: Lock,
}

/// One agent's host: what outlives its processes.
pub struct AgentHost {
    /// Who it is.
    pub passport: Passport,
    /// What it keeps.
    pub disk: Disk,
    /// The way to it.
    pub way: Way,
    /// How fast its clock runs, in parts of a thousand.
    pub rate: u32,
    /// Who judges what it does.
    pub judge: Option<Judge>,
    /// True once it was enrolled again: a memory that is not there is a lost one from then on.
    enrolled_again: bool,
    lives: u32,
    process: Option<Process>,
}

impl AgentHost {
    /// Without a process.
    pub fn new(passport: Passport, dice: Dice, rate: u32) -> AgentHost {
        AgentHost {
            passport,
            disk: Disk::default(),
            way: Way::new(dice),
            rate,
            judge: None,
            enrolled_again: false,
            lives: 0,
            process: None,
        }
    }

    /// Another place for the same program, which lies on the same disk or on a copy of it; it is not started, and nobody knows the way to it.
    #[must_use]
    pub fn again(&self, copied: bool, dice: Dice) -> AgentHost {
        let disk = if copied { self.disk.copy() } else { self.disk.clone() };
        AgentHost { disk, ..AgentHost::new(self.passport.clone(), dice, self.rate) }
    }

    /// The gate's memory for oneself, as the real gate takes it before it reads.
    fn lock(&self) -> Result<Lock, Fault> {
        let path = self.shelf(&Life::default()).memory();
        let lock = self.disk.lock(&path);
        lock.ok_or_else(|| GateError::Locked { path: path.into() }.into())
    }

    fn shelf(&self, life: &Life) -> Shelf {
        Shelf { disk: self.disk.clone(), owner: self.passport.agent.to_string(), life: life.clone() }
    }

    fn identity(&self) -> Identity {
        let Passport { agent, estate, lineage } = self.passport.clone();
        let enrolment = format!("{agent} {estate} {lineage}");
        Identity { agent, estate, lineage, fresh: !self.enrolled_again, enrolment, mark: None }
    }

    fn boot(&mut self) -> AgentBootId {
        self.lives += 1;
        AgentBootId(format!("{} life {}", self.passport.agent, self.lives))
    }

    /// How many processes it has had.
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// True while its process runs, be it stopped.
    pub fn is_alive(&self) -> bool {
        self.life().is_some_and(Life::is_alive)
    }

    /// The life of its process, if it has one.
    pub fn life(&self) -> Option<&Life> {
        self.process.as_ref().map(|process| &process.life)
    }

    /// What answers requests in its process, if it has one: for a wire that is not [`Way`].
    pub fn client(&self) -> Option<Arc<dyn Client>> {
        self.process.as_ref().map(|process| process.client.clone())
    }

    /// Its disk is lost with all that it kept, and somebody has it enrolled again on an empty one.
    pub fn forget(&mut self) {
        self.disk.names().iter().for_each(|name| self.disk.lose(name));
        self.enrolled_again = true;
    }

    /// Ends its process as kill -9 would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.life.kill();
            process.tasks.abort_all();
        }
    }

    fn began(&mut self, life: Life, client: Arc<dyn Client>, (tasks, lock): (JoinSet<()>, Lock)) {
        self.kill();
        let client = match self.judge.clone() {
            Some(judge) => Arc::new(Witness::of(self.passport.agent.clone(), client, judge)),
            None => client,
        };
        self.way.serve(life.clone(), client.clone());
        // a boot service that begins serves what it kept
        if let Some(judge) = &self.judge {
            judge.look_at_permits();
        }
        self.process = Some(Process { life, client, tasks, _lock: lock });
    }
}

/// A device as its agent's process has it: whoever carries the work on, nothing of it reaches the device once the process is dead.
struct Lived<D> {
    device: D,
    life: Life,
}

#[async_trait]
impl<D: Device> Device for Lived<D> {
    fn owns(&self, resource: &Resource) -> bool {
        self.device.owns(resource)
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        self.life.live(self.device.perform(action)).await
    }

    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        self.life.live(self.device.restore(standing)).await
    }

    fn suspend(&self) {
        self.device.suspend();
    }
}

/// A switch's device beside a vantage point in its network.
struct Watching {
    device: Arc<SwitchDevice>,
    eyes: Arc<dyn Vantage>,
}

#[async_trait]
impl Device for Watching {
    fn owns(&self, resource: &Resource) -> bool {
        self.device.owns(resource)
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::RunCheck { check } => Ok(Answer::Check { outcome: self.eyes.run(check).await }),
            other => self.device.perform(other).await,
        }
    }

    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        self.device.restore(standing).await
    }

    fn suspend(&self) {
        self.device.suspend();
    }
}

/// Starts the agent of a switch, which also looks at services.
pub async fn start_switch(
    host: &mut AgentHost,
    bridge: &Bridge,
    wall: &Wall,
    eyes: &(dyn Fn(Life) -> Arc<dyn Vantage> + Sync),
) -> Result<(), Fault> {
    host.kill();
    let (life, lock) = (Life::default(), host.lock()?);
    let id: vocabulary::SwitchId = host.passport.agent.as_str().parse()?;
    let ports = bridge.ports().iter().filter(|port| port.contains('-')).filter_map(|port| port.parse().ok()).collect();
    let config = LinuxBridgeConfig { bridge: "br0".to_owned(), ports };
    let kernel = Arc::new(SimulatedKernel { bridge: bridge.clone(), wall: wall.clone() });
    let driver = Arc::new(LinuxBridge::open_on(id.clone(), config, kernel)?);
    let device = Arc::new(SwitchDevice::new(id, driver));
    let watching = Lived { device: Watching { device: device.clone(), eyes: eyes(life.clone()) }, life: life.clone() };
    let gate =
        Gate::open_on(Arc::new(host.shelf(&life)), host.identity(), watching, Arc::new(Ticks::start(host.rate)), host.boot())?;
    let mut tasks = JoinSet::new();
    let put_back = gate.clone();
    tasks.spawn(life.embody(async move { put_back.keep_put_back().await }));
    tasks.spawn(life.embody(async move { device.keep().await }));
    host.began(life, Arc::new(gate), (tasks, lock));
    Ok(())
}

/// Starts the agent of a storage target.
pub async fn start_storage(host: &mut AgentHost, target: &Target, config: TgtConfig, wall: &Wall) -> Result<(), Fault> {
    host.kill();
    let (life, lock) = (Life::default(), host.lock()?);
    let id: vocabulary::StorageId = host.passport.agent.as_str().parse()?;
    let simulated = Arc::new(SimulatedHost { target: target.clone(), wall: wall.clone() });
    let driver = Arc::new(Tgt::open_on(id.clone(), config, Box::new(host.shelf(&life)), simulated)?);
    let device = Arc::new(StorageDevice::new(id, driver));
    let lived = Lived { device: device.clone(), life: life.clone() };
    let gate =
        Gate::open_on(Arc::new(host.shelf(&life)), host.identity(), lived, Arc::new(Ticks::start(host.rate)), host.boot())?;
    let mut tasks = JoinSet::new();
    let put_back = gate.clone();
    tasks.spawn(life.embody(async move { put_back.keep_put_back().await }));
    tasks.spawn(life.embody(async move { device.keep().await }));
    host.began(life, Arc::new(gate), (tasks, lock));
    Ok(())
}

/// Starts the agent that owns the BMCs.
pub async fn start_bmcs(
    host: &mut AgentHost,
    doors: &BTreeMap<MachineId, Door>,
    outside: &(dyn Fn(&Life) -> Outside + Sync),
) -> Result<(), Fault> {
    host.kill();
    let (life, lock) = (Life::default(), host.lock()?);
    let fleet = Arc::new(Fleet::within(outside(&life)));
    for (machine, door) in doors {
        fleet.admit(machine.clone(), door)?;
    }
    let lived = Lived { device: fleet, life: life.clone() };
    let gate =
        Gate::open_on(Arc::new(host.shelf(&life)), host.identity(), lived, Arc::new(Ticks::start(host.rate)), host.boot())?;
    let mut tasks = JoinSet::new();
    let put_back = gate.clone();
    tasks.spawn(life.embody(async move { put_back.keep_put_back().await }));
    host.began(life, Arc::new(gate), (tasks, lock));
    Ok(())
}

/// Starts the agent of a power distribution unit.
pub async fn start_outlets(host: &mut AgentHost, unit: &Unit, wall: &Wall) -> Result<(), Fault> {
    host.kill();
    let (life, lock) = (Life::default(), host.lock()?);
    let id: vocabulary::PduId = host.passport.agent.as_str().parse()?;
    let talk = Arc::new(SimulatedTalk { mib: Mib::of(unit.clone()), wall: wall.clone() });
    let driver = Arc::new(SnmpOutlets::open_on(id.clone(), unit.serial(), TableName::ApcRpdu2, talk));
    let outlets = unit.outlets().into_iter().collect();
    let device = Arc::new(OutletDevice::new(id, &outlets, driver));
    let lived = Lived { device: device.clone(), life: life.clone() };
    let gate =
        Gate::open_on(Arc::new(host.shelf(&life)), host.identity(), lived, Arc::new(Ticks::start(host.rate)), host.boot())?;
    let mut tasks = JoinSet::new();
    let put_back = gate.clone();
    tasks.spawn(life.embody(async move { put_back.keep_put_back().await }));
    tasks.spawn(life.embody(async move { device.keep().await }));
    host.began(life, Arc::new(gate), (tasks, lock));
    Ok(())
}

/// Starts the boot service.
pub async fn start_boot(
    host: &mut AgentHost,
    fabric: &Fabric,
    config: boot::Config,
    dice: &Dice,
    wall: &Wall,
) -> Result<(), Fault> {
    host.kill();
    let (life, lock) = (Life::default(), host.lock()?);
    let begun = world::clock::now();
    let (random, told) = (dice.clone(), wall.clone());
    let outside = boot::Outside {
        disk: Arc::new(Permits(host.shelf(&life))),
        shelf: Arc::new(Images),
        since_boot: Arc::new(move || u64::try_from(world::clock::since(begun).as_millis()).unwrap_or(u64::MAX)),
        host_boot: format!("{}", host.lives),
        wall: Arc::new(move || crate::wall(&told)),
        random: Arc::new(move |bytes: &mut [u8]| random.fill(bytes)),
    };
    let desk = Arc::new(Desk::open_with(config, outside)?);
    let gate = Gate::open_on(
        Arc::new(host.shelf(&life)),
        host.identity(),
        BootDevice::new(desk.clone()),
        Arc::new(Ticks::start(host.rate)),
        host.boot(),
    )?;
    let agent = boot::service::Agent::begin(gate);
    let mut tasks = JoinSet::new();
    let (age, serving, begins, judge) =
        (agent.clone().keep_age(), agent.clone().keep_serving(), agent.clone(), host.judge.clone());
    tasks.spawn(life.embody(async move { drop(age.await) }));
    tasks.spawn(life.embody(async move { drop(serving.await) }));
    tasks.spawn(life.embody(async move {
        drop(begins.serve_when_cleared().await);
        if let Some(judge) = judge {
            judge.look_at_permits();
        }
    }));
    fabric.serve(life.clone(), desk);
    host.began(life, Arc::new(agent), (tasks, lock));
    Ok(())
}
