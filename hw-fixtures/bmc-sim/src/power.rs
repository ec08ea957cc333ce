//! The power of a machine: a process that is started, stopped, frozen and reaped.
//! Must never signal a pid that was already reaped (it may be someone else's), nor call a machine off before it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::bmc::{Bmc, Doom, Process};
use crate::config::RestorePolicy;
use crate::error::Error;
use crate::launch::{self, Order};
use crate::limits;
use crate::monitor;

/// What became of a power request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Begun (a power-off ends when the process is reaped).
    Done,
    /// The machine already was so.
    NoEffect,
    /// Not now: a power-off is under way.
    Conflict,
}

impl Bmc {
    /// Powers the machine on. Returns when its process runs.
    pub async fn power_on(self: &Arc<Self>, cause: &'static str) -> Result<Outcome, Error> {
        let _lever = self.lever.lock().await;
        {
            let state = self.state();
            match (&state.process, state.doom) {
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

    /// Cuts the machine's power as the BMC does it: accepted now, finished when the process is reaped.
    pub async fn force_off(self: &Arc<Self>) -> Outcome {
        let _lever = self.lever.lock().await;
        let (generation, hold) = {
            let mut state = self.state();
            let Some(generation) = state.process.as_ref().map(|p| p.generation) else {
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
            self.slay(generation);
        } else {
            let bmc = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(hold)).await;
                bmc.slay(generation);
            });
        }
        Outcome::Done
    }

    /// Asks the guest to shut down (ACPI button, or SIGTERM where the machine has no monitor). It may ignore that.
    pub async fn graceful_off(&self) -> Outcome {
        let _lever = self.lever.lock().await;
        let state = self.state();
        match &state.process {
            None => Outcome::NoEffect,
            Some(_) if state.doom.is_some() => Outcome::Done,
            Some(process) => {
                match &process.monitor {
                    Some(monitor) => drop(monitor.try_send("system_powerdown")),
                    None => drop(signal_group(process, Signal::SIGTERM)),
                }
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
            let Some(generation) = state.process.as_ref().map(|p| p.generation) else {
                return Ok(Outcome::NoEffect);
            };
            state.restarting = true;
            generation
        };
        self.slay(generation);
        let result = match self.reaped(generation).await {
            true => self.start(cause).await,
            false => Err(self.refusal("its process could not be killed")),
        };
        self.state().restarting = false;
        result.map(|()| Outcome::Done)
    }

    /// A finger on the button: on if off, else the ACPI button.
    pub async fn press_button(self: &Arc<Self>) -> Result<Outcome, Error> {
        if self.state().process.is_none() { self.power_on("PowerButtonPress").await } else { Ok(self.graceful_off().await) }
    }

    /// Cuts the power at once and waits until the process is reaped, past every quirk.
    pub async fn pull(&self) -> Result<(), Error> {
        let _lever = self.lever.lock().await;
        let Some(generation) = self.state().process.as_ref().map(|p| p.generation) else {
            return Ok(());
        };
        self.slay(generation);
        if self.reaped(generation).await { Ok(()) } else { Err(self.refusal("its process could not be killed")) }
    }

    /// Mains power fails: machine and BMC are gone.
    pub async fn power_loss(&self) -> Result<(), Error> {
        {
            let mut state = self.state();
            if !state.supply {
                return Err(self.refusal("it has no mains power already"));
            }
            state.supply = false;
            state.ran_at_loss = state.process.is_some() && state.doom.is_none();
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

    /// SIGSTOP: the machine hangs. Returns when every thread of its process has stopped.
    pub async fn freeze(&self) -> Result<(), Error> {
        let generation = self.signal(Signal::SIGSTOP)?;
        let stopped = async {
            while !self.stopped(generation) {
                tokio::time::sleep(limits::FREEZE_POLL).await;
            }
        };
        if tokio::time::timeout(limits::FREEZE_WAIT, stopped).await.is_err() {
            return Err(self.refusal("its process did not stop"));
        }
        let pid = {
            let mut state = self.state();
            let Some(process) = state.process.as_mut().filter(|p| p.generation == generation) else {
                return Err(self.refusal("it went off meanwhile"));
            };
            process.frozen = true;
            state.pid()
        };
        self.tell("frozen", pid, "SIGSTOP");
        Ok(())
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)?;
        let pid = {
            let mut state = self.state();
            if let Some(process) = state.process.as_mut() {
                process.frozen = false;
            }
            state.pid()
        };
        self.tell("thawed", pid, "SIGCONT");
        Ok(())
    }

    /// A signal to the machine's processes from outside, as an accident would send it; the start it was sent to.
    pub fn signal(&self, signal: Signal) -> Result<u64, Error> {
        let state = self.state();
        let process = state.process.as_ref().ok_or_else(|| self.refusal("it is off"))?;
        signal_group(process, signal).map_err(|e| self.refusal(&format!("signal not delivered: {e}")))?;
        Ok(process.generation)
    }

    /// A reset of the running machine seen from outside (its monitor told it).
    pub(crate) fn saw_reset(&self, generation: u64, cause: &'static str) {
        let pid = {
            let mut state = self.state();
            if state.process.as_ref().is_none_or(|p| p.generation != generation) {
                return;
            }
            // Firmware resets the machine once more on its way through a warm reset: that is part of the one before.
            let echo = cause == monitor::GUEST_RESET && state.reset_seen.is_some_and(|at| at.elapsed() < limits::RESET_ECHO);
            state.reset_seen = Some(Instant::now());
            if echo {
                return;
            }
            state.last_reset = Some((SystemTime::now(), cause));
            state.progress.restart();
            state.pid()
        };
        self.tell("reset", pid, cause);
    }

    /// True if that start's process has ended and waits to be reaped (or was).
    fn ended(&self, generation: u64) -> bool {
        self.peek(generation, WaitPidFlag::WEXITED)
    }

    /// True if that start's process is stopped (or gone).
    fn stopped(&self, generation: u64) -> bool {
        self.peek(generation, WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED)
    }

    /// True if that start's process is in one of these states or not ours any more; reaps nothing.
    fn peek(&self, generation: u64, states: WaitPidFlag) -> bool {
        let state = self.state();
        let ours = state.process.as_ref().filter(|p| p.generation == generation);
        let Some(pid) = ours.and_then(|_| state.pid()) else {
            return true;
        };
        let flags = states | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
    }

    fn refusal(&self, reason: &str) -> Error {
        Error::State { name: self.config.name.clone(), reason: reason.into() }
    }

    /// SIGKILL for the whole group of that start, if it is not reaped yet.
    fn slay(&self, generation: u64) {
        let state = self.state();
        if let Some(process) = state.process.as_ref().filter(|p| p.generation == generation)
            && let Err(e) = signal_group(process, Signal::SIGKILL)
        {
            tracing::error!(machine = %self.config.name, error = %e, "SIGKILL not delivered");
        }
    }

    /// Waits until that start's process is reaped; false if it takes too long.
    async fn reaped(&self, generation: u64) -> bool {
        let mut moved = self.moved.subscribe();
        let gone = moved.wait_for(|_| self.state().process.as_ref().is_none_or(|p| p.generation != generation));
        tokio::time::timeout(limits::REAP_WAIT, gone).await.is_ok_and(|r| r.is_ok())
    }

    /// Starts the process. The lever is held, the machine is off.
    async fn start(self: &Arc<Self>, cause: &'static str) -> Result<(), Error> {
        let powerless = {
            let state = self.state();
            !state.supply || state.closed
        };
        if powerless {
            return Err(self.refusal("it has no mains power"));
        }
        let order = self.order();
        let program = order.argv.first().cloned().unwrap_or_default();
        let fail = |source| Error::Start { name: self.config.name.clone(), program: program.clone(), source };
        let launched = launch::launch(order).await.map_err(fail)?;
        let pidfd = match launch::watch(launched.pidfd) {
            Ok(pidfd) => pidfd,
            Err(e) => {
                let mut child = launched.child;
                let _ = child.kill();
                let _ = child.wait();
                return Err(fail(e));
            }
        };
        let (generation, pid, monitored) = {
            let mut state = self.state();
            state.generation += 1;
            let generation = state.generation;
            let (sender, receiver) = tokio::sync::mpsc::channel(limits::MONITOR_QUEUE);
            let monitored = self.config.qmp.as_ref().map(|path| (path.clone(), receiver));
            let monitor = monitored.is_some().then_some(sender);
            state.process = Some(Process { child: launched.child, generation, monitor, frozen: false });
            state.doom = None;
            state.moved_at = Instant::now();
            let slow = Duration::from_millis(state.quirks.powering_on_ms);
            state.powering_on_until = (!slow.is_zero()).then(|| Instant::now() + slow);
            state.last_reset = Some((SystemTime::now(), cause));
            state.reset_seen = None;
            state.progress.restart();
            if state.closed {
                // The simulator ended while the process was being started.
                let _ = state.process.as_mut().map(|p| p.child.kill());
            }
            (generation, state.pid(), monitored)
        };
        self.tell("on", pid, cause);
        self.moved.send_modify(|n| *n += 1);
        tokio::spawn(Arc::clone(self).keep(generation, pidfd));
        if let Some((path, commands)) = monitored {
            tokio::spawn(monitor::follow(Arc::clone(self), generation, path, commands));
        }
        Ok(())
    }

    /// What is started this time; consumes a boot override of `Once`.
    fn order(&self) -> Order {
        let boot = {
            let mut state = self.state();
            if let Some(wish) = state.policy_wish.take_if(|wish| wish.applies) {
                state.policy = wish.policy;
            }
            if let Some(future) = state.boot_future.take() {
                state.boot = future;
            }
            if state.boot_scheduled.take().is_some_and(|at| at > Instant::now()) {
                state.boot.end();
            }
            let boot = state.boot.clone();
            if boot.enabled == "Once" && !state.quirks.once_stays {
                state.boot.end();
            }
            state.boot_taken = Some(boot.clone());
            boot
        };
        let target = if boot.enabled == "Disabled" { "None" } else { boot.target.as_str() };
        let mut argv = self.config.argv.clone();
        argv.extend(self.config.boot_args.get(target).into_iter().flatten().cloned());
        let mut env: Vec<_> = self.config.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        env.push(("BMC_SIM_BOOT_TARGET".into(), target.into()));
        self.clear_leftovers();
        Order { argv, env, netns: self.hall.clone(), output: self.config.output_log.clone() }
    }

    /// Removes sockets of the run before (a new one could not be bound) and empties a serial log that QEMU would empty too.
    fn clear_leftovers(&self) {
        use std::os::unix::fs::FileTypeExt;
        let named = self.config.argv.iter().flat_map(|arg| arg.split(',')).filter_map(|part| part.strip_prefix("local.path="));
        let paths = named.map(std::path::Path::new).chain(self.config.remove_before_start.iter().map(|p| p.as_path()));
        for path in paths {
            if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
                let _ = std::fs::remove_file(path);
            }
        }
        let appends = self.config.argv.iter().any(|arg| arg.contains("append=on"));
        if let Some(path) = self.config.serial_log.as_ref().filter(|path| !appends && path.is_file()) {
            let _ = std::fs::File::create(path);
            self.state().progress.rewind();
        }
    }

    /// Waits for the end of one start's process, reaps it, and only then calls the machine off.
    async fn keep(self: Arc<Self>, generation: u64, pidfd: AsyncFd<OwnedFd>) {
        while let Ok(mut ready) = pidfd.readable().await {
            // Readiness is a hint: only a child that has ended may be reaped, a living one would be killed below.
            if self.ended(generation) {
                break;
            }
            ready.clear_ready();
        }
        let (pid, end) = {
            let mut state = self.state();
            let pid = state.pid();
            let Some(process) = state.process.as_mut().filter(|p| p.generation == generation) else {
                return;
            };
            // Not reaped yet, so the group is still ours: whatever the machine left behind goes with it.
            let _ = signal_group(process, Signal::SIGKILL);
            let end = process.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            let commanded = state.doom.is_some() || state.restarting || !state.supply;
            state.process = None;
            state.doom = None;
            state.powering_on_until = None;
            state.moved_at = Instant::now();
            (pid, if commanded { format!("commanded, {end}") } else { end })
        };
        self.tell("off", pid, end);
        self.moved.send_modify(|n| *n += 1);
    }
}

/// A signal to the process group of a machine that is not reaped.
fn signal_group(process: &Process, signal: Signal) -> nix::Result<()> {
    let pid = i32::try_from(process.child.id()).map_err(|_| nix::errno::Errno::ESRCH)?;
    killpg(Pid::from_raw(pid), signal)
}
