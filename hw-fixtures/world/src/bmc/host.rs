//! The machine below a BMC, whatever it is: a process, or a thing that only pretends to run. Here is all that a BMC can do to it, and all
//! that it hears of it. Must never let a BMC take a machine for off: a start is over when the host says that its life has ended.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use async_trait::async_trait;

use super::{Bmc, Boot};

/// How far the boot of a start has come, for whoever sees the machine's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its firmware shows itself.
    HardwareInitialized,
    /// Its system begins.
    SystemStarted,
    /// Its system is there.
    SystemRuns,
}

impl Stage {
    /// In Redfish's words.
    pub fn word(self) -> &'static str {
        match self {
            Stage::HardwareInitialized => "SystemHardwareInitializationComplete",
            Stage::SystemStarted => "OSBootStarted",
            Stage::SystemRuns => "OSRunning",
        }
    }
}

/// The life of one start: it ends when the machine is off and nothing of it is left, and says how it ended.
pub type Life = Pin<Box<dyn Future<Output = String> + Send>>;

/// A start that was made.
pub struct Started {
    /// The process that plays the machine, where one does.
    pub pid: Option<i32>,
    /// Its life. A host may do nothing for it before it is polled.
    pub life: Life,
}

/// See the module. A refusal says why, in words.
#[async_trait]
pub trait Host: Debug + Send + Sync {
    /// Powers on with this boot override, which is consumed by it. It runs when this returns; it was off when this was called, and is off
    /// still if this is refused or not waited for.
    async fn start(&self, boot: &Boot, line: Line) -> Result<Started, String>;

    /// Cuts its power. It is off when its life ends, not before. Refused if it is off.
    fn kill(&self) -> Result<(), String>;

    /// A finger on its button: it is asked to stop, and may ignore that.
    fn press(&self);

    /// It hangs from now on: its power stays on, and nothing in it moves.
    async fn freeze(&self) -> Result<(), String>;

    /// It goes on where it hung.
    fn thaw(&self) -> Result<(), String>;

    /// How far its boot has come, for a host that says so only when it is asked; the others tell it on their line.
    async fn look(&self) -> Option<Stage> {
        None
    }

    /// True if [`Host::look`] is the only way to know of its boot.
    fn waits_for_a_look(&self) -> bool {
        false
    }
}

/// The line from one start of a machine to its BMC. What is told on the line of a start that is over is not heard.
#[derive(Debug, Clone)]
pub struct Line {
    pub(super) bmc: Weak<Bmc>,
    pub(super) start: u64,
}

impl Line {
    /// The machine was reset, by this cause in Redfish's words: a new boot has begun.
    pub fn reset(&self, cause: &'static str) {
        if let Some(bmc) = self.bmc.upgrade() {
            bmc.saw_reset(self.start, cause);
        }
    }

    /// Its boot has come so far.
    pub fn reached(&self, stage: Stage) {
        if let Some(bmc) = self.bmc.upgrade() {
            bmc.saw_stage(self.start, stage);
        }
    }
}
