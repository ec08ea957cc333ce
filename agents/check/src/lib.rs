//! Health checks from one vantage point: does a TCP connection open, does a TLS handshake end, does an
//! HTTP request get its answer, does a plugin of the site say that the service works.
//! Total and bounded: whatever the far end does is an outcome within the deadline. Must never call a service dead for a fault of this
//! vantage point itself.
#![forbid(unsafe_code)]

mod http;
pub mod kdump;
mod limits;
mod plugin;
pub mod registry;
mod socket;
mod tcp;
mod tls;

pub use plugin::PluginConfig;
pub use registry::{Checker, VantageConfig};
