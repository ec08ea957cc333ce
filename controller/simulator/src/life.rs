//! The life of one simulated process: what it does to the world passes through here. After a kill nothing of it passes any more, in the
//! middle of whatever it did; while it is stopped nothing passes, and all of it goes on afterwards as if no time had gone by.

use std::sync::Arc;
use world::watch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Stopped,
    Dead,
}

/// See the module. Clones are the same life.
#[derive(Clone, Debug)]
pub struct Life(Arc<watch::Sender<State>>);

impl Default for Life {
    fn default() -> Life {
        Life(Arc::new(watch::Sender::new(State::Running)))
    }
}

impl Life {
    fn turn(&self, from: State, to: State) {
        self.0.change(|state| {
            let turns = *state == from;
            if turns {
                *state = to;
            }
            turns
        });
    }

    /// Ends it, as kill -9 would.
    pub fn kill(&self) {
        self.0.set(State::Dead);
    }

    /// Stops it, as SIGSTOP would.
    pub fn stop(&self) {
        self.turn(State::Running, State::Stopped);
    }

    /// Lets a stopped one go on.
    pub fn go_on(&self) {
        self.turn(State::Stopped, State::Running);
    }

    /// True until it is killed.
    pub fn is_alive(&self) -> bool {
        self.0.get() != State::Dead
    }

    /// True while it is neither stopped nor dead.
    pub fn runs(&self) -> bool {
        self.0.get() == State::Running
    }

    /// Returns while it runs; waits while it is stopped, and for ever once it is dead.
    pub async fn passes(&self) {
        if !self.runs() {
            self.0.subscribe().wait_for(|state| state == State::Running).await;
        }
    }

    /// Does something in this life: nothing of it happens after a kill, and it stands still while the process is stopped.
    pub async fn live<T>(&self, what: impl Future<Output = T>) -> T {
        tokio::pin!(what);
        loop {
            self.passes().await;
            tokio::select! {
                biased;
                () = self.stops() => {}
                done = &mut what => return done,
            }
        }
    }

    /// The same of work that outlives whoever asks.
    pub fn embody(&self, work: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let life = self.clone();
        async move { life.live(work).await }
    }

    /// Returns when it does not run.
    async fn stops(&self) {
        self.0.subscribe().wait_for(|state| state != State::Running).await;
    }

    /// Returns when it is killed.
    pub async fn dies(&self) {
        self.0.subscribe().wait_for(|state| state == State::Dead).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_dead_process_does_nothing_more_and_a_stopped_one_does_it_later() {
        let (life, count) = (Life::default(), Arc::new(AtomicU32::new(0)));
        let task = {
            let (life, count) = (life.clone(), count.clone());
            tokio::spawn(async move {
                loop {
                    life.live(tokio::time::sleep(Duration::from_secs(1))).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let after = async |seconds: u64| {
            tokio::time::sleep(Duration::from_millis(1_000 * seconds + 1)).await;
            count.load(Ordering::Relaxed)
        };
        assert_eq!(after(3).await, 3);
        life.stop();
        assert_eq!(after(60).await, 3);
        life.go_on();
        assert_eq!(after(1).await, 5, "what was done meanwhile is seen once, then it goes on");
        life.kill();
        life.go_on();
        assert_eq!((after(60).await, life.is_alive()), (5, false));
        task.abort();
    }
}
