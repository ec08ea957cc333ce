//! Power commands as they come over the network, whatever the protocol: what the quirks of the moment make of them.
//! Must never power a machine in another way than `power.rs` does.

use std::sync::Arc;
use std::time::Duration;

use crate::bmc::Bmc;
use crate::bmc::error::Error;
use crate::bmc::limits;
use crate::bmc::power::Outcome;
use crate::bmc::quirks::{NoEffect, ResetBehaviour};

/// The cause told of a commanded start.
const CAUSE: &str = "ManagementCommand";

/// What a client may command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Power on.
    On,
    /// Power off, at once.
    ForceOff,
    /// The guest is asked to stop.
    GracefulShutdown,
    /// Off and on again without reading Off in between.
    ForceRestart,
    /// Off, a pause in which it reads Off, and on again.
    PowerCycle,
    /// A finger on the button.
    PushPowerButton,
}

impl Reset {
    /// In Redfish's spelling.
    pub fn word(self) -> &'static str {
        match self {
            Reset::On => "On",
            Reset::ForceOff => "ForceOff",
            Reset::GracefulShutdown => "GracefulShutdown",
            Reset::ForceRestart => "ForceRestart",
            Reset::PowerCycle => "PowerCycle",
            Reset::PushPowerButton => "PushPowerButton",
        }
    }
}

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Yes.
    Accepted,
    /// Not in this state.
    Conflict,
    /// Not ever.
    Refused,
    /// An error of the BMC's own.
    Failed,
}

/// Who is told of power commands.
#[derive(Clone)]
pub(crate) struct Watcher(Arc<dyn Fn(Reset, Answered) + Send + Sync>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Bmc {
    /// A power command of a client, with the lies of the moment.
    pub(crate) async fn command(self: &Arc<Self>, wanted: Reset) -> Answered {
        let answered = self.commanded(wanted).await;
        let watcher = self.state().watcher.clone();
        if let Some(Watcher(tell)) = watcher {
            tell(wanted, answered);
        }
        answered
    }

    /// Each power command of a client that has come is told from now on, with what the client is told. For judges.
    pub fn observe_commands(&self, watcher: Arc<dyn Fn(Reset, Answered) + Send + Sync>) {
        self.state().watcher = Some(Watcher(watcher));
    }

    async fn commanded(self: &Arc<Self>, wanted: Reset) -> Answered {
        let (behaviour, delay, on_when_on, off_when_off) = {
            let mut state = self.state();
            // a new command ends what is left of a power cycle
            state.cycles += 1;
            let quirks = &state.quirks;
            (quirks.reset, quirks.reset_delay_ms, quirks.on_when_on, quirks.force_off_when_off)
        };
        match behaviour {
            ResetBehaviour::Ignored => return Answered::Accepted,
            ResetBehaviour::Fails => return Answered::Failed,
            ResetBehaviour::Obeys | ResetBehaviour::FailsAfterwards => {}
        }
        let done = if delay > 0 {
            let bmc = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                if let Err(e) = bmc.obey(wanted).await {
                    tracing::warn!(error = %e, "delayed reset");
                }
            });
            Ok(Outcome::Done)
        } else {
            self.obey(wanted).await
        };
        if behaviour == ResetBehaviour::FailsAfterwards {
            return Answered::Failed;
        }
        match (done, wanted) {
            (Ok(Outcome::Done), _) => Answered::Accepted,
            (Ok(Outcome::NoEffect), Reset::On) => told(on_when_on),
            (Ok(Outcome::NoEffect), Reset::ForceOff) => told(off_when_off),
            (Ok(Outcome::NoEffect | Outcome::Conflict), _) => Answered::Conflict,
            (Err(e), _) => {
                tracing::error!(error = %e, reset = wanted.word(), "reset failed");
                Answered::Failed
            }
        }
    }

    async fn obey(self: &Arc<Self>, wanted: Reset) -> Result<Outcome, Error> {
        match wanted {
            Reset::On => self.power_on(CAUSE).await,
            Reset::ForceOff => Ok(self.force_off().await),
            Reset::GracefulShutdown => Ok(self.graceful_off().await),
            Reset::ForceRestart => self.force_restart(CAUSE).await,
            Reset::PowerCycle => self.cycle(CAUSE).await,
            Reset::PushPowerButton => self.press_button().await,
        }
    }

    /// Off, a pause, and on again unless another command came meanwhile. Returns when the power-off is accepted.
    pub(crate) async fn cycle(self: &Arc<Self>, cause: &'static str) -> Result<Outcome, Error> {
        match self.force_off().await {
            Outcome::Done => {}
            other => return Ok(other),
        }
        let cycle = self.state().cycles;
        let bmc = Arc::clone(self);
        tokio::spawn(async move {
            let mut moved = bmc.moved.subscribe();
            moved.wait_for(|_| bmc.state().run.is_none()).await;
            tokio::time::sleep(limits::CYCLE_PAUSE).await;
            if bmc.state().cycles != cycle {
                return;
            }
            if let Err(e) = bmc.power_on(cause).await {
                tracing::warn!(error = %e, "power cycle");
            }
        });
        Ok(Outcome::Done)
    }

    /// The BMC restarts itself as its quirks say, after it has answered.
    pub(crate) fn restart_soon(self: &Arc<Self>, cause: &'static str) {
        let (away, early) = {
            let state = self.state();
            (Duration::from_millis(state.quirks.bmc_reboot_ms), Duration::from_millis(state.quirks.bmc_early_ms))
        };
        let bmc = Arc::clone(self);
        tokio::spawn(async move {
            // The answer leaves before the BMC does.
            tokio::time::sleep(limits::LAST_WORDS).await;
            bmc.restart_bmc(away, early, cause);
        });
    }
}

fn told(quirk: NoEffect) -> Answered {
    match quirk {
        NoEffect::NoContent => Answered::Accepted,
        NoEffect::Conflict => Answered::Conflict,
        NoEffect::BadRequest => Answered::Refused,
    }
}
