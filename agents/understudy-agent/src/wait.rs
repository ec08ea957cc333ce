//! Waits for what is not there yet, and says for what. A host comes up in an order of its own; an agent that gave up would be one more
//! thing to restart by hand.

use crate::limits::{RETELL, RETRY_PAUSE};
use std::future::Future;
use std::time::Instant;

/// What a look found.
pub enum Look<T> {
    /// It is there.
    There(T),
    /// Not yet, and why.
    NotYet(String),
}

/// Looks again and again until it is there or the look itself fails.
pub async fn until<T, E, F: Future<Output = Result<Look<T>, E>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T, E> {
    let mut told: Option<Instant> = None;
    loop {
        match look().await? {
            Look::There(found) => {
                if told.is_some() {
                    tracing::info!(what, "it is there now");
                }
                return Ok(found);
            }
            Look::NotYet(reason) => {
                if told.is_none_or(|at| at.elapsed() >= RETELL) {
                    tracing::warn!(what, reason, "waiting");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
