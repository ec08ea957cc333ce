//! A machine that only pretends to run, for tests: it is off, in POST, running, or hung, takes its time to die, and may end by itself.
//! Must never be off before it has said so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, broadcast};

use super::host::{Host, Line, Stage, Started};
use super::{Bmc, Boot, Machine, Ports, Secrets, Surroundings};
use crate::clock::{Ticks, Wall};
use crate::dice::Dice;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Off,
    Post,
    Runs,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    hung: bool,
    /// Why it ends.
    ending: Option<&'static str>,
    line: Option<Line>,
    /// What it was told to boot from, start by start.
    booted: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct StandIn {
    inner: Mutex<Inner>,
    moved: Notify,
    post: Duration,
    dying: Duration,
}

impl StandIn {
    /// One that is in POST for so long, and is gone so long after its power was cut.
    pub fn new(post: Duration, dying: Duration) -> Arc<StandIn> {
        let inner = Inner { phase: Phase::Off, hung: false, ending: None, line: None, booted: Vec::new() };
        Arc::new(StandIn { inner: Mutex::new(inner), moved: Notify::new(), post, dying })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it really does.
    pub fn phase(&self) -> Phase {
        self.inner().phase
    }

    /// What it was told to boot from, start by start.
    pub fn booted(&self) -> Vec<String> {
        self.inner().booted.clone()
    }

    /// It ends by itself, or because it is told to.
    pub fn end(&self, why: &'static str) -> Result<(), String> {
        let mut inner = self.inner();
        if inner.phase == Phase::Off {
            return Err("it is off".into());
        }
        inner.ending.get_or_insert(why);
        drop(inner);
        self.moved.notify_one();
        Ok(())
    }

    /// Its own system resets it: POST begins again.
    pub fn resets_itself(&self) {
        let line = {
            let mut inner = self.inner();
            inner.phase = Phase::Post;
            inner.line.clone()
        };
        self.moved.notify_one();
        if let Some(line) = line {
            line.reset("OSSoftRestart");
        }
    }

    fn hang(&self, hung: bool) -> Result<(), String> {
        let mut inner = self.inner();
        if inner.phase == Phase::Off {
            return Err("it is off".into());
        }
        inner.hung = hung;
        drop(inner);
        self.moved.notify_one();
        Ok(())
    }

    /// A BMC around it, alone in the world of this seed. Needs a tokio runtime.
    pub fn with_bmc(self: &Arc<StandIn>, machine: Machine, seed: u64) -> Arc<Bmc> {
        let dice = Dice::of(seed, &machine.name);
        let day = std::time::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let surroundings = Surroundings {
            host: Arc::new(Arc::clone(self)),
            wall: Wall::from(day),
            ticks: Ticks::from_now(),
            dice,
            ports: Ports::default(),
            changes: broadcast::Sender::new(64),
        };
        Bmc::new(machine, Secrets { password: "lab".into(), key: None }, surroundings)
    }
}

/// One that does not matter.
pub fn any_bmc() -> Arc<Bmc> {
    let second = Duration::from_secs(1);
    StandIn::new(second, second).with_bmc(Machine::new("m1", "00112233-4455-6677-8899-aabbccddeeff"), 1)
}

/// Lives until something ends it.
async fn live(host: &StandIn, line: &Line) -> &'static str {
    loop {
        let (phase, hung, ending) = {
            let inner = host.inner();
            (inner.phase, inner.hung, inner.ending)
        };
        if let Some(why) = ending {
            return why;
        }
        let posts = phase == Phase::Post && !hung;
        tokio::select! {
            biased;
            () = host.moved.notified() => {}
            () = tokio::time::sleep(host.post), if posts => {
                host.inner().phase = Phase::Runs;
                line.reached(Stage::SystemRuns);
            }
        }
    }
}

#[async_trait]
impl Host for Arc<StandIn> {
    async fn start(&self, boot: &Boot, line: Line) -> Result<Started, String> {
        let host = Arc::clone(self);
        let mut inner = self.inner();
        inner.booted.push(if boot.enabled == "Disabled" { "None".into() } else { boot.target.clone() });
        (inner.phase, inner.hung, inner.ending, inner.line) = (Phase::Post, false, None, Some(line.clone()));
        let life = async move {
            let why = live(&host, &line).await;
            tokio::time::sleep(host.dying).await;
            host.inner().phase = Phase::Off;
            why.to_owned()
        };
        Ok(Started { pid: None, life: Box::pin(life) })
    }

    fn kill(&self) -> Result<(), String> {
        self.end("power cut")
    }

    fn press(&self) {
        let listens = {
            let inner = self.inner();
            inner.phase == Phase::Runs && !inner.hung
        };
        if listens {
            // refused only if it went off meanwhile
            let _ = self.end("shut down");
        }
    }

    async fn freeze(&self) -> Result<(), String> {
        self.hang(true)
    }

    fn thaw(&self) -> Result<(), String> {
        self.hang(false)
    }
}
