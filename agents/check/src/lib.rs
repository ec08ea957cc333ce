//! Health checks from one vantage point: does a TCP connection open, does an HTTP request get its answer.
//! Total and bounded: whatever the far end does is an outcome within the deadline. Must never call a service dead for a fault of this
//! vantage point itself.
#![forbid(unsafe_code)]

mod http;
mod limits;
pub mod registry;
mod socket;
mod tcp;

pub use registry::{Checker, VantageConfig};
