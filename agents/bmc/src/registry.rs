//! Which driver speaks which protocol, and the fleet of all BMCs behind one gate.
//! Must never hold a vendor's name or a protocol's detail: a driver costs one file and one line here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use vocabulary::estate::{Bmc as Address, BmcProtocol};
use vocabulary::power::{Identity, MachineReading};
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::{MachineId, Secret};

use crate::limits::Patience;
use crate::redfish;

/// Everything a driver needs to know of one BMC.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it is and how to speak to it. Its `password` is a reference and is not resolved here.
    pub bmc: Address,
    /// The machine that must answer: UUID and serial from the estate. Either may be empty, not both.
    pub identity: Identity,
    /// The account's password.
    pub password: Secret,
    /// SHA-256 of the certificate in hex. `None`: the one in `bmc.certificate`, or, where that says `enrol`, whatever is seen first;
    /// what was seen stands in every reading and is held to for the driver's life.
    pub pin: Option<String>,
    /// How long to wait.
    pub patience: Patience,
}

impl Door {
    /// With the usual patience.
    pub fn new(bmc: Address, identity: Identity, password: Secret, pin: Option<String>) -> Door {
        Door { bmc, identity, password, pin, patience: Patience::default() }
    }
}

/// What a driver is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To read and command exactly the expected machine.
    Act,
    /// To look who is there.
    Look,
}

/// What a look at a BMC finds; for enrolment.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it tells now; `identity` is what it says of itself, whether expected or not.
    pub reading: MachineReading,
    /// SHA-256 of its certificate in hex.
    pub certificate: String,
    /// Make, model and firmware, for people.
    pub platform: String,
    /// True if it is the expected machine.
    pub matches: bool,
}

/// A driver: what the contract asks, and an orderly end.
#[async_trait]
pub trait Driver: contract::bmc::Bmc {
    /// Looks who is there.
    async fn probe(&self) -> Result<Probe, AgentError>;
    /// Ends the session on the BMC. Dropping the driver does the same in the background, where a runtime is there to do it.
    async fn close(&self);
}

type Constructor = fn(&Door, Purpose) -> Result<Arc<dyn Driver>, AgentError>;

/// The registry: a line a driver.
fn constructor(protocol: BmcProtocol) -> Constructor {
    match protocol {
        BmcProtocol::Redfish => redfish::open,
    }
}

/// Opens the driver for a BMC; talks to nobody yet.
pub fn open(door: &Door) -> Result<Arc<dyn Driver>, AgentError> {
    constructor(door.bmc.protocol)(door, Purpose::Act)
}

/// Looks once who answers at an address, for enrolment: reading, certificate and whether it is the expected machine. Sends no command.
pub async fn probe(door: &Door) -> Result<Probe, AgentError> {
    let driver = constructor(door.bmc.protocol)(door, Purpose::Look)?;
    let found = driver.probe().await;
    driver.close().await;
    found
}

/// All BMCs of one agent, by machine. Machines come and go while it serves.
#[derive(Default)]
pub struct Fleet {
    bmcs: RwLock<BTreeMap<MachineId, Arc<dyn Driver>>>,
}

impl Fleet {
    /// A fleet without machines.
    pub fn new() -> Fleet {
        Fleet::default()
    }

    /// Takes a machine in, or takes it in anew (other address, credentials or certificate): the old session is ended.
    pub fn admit(&self, machine: MachineId, door: &Door) -> Result<(), AgentError> {
        let driver = open(door)?;
        let before = self.write().insert(machine, driver);
        drop(before);
        Ok(())
    }

    /// Lets a machine go; its session is ended.
    pub fn dismiss(&self, machine: &MachineId) {
        let gone = self.write().remove(machine);
        drop(gone);
    }

    /// The machines in it.
    pub fn machines(&self) -> Vec<MachineId> {
        self.read().keys().cloned().collect()
    }

    /// The driver of one machine.
    pub fn driver(&self, machine: &MachineId) -> Option<Arc<dyn Driver>> {
        self.read().get(machine).cloned()
    }

    /// Ends every session, all at once; the fleet is empty afterwards.
    pub async fn close(&self) {
        let drivers = std::mem::take(&mut *self.write());
        futures::future::join_all(drivers.values().map(|driver| driver.close())).await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<MachineId, Arc<dyn Driver>>> {
        self.bmcs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<MachineId, Arc<dyn Driver>>> {
        self.bmcs.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, machine: &MachineId) -> Result<Arc<dyn Driver>, AgentError> {
        self.driver(machine).ok_or_else(|| AgentError::Refused {
            reason: format!(
                "this agent has no BMC of machine {machine}; is the machine in the estate, and its `bmc` with this agent?"
            ),
        })
    }
}

#[async_trait]
impl contract::Device for Fleet {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Machine(machine) if self.read().contains_key(machine))
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        let reading = match action {
            Action::ReadMachine { machine } => self.of(machine)?.read().await,
            Action::PowerOff { machine } => self.of(machine)?.power_off().await,
            Action::PowerOn { machine } => self.of(machine)?.power_on().await,
            Action::ShutDown { machine } => self.of(machine)?.shut_down().await,
            Action::SetBootTarget { machine, target } => self.of(machine)?.set_boot_target(*target).await,
            Action::SetRestorePolicyOff { machine } => self.of(machine)?.set_restore_policy_off().await,
            _ => Err(AgentError::Refused { reason: "this agent owns machines' BMCs and nothing else".into() }),
        };
        reading.map(Answer::Machine)
    }
}
