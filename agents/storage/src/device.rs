//! A storage target behind the gate: owns its volumes, and keeps them as decided by the clock.
//! Must never act for another storage.

use crate::kept::Kept;
use crate::limits::WATCH_PERIOD;
use async_trait::async_trait;
use contract::storage::Admission;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::sync::Arc;
use vocabulary::StorageId;
use vocabulary::request::Resource;

/// The device of one storage target.
pub struct StorageDevice {
    storage: StorageId,
    driver: Arc<dyn Kept>,
}

impl StorageDevice {
    /// The device of this storage.
    pub fn new(storage: StorageId, driver: Arc<dyn Kept>) -> StorageDevice {
        StorageDevice { storage, driver }
    }

    /// Brings every volume to what was decided by the clock, for ever: a restarted target gets its exports back, an admission by a foreign
    /// hand ends within seconds.
    pub async fn keep(&self) {
        let mut clock = tokio::time::interval(WATCH_PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Option<String> = None;
        loop {
            clock.tick().await;
            let now = self.driver.restore().await.err().map(|error| error.to_string());
            match &now {
                Some(reason) if last != now => {
                    tracing::warn!(storage = %self.storage, reason, "the volumes cannot be kept as decided")
                }
                None if last.is_some() => tracing::info!(storage = %self.storage, "the volumes are as decided again"),
                _ => {}
            }
            last = now;
        }
    }
}

#[async_trait]
impl Device for StorageDevice {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Volume(volume) if volume.storage == self.storage)
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        if let Some(foreign) = action.resources().iter().find(|resource| !self.owns(resource)) {
            return Err(AgentError::Rejected { reason: format!("storage `{}` does not own {foreign:?}", self.storage) });
        }
        match action {
            Action::ReadVolume { volume } => self.driver.read(&volume.volume).await.map(Answer::Volume),
            Action::RevokeVolume { volume, keep } => self.driver.revoke(&volume.volume, keep.as_ref()).await.map(Answer::Volume),
            Action::GrantVolume { volume, initiator, user, secret, holder: _ } => {
                let admission = Admission { initiator: initiator.clone(), user: user.clone(), secret: secret.clone() };
                self.driver.grant(&volume.volume, &admission).await.map(Answer::Volume)
            }
            _ => Err(AgentError::Rejected { reason: format!("storage `{}` cannot do this kind of action", self.storage) }),
        }
    }

    /// What is admitted stands in the driver's own durable state, with the secrets that the gate does not keep.
    async fn restore(&self, _standing: &[Standing]) -> Result<(), AgentError> {
        self.driver.restore().await
    }
}
