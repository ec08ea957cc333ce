//! What a driver asks of a BMC's abilities, by the names that every driver uses.
//! Must never be taken for a permission: commands are refused and judged by what is read when they are given.

pub use vocabulary::findings::{Ability, Can, Findings};

/// Why a BMC that is only watched is asked for nothing else.
pub const ONLY_WATCHED: &str = "the estate only watches this BMC (`access: watch`, or the privilege `user`); nothing was sent";

/// The abilities' names, the same for every protocol.
pub mod name {
    /// Cutting power.
    pub const POWER_OFF: &str = "power off";
    /// Giving power.
    pub const POWER_ON: &str = "power on";
    /// Asking the operating system to stop.
    pub const SHUT_DOWN: &str = "shut down in order";
    /// The next boot from the network by PXE.
    pub const BOOT_PXE: &str = "boot by PXE";
    /// The next boot from the network by UEFI HTTP.
    pub const BOOT_HTTP: &str = "boot by UEFI HTTP";
    /// Staying off when power returns.
    pub const STAY_OFF: &str = "stay off after a power loss";
    /// A second source that says Off.
    pub const RAIL: &str = "strong proof by power";
    /// Saying at once that something changed, so that it is not found out by the next look only.
    pub const TELLS: &str = "tells changes by itself";
    /// Which of the systems behind the BMC is the host.
    pub const HOST: &str = "host system";
}
