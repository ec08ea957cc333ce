//! What may be asked of a vantage point.

use async_trait::async_trait;
use vocabulary::check::{Check, CheckOutcome};

/// A place from which health checks are run. Total: whatever happens is an outcome, within the check's deadline.
#[async_trait]
pub trait Vantage: Send + Sync {
    /// Runs one try of a check.
    async fn run(&self, check: &Check) -> CheckOutcome;
}
