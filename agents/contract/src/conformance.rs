//! The suites that every driver passes before it is believed. Each is one function that takes a driver (through a small fixture that can
//! do what a foreign hand would do) and says which law it breaks. They run against real equipment too, so they touch only what the
//! fixture names, and they leave it cut off.
//!
//! A registry runs them as `for driver in registry { conformance::switch(&fixture_of(driver)).await? }`.

mod bmc;
mod boot;
mod check;
mod gate;
mod outlet;
mod storage;
mod switch;

pub use bmc::{BmcFixture, bmc};
pub use boot::{BootFixture, boot};
pub use check::check;
pub use gate::{GateFixture, gate};
pub use outlet::{OutletFixture, outlet};
pub use storage::{StorageFixture, storage};
pub use switch::{SwitchFixture, switch};

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;
use vocabulary::request::AgentError;

/// Ok, or the law that does not hold and what was seen instead.
pub type Verdict = Result<(), String>;

/// How long a call of a driver may take here before it counts as hanging.
const CALL_MAX: Duration = Duration::from_secs(60);

fn ensure(holds: bool, law: &str, seen: impl Debug) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{law}; seen: {seen:?}")) }
}

/// Calls the driver; hanging or failing breaks the law.
async fn must<T>(law: &str, call: impl Future<Output = Result<T, AgentError>>) -> Result<T, String> {
    let outcome = bounded(law, call).await?;
    outcome.map_err(|error| format!("{law}; seen: {error}"))
}

/// Calls the driver; only hanging breaks the law.
async fn bounded<T>(law: &str, call: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(CALL_MAX, call).await.map_err(|_| format!("{law}; seen: no answer within {} s", CALL_MAX.as_secs()))
}

/// The device must say no: not "unreachable", and nothing done.
fn must_reject<T: Debug>(law: &str, outcome: Result<T, AgentError>) -> Verdict {
    ensure(matches!(outcome, Err(AgentError::Rejected { .. })), law, outcome)
}
