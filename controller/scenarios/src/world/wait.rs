//! Waiting by a world's clock. It must never wait by the machine's.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::limits::LOOK;
use crate::trouble::{Done, Trouble};

/// Waits until `look` gives something; its error text is what was seen last.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Done<Result<T, String>>) -> Done<T> {
    let start = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() > within => return Err(Trouble::Late { what: what.to_owned(), within, last }),
            Err(_) => sleep(LOOK).await,
        }
    }
}
