//! The boot service as the gate and the controller see it. The gate has decided before anything here is called; nothing here reads a
//! token of a plan or keeps an epoch of its own.

use crate::desk::Desk;
use crate::error::BootError;
use async_trait::async_trait;
use contract::agent::{Device, Standing};
use contract::boot::Boot;
use std::sync::Arc;
use vocabulary::MachineId;
use vocabulary::boot::{BootContact, Permit, PermitReading};
use vocabulary::request::{Action, AgentError, Answer, Resource};

/// The device behind the gate.
#[derive(Clone)]
pub struct BootDevice {
    desk: Arc<Desk>,
}

impl BootDevice {
    /// A device over this desk.
    pub fn new(desk: Arc<Desk>) -> BootDevice {
        BootDevice { desk }
    }

    /// The desk.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    fn reading(&self, machine: &MachineId) -> PermitReading {
        // what this service serves now, or will by itself: a permit whose lease ran out is none, one that is withheld is
        let standing = self.desk.granted(machine).map(|permit| (permit.server.clone(), permit.epoch));
        PermitReading { machine: machine.clone(), standing, read_at: self.desk.wall() }
    }

    /// After a restart: the gate wrote before this service acted, so where the two differ the gate is right. A permit that the gate
    /// bars, or gave to another holder, is voided.
    async fn reconcile(&self, standing: &[Standing]) -> Result<(), AgentError> {
        for permit in self.desk.standing() {
            let resource = Resource::Permit(permit.machine.clone());
            let entry = standing.iter().map(|s| &s.entry).find(|entry| entry.resource == resource);
            let held = entry.and_then(|entry| entry.holder.as_ref()).is_some_and(|holder| {
                holder.server == permit.server && holder.machine == permit.machine && holder.plan == permit.plan
            });
            let barred = entry.is_some_and(|entry| entry.barred.is_some());
            if barred || !held {
                tracing::warn!(machine = %permit.machine, server = %permit.server, barred, "the gate does not know this permit: voided");
                self.desk.revoke(&permit.machine).await.map_err(unconfirmed)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Boot for BootDevice {
    async fn read(&self, machine: &MachineId) -> Result<PermitReading, AgentError> {
        self.desk.heard().await;
        Ok(self.reading(machine))
    }

    async fn grant(&self, permit: &Permit) -> Result<PermitReading, AgentError> {
        self.desk.heard().await;
        self.desk.grant(permit).await.map_err(|fault| match fault {
            BootError::Permit { .. } => AgentError::Rejected { reason: fault.to_string() },
            other => unconfirmed(other),
        })?;
        let (machine, server, epoch) = (&permit.machine, &permit.server, permit.epoch);
        tracing::info!(%machine, %server, %epoch, method = ?permit.method, "permit granted");
        if self.desk.live(machine).is_none() {
            // a machine that is started on this would meet silence
            let reason =
                "the permit is kept and not served yet: no controller has said since the start that this memory is current";
            return Err(AgentError::Unconfirmed { reason: reason.to_owned() });
        }
        Ok(self.reading(machine))
    }

    async fn revoke(&self, machine: &MachineId) -> Result<PermitReading, AgentError> {
        self.desk.heard().await;
        self.desk.revoke(machine).await.map_err(unconfirmed)?;
        tracing::info!(%machine, "permit revoked");
        Ok(self.reading(machine))
    }

    async fn contacts(&self, after: u64) -> Result<Vec<BootContact>, AgentError> {
        self.desk.heard().await;
        Ok(self.desk.contacts().wait_after(after).await)
    }
}

#[async_trait]
impl Device for BootDevice {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Permit(_))
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::ReadPermit { machine } => self.read(machine).await.map(Answer::Permit),
            Action::GrantPermit { permit } => self.grant(permit).await.map(Answer::Permit),
            Action::RevokePermit { machine } => self.revoke(machine).await.map(Answer::Permit),
            Action::ReadContacts { after } => self.contacts(*after).await.map(|contacts| Answer::Contacts { contacts }),
            _ => Err(AgentError::Refused { reason: "a boot service keeps permits and contacts, and nothing else".to_owned() }),
        }
    }

    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        self.reconcile(standing).await
    }
}

fn unconfirmed(fault: BootError) -> AgentError {
    AgentError::Unconfirmed { reason: fault.to_string() }
}
