//! A storage target behind the gate: owns its volumes, and keeps them as decided by the clock.
//! Must never act for another storage.

use crate::kept::Kept;
use crate::limits::WATCH_PERIOD;
use async_trait::async_trait;
use contract::storage::Admission;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vocabulary::request::{GateEntry, Resource};
use vocabulary::storage::InitiatorName;
use vocabulary::{StorageId, VolumeName};

/// The device of one storage target.
pub struct StorageDevice {
    storage: StorageId,
    driver: Arc<dyn Kept>,
    /// Who holds what by the gate's memory, once that was handed over: what the driver keeps beside it is as old as that.
    holders: Mutex<Option<BTreeMap<VolumeName, InitiatorName>>>,
}

impl StorageDevice {
    /// The device of this storage.
    pub fn new(storage: StorageId, driver: Arc<dyn Kept>) -> StorageDevice {
        StorageDevice { storage, driver, holders: Mutex::default() }
    }

    fn holders(&self) -> MutexGuard<'_, Option<BTreeMap<VolumeName, InitiatorName>>> {
        // every change is one assignment
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings every volume to what was decided; `None` while the gate's memory was not handed over.
    async fn put_back(&self) -> Option<Result<(), AgentError>> {
        let holders = self.holders().clone()?;
        if let Err(error) = self.driver.forget_others(&holders).await {
            return Some(Err(error));
        }
        Some(self.driver.restore().await)
    }

    /// Brings every volume to what was decided by the clock, for ever: a restarted target gets its exports back, an admission by a foreign
    /// hand ends within seconds. Nothing is touched before the gate has handed its memory over.
    pub async fn keep(&self) {
        let mut clock = tokio::time::interval(WATCH_PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Option<String> = None;
        loop {
            clock.tick().await;
            let Some(done) = self.put_back().await else { continue };
            let now = done.err().map(|error| error.to_string());
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

    /// What is admitted stands in the driver's own durable state, with the secrets that the gate does not keep. Where the gate names
    /// another holder, that state is an older copy, and the driver decides nothing by it.
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        let holder = |one: &Standing| match &one.entry {
            GateEntry { resource: Resource::Volume(volume), holder: Some(holder), .. } if volume.storage == self.storage => {
                Some((volume.volume.clone(), InitiatorName::of_placement(&holder.server, holder.plan.0)))
            }
            _ => None,
        };
        let holders: BTreeMap<VolumeName, InitiatorName> = standing.iter().filter_map(holder).collect();
        *self.holders() = Some(holders);
        self.put_back().await.unwrap_or(Ok(()))
    }

    fn suspend(&self) {
        *self.holders() = None;
    }
}
