//! Passing on Ctrl-C and termination to the one child that is running, so that it can tidy up and nothing is left behind; and our own death,
//! however it comes. The few system calls this needs stand here, declared by hand because xtask stays light; nothing else in xtask may be unsafe.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

/// Exit code of a program that was interrupted.
pub const EXIT_INTERRUPTED: i32 = 130;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// `prctl`: the signal that a process gets when the thread that started it ends.
const PR_SET_PDEATHSIG: i32 = 1;

/// No child runs: a signal ends xtask at once.
const NONE: i32 = 0;
/// A child is being started: a signal waits until its group is known.
const STARTING: i32 = -1;

/// Process group of the running child, or one of the two above.
static CHILD_GROUP: AtomicI32 = AtomicI32::new(NONE);
/// The signal that asked us to stop, or 0.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn kill(process: i32, number: i32) -> i32;
    fn getppid() -> i32;
    fn prctl(option: i32, ...) -> i32;
    fn _exit(code: i32) -> !;
}

/// Only atomics, `kill` and `_exit`, all allowed in a signal handler.
extern "C" fn pass_on(number: i32) {
    RECEIVED.store(number, Ordering::SeqCst);
    match CHILD_GROUP.load(Ordering::SeqCst) {
        // SAFETY: nothing is running that would have to be waited for, and half-written caches are never visible
        NONE => unsafe { _exit(EXIT_INTERRUPTED) },
        STARTING => {}
        group => send(group, number),
    }
}

fn send(group: i32, number: i32) {
    // SAFETY: kill takes two integers and touches no memory of ours; a group that is gone gives an error we ignore
    let _ = unsafe { kill(-group, number) };
}

/// From here on a running child decides how to end; xtask waits for it.
pub fn install() {
    for number in [SIGHUP, SIGINT, SIGTERM] {
        // SAFETY: the handler is a function that lives as long as the program and does only what a handler may
        let _ = unsafe { signal(number, pass_on) };
    }
}

/// Has a command asked to end when the thread that starts it ends: a kill -9 of this program must leave no build and no lab behind.
pub fn die_with_us(command: &mut Command) {
    let us = i32::try_from(std::process::id()).unwrap_or(0);
    let step = move || {
        // SAFETY: prctl takes two integers here, getppid none; neither touches memory of ours
        let gone = unsafe { prctl(PR_SET_PDEATHSIG, u64::try_from(SIGTERM).unwrap_or(0)) != 0 || getppid() != us };
        // we may have ended before the line above
        if gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec the two system calls above are made; nothing allocates and no lock is taken
    unsafe { command.pre_exec(step) };
}

/// Call right before a child is started.
pub fn child_starts() {
    CHILD_GROUP.store(STARTING, Ordering::SeqCst);
}

/// Names the process group that signals go to; one that came meanwhile is handed over now.
pub fn child_is(group: u32) {
    let group = i32::try_from(group).unwrap_or(STARTING);
    CHILD_GROUP.store(group, Ordering::SeqCst);
    let received = RECEIVED.load(Ordering::SeqCst);
    if received != 0 && group > 0 {
        send(group, received);
    }
}

/// No child is running any more.
pub fn child_ended() {
    CHILD_GROUP.store(NONE, Ordering::SeqCst);
}

/// Whether a signal asked us to stop.
pub fn interrupted() -> bool {
    RECEIVED.load(Ordering::SeqCst) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            die_with_us(command.arg("60"));
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
    }
}
