//! What the tests of simulated devices stand on: a world's runtime, and an agent (gate, device, driver) that can be stopped and started.
//! Must never ask the machine for time or chance.
#![allow(dead_code, reason = "each test file takes what it needs")]

use contract::gate::{Gate, Identity};
use contract::{Action, AgentError, Answer, Client, Device, Request};
use simulator::clock::Ticks;
use simulator::disk::Shelf;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vocabulary::request::{AgentHello, Token};
use vocabulary::{AgentBootId, Epoch, EstateUuid, Lineage, OpId, PlanId};

/// In this long after the last foreign hand, everything is again as it was told.
pub const DRIFT_ENDS: Duration = Duration::from_secs(5);

/// Runs a world from its beginning to its end, without a moment of the machine's time passing in it.
pub fn world<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(story)
}

pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// What happened, in words, with the world's milliseconds.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<(Instant, Vec<String>)>>);

impl Trace {
    pub fn begin() -> Trace {
        Trace(Arc::new(Mutex::new((world::clock::now(), Vec::new()))))
    }

    pub fn tell(&self, what: impl std::fmt::Display) {
        let mut trace = self.0.lock().unwrap();
        let at = world::clock::now().duration_since(trace.0).as_millis();
        trace.1.push(format!("{at:>7} {what}"));
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }

    /// The lines up to a little after the first that says that something is broken, or all, for whoever has to find out.
    pub fn story(&self) -> String {
        let lines = self.lines();
        let last = lines.iter().position(|line| line.contains("BROKEN")).map_or(lines.len(), |first| lines.len().min(first + 3));
        lines[..last].join("\n")
    }
}

/// An agent's process.
pub struct Agent<D> {
    pub gate: Gate<Arc<D>>,
    pub device: Arc<D>,
    life: AgentBootId,
    keeper: tokio::task::JoinHandle<()>,
}

impl<D> Drop for Agent<D> {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl<D: Device + 'static> Agent<D> {
    /// Starts it over what its disk holds. `keep` is what the device does by itself as long as the agent lives.
    pub async fn start<K: Future<Output = ()> + Send + 'static>(
        name: &str,
        shelf: &Shelf,
        life: u32,
        device: Arc<D>,
        keep: impl FnOnce(Arc<D>) -> K,
    ) -> Agent<D> {
        let identity = Identity::in_process(name.parse().unwrap(), EstateUuid("e".into()), Lineage("l".into()), life == 1);
        let boot = AgentBootId(format!("{name}-{life}"));
        let clock = Arc::new(Ticks::start(1_000_000));
        let gate = Gate::open_on(Arc::new(shelf.clone()), identity, device.clone(), clock, boot.clone()).unwrap();
        assert!(gate.trusted());
        // what cannot be put back now is put back by the keeper
        let _ = gate.restore().await;
        let keeper = tokio::spawn(keep(device.clone()));
        Agent { gate, device, life: boot, keeper }
    }

    pub async fn hello(&self) -> AgentHello {
        match self.gate.call(Request { token: None, action: Action::Hello }).await {
            Ok(Answer::Hello(hello)) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// A command of the plan with this epoch.
    pub fn command(&self, epoch: u64, number: u64, action: Action) -> impl Future<Output = Result<Answer, AgentError>> + use<D> {
        let token = Token {
            estate: EstateUuid("e".into()),
            lineage: Lineage("l".into()),
            controller: vocabulary::ControllerLife::default(),
            plan: PlanId(Epoch(epoch)),
            step: "storm".into(),
            epoch: Epoch(epoch),
            op: OpId { epoch: Epoch(epoch), number },
            agent_boot: self.life.clone(),
            expires_tick: u64::MAX,
        };
        let gate = self.gate.clone();
        async move { gate.call(Request { token: Some(token), action }).await }
    }
}

/// An outcome in a few words, the same in every run.
pub fn short(outcome: &Result<Answer, AgentError>) -> String {
    match outcome {
        Ok(_) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}
