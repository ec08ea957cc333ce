//! A driver that is a program: a process of its own that is asked a question a line and answers a line, in JSON, schema 1 (docs/drivers.md).
//! The gate, the limits and the judgement of every reading stay on this side: a program reads and does, and decides nothing.
//! Must never ask a second question before the first is answered, never send a question twice, never take an answer that is late, garbled or
//! meant for another question for one, and never leave a process of its group behind.
#![forbid(unsafe_code)]

mod limits;
pub mod line;
mod process;
mod program;

pub use line::{Done, Kind, SCHEMA, told_or_null};
pub use process::Config;
pub use program::{Error, Program, Trouble};

/// What a driver's own code must keep to.
pub use limits::{CHANGE_MAX, READ_MAX, START_MAX};
