//! A boot service in memory with a disk in memory, sound or with one fault.

use async_trait::async_trait;
use contract::AgentError;
use contract::boot::Boot;
use contract::conformance::{self, BootFixture};
use std::collections::BTreeMap;
use std::sync::Mutex;
use vocabulary::boot::{BootContact, BootMethod, BootStep, Permit, PermitReading, PermitRoot};
use vocabulary::storage::{InitiatorName, Path};
use vocabulary::{Epoch, MachineId, PlanId, Secret, Span, WallTime};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    KeepsTheFirst,
    ForgetsGrants,
    ForgetsRevocations,
    AnswersEveryone,
    RepeatsContacts,
}

struct Desk {
    fault: Fault,
    memory: Mutex<Option<Permit>>,
    disk: Mutex<Option<Permit>>,
    contacts: Mutex<Vec<BootContact>>,
}

fn machine() -> MachineId {
    "m1".parse().unwrap()
}

fn permit(epoch: u64) -> Permit {
    Permit {
        machine: machine(),
        server: "web1".parse().unwrap(),
        epoch: Epoch(epoch),
        plan: PlanId(Epoch(epoch)),
        method: BootMethod::Kernel,
        image: "debian".parse().unwrap(),
        nics: BTreeMap::new(),
        root: PermitRoot {
            path: Path { portal: "127.0.0.1:3260".parse().unwrap(), target: "iqn".into(), lun: 1 },
            initiator: InitiatorName("iqn.x".into()),
            user: "u".into(),
            secret: Secret::new("s"),
        },
        arguments: String::new(),
        lease: Span::seconds(60),
    }
}

impl Desk {
    fn reading(&self) -> PermitReading {
        let standing = self.memory.lock().unwrap().as_ref().map(|p| (p.server.clone(), p.epoch));
        PermitReading { machine: machine(), standing, read_at: WallTime(0) }
    }
}

#[async_trait]
impl Boot for Desk {
    async fn read(&self, _: &MachineId) -> Result<PermitReading, AgentError> {
        Ok(self.reading())
    }
    async fn grant(&self, permit: &Permit) -> Result<PermitReading, AgentError> {
        let mut memory = self.memory.lock().unwrap();
        if memory.is_none() || self.fault != Fault::KeepsTheFirst {
            *memory = Some(permit.clone());
        }
        if self.fault != Fault::ForgetsGrants {
            *self.disk.lock().unwrap() = memory.clone();
        }
        drop(memory);
        Ok(self.reading())
    }
    async fn revoke(&self, _: &MachineId) -> Result<PermitReading, AgentError> {
        *self.memory.lock().unwrap() = None;
        if self.fault != Fault::ForgetsRevocations {
            *self.disk.lock().unwrap() = None;
        }
        Ok(self.reading())
    }
    async fn contacts(&self, after: u64) -> Result<Vec<BootContact>, AgentError> {
        let all = self.contacts.lock().unwrap().clone();
        let repeats = self.fault == Fault::RepeatsContacts;
        let new: Vec<_> = all.into_iter().filter(|c| repeats || c.sequence > after).collect();
        Ok(new)
    }
}

#[async_trait]
impl BootFixture for Desk {
    fn boot(&self) -> &dyn Boot {
        self
    }
    fn permits(&self) -> [Permit; 2] {
        [permit(1), permit(2)]
    }
    async fn restart(&mut self) -> bool {
        *self.memory.lock().unwrap() = self.disk.lock().unwrap().clone();
        true
    }
    async fn ask(&self) -> Option<bool> {
        let epoch = self.memory.lock().unwrap().as_ref().map(|p| p.epoch);
        let mut contacts = self.contacts.lock().unwrap();
        let sequence = contacts.len() as u64 + 1;
        contacts.push(BootContact { sequence, machine: machine(), step: BootStep::Dhcp, epoch, at: WallTime(0) });
        Some(epoch.is_some() || self.fault == Fault::AnswersEveryone)
    }
}

#[tokio::test]
async fn every_fault_of_a_boot_service_is_found() {
    let desk = |fault| Desk { fault, memory: Mutex::default(), disk: Mutex::default(), contacts: Mutex::default() };
    conformance::boot(&mut desk(Fault::None)).await.unwrap();
    for (fault, law) in [
        (Fault::KeepsTheFirst, "permit that stands now"),
        (Fault::ForgetsGrants, "grant outlives"),
        (Fault::ForgetsRevocations, "revocation outlives"),
        (Fault::AnswersEveryone, "silence"),
        (Fault::RepeatsContacts, "repeats none"),
    ] {
        let verdict = conformance::boot(&mut desk(fault)).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
