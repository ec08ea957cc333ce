//! Which driver speaks which protocol, and the fleet of all BMCs behind one gate.
//! Must never hold a vendor's name or a protocol's detail: a driver costs one file and one line here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use vocabulary::estate::BmcProtocol;
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::{Fault, MachineId};

use crate::driver::Purpose;
pub use crate::driver::{Door, Driver, Fact, Inspection, LogEntry, Probe, Scope, Survey};
use crate::outside::Outside;
use crate::{ipmi, redfish};

/// The registry: a line a driver. Talks to nobody yet.
fn made(outside: &Outside, door: &Door, purpose: Purpose) -> Result<Arc<dyn Driver>, AgentError> {
    match door.bmc.protocol {
        BmcProtocol::Redfish => redfish::open(door, purpose, &outside.given, &outside.road),
        BmcProtocol::Ipmi => ipmi::open(door, purpose, &outside.given, &outside.lines),
    }
}

/// Opens the driver for a BMC; talks to nobody yet.
pub fn open(door: &Door) -> Result<Arc<dyn Driver>, AgentError> {
    open_in(&Outside::of_the_machine(), door)
}

/// The same in other surroundings than the machine's.
pub fn open_in(outside: &Outside, door: &Door) -> Result<Arc<dyn Driver>, AgentError> {
    made(outside, door, Purpose::Act)
}

/// Looks once who answers at an address: reading, certificate, what the BMC can do and tells, and whether it is the expected machine.
/// Sends no command, and ends the session that it makes.
pub async fn probe(door: &Door, scope: Scope) -> Result<Probe, Fault> {
    let driver = look(door)?;
    let found = async {
        let found = driver.probe().await?;
        let survey = driver.survey(scope).await?;
        Ok(Probe { survey, ..found })
    };
    let found = found.await;
    driver.close().await;
    found
}

/// A driver that only looks; talks to nobody yet.
pub(crate) fn look(door: &Door) -> Result<Arc<dyn Driver>, Fault> {
    let unusable = |error: AgentError| {
        Fault::new(1007, error.to_string(), "correct address, user, password and certificate; the message says which of them")
    };
    made(&Outside::of_the_machine(), door, Purpose::Look).map_err(unusable)
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet::new()
    }
}

/// All BMCs of one agent, by machine. Machines come and go while it serves.
pub struct Fleet {
    outside: Outside,
    bmcs: RwLock<BTreeMap<MachineId, Arc<dyn Driver>>>,
}

impl Fleet {
    /// A fleet without machines.
    pub fn new() -> Fleet {
        Fleet::within(Outside::of_the_machine())
    }

    /// The same in other surroundings than the machine's.
    pub fn within(outside: Outside) -> Fleet {
        Fleet { outside, bmcs: RwLock::default() }
    }

    /// Takes a machine in, or takes it in anew (other address, credentials or certificate): the old session is ended.
    pub fn admit(&self, machine: MachineId, door: &Door) -> Result<(), AgentError> {
        let driver = open_in(&self.outside, door)?;
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
            Action::Identify { machine, light } => {
                let light = self.of(machine)?.identify(*light).await?;
                return Ok(Answer::Light { light });
            }
            Action::CountSupplies { machine } => {
                let count = self.of(machine)?.power_supplies().await?;
                return Ok(Answer::Supplies { count });
            }
            Action::ReadFindings { machine } => return Ok(Answer::Findings { findings: self.of(machine)?.found() }),
            Action::Survey { machine, scope } => return Ok(Answer::Survey { told: self.of(machine)?.survey(*scope).await }),
            Action::ReadMachine { machine } => self.of(machine)?.read().await,
            Action::WatchMachine { machine } => self.of(machine)?.watch().await,
            Action::AwaitChange { machine } => {
                self.of(machine)?.changed().await?;
                return Ok(Answer::Done);
            }
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
