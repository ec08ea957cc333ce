//! The one way in: views of the state, requests, problems, routes and the client. The API only adds intents and reads views; it
//! decides nothing and touches no device.
#![forbid(unsafe_code)]

mod adopt;
mod answer;
pub mod bmc;
pub mod client;
pub mod context;
mod ladder;
pub mod present;
pub mod problem;
mod report;
pub mod request;
pub mod routes;
pub mod serve;
mod site;
pub mod story;
pub mod view;

pub use context::Context;
