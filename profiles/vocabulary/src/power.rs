//! What a BMC says of its machine. `Unknown` is never `Off`.

use crate::WallTime;
use serde::{Deserialize, Serialize};

/// Host power as one source reports it. Anything missing, null, unreadable or unheard of is `Unknown`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// The host has power.
    On,
    /// The host has no power. The only state that can be part of a proof.
    Off,
    /// On its way up.
    PoweringOn,
    /// On its way down: not off.
    PoweringOff,
    /// Suspended: not off.
    Paused,
    /// Not told, or not understood.
    Unknown,
}

/// Identity of the box behind a BMC, read on the same session as the power state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// System UUID, lower case; empty if the BMC does not tell.
    pub uuid: String,
    /// Serial number; empty if the BMC does not tell.
    pub serial: String,
}

/// What happens when power returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum RestorePolicy {
    /// Stays off until told: the only policy under which a dead machine does not return by itself.
    AlwaysOff,
    /// Starts by itself.
    AlwaysOn,
    /// Returns to the state before the loss.
    LastState,
    /// Not told, or pending.
    #[default]
    Unknown,
}

/// One fresh reading of one machine through its BMC. Every field was read after the request for this reading was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineReading {
    /// Names the BMC session of this agent: two readings with the same value were taken on one unbroken session.
    pub session: u64,
    /// Who answered.
    pub identity: Identity,
    /// SHA-256 of the BMC's certificate in hex, where it has one.
    pub certificate: Option<String>,
    /// Power as the system resource tells it.
    pub system_power: PowerState,
    /// Power on the chassis that names the host rail; `None` where this platform has no second source.
    pub chassis_power: Option<PowerState>,
    /// When the host was last reset, in the BMC's own words; compared for equality only.
    pub last_reset: Option<String>,
    /// Where the host's boot stands, in the BMC's own words.
    pub boot_progress: Option<String>,
    /// Since when the BMC itself runs, in its own words; a change means that it rebooted.
    pub bmc_started: Option<String>,
    /// Active restore policy.
    pub restore_policy: RestorePolicy,
    /// Health roll-up in the BMC's own words (`OK`, `Warning`, `Critical`).
    pub health: Option<String>,
    /// When it was read, by the agent's wall clock; for people.
    pub read_at: WallTime,
}

impl MachineReading {
    /// True only if every source this platform has says Off now.
    pub fn all_off(&self) -> bool {
        self.system_power == PowerState::Off && self.chassis_power.is_none_or(|rail| rail == PowerState::Off)
    }
}

/// What the next boot is to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootTarget {
    /// Network boot by PXE.
    Pxe,
    /// Network boot by UEFI HTTP.
    UefiHttp,
}
