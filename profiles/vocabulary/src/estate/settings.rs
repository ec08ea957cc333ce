//! The estate document: what holds for the installation as a whole. Defaults are the design's; it never says what a lab may do,
//! and it is no place for anything about one machine or server.

use crate::*;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The estate document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which store keeps the journal.
    pub store: StoreKind,
    /// VLANs with a meaning for Understudy itself.
    pub vlans: SpecialVlans,
    /// When a silence becomes a symptom.
    pub detection: Detection,
    /// The blast-radius guard.
    pub guard: Guard,
    /// What a proof needs.
    pub fencing: Fencing,
    /// What persons have to agree to.
    pub consent: Consent,
    /// How long a boot service serves a permit without hearing from a controller.
    pub permit_lease: PermitLease,
    /// What is kept of what was recorded.
    pub retention: Retention,
    /// Servers that the controller itself needs in order to work. Must be empty: `estate check` refuses the loop.
    pub depends_on: Vec<ServerId>,
}

/// The embedded store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// SQLite in WAL mode with full synchronisation.
    #[default]
    Sqlite,
    /// sled 1.0 alpha.
    Sled,
}

/// VLANs with a meaning for Understudy itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialVlans {
    /// Fenced machines.
    pub quarantine: VlanId,
    /// Spares.
    pub parking: VlanId,
    /// Patrols.
    pub patrol: VlanId,
}

impl Default for SpecialVlans {
    fn default() -> Self {
        let vlan = |n| VlanId::new(n).unwrap_or_else(|| unreachable!("a constant between 1 and 4094"));
        SpecialVlans { quarantine: vlan(4001), parking: vlan(4002), patrol: vlan(4003) }
    }
}

/// When a silence becomes a symptom. Defaults: section 6 of the design.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// How often each machine's power and health is read.
    pub power_every: Span,
    /// How often each server's health checks run.
    pub check_every: Span,
    /// How long Off must be read, uncommanded, to be `UnexpectedOff`. Once a reading says so, the next ones follow each other quickly.
    pub off_window: Span,
    /// How long every witness must be silent to be `Hung` or `PowerSuspected`.
    pub hung_window: Span,
    /// How long a reboot may take where no boot of this machine was ever recorded; a start of which nothing is recorded is predicted to take that long.
    pub boot_time: Span,
}

impl Default for Detection {
    fn default() -> Self {
        Detection {
            power_every: Span::seconds(5),
            check_every: Span::seconds(2),
            off_window: Span::seconds(7),
            hung_window: Span::seconds(24),
            boot_time: Span::seconds(900),
        }
    }
}

/// The blast-radius guard. Counts suspicions per domain within the window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// The window for racks, feeds, switches, storage targets and BMC networks.
    pub window: Span,
    /// The window for a site.
    pub site_window: Span,
    /// A site is held above this many suspects, or above `site_percent` of its machines, whichever is more.
    pub site_count: u32,
    /// See `site_count`.
    pub site_percent: u32,
    /// A server fails over at most once in this time.
    pub server_interval: Span,
    /// And at most so often in a day.
    pub server_per_day: u32,
    /// How many servers of a site may be starting at once in its cold start.
    pub inrush: u32,
    /// Addresses that must answer for the controller to trust its own eyes.
    pub canaries: Vec<SocketAddr>,
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            window: Span::seconds(120),
            site_window: Span::seconds(600),
            site_count: 3,
            site_percent: 2,
            server_interval: Span::seconds(1800),
            server_per_day: 2,
            inrush: 32,
            canaries: Vec::new(),
        }
    }
}

/// What persons have to agree to: a plan in mode `approve`, and that what the guard holds goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    /// How many different people have to agree: 1 or 2. In a lab estate one counts as two.
    pub people: u32,
}

impl Default for Consent {
    fn default() -> Self {
        Consent { people: 1 }
    }
}

/// What is kept of what was recorded. What follows from older records is kept for ever: where everything is, what is barred, who agreed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Records that are older are removed, and with them the reports of what ended before.
    pub history: Span,
    /// But so many of the newest stay, however old they are.
    pub at_least: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { history: Span::seconds(400 * 86_400), at_least: 10_000 }
    }
}

/// What a proof needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fencing {
    /// Over how long all power reads must say Off.
    pub settle: Span,
    /// How many fresh reads at least, all Off.
    pub reads: u32,
    /// A part of a proof older than this is confirmed anew before it is used.
    pub fresh_for: Span,
    /// A lab may use one proof set alone to measure it; `any` is the only value allowed where the estate is not a lab.
    pub proof: ProofChoice,
}

impl Default for Fencing {
    fn default() -> Self {
        Fencing { settle: Span::seconds(10), reads: 3, fresh_for: Span::seconds(60), proof: ProofChoice::Any }
    }
}

/// Which proof sets count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum ProofChoice {
    /// The first sufficient set wins.
    #[default]
    Any,
    /// Only P counts (for measurements in a lab).
    PowerOnly,
    /// Only S and N together count (for measurements in a lab).
    StorageAndNetworkOnly,
}

/// How long a boot service serves a permit without hearing from a controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct PermitLease(pub Span);

impl Default for PermitLease {
    fn default() -> Self {
        PermitLease(Span(7 * 86_400_000))
    }
}
