//! A machine that is a process: started, stopped, frozen and reaped; its console is a file, its monitor a socket.
//! Must never signal a pid that was already reaped (it may be someone else's), nor say that a life has ended before it is.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use world::bmc::Boot;
use world::bmc::host::{Host, Line, Stage, Started};

use crate::config::MachineConfig;
use crate::launch::{self, Order};
use crate::limits;
use crate::monitor;
use crate::progress::Progress;

/// Why nothing can be done to a machine that does not run.
const OFF: &str = "it is off";

/// The machine's process, not yet reaped: its pid stays ours until then.
#[derive(Debug)]
struct Living {
    child: Child,
    /// Commands for its monitor.
    monitor: Option<mpsc::Sender<&'static str>>,
}

impl Living {
    fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.id()).ok()
    }

    /// A signal to the whole process group.
    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.pid().ok_or("its pid is none")?;
        killpg(Pid::from_raw(pid), signal).map_err(|e| format!("signal not delivered: {e}"))
    }

    /// True if it is in one of these states; reaps nothing.
    fn is(&self, states: WaitPidFlag) -> bool {
        let Some(pid) = self.pid() else { return true };
        let flags = states | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
    }
}

/// What a life shares with its machine.
#[derive(Debug, Default)]
struct Shared {
    living: Mutex<Option<Living>>,
    console: Mutex<Progress>,
}

/// See the module.
#[derive(Debug)]
pub struct Process {
    config: MachineConfig,
    /// Namespace to enter.
    hall: Option<PathBuf>,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// The machine of this configuration, off.
    pub fn new(config: MachineConfig, hall: Option<PathBuf>) -> Process {
        Process { config, hall, shared: Arc::default() }
    }

    /// What is started this time.
    fn order(&self, boot: &Boot) -> Order {
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
            locked(&self.shared.console).rewind();
        }
    }

    /// A signal to the machine's processes; the pid it was sent to.
    fn signal(&self, signal: Signal) -> Result<Option<i32>, String> {
        let living = locked(&self.shared.living);
        let living = living.as_ref().ok_or(OFF)?;
        living.signal(signal)?;
        Ok(living.pid())
    }
}

impl Shared {
    /// Waits for the end of the process and reaps it; how it ended.
    async fn reaped(&self, pidfd: AsyncFd<OwnedFd>) -> String {
        while let Ok(mut ready) = pidfd.readable().await {
            // Readiness is a hint: only a child that has ended may be reaped, a living one would be killed below.
            if locked(&self.living).as_ref().is_none_or(|living| living.is(WaitPidFlag::WEXITED)) {
                break;
            }
            ready.clear_ready();
        }
        let mut slot = locked(&self.living);
        let Some(mut living) = slot.take() else { return "reaped by another".into() };
        // Not reaped yet, so the group is still ours: whatever the machine left behind goes with it.
        let _ = living.signal(Signal::SIGKILL);
        living.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string())
    }
}

#[async_trait]
impl Host for Process {
    async fn start(&self, boot: &Boot, line: Line) -> Result<Started, String> {
        let order = self.order(boot);
        let program = order.argv.first().cloned().unwrap_or_default();
        let fail = |source: std::io::Error| {
            format!("cannot start {program}: {source}; is it installed, and may this process enter the hall namespace?")
        };
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
        let (sender, commands) = mpsc::channel(limits::MONITOR_QUEUE);
        let monitored = self.config.qmp.clone().map(|path| (path, commands));
        let living = Living { child: launched.child, monitor: monitored.is_some().then_some(sender) };
        let (pid, shared, name) = (living.pid(), Arc::clone(&self.shared), self.config.name.clone());
        *locked(&shared.living) = Some(living);
        locked(&shared.console).restart();
        let life = async move {
            let console = Arc::clone(&shared);
            let told = move |cause| {
                locked(&console.console).restart();
                line.reset(cause);
            };
            let following = monitored.map(|(path, commands)| tokio::spawn(monitor::follow(name, path, commands, told)));
            let end = shared.reaped(pidfd).await;
            following.into_iter().for_each(|task| task.abort());
            end
        };
        Ok(Started { pid, life: Box::pin(life) })
    }

    fn kill(&self) -> Result<(), String> {
        self.signal(Signal::SIGKILL).map(drop)
    }

    /// By its monitor, or SIGTERM where it has none.
    fn press(&self) {
        if let Some(living) = locked(&self.shared.living).as_ref() {
            match &living.monitor {
                Some(monitor) => drop(monitor.try_send("system_powerdown")),
                None => drop(living.signal(Signal::SIGTERM)),
            }
        }
    }

    /// SIGSTOP. Returns when every thread of its process has stopped.
    async fn freeze(&self) -> Result<(), String> {
        let pid = self.signal(Signal::SIGSTOP)?;
        let moves = || {
            let living = locked(&self.shared.living);
            living.as_ref().is_some_and(|living| living.pid() == pid && !living.is(WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED))
        };
        let stopped = async {
            while moves() {
                tokio::time::sleep(limits::FREEZE_POLL).await;
            }
        };
        tokio::time::timeout(limits::FREEZE_WAIT, stopped).await.map_err(|_| "its process did not stop".into())
    }

    /// SIGCONT.
    fn thaw(&self) -> Result<(), String> {
        self.signal(Signal::SIGCONT).map(drop)
    }

    async fn look(&self) -> Option<Stage> {
        let log = self.config.serial_log.as_ref()?;
        let before = locked(&self.shared.console).clone();
        let after = before.clone().advanced(log).await;
        locked(&self.shared.console).follow(&before, after)
    }

    fn waits_for_a_look(&self) -> bool {
        self.config.serial_log.is_some()
    }
}
