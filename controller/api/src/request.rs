//! Bodies of requests.

use serde::{Deserialize, Serialize};
use vocabulary::ServerId;
use vocabulary::estate::Mode;
use vocabulary::light::Light;

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

/// `POST /v1/machines/{machine}/identify`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identify {
    /// What the light is to do.
    pub light: Light,
}

/// `POST /v1/tiers/{tier}/mode`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// The new ceiling.
    pub mode: Mode,
}
