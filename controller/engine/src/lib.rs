//! The shell: watch -> Event -> step -> journal -> perform -> agents -> Event. It owns the clock, the randomness, the disk and the
//! sockets that the core may not have, and decides nothing.
#![forbid(unsafe_code)]

pub mod adopt;
pub mod agents;
pub mod assemble;
pub mod clock;
pub mod core;
pub mod eyes;
pub mod handle;
pub mod health;
pub mod history;
pub mod limits;
pub mod message;
pub mod pace;
pub mod perform;
pub mod polls;
mod retention;
mod signs;
pub mod start;
pub mod watch;

pub use agents::AgentView;
pub use handle::Handle;
pub use start::{Config, Error, start};
pub use vocabulary::findings::Findings;
pub use vocabulary::survey::{Scope, Survey};
