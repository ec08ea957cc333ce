//! What may be asked of one storage target.

use async_trait::async_trait;
use vocabulary::request::AgentError;
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Secret, VolumeName};

/// An initiator to be admitted, with its CHAP account.
pub struct Admission {
    /// The initiator's name: this placement's own.
    pub initiator: InitiatorName,
    /// CHAP user.
    pub user: String,
    /// CHAP secret.
    pub secret: Secret,
}

/// One storage target.
#[async_trait]
pub trait Storage: Send + Sync {
    /// A fresh reading, asked of the target, over every export of the backing object.
    async fn read(&self, volume: &VolumeName) -> Result<VolumeReading, AgentError>;
    /// Removes every initiator but `keep`, then ends all their sessions, then reads back. `Unconfirmed` if a session or an admission of
    /// another initiator remains.
    async fn revoke(&self, volume: &VolumeName, keep: Option<&InitiatorName>) -> Result<VolumeReading, AgentError>;
    /// Admits exactly this initiator with this secret, no other, and reads back. The export is made if it is absent.
    async fn grant(&self, volume: &VolumeName, admission: &Admission) -> Result<VolumeReading, AgentError>;
}
