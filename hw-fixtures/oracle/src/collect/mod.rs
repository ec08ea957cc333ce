//! The oracle's eyes: each collector is a thread that looks at one part of the equipment and tells the run what it saw, and when.
//!
//! A collector only reads (and asks for addresses by ARP). What it cannot read it leaves as it was, and its silence is counted.

pub mod acks;
pub mod files;
pub mod lines;
pub mod power;
pub mod production;
pub mod storage;
pub mod switch;
pub mod target;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::config::Config;
use crate::limits::SOURCE_RETRY;
use crate::oracle::Oracle;
use crate::sys::now_ns;

/// The run, shared by all collectors.
#[derive(Clone)]
pub struct Shared {
    /// What was configured.
    pub config: Arc<Config>,
    oracle: Arc<Mutex<Oracle>>,
}

impl Shared {
    /// Shares a run.
    #[must_use]
    pub fn new(config: Config, oracle: Oracle) -> Self {
        Self { config: Arc::new(config), oracle: Arc::new(Mutex::new(oracle)) }
    }

    /// The run. What a collector that died had told stays told.
    pub fn lock(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a collector does until its source is away.
type Collect = fn(&Shared) -> io::Result<()>;

/// Starts all collectors; they run until the process ends.
pub fn start(shared: &Shared) {
    let all: [(&'static str, Collect); 7] = [
        ("switch", switch::follow),
        ("target", target::watch),
        ("power", power::follow),
        ("files", files::watch),
        ("acknowledgements", acks::receive),
        ("production", production::watch),
        ("storage", storage::watch),
    ];
    for (name, collect) in all {
        let shared = shared.clone();
        thread::spawn(move || again_and_again(name, &shared, collect));
    }
}

/// A source that goes away comes back: a switch reboots, a daemon is killed by a scenario.
fn again_and_again(name: &str, shared: &Shared, collect: Collect) {
    let mut last = String::new();
    loop {
        let told = collect(shared).map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        // said once, not ten times a second
        if told != last {
            tracing::warn!(source = name, why = %told, "a source of facts is away");
            shared.lock().note(now_ns(), &format!("the source {name} is away: {told}"));
            last = told;
        }
        thread::sleep(SOURCE_RETRY);
    }
}
