//! The core of Understudy: pure, synchronous, deterministic. `step(State, Event) -> (State, Vec<Effect>)` is its only door.
//! It never reads a clock, draws a random number, waits, or touches equipment; all of that comes in as events and goes out as effects.
//!
//! The nine stages are files, in order; a stage may import only a smaller number and the foot.
#![forbid(unsafe_code)]

pub mod adopt;
pub mod adoption;
pub mod basis;
pub mod brake;
pub mod consent;
pub mod effect;
pub mod event;
pub mod fit;
pub mod ladder;
pub mod ledger;
pub mod memory;
pub mod out;
pub mod overrule;
pub mod plan;
pub mod predict;
pub mod record;
pub mod reload;
pub mod reseed;
pub mod stage;
pub mod start_order;
pub mod state;
pub mod story;
pub mod trust;
pub mod watch;
pub mod words;
pub mod work;

pub mod s1_detect;
pub mod s1_predict;
pub mod s2_decide;
pub mod s3_fence;
pub mod s4_place;
pub mod s5_rewire_network;
pub mod s6_rewire_storage;
pub mod s7_boot;
pub mod s8_verify;
pub mod s9_return;

pub mod cold_start;
pub mod drive;
pub mod intents;
pub mod invariants;
pub mod recover;
pub mod step;
pub mod why;

pub use effect::Effect;
pub use event::Event;
pub use record::Record;
pub use state::State;
pub use step::step;
