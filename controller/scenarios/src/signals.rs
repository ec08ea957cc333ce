//! Ctrl-C and termination: the lab is ended in order, then this process. Nothing may be left behind.

use std::sync::Mutex;
use std::sync::PoisonError;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::limits::{ENDED, LOOK};

/// Exit code of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Process groups of labs that run.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

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
        if signals.wait().is_ok() {
            eprintln!("\nending the lab");
            let labs = groups().clone();
            for lab in &labs {
                end_group(*lab);
            }
            let start = std::time::Instant::now();
            while start.elapsed() < ENDED && labs.iter().any(|lab| lives(*lab)) {
                std::thread::sleep(LOOK);
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

fn pid(group: u32) -> Option<Pid> {
    i32::try_from(group).ok().map(Pid::from_raw)
}

/// True while the group's first process has not ended. A dead one that nobody waited for yet does not live.
fn lives(group: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{group}/stat")).is_ok_and(|text| !text.contains(") Z "))
}

/// Asks a lab to end in order.
pub fn end_group(group: u32) {
    if let Some(pid) = pid(group) {
        // it may have ended by itself
        let _ = kill(pid, Signal::SIGTERM);
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
