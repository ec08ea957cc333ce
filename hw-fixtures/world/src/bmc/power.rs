//! The power of a machine: its host is started, stopped, frozen, and each of its starts followed to its end.
//! Must never call a machine off before the life of its start has ended, nor do to a start what was meant for the one before.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Life, Line, Stage, Started};
use super::machine::RestorePolicy;
use super::{Bmc, Boot, Doom, Error, Run, limits};
use crate::clock::now;

/// What became of a power request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Begun (a power-off ends when the life of the start does).
    Done,
    /// The machine already was so.
    NoEffect,
    /// Not now: a power-off is under way.
    Conflict,
}

impl Bmc {
    /// Powers the machine on. Returns when it runs.
    pub async fn power_on(self: &Arc<Self>, cause: &'static str) -> Result<Outcome, Error> {
        let _lever = self.lever.lock().await;
        {
            let state = self.state();
            match (&state.run, state.doom) {
                (None, _) => {}
                (Some(_), None) => return Ok(Outcome::NoEffect),
                // A platform that says Off too early loses a power-on in that window without a word.
                (Some(_), Some(doom)) if doom.shown == "Off" => return Ok(Outcome::Done),
                (Some(_), Some(_)) => return Ok(Outcome::Conflict),
            }
        }
        self.start(cause).await?;
        Ok(Outcome::Done)
    }

    /// Cuts the machine's power as the BMC does it: accepted now, finished when the life of its start has ended.
    pub async fn force_off(self: &Arc<Self>) -> Outcome {
        let _lever = self.lever.lock().await;
        let (generation, hold) = {
            let mut state = self.state();
            let Some(generation) = state.run.map(|run| run.generation) else {
                return Outcome::NoEffect;
            };
            if state.doom.is_some() {
                return Outcome::Done;
            }
            let early = state.quirks.off_early_ms > 0;
            state.doom = Some(Doom { shown: if early { "Off" } else { "PoweringOff" } });
            (generation, state.quirks.off_early_ms.max(state.quirks.powering_off_ms))
        };
        if hold == 0 {
            self.cut(generation);
        } else {
            let bmc = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(hold)).await;
                bmc.cut(generation);
            });
        }
        Outcome::Done
    }

    /// Asks the machine to shut down (ACPI button). It may ignore that.
    pub async fn graceful_off(&self) -> Outcome {
        let _lever = self.lever.lock().await;
        let state = self.state();
        match state.run {
            None => Outcome::NoEffect,
            Some(_) if state.doom.is_some() => Outcome::Done,
            Some(_) => {
                self.host.press();
                Outcome::Done
            }
        }
    }

    /// Off and on again without reading Off in between.
    pub async fn force_restart(self: &Arc<Self>, cause: &'static str) -> Result<Outcome, Error> {
        let _lever = self.lever.lock().await;
        let generation = {
            let mut state = self.state();
            if state.doom.is_some() {
                return Ok(Outcome::Conflict);
            }
            let Some(generation) = state.run.map(|run| run.generation) else {
                return Ok(Outcome::NoEffect);
            };
            state.restarting = true;
            generation
        };
        self.cut(generation);
        let result = match self.ended(generation).await {
            true => self.start(cause).await,
            false => Err(self.refusal("its power could not be cut")),
        };
        self.state().restarting = false;
        result.map(|()| Outcome::Done)
    }

    /// A finger on the button: on if off, else the ACPI button.
    pub async fn press_button(self: &Arc<Self>) -> Result<Outcome, Error> {
        if self.state().run.is_none() { self.power_on("PowerButtonPress").await } else { Ok(self.graceful_off().await) }
    }

    /// Cuts the power at once and waits until the machine is off, past every quirk.
    pub async fn pull(&self) -> Result<(), Error> {
        let _lever = self.lever.lock().await;
        let Some(generation) = self.state().run.map(|run| run.generation) else {
            return Ok(());
        };
        self.cut(generation);
        if self.ended(generation).await { Ok(()) } else { Err(self.refusal("its power could not be cut")) }
    }

    /// Mains power fails: machine and BMC are gone.
    pub async fn power_loss(&self) -> Result<(), Error> {
        {
            let mut state = self.state();
            if !state.supply {
                return Err(self.refusal("it has no mains power already"));
            }
            state.supply = false;
            state.ran_at_loss = state.run.is_some() && state.doom.is_none();
            state.bmc_down = true;
            state.bmc_boots += 1;
            state.forget_sessions();
            state.device.restart();
        }
        self.refresh_link();
        self.tell("power_loss", None, "");
        self.settled().await;
        self.pull().await
    }

    /// Mains power returns: the BMC starts (its `bmc_early_ms` apply), the machine as its active restore policy says.
    pub async fn power_return(self: &Arc<Self>) -> Result<(), Error> {
        let (boot, early, on) = {
            let mut state = self.state();
            if state.supply {
                return Err(self.refusal("it has mains power"));
            }
            state.supply = true;
            let on = match state.policy {
                RestorePolicy::AlwaysOn => true,
                RestorePolicy::AlwaysOff => false,
                RestorePolicy::LastState => state.ran_at_loss,
            };
            (state.bmc_boots, Duration::from_millis(state.quirks.bmc_early_ms), on)
        };
        self.tell("power_return", None, if on { "PowerRestorePolicy" } else { "" });
        self.bmc_is_up(boot, early).await;
        if on {
            self.power_on("PowerRestorePolicy").await?;
        }
        Ok(())
    }

    /// The machine hangs. Returns when nothing in it moves any more.
    pub async fn freeze(&self) -> Result<(), Error> {
        let generation = self.running()?;
        self.host.freeze().await.map_err(|reason| self.refusal(&reason))?;
        let pid = {
            let mut state = self.state();
            let Some(run) = state.run.as_mut().filter(|run| run.generation == generation) else {
                return Err(self.refusal("it went off meanwhile"));
            };
            run.frozen = true;
            run.pid
        };
        self.tell("frozen", pid, "");
        Ok(())
    }

    /// It goes on.
    pub fn thaw(&self) -> Result<(), Error> {
        self.running()?;
        self.host.thaw().map_err(|reason| self.refusal(&reason))?;
        let pid = {
            let mut state = self.state();
            state.run.as_mut().and_then(|run| {
                run.frozen = false;
                run.pid
            })
        };
        self.tell("thawed", pid, "");
        Ok(())
    }

    /// The machine dies by itself, as by an accident.
    pub fn kill(&self) -> Result<(), Error> {
        self.running()?;
        self.host.kill().map_err(|reason| self.refusal(&reason))
    }

    /// The start that is not over.
    fn running(&self) -> Result<u64, Error> {
        self.state().run.map(|run| run.generation).ok_or_else(|| self.refusal("it is off"))
    }

    /// A reset of the running machine, as its host tells it.
    pub(super) fn saw_reset(&self, generation: u64, cause: &'static str) {
        let pid = {
            let mut state = self.state();
            if state.run.is_none_or(|run| run.generation != generation) {
                return;
            }
            state.last_reset = Some((state.wall.now(), cause));
            state.reboots();
            state.pid()
        };
        self.tell("reset", pid, cause);
    }

    /// The boot of the running machine has come so far, as its host tells it.
    pub(super) fn saw_stage(&self, generation: u64, stage: Stage) {
        {
            let mut state = self.state();
            if state.run.is_none_or(|run| run.generation != generation) {
                return;
            }
            state.comes_to(stage);
        }
        // Nobody listening is no error.
        let _ = self.events.send("boot");
    }

    /// Brings up to date what is seen from outside alone: the console, where the host has one that it reads for who asks.
    pub(super) async fn look(&self) {
        if !self.host.waits_for_a_look() {
            return;
        }
        let boots = {
            let state = self.state();
            if state.run.is_none() {
                return;
            }
            state.boots
        };
        let Some(stage) = self.host.look().await else { return };
        let mut state = self.state();
        // what was seen of an earlier boot says nothing about this one
        if state.boots == boots {
            state.comes_to(stage);
        }
    }

    fn refusal(&self, reason: &str) -> Error {
        Error { name: self.config.name.clone(), reason: reason.into() }
    }

    /// Cuts the power of that start, if it is not over yet.
    fn cut(&self, generation: u64) {
        let state = self.state();
        if state.run.is_some_and(|run| run.generation == generation)
            && let Err(reason) = self.host.kill()
        {
            tracing::error!(machine = %self.config.name, reason, "power not cut");
        }
    }

    /// Waits until that start is over; false if it takes too long.
    async fn ended(&self, generation: u64) -> bool {
        let mut moved = self.moved.subscribe();
        let gone = moved.wait_for(|_| self.state().run.is_none_or(|run| run.generation != generation));
        tokio::time::timeout(limits::REAP_WAIT, gone).await.is_ok()
    }

    /// Starts the machine. The lever is held, the machine is off.
    async fn start(self: &Arc<Self>, cause: &'static str) -> Result<(), Error> {
        let (powerless, start) = {
            let state = self.state();
            (!state.supply || state.closed, state.generation + 1)
        };
        if powerless {
            return Err(self.refusal("it has no mains power"));
        }
        let boot = self.boots_from();
        let line = Line { bmc: Arc::downgrade(self), start };
        let Started { pid, life } = self.host.start(&boot, line).await.map_err(|reason| self.refusal(&reason))?;
        {
            let mut state = self.state();
            state.generation = start;
            state.run = Some(Run { generation: start, pid, frozen: false });
            state.doom = None;
            state.moved_at = now();
            let slow = Duration::from_millis(state.quirks.powering_on_ms);
            state.powering_on_until = (!slow.is_zero()).then(|| now() + slow);
            state.last_reset = Some((state.wall.now(), cause));
            state.reboots();
            if state.closed {
                // The simulator ended while the machine was being started.
                let _ = self.host.kill();
            }
        }
        self.tell("on", pid, cause);
        self.moves();
        tokio::spawn(Arc::clone(self).keep(start, life));
        Ok(())
    }

    /// A start was made, or is over.
    fn moves(&self) {
        self.moved.change(|moves| {
            *moves += 1;
            true
        });
    }

    /// What the machine boots from this time; consumes a boot override of `Once`.
    fn boots_from(&self) -> Boot {
        let mut state = self.state();
        if let Some(wish) = state.policy_wish.take_if(|wish| wish.applies) {
            state.policy = wish.policy;
        }
        if let Some(future) = state.boot_future.take() {
            state.boot = future;
        }
        if state.boot_scheduled.take().is_some_and(|at| at > now()) {
            state.boot.end();
        }
        let boot = state.boot.clone();
        if boot.enabled == "Once" && !state.quirks.once_stays {
            state.boot.end();
        }
        state.boot_taken = Some(boot.clone());
        boot
    }

    /// Follows one start to the end of its life, and only then calls the machine off.
    async fn keep(self: Arc<Self>, generation: u64, life: Life) {
        let end = life.await;
        let (pid, end) = {
            let mut state = self.state();
            let Some(run) = state.run.filter(|run| run.generation == generation) else {
                return;
            };
            let commanded = state.doom.is_some() || state.restarting || !state.supply;
            state.run = None;
            state.doom = None;
            state.powering_on_until = None;
            state.moved_at = now();
            (run.pid, if commanded { format!("commanded, {end}") } else { end })
        };
        self.tell("off", pid, end);
        self.moves();
    }
}
