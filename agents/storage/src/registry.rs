//! Which drivers there are: a line a driver. Nothing above this file names one.

use crate::tgt::{Tgt, TgtConfig};
use async_trait::async_trait;
use contract::AgentError;
use contract::storage::Storage;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use vocabulary::StorageId;

/// A storage target as an agent's configuration describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The storage's name in the estate.
    pub storage: StorageId,
    /// The driver and what it needs.
    pub driver: Driver,
}

/// The drivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// The Linux SCSI target daemon, through `tgtadm`.
    Tgt(TgtConfig),
}

/// Why a storage target could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("storage `{storage}`: {reason}; correct the agent's configuration")]
    Config {
        /// Which.
        storage: StorageId,
        /// What is wrong.
        reason: String,
    },
    /// The durable state cannot be read or written: nothing may be admitted then.
    #[error("storage `{storage}`: the state file {path}: {reason}")]
    State {
        /// Which.
        storage: StorageId,
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// A storage target that forgets: what it admits is kept by the agent, in its durable state.
#[async_trait]
pub trait Kept: Storage {
    /// Makes the target admit what the durable state says and nothing more, for every volume. Called at start before anything else, and
    /// by the clock: a target that was restarted gets its exports back, an admission by a foreign hand ends.
    async fn restore(&self) -> Result<(), AgentError>;
}

/// Opens the driver. Keeps its durable state in `folder`. Touches no target yet.
pub fn open(config: &StorageConfig, folder: &Path) -> Result<Arc<dyn Kept>, OpenError> {
    match &config.driver {
        Driver::Tgt(tgt) => Ok(Arc::new(Tgt::open(config.storage.clone(), tgt.clone(), folder)?)),
    }
}
