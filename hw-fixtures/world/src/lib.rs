//! Equipment that is not there: what BMCs, switches, storage targets and outlets are made of below their protocols, with states of their
//! own that can say no, lie and be late. It must never know the product's drivers, nor what a controller hopes to read.
#![forbid(unsafe_code)]

pub mod bmc;
pub mod bridge;
pub mod clock;
pub mod dice;
pub mod disk;
mod limits;
pub mod machine;
pub mod outlet;
pub mod target;
pub mod watch;

pub use clock::{Ticks, Wall};
pub use dice::Dice;
