//! Starts the processes that play machines: own process group, hall namespace, dead as soon as the simulator is.
//! The only file with unsafe code (system calls without a safe wrapper). Must never start a process from a thread that can end:
//! the kernel ties PR_SET_PDEATHSIG to the *thread* that forked, so one thread that lives as long as the process starts them all.

use std::fs::{File, OpenOptions};
use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// What is to be started.
#[derive(Debug)]
pub struct Order {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub env: Vec<(String, String)>,
    /// Network namespace to enter.
    pub netns: Option<PathBuf>,
    /// File that takes the process's output (appended).
    pub output: Option<PathBuf>,
}

/// A started process: not reaped until its owner does so, hence its pid cannot be given to another process meanwhile.
#[derive(Debug)]
pub struct Launched {
    /// The child.
    pub child: Child,
    /// Becomes readable when the child has ended (and is still to be reaped).
    pub pidfd: OwnedFd,
}

type Request = (Order, oneshot::Sender<io::Result<Launched>>);

/// The thread that starts every process; it never ends, because this sender is never dropped.
static STARTER: OnceLock<Sender<Request>> = OnceLock::new();

/// Starts a process. Cancelling the wait does not leak it: a child nobody takes is killed and reaped.
pub async fn launch(order: Order) -> io::Result<Launched> {
    let (answer, answered) = oneshot::channel();
    starter()?.send((order, answer)).map_err(|_| Error::other("the starter thread is gone"))?;
    answered.await.map_err(|_| Error::other("the starter thread gave no answer"))?
}

/// Lets the runtime wait for a child's end. Needs a tokio runtime.
pub fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` keeps this one descriptor open until it is dropped, and hands out no other.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn starter() -> io::Result<&'static Sender<Request>> {
    if let Some(sender) = STARTER.get() {
        return Ok(sender);
    }
    let (sender, orders) = channel::<Request>();
    std::thread::Builder::new().name("starter".into()).spawn(move || {
        for (order, answer) in orders {
            if let Err(Ok(mut orphan)) = answer.send(start(&order)) {
                let _ = orphan.child.kill();
                let _ = orphan.child.wait();
            }
        }
    })?;
    // A second caller may have been quicker: its thread serves all, ours ends with its only sender before it started anything.
    Ok(STARTER.get_or_init(|| sender))
}

fn start(order: &Order) -> io::Result<Launched> {
    let (program, arguments) = order.argv.split_first().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "empty argv"))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(order.env.iter().map(|(k, v)| (k, v))).process_group(0).stdin(Stdio::null());
    match &order.output {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        None => {
            command.stdout(Stdio::null());
        }
    }
    let netns = order.netns.as_ref().map(File::open).transpose()?;
    let parent = nix::unistd::getpid().as_raw();
    let prepare = move || {
        if let Some(file) = &netns {
            // SAFETY: a plain system call on a descriptor that `netns` keeps open; it allocates nothing between fork and exec.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(Error::last_os_error());
            }
        }
        // SAFETY: a plain system call with constant arguments.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: takes nothing, cannot fail. The parent may have died before prctl took hold: then nobody would ever kill this child.
        if unsafe { libc::getppid() } != parent {
            return Err(Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: `prepare` makes system calls only: no allocation, no lock, nothing that fork could have left half done.
    unsafe { command.pre_exec(prepare) };
    let mut child = command.spawn()?;
    match pidfd_open(child.id()) {
        Ok(pidfd) => Ok(Launched { child, pidfd }),
        Err(e) => {
            child.kill()?;
            child.wait()?;
            Err(e)
        }
    }
}

/// A descriptor for a child not yet reaped.
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    // SAFETY: the call takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just made by the kernel and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
