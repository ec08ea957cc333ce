//! Drives power distribution units: cuts an outlet so that it stays cut, reads it back, and keeps it so. Must never switch an outlet that a
//! command does not name, nor take a unit's word for what its relay or its meter contradicts.
#![forbid(unsafe_code)]

mod by_program;
pub mod careful;
pub mod device;
pub mod kept;
pub mod limits;
pub mod registry;
pub mod secrets;
pub mod snmp;
pub mod unit;

pub use by_program::{OutletsProgram, ProgramUnit};
pub use device::OutletDevice;
pub use kept::OpenError;
pub use registry::{Driver, OutletConfig, open};
