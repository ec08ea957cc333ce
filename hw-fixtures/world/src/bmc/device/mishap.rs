//! What goes wrong with a machine's parts beside its power as a whole: a power supply, memory, a processor, its operating system.
//! Must never stop the machine: that is what the process is for. Here it is kept and logged only.

use serde::{Deserialize, Serialize};

/// The second power supply; the first is always well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Supply {
    /// It works.
    #[default]
    Well,
    /// Its mains input is dead.
    InputLost,
    /// It is broken.
    Failed,
    /// It was pulled out.
    Absent,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mishap {
    /// The second supply's input dies.
    SupplyInputLost,
    /// The second supply breaks.
    SupplyFailed,
    /// The second supply is pulled out.
    SupplyPulled,
    /// The second supply is well again.
    SupplyMended,
    /// Memory has an error that cannot be corrected.
    MemoryUncorrectable,
    /// A processor has an internal error.
    ProcessorError,
    /// The operating system stops with a panic.
    SystemPanic,
    /// The I/O channel raises an NMI.
    CriticalInterrupt,
}

impl Mishap {
    /// What the second supply is afterwards; `None`: as it was.
    pub fn supply(self) -> Option<Supply> {
        Some(match self {
            Mishap::SupplyInputLost => Supply::InputLost,
            Mishap::SupplyFailed => Supply::Failed,
            Mishap::SupplyPulled => Supply::Absent,
            Mishap::SupplyMended => Supply::Well,
            Mishap::MemoryUncorrectable | Mishap::ProcessorError | Mishap::SystemPanic | Mishap::CriticalInterrupt => {
                return None;
            }
        })
    }
}
