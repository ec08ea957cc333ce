//! What everyone who looks at the estate has: a way to ask, a way to tell, and a pace at which looks do not gather.

use crate::agents::Agents;
use crate::clock::Chance;
use crate::limits;
use crate::message::Message;
use crate::polls::Polls;
use pipeline::event::{Observation, What};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use vocabulary::Span;
use vocabulary::request::{AgentError, Answer};

/// What every watcher needs.
#[derive(Clone)]
pub struct Eyes {
    pub(crate) agents: Arc<Agents>,
    pub(crate) mouth: Mouth,
    pub(crate) polls: Arc<Polls>,
    pub(crate) begun: Instant,
    pub(crate) chance: Chance,
}

/// Tells the core what was seen, and never waits for it: what it has no room for is dropped and counted, since it is seen again soon.
#[derive(Clone)]
pub struct Mouth {
    /// The core's queue.
    pub queue: mpsc::Sender<Message>,
    /// How many were dropped.
    pub dropped: Arc<AtomicU64>,
}

impl Mouth {
    /// True if the core will hear it.
    fn tell(&self, observation: Observation) -> bool {
        match self.queue.try_send(Message::Event(What::Observed(observation))) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                let dropped = self.dropped.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                // told at 1, 2, 4, 8...: a flood is no flood of lines
                if dropped.is_power_of_two() {
                    tracing::warn!(dropped, "the core does not keep up: routine observations are dropped");
                }
                false
            }
            // the core is gone only when the process ends
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Eyes {
    pub(crate) fn tell(&self, observation: Observation) -> bool {
        self.mouth.tell(observation)
    }
}

/// An answer to another question.
pub(crate) fn other<T>(answer: &Answer) -> Result<T, AgentError> {
    Err(AgentError::Unconfirmed { reason: format!("the agent answered something else: {answer:?}").chars().take(120).collect() })
}

/// Runs a look again and again, its starts one interval apart. A look that takes longer than its interval delays only itself.
pub(crate) fn every<F, W>(interval: Span, chance: &Chance, look: W) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = ()> + Send,
    W: Fn() -> F + Send + 'static,
{
    let (chance, interval) = (chance.clone(), Duration::from_millis(interval.0));
    tokio::spawn(async move {
        tokio::time::sleep(chance.up_to(interval)).await;
        loop {
            let started = Instant::now();
            look().await;
            tokio::time::sleep_until(started + spread_out(&chance, interval)).await;
        }
    })
}

/// A little less than this, at random: what began at the same time does not stay together.
pub(crate) fn spread_out(chance: &Chance, gap: Duration) -> Duration {
    gap.saturating_sub(chance.up_to(gap.saturating_mul(limits::JITTER_PERCENT) / 100)).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue that is full neither blocks who tells nor grows, and what was dropped is counted.
    #[test]
    fn a_core_that_does_not_keep_up_delays_no_watcher() {
        let (queue, mut core) = mpsc::channel(2);
        let mouth = Mouth { queue, dropped: Arc::default() };
        let told: Vec<bool> = (0..10).map(|_| mouth.tell(Observation::Canaries { alive: true })).collect();
        assert_eq!(told.iter().filter(|heard| **heard).count(), 2);
        assert_eq!(mouth.dropped.load(Ordering::Relaxed), 8);
        assert!(core.try_recv().is_ok());
        assert!(mouth.tell(Observation::Canaries { alive: true }), "it goes on by itself");
    }
}
