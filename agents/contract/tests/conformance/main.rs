//! The suites themselves: a sound driver passes, and each fault that a driver may have is found. A suite that lets one through is a
//! suite that proves nothing.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bmc;
mod boot;
mod check;
mod outlet;
mod storage;
mod switch;
