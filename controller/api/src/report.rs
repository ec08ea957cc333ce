//! Reports: one failover with everything that is known of it, and what would have been done where it is only observed. Both are folded from the one
//! chain, in pages, beside the core; nothing is remembered for them. It must never conclude what the records do not say.

mod failover;
mod observe;

pub use failover::{failover, failover_report};
pub use observe::observe;

use crate::answer::PAGE;
use crate::problem::Problem;
use engine::history::History;
use journal::Entry;

/// Reads entries after a number, up to another one, and tells each.
async fn read(history: &History, mut after: u64, last: u64, mut tell: impl FnMut(&Entry)) -> Result<(), Problem> {
    while after < last {
        let page = history.page(after, PAGE).await?;
        let Some(newest) = page.last().map(|entry| entry.number) else { break };
        after = newest;
        page.iter().filter(|entry| entry.number <= last).for_each(&mut tell);
    }
    Ok(())
}
