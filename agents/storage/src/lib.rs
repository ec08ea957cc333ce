//! Drives storage targets: who may reach a volume, who is logged in, and how many operations were served.
//! Must never admit more than the durable state says, and never call an initiator gone that the target still serves.
#![forbid(unsafe_code)]

mod admission;
pub mod device;
mod durable;
pub mod host;
mod kept;
mod limits;
pub mod lio;
pub mod registry;
mod state;
pub mod tgt;

pub use device::StorageDevice;
pub use kept::{Kept, OpenError};
pub use registry::{StorageConfig, open};
