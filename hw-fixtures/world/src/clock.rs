//! The time in which equipment lives: the runtime's, so that it is the machine's in a program and stands still between two events in a
//! simulated world. It must never ask the machine for time behind the runtime's back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Now, as the runtime counts it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long ago that was; nothing for what is still to come.
pub fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}

/// Nanoseconds that only grow, by which what happened is put in order. Clones count the same.
#[derive(Clone)]
pub struct Ticks(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Ticks {
    /// Other ones.
    pub fn with(ticks: impl Fn() -> u64 + Send + Sync + 'static) -> Ticks {
        Ticks(Arc::new(ticks))
    }

    /// Those of the runtime's time, from now on.
    pub fn from_now() -> Ticks {
        let begun = now();
        Ticks::with(move || u64::try_from(since(begun).as_nanos()).unwrap_or(u64::MAX))
    }

    /// How many there are, ns.
    pub fn now_ns(&self) -> u64 {
        (self.0)()
    }
}

impl std::fmt::Debug for Ticks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticks({})", self.now_ns())
    }
}

/// A time of day, which may be wrong and may jump. Clones are the same clock.
#[derive(Clone)]
pub struct Wall(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Wall {
    /// The machine's.
    #[expect(clippy::disallowed_methods, reason = "who asks for this wants the machine's")]
    pub fn of_the_machine() -> Wall {
        Wall(Arc::new(SystemTime::now))
    }

    /// Another one.
    pub fn with(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Wall {
        Wall(Arc::new(wall))
    }

    /// One that shows this now and then runs as the runtime's time does.
    pub fn from(shown: SystemTime) -> Wall {
        let begun = now();
        Wall::with(move || shown + now().saturating_duration_since(begun))
    }

    /// What it shows.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl std::fmt::Debug for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wall({:?})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_world_has_its_own_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without sockets needs nothing of the machine");
        runtime.block_on(async {
            let (begun, day) = (now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
            let (wall, ticks) = (Wall::from(day), Ticks::from_now());
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert_eq!((now() - begun, since(begun)), (Duration::from_secs(3_600), Duration::from_secs(3_600)));
            assert_eq!(ticks.clone().now_ns(), 3_600_000_000_000);
            assert_eq!(wall.clone().now(), day + Duration::from_secs(3_600));
        });
    }
}
