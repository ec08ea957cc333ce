//! Why something that was commanded past a BMC's protocols was not done.
//! Must never carry a secret.

/// A command that was refused: the machine is not in the state for it, or its host could not do it.
#[derive(Debug, thiserror::Error)]
#[error("machine {name}: {reason}")]
pub struct Error {
    /// The machine.
    pub name: String,
    /// What is in the way.
    pub reason: String,
}
