//! The TCP check: a connection opens within the deadline. Sends nothing.

use crate::socket::{Source, Tried};
use std::net::SocketAddr;
use std::time::Duration;
use vocabulary::Span;
use vocabulary::check::CheckOutcome;

/// Runs one try.
pub async fn attempt(source: &Source, address: SocketAddr, deadline: Duration) -> Tried {
    match tokio::time::timeout(deadline, source.connect(address)).await {
        Err(_) => Ok(CheckOutcome::Silent(format!("{address}: no connection within {}", shown(deadline)))),
        Ok(Err(reason)) => reason.into(),
        Ok(Ok(_stream)) => Ok(CheckOutcome::Healthy),
    }
}

/// A deadline for people.
pub fn shown(deadline: Duration) -> Span {
    Span::ms(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX))
}
