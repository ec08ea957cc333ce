//! What may be asked of one boot service.

use async_trait::async_trait;
use vocabulary::MachineId;
use vocabulary::boot::{BootContact, Permit, PermitReading};
use vocabulary::request::AgentError;

/// One boot service. Whoever has no permit gets silence.
#[async_trait]
pub trait Boot: Send + Sync {
    /// The machine's permit as it stands.
    async fn read(&self, machine: &MachineId) -> Result<PermitReading, AgentError>;
    /// Makes this the machine's one permit, durably, before the answer.
    async fn grant(&self, permit: &Permit) -> Result<PermitReading, AgentError>;
    /// Voids the machine's permit and all its tokens, durably, before the answer.
    async fn revoke(&self, machine: &MachineId) -> Result<PermitReading, AgentError>;
    /// Contacts after this sequence number; waits some seconds if there is none yet.
    async fn contacts(&self, after: u64) -> Result<Vec<BootContact>, AgentError>;
}
