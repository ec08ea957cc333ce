//! Drives storage targets: who may reach a volume, who is logged in, and how many operations were served.
//! Must never admit more than the durable state says, and never call an initiator gone that the target still serves.
#![forbid(unsafe_code)]

pub mod device;
mod durable;
mod kept;
mod limits;
pub mod registry;
pub mod tgt;

pub use device::StorageDevice;
pub use kept::{Kept, OpenError};
pub use registry::{StorageConfig, open};
