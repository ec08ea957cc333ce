//! A shelf of equipment in memory behind a gate, a store that can lose power, and short words for requests.

use crate::agent::{Client, Device, Standing};
use crate::gate::clock::Manual;
use crate::gate::disk::{self, Kept};
use crate::gate::memory::Memory;
use crate::gate::{Gate, Identity};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use vocabulary::boot::{BootMethod, Permit, PermitReading, PermitRoot};
use vocabulary::network::PortReading;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};
use vocabulary::power::{BootTarget, Identity as Box_, MachineReading, PowerState, RestorePolicy};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Holder, Request, Resource, Token};
use vocabulary::storage::{InitiatorName, Path, Session, VolumeReading};
use vocabulary::{
    AgentBootId, Epoch, EstateUuid, Lineage, MachineId, OpId, OutletId, PlanId, PortId, PortSetting, Secret, ServerId, Span,
    VlanId, VolumeId, WallTime,
};

pub const QUARANTINE: VlanId = VlanId::constant(99);
pub const PARKING: VlanId = VlanId::constant(98);
pub const PRODUCTION: VlanId = VlanId::constant(20);

pub fn machine(name: &str) -> MachineId {
    name.parse().unwrap()
}
pub fn port(name: &str) -> PortId {
    PortId { switch: "sw1".parse().unwrap(), port: name.parse().unwrap() }
}
pub fn volume() -> VolumeId {
    VolumeId { storage: "store1".parse().unwrap(), volume: "web1-root".parse().unwrap() }
}
pub fn holder(on: &str, plan: u64) -> Holder {
    Holder { server: "web1".parse().unwrap(), machine: machine(on), plan: PlanId(Epoch(plan)) }
}
pub fn initiator(plan: u64) -> InitiatorName {
    InitiatorName::of_placement(&"web1".parse::<ServerId>().unwrap(), Epoch(plan))
}

pub fn power_off() -> Action {
    Action::PowerOff { machine: machine("m1") }
}
pub fn power_on() -> Action {
    Action::PowerOn { machine: machine("m1") }
}
pub fn boot_target() -> Action {
    Action::SetBootTarget { machine: machine("m1"), target: BootTarget::Pxe }
}
pub fn bar_port() -> Action {
    Action::BarPort { port: port("p1"), quarantine: QUARANTINE }
}
pub fn park_port() -> Action {
    Action::ParkPort { port: port("p1"), parking: PARKING }
}
pub fn join_port(plan: u64) -> Action {
    Action::JoinPort { port: port("p1"), setting: PortSetting::access(PRODUCTION), holder: holder("m1", plan) }
}
pub fn revoke_volume(keep: Option<u64>) -> Action {
    Action::RevokeVolume { volume: volume(), keep: keep.map(initiator) }
}
pub fn grant_volume(on: &str, plan: u64) -> Action {
    Action::GrantVolume {
        volume: volume(),
        initiator: initiator(plan),
        user: "web1".into(),
        secret: Secret::new("chap-secret-of-web1"),
        holder: holder(on, plan),
    }
}
pub fn revoke_permit() -> Action {
    Action::RevokePermit { machine: machine("m1") }
}
pub fn grant_permit(plan: u64) -> Action {
    let permit = Permit {
        machine: machine("m1"),
        server: "web1".parse().unwrap(),
        epoch: Epoch(plan),
        plan: PlanId(Epoch(plan)),
        method: BootMethod::Kernel,
        image: "debian".parse().unwrap(),
        nics: BTreeMap::new(),
        root: PermitRoot {
            path: Path { portal: "127.0.0.1:3260".parse().unwrap(), target: "iqn".into(), lun: 1 },
            initiator: initiator(plan),
            user: "web1".into(),
            secret: Secret::new("chap-secret-of-web1"),
        },
        arguments: String::new(),
        lease: Span::seconds(60),
    };
    Action::GrantPermit { permit: Box::new(permit) }
}
pub fn advance(resources: &[Resource]) -> Action {
    Action::AdvanceEpoch { resources: resources.to_vec() }
}
pub fn lift(resource: Resource) -> Action {
    Action::LiftBar { resources: vec![resource] }
}
pub fn machine_1() -> Resource {
    Resource::Machine(machine("m1"))
}
pub fn port_1() -> Resource {
    Resource::Port(port("p1"))
}
pub fn volume_1() -> Resource {
    Resource::Volume(volume())
}
pub fn outlet() -> OutletId {
    "pdu1/7".parse().unwrap()
}
pub fn outlet_1() -> Resource {
    Resource::Outlet(outlet())
}
pub fn cut_outlet() -> Action {
    Action::CutOutlet { outlet: outlet() }
}
pub fn permit_1() -> Resource {
    Resource::Permit(machine("m1"))
}
pub fn refused(outcome: &Result<Answer, AgentError>, word: &str) -> bool {
    outcome.as_ref().is_err_and(|error| error.is_refusal() && error.to_string().contains(word))
}

#[derive(Default)]
pub struct State {
    pub on: BTreeSet<MachineId>,
    pub ports: BTreeMap<PortId, PortSetting>,
    pub allowed: Vec<InitiatorName>,
    pub sessions: Vec<Session>,
    pub permits: BTreeMap<MachineId, (ServerId, Epoch)>,
    pub cut: BTreeSet<OutletId>,
    /// Mutations that reached the equipment.
    pub acted: Vec<Action>,
    pub restored: Vec<Standing>,
    /// How often it was told to put nothing back any more.
    pub suspended: usize,
    /// What the next mutation does instead of acting.
    pub next: Option<Mishap>,
}

#[derive(Clone, Copy)]
pub enum Mishap {
    /// Says Ok with the reading of an untouched device.
    Lie,
    /// Fails inside.
    Panic,
    /// Says no.
    Reject,
}

/// The equipment. While `gate` has no permits a mutation hangs in it.
pub struct Shelf {
    pub state: Mutex<State>,
    pub door: Semaphore,
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf { state: Mutex::default(), door: Semaphore::new(Semaphore::MAX_PERMITS) }
    }
}

impl Shelf {
    pub fn acted(&self) -> usize {
        self.state.lock().unwrap().acted.len()
    }
    /// Shuts the door: mutations hang until `open`.
    pub fn shut(&self) {
        self.door.forget_permits(Semaphore::MAX_PERMITS);
    }
    pub fn open(&self) {
        self.door.add_permits(Semaphore::MAX_PERMITS);
    }
    pub fn foreign_session(&self) {
        let session = Session { initiator: InitiatorName("iqn.stranger".into()), number: 7, address: "10.0.0.9".into() };
        self.state.lock().unwrap().sessions.push(session);
    }
}

impl State {
    fn apply(&mut self, action: &Action) {
        match action.clone() {
            Action::PowerOff { machine } => {
                self.on.remove(&machine);
            }
            Action::PowerOn { machine } => {
                self.on.insert(machine);
            }
            Action::BarPort { port, quarantine: vlan } | Action::ParkPort { port, parking: vlan } => {
                self.ports.insert(port, PortSetting::access(vlan));
            }
            Action::JoinPort { port, setting, .. } => {
                self.ports.insert(port, setting);
            }
            Action::RevokeVolume { keep, .. } => {
                self.allowed.retain(|name| Some(name) == keep.as_ref());
                self.sessions.retain(|session| Some(&session.initiator) == keep.as_ref());
            }
            Action::GrantVolume { initiator, .. } => self.allowed = vec![initiator],
            Action::CutOutlet { outlet } => drop(self.cut.insert(outlet)),
            Action::FeedOutlet { outlet } => drop(self.cut.remove(&outlet)),
            Action::RevokePermit { machine } => {
                self.permits.remove(&machine);
            }
            Action::GrantPermit { permit } => {
                self.permits.insert(permit.machine.clone(), (permit.server.clone(), permit.epoch));
            }
            _ => {}
        }
    }

    fn read(&self, resource: &Resource) -> Answer {
        match resource.clone() {
            Resource::Machine(machine) => Answer::Machine(MachineReading {
                session: 1,
                identity: Box_ { uuid: "u".into(), serial: "s".into() },
                certificate: None,
                system_power: if self.on.contains(&machine) { PowerState::On } else { PowerState::Off },
                chassis_power: None,
                last_reset: None,
                boot_progress: None,
                bmc_started: None,
                restore_policy: RestorePolicy::AlwaysOff,
                health: None,
                read_at: WallTime(0),
            }),
            Resource::Port(port) => Answer::Port(PortReading {
                setting: self.ports.get(&port).cloned().unwrap_or_else(|| PortSetting::access(PARKING)),
                port,
                leaks: false,
                admin_up: true,
                link_up: true,
                learnt: BTreeSet::new(),
                frames_in: 0,
                saved: true,
                read_at: WallTime(0),
            }),
            Resource::Volume(volume) => Answer::Volume(VolumeReading {
                volume,
                allowed: self.allowed.clone(),
                open_to_others: false,
                sessions: self.sessions.clone(),
                in_flight: None,
                exports: 1,
                operations: None,
                persistent: true,
                read_at: WallTime(0),
            }),
            Resource::Permit(machine) => {
                let standing = self.permits.get(&machine).cloned();
                Answer::Permit(PermitReading { machine, standing, read_at: WallTime(0) })
            }
            Resource::Outlet(outlet) => {
                let cut = self.cut.contains(&outlet);
                let (relay, watts) = if cut { (Relay::Off, Some(0)) } else { (Relay::On, Some(240)) };
                let on_return = if cut { OnReturn::StaysOff } else { OnReturn::TurnsOn };
                Answer::Outlet(OutletReading { outlet, relay, watts, on_return, read_at: WallTime(0) })
            }
        }
    }
}

#[async_trait]
impl Device for Shelf {
    fn owns(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Machine(m) | Resource::Permit(m) => m.as_str().starts_with('m'),
            Resource::Port(p) => p.switch.as_str() == "sw1",
            Resource::Volume(v) => v.storage.as_str() == "store1",
            Resource::Outlet(o) => o.pdu.as_str() == "pdu1",
        }
    }
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        let resource = action.resources().remove(0);
        if action.is_read() {
            return Ok(self.state.lock().unwrap().read(&resource));
        }
        let mishap = self.state.lock().unwrap().next.take();
        self.door.acquire().await.unwrap().forget();
        self.door.add_permits(1);
        match mishap {
            Some(Mishap::Panic) => panic!("a driver's own fault"),
            Some(Mishap::Reject) => return Err(AgentError::Rejected { reason: "no".into() }),
            Some(Mishap::Lie) => {}
            None => self.state.lock().unwrap().apply(action),
        }
        let mut state = self.state.lock().unwrap();
        state.acted.push(action.clone());
        Ok(state.read(&resource))
    }
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        self.state.lock().unwrap().restored = standing.to_vec();
        self.door.acquire().await.unwrap().forget();
        self.door.add_permits(1);
        Ok(())
    }
    fn suspend(&self) {
        self.state.lock().unwrap().suspended += 1;
    }
}

/// A disk in memory that can fail at a chosen write, having kept the old or the new content, and is gone from then on.
#[derive(Default)]
pub struct Disk {
    pub content: Mutex<Vec<u8>>,
    pub plan: Mutex<DiskPlan>,
    /// How long a write takes.
    pub slow: Mutex<std::time::Duration>,
    writing: Mutex<()>,
}

#[derive(Default)]
pub struct DiskPlan {
    pub saves: usize,
    /// Fails from this save on; the bool says whether the failing one still reaches the disk.
    pub fails_at: Option<(usize, bool)>,
}

#[async_trait::async_trait]
impl disk::Disk for Disk {
    fn read(&self, what: Kept) -> io::Result<Option<Vec<u8>>> {
        Ok((what == Kept::Memory).then(|| self.content.lock().unwrap().clone()))
    }
    fn keep_aside(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn place(&self) -> std::path::PathBuf {
        "memory".into()
    }
    fn home(&self) -> io::Result<String> {
        Ok("here".into())
    }
    async fn replace_beside(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::task::spawn_blocking(move || disk::Disk::replace(&*self, what, &bytes)).await.map_err(io::Error::other)?
    }
    fn replace(&self, what: Kept, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(what, Kept::Memory, "nothing else is written once it is open");
        let alone = self.writing.try_lock();
        assert!(alone.is_ok(), "two writes of one gate overlap");
        std::thread::sleep(*self.slow.lock().unwrap());
        let mut plan = self.plan.lock().unwrap();
        plan.saves += 1;
        match plan.fails_at {
            Some((at, reaches)) if plan.saves >= at => {
                if reaches && plan.saves == at {
                    *self.content.lock().unwrap() = bytes.to_vec();
                }
                Err(io::Error::other("no power"))
            }
            _ => {
                *self.content.lock().unwrap() = bytes.to_vec();
                Ok(())
            }
        }
    }
}

pub fn estate() -> EstateUuid {
    EstateUuid("estate-1".into())
}
pub fn lineage() -> Lineage {
    Lineage("lineage-1".into())
}
pub fn identity(fresh: bool) -> Identity {
    Identity::in_process("sw1".parse().unwrap(), estate(), lineage(), fresh)
}

/// A gate with everything around it.
pub struct Bench {
    pub gate: Gate<Arc<Shelf>>,
    pub shelf: Arc<Shelf>,
    pub disk: Arc<Disk>,
    pub clock: Arc<Manual>,
}

impl Bench {
    pub fn new() -> Bench {
        let memory = Memory { trusted: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
        let disk = Arc::new(Disk::default());
        disk::Disk::replace(&*disk, Kept::Memory, &memory.encode().unwrap()).unwrap();
        Bench::start(Arc::new(Shelf::default()), disk)
    }

    fn start(shelf: Arc<Shelf>, disk: Arc<Disk>) -> Bench {
        let memory = Memory::decode(&disk.content.lock().unwrap()).unwrap();
        let clock = Arc::new(Manual::default());
        let gate = Gate::over(disk.clone(), memory, shelf.clone(), clock.clone(), crate::gate::new_life());
        Bench { gate, shelf, disk, clock }
    }

    /// A new life of the agent over what the disk holds. The equipment lives on.
    pub fn restart(self) -> Bench {
        *self.disk.plan.lock().unwrap() = DiskPlan::default();
        Bench::start(self.shelf, self.disk)
    }

    pub async fn hello(&self) -> AgentHello {
        match self.gate.call(Request { token: None, action: Action::Hello }).await.unwrap() {
            Answer::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    pub fn token(&self, epoch: u64, number: u64) -> Token {
        Token {
            estate: estate(),
            lineage: lineage(),
            controller: vocabulary::ControllerLife::default(),
            plan: PlanId(Epoch(epoch)),
            step: "test".into(),
            epoch: Epoch(epoch),
            op: OpId { epoch: Epoch(epoch), number },
            agent_boot: AgentBootId(self.gate.inner.boot.0.clone()),
            expires_tick: 1_000_000,
        }
    }

    /// Sends an action of the plan with this epoch.
    pub async fn send(&self, epoch: u64, number: u64, action: Action) -> Result<Answer, AgentError> {
        self.with(self.token(epoch, number), action).await
    }

    pub async fn with(&self, token: Token, action: Action) -> Result<Answer, AgentError> {
        self.gate.call(Request { token: Some(token), action }).await
    }

    pub fn entry(&self, resource: &Resource) -> Option<GateEntry> {
        self.gate.entries().into_iter().find(|entry| entry.resource == *resource)
    }
}
