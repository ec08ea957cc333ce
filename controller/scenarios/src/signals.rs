//! Ctrl-C and termination: the lab is ended in order, whatever waits gives up, and `main` returns. Nothing may be left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::limits::LOOK;
use crate::trouble::{Done, Trouble};

/// Exit code of a program that was interrupted.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Process groups of labs that run.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn groups() -> std::sync::MutexGuard<'static, Vec<u32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to heed signals. To be called once, before any other thread is made.
pub fn heed() -> nix::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                // told twice: at once, and the lab dies with its parent
                let _ = kill(Pid::this(), Signal::SIGKILL);
            }
            eprintln!("\nending what runs");
            for lab in groups().clone() {
                end_group(lab);
            }
        }
    });
    Ok(())
}

/// Whether somebody asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Waits a while; an error if somebody asks us to stop meanwhile.
pub fn sleep(time: Duration) -> Done {
    let start = Instant::now();
    while start.elapsed() < time {
        if interrupted() {
            return Err(Trouble::Interrupted);
        }
        std::thread::sleep(LOOK.min(time.saturating_sub(start.elapsed())));
    }
    Ok(())
}

/// Asks a lab to end in order.
pub fn end_group(group: u32) {
    if let Ok(pid) = i32::try_from(group) {
        // it may have ended by itself
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A lab runs.
pub fn remember_group(group: u32) {
    groups().push(group);
}

/// It has ended.
pub fn forget_group(group: u32) {
    groups().retain(|other| *other != group);
}
