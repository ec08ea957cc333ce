//! Bodies of requests.

use pipeline::record::{Found, Subject};
use serde::{Deserialize, Serialize};
use vocabulary::estate::Mode;
use vocabulary::light::Light;
use vocabulary::{ServerId, Span};

/// `POST /v1/failovers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFailover {
    /// Which server.
    pub server: ServerId,
    /// Why; recorded.
    #[serde(default)]
    pub reason: String,
    /// The hash of the plan that was shown: refused (412) if another would be sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Only the plan that would be sealed.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/failovers/approve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveFailover {
    /// Which server.
    pub server: ServerId,
    /// The hash of the plan that was shown: refused (412) if another waits by now.
    pub hash: String,
    /// Why; recorded.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/adoption`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// The hash of what was shown: refused (412) if the agents say something else by now.
    pub hash: String,
    /// Why; recorded.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/sites/{site}/start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSite {
    /// The hash of the order that was shown: refused (412) if it would be another by now.
    pub hash: String,
    /// Why; recorded.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/failovers/abort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbortFailover {
    /// Which server.
    pub server: ServerId,
    /// Why; recorded, and shown as long as the server is held.
    pub reason: String,
}

/// `POST /v1/guard/resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeGuard {
    /// The failure domain as the guard names it: `rack r1`.
    pub domain: String,
    /// Why; recorded.
    pub reason: String,
}

/// `POST /v1/machines/{machine}/confirm-off`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOff {
    /// The serial number that was read off the box.
    pub serial: String,
    /// As what it was found, or left.
    pub found: Found,
    /// How that is known; recorded.
    pub reason: String,
}

/// `POST /v1/machines/{machine}/identify`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identify {
    /// What the light is to do.
    pub light: Light,
}

/// `POST /v1/hold` and `POST /v1/resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Which server; without one, the whole estate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Why; recorded and shown.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/maintenance`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMaintenance {
    /// What somebody works on: `{"server": "web1"}` or `{"machine": "m1"}`.
    pub subject: Subject,
    /// For how long at most, such as `2h`.
    pub lasts: Span,
    /// Why; recorded and shown.
    pub reason: String,
}

/// `POST /v1/maintenance/end`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndMaintenance {
    /// What the work is done on.
    pub subject: Subject,
}

/// `POST /v1/tiers/{tier}/mode`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// The new ceiling.
    pub mode: Mode,
}
