//! The system calls of the lab that need `unsafe`, each with the reason why it is sound. No other file may hold any.
//!
//! Nothing here decides anything: the callers do.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpid, getppid, setsid};

const TUN: &str = "/dev/net/tun";

mod request {
    use nix::libc;
    nix::ioctl_write_ptr_bad!(tun_set_interface, libc::TUNSETIFF, libc::ifreq);
}

/// Opens a tap interface of this name in the caller's network namespace, making it. It lives as long as the descriptor.
pub fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open(TUN)?;
    // SAFETY: ifreq is plain data of integers and arrays; all zeroes is a value of it.
    let mut wish: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= wish.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: too long for an interface's name")));
    }
    for (place, byte) in wish.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    wish.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap_or(0);
    // SAFETY: the descriptor is open, and TUNSETIFF reads one ifreq, which lives on this stack until the call returns.
    unsafe { request::tun_set_interface(file.as_raw_fd(), &raw const wish) }?;
    Ok(file.into())
}

/// What a child does between fork and exec.
#[derive(Debug, Default)]
pub struct Preparation {
    /// Enter this network namespace.
    pub network: Option<OwnedFd>,
    /// Keep these descriptors open across exec, under their numbers.
    pub keep: Vec<RawFd>,
    /// Become the leader of a new session, out of reach of the terminal's keys.
    pub own_session: bool,
    /// Get this signal when the thread that started it ends, however that ends.
    pub die_with_parent: Option<Signal>,
}

/// Has a command do this between fork and exec. Every child gets an empty signal mask.
pub fn prepare(command: &mut Command, preparation: Preparation) {
    let parent = getpid();
    let steps = move || -> io::Result<()> {
        if let Some(signal) = preparation.die_with_parent {
            set_pdeathsig(signal)?;
            // the parent may have died before the line above; a first process of a new namespace sees its parent as 0
            let present = getppid();
            if present != parent && present.as_raw() != 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        if preparation.own_session {
            setsid()?;
        }
        if let Some(network) = &preparation.network {
            setns(network, CloneFlags::CLONE_NEWNET)?;
        }
        // a child inherits what its parent blocks, and would be deaf to the request to end
        SigSet::empty().thread_set_mask()?;
        for fd in &preparation.keep {
            // SAFETY: the owner of the descriptor, who handed out its number, keeps it open until the child runs; it is only borrowed for this call.
            let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) };
            fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made (prctl, getppid, setsid, setns, sigmask, fcntl); nothing allocates
    // to success and no lock is taken. The one error that allocates ends the child at once.
    unsafe { command.pre_exec(steps) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            prepare(&mut command, Preparation { die_with_parent: Some(Signal::SIGTERM), ..Preparation::default() });
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}
