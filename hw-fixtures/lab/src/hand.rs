//! The failover by hand: the rival's shell script, carried along so that a program without the source tree can put it into a lab.
//!
//! It is no part of the product, and the product never runs it.

/// The script; how it is called stands in its first lines.
pub const FAILOVER: &str = include_str!("../hand/failover.sh");
