//! What the registry and every driver speak of: a target that forgets, and why one could not be opened. Names no driver.

use async_trait::async_trait;
use contract::AgentError;
use contract::storage::Storage;
use std::collections::BTreeMap;
use vocabulary::storage::InitiatorName;
use vocabulary::{StorageId, VolumeName};

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
    /// Of a volume with a holder, a durable admission of an earlier placement is an older copy: it is dropped, and the volume is left as
    /// the target has it until the next command.
    async fn forget_others(&self, holders: &BTreeMap<VolumeName, InitiatorName>) -> Result<(), AgentError>;
    /// Makes the target admit what the durable state says and nothing more, for every volume. Called at start before anything else, and
    /// by the clock: a target that was restarted gets its exports back, an admission by a foreign hand ends.
    async fn restore(&self) -> Result<(), AgentError>;
}
