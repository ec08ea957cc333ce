//! The caller's side of a lab: makes the namespaces, starts the supervisor in them, waits, cleans up.
//!
//! It touches nothing of the computer but the run folder and the cache. If it dies, however it dies, the supervisor dies, and with it the lab.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::limits::{DOWN_DEADLINE, READY_POLL, RUN_PATH_BYTES_MAX};
use crate::names::SwitchKind;
use crate::qemu::Firmware;
use crate::services::Service;
use crate::sys::{Preparation, prepare};
use crate::volumes::Boot;

/// The file that marks a run folder as ours, and is locked while its lab lives.
pub const MARK: &str = ".understudy-lab";
/// The variable by which the supervisor gets its orders.
pub const ORDERS: &str = "UNDERSTUDY_LAB_ORDERS";

/// What a lab is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// The run folder.
    pub run: PathBuf,
    /// The unpacked packages.
    pub packages: PathBuf,
    /// Where images are kept.
    pub cache: PathBuf,
    /// Where our programs are built.
    pub bin_dir: PathBuf,
    /// How many machines.
    pub machines: u8,
    /// Their firmware.
    pub firmware: Firmware,
    /// How servers boot.
    pub boot: Boot,
    /// What the switch is.
    pub switch: SwitchKind,
    /// How much longer than by itself the machines' firmware takes, milliseconds.
    pub post_ms: u16,
    /// Files that go into the switch's root (`etc/understudy/agent.json`...).
    pub switch_files: Option<PathBuf>,
    /// Further folders that stay visible inside, should they lie below /tmp or /run.
    pub visible: Vec<PathBuf>,
    /// Processes started after the lab's own, in this order.
    pub services: Vec<Service>,
    /// A command run inside once all is up; the lab ends with it.
    pub command: Vec<String>,
    /// Whether namespaces of a user are made (false: the caller is root).
    pub user_namespace: bool,
}

/// Why a lab could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The run folder cannot be used.
    #[error("the run folder {path}: {reason}")]
    Run {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The kernel gives no namespaces.
    #[error("{0}")]
    Namespaces(String),
    /// Something else failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A run folder that is ours as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: Flock<File>,
}

impl RunFolder {
    /// Makes a run folder, or takes one that a dead lab left (and empties it). Never empties a folder that is not marked as ours.
    pub fn take(path: &Path) -> Result<Self, EnterError> {
        let refuse = |reason: String| EnterError::Run { path: path.to_owned(), reason };
        fs::create_dir_all(path).map_err(|error| refuse(error.to_string()))?;
        let path = fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
        if path.as_os_str().len() > RUN_PATH_BYTES_MAX {
            return Err(refuse(format!(
                "its path is longer than {RUN_PATH_BYTES_MAX} bytes, too long for sockets in it; take a shorter --dir"
            )));
        }
        let mark = path.join(MARK);
        let empty = fs::read_dir(&path).map_err(|error| refuse(error.to_string()))?.next().is_none();
        if !empty && !mark.exists() {
            return Err(refuse("it has files that are no lab's; take an empty folder".to_owned()));
        }
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&mark).map_err(|error| refuse(error.to_string()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => {
                refuse("a lab runs in it; take another --dir, or end that one (understudy-lab down --dir ...)".to_owned())
            }
            other => refuse(other.to_string()),
        })?;
        let folder = Self { path, lock };
        folder.empty().map_err(|error| refuse(error.to_string()))?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() == MARK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the folder with all that is in it.
    pub fn remove(self) -> io::Result<()> {
        self.empty()?;
        // the lock is held until the mark is gone, so that nobody takes a folder that is about to vanish
        let same = fs::metadata(self.path.join(MARK))
            .is_ok_and(|mark| fstat(self.lock.as_fd()).is_ok_and(|own| own.st_ino == std::os::unix::fs::MetadataExt::ino(&mark)));
        if same {
            fs::remove_dir_all(&self.path)?;
        }
        Ok(())
    }
}

/// Leaves the computer's namespaces for new ones. The caller must have one thread only. Its mounts it keeps: the supervisor takes its own,
/// so that the run folder can be removed from here.
pub fn leave_namespaces(user_namespace: bool) -> Result<(), EnterError> {
    let (uid, gid) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if user_namespace {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|errno| {
        EnterError::Namespaces(remedy(errno, user_namespace, |name| fs::read_to_string(Path::new("/proc/sys").join(name)).ok()))
    })?;
    if user_namespace {
        for (file, text) in
            [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))]
        {
            fs::write(Path::new("/proc/self").join(file), text)
                .map_err(|source| EnterError::Io { what: "map the user into the lab", source })?;
        }
    }
    Ok(())
}

/// Which setting stands in the way, and what to do.
fn remedy(errno: Errno, user_namespace: bool, setting: impl Fn(&str) -> Option<String>) -> String {
    if !user_namespace {
        return format!(
            "namespaces cannot be made as root ({errno}): this is a container without CAP_SYS_ADMIN; run it with --privileged, or run the lab as a user"
        );
    }
    let is = |name: &str, value: &str| setting(name).is_some_and(|text| text.trim() == value);
    let what = if is("kernel/unprivileged_userns_clone", "0") {
        "they are switched off: sysctl kernel.unprivileged_userns_clone=1"
    } else if is("user/max_user_namespaces", "0") {
        "none is allowed: sysctl user.max_user_namespaces=10000"
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor forbids them: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "no setting explains it (a container without the right to make them?)"
    };
    format!("user namespaces cannot be made ({errno}): {what}; or run the lab as root")
}

/// Keeps signals until [`up`] looks at them. To be called before the run folder is taken, so that nothing can end this process while there is
/// something to be removed. The caller must have one thread only.
pub fn hold_signals() -> Result<SigSet, EnterError> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|errno| EnterError::Io { what: "block signals", source: errno.into() })?;
    Ok(signals)
}

/// Raises a lab and stays until it ends; then, or if it cannot be raised, the run folder is removed. The caller must have one thread only.
pub fn up(orders: &Orders, folder: RunFolder, keep: bool, signals: &SigSet) -> Result<ExitCode, EnterError> {
    let ended = leave_namespaces(orders.user_namespace)
        .and_then(|()| start_supervisor(orders))
        .and_then(|mut child| watch(&mut child, signals));
    if keep {
        eprintln!("the run folder stays: {}", folder.path().display());
    } else if let Err(error) = folder.remove() {
        eprintln!("the run folder cannot be removed: {error}");
    }
    ended
}

fn start_supervisor(orders: &Orders) -> Result<Child, EnterError> {
    let failed = |source| EnterError::Io { what: "start the supervisor", source };
    let text = serde_json::to_string(orders).map_err(|error| failed(error.into()))?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("supervise").env(ORDERS, text);
    prepare(&mut command, Preparation { own_session: true, die_with_parent: Some(Signal::SIGKILL), ..Preparation::default() });
    command.spawn().map_err(failed)
}

/// Waits for the supervisor's end. A first signal asks it to end in order, a second (or too long a wait) kills it, and the lab with it.
fn watch(child: &mut Child, signals: &SigSet) -> Result<ExitCode, EnterError> {
    let failed = |source| EnterError::Io { what: "wait for the supervisor", source };
    let pid = i32::try_from(child.id()).map(Pid::from_raw).map_err(|error| failed(io::Error::other(error)))?;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
        }
        let signal = signals.wait().map_err(|errno| failed(errno.into()))?;
        if signal == Signal::SIGCHLD {
            continue;
        }
        eprintln!("\nending the lab");
        // it may end by itself at this very moment
        let _ = kill(pid, Signal::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < DOWN_DEADLINE {
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            std::thread::sleep(READY_POLL);
        }
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
        return Ok(ExitCode::FAILURE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marked_or_empty_folder_is_taken() {
        let base = tempfile::tempdir().unwrap();
        let foreign = base.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("thesis.tex"), "x").unwrap();
        assert!(RunFolder::take(&foreign).unwrap_err().to_string().contains("no lab's"));
        assert!(foreign.join("thesis.tex").exists());
        let ours = base.path().join("ours");
        let folder = RunFolder::take(&ours).unwrap();
        fs::write(ours.join("left"), "x").unwrap();
        assert!(RunFolder::take(&ours).unwrap_err().to_string().contains("a lab runs in it"));
        drop(folder);
        let folder = RunFolder::take(&ours).unwrap();
        assert!(!ours.join("left").exists(), "what a dead lab left is swept away");
        folder.remove().unwrap();
        assert!(!ours.exists());
    }

    #[test]
    fn a_path_too_long_for_sockets_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let error = RunFolder::take(&base.path().join("x".repeat(90))).unwrap_err();
        assert!(error.to_string().contains("too long for sockets"), "{error}");
    }

    #[test]
    fn the_setting_in_the_way_is_named() {
        let text = remedy(Errno::EPERM, true, |name| (name == "user/max_user_namespaces").then(|| "0\n".to_owned()));
        assert!(text.contains("sysctl user.max_user_namespaces=10000"), "{text}");
        assert!(remedy(Errno::EPERM, true, |_| None).contains("as root"));
        assert!(remedy(Errno::EPERM, false, |_| None).contains("--privileged"));
    }
}
