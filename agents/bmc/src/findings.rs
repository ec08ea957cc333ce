//! What a driver found out of a BMC beyond its readings: platform, quirk records, how it is logged in, and what it can do. For people.
//! Must never be taken for a proof or a permission: commands are refused and judged by what is read when they are given.

/// Whether a BMC can do something, as far as it tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Can {
    /// It says so.
    Yes,
    /// It lacks it; the detail says why.
    No,
    /// It does not tell: it is tried when it is needed, and read back.
    Untold,
}

impl Can {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Can::Yes => "yes",
            Can::No => "no",
            Can::Untold => "untold",
        }
    }
}

/// One thing that Understudy asks of a BMC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ability {
    /// What.
    pub name: &'static str,
    /// Whether.
    pub can: Can,
    /// By which values, or why not.
    pub detail: String,
}

impl Ability {
    /// It can.
    pub fn yes(name: &'static str, detail: impl Into<String>) -> Ability {
        Ability { name, can: Can::Yes, detail: detail.into() }
    }
    /// It cannot, and why.
    pub fn no(name: &'static str, detail: impl Into<String>) -> Ability {
        Ability { name, can: Can::No, detail: detail.into() }
    }
    /// It does not tell.
    pub fn untold(name: &'static str, detail: impl Into<String>) -> Ability {
        Ability { name, can: Can::Untold, detail: detail.into() }
    }
}

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

/// Everything that was found out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Make, model and firmware.
    pub platform: String,
    /// The quirk records that apply; none: it is taken to keep to the standard.
    pub quirks: Vec<String>,
    /// How this client is logged in.
    pub session: String,
    /// What the BMC can do, and what it lacks.
    pub abilities: Vec<Ability>,
}
