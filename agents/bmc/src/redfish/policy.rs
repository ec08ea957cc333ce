//! Restore policy AlwaysOff: what keeps a dead machine from returning by itself when power returns.
//! Must never take a pending value for the active one.

use serde_json::{Value, json};
use vocabulary::power::RestorePolicy;

use super::command::{self, Sent, Verdict};
use super::http::Via;
use super::trouble::Trouble;
use super::{Link, Redfish, view};

const PROPERTY: &str = "PowerRestorePolicy";
const ALWAYS_OFF: &str = "AlwaysOff";

/// Sets the policy, unless it is active already.
pub async fn set_off(bmc: &Redfish, link: &Link) -> Result<Sent, Trouble> {
    let system = bmc.identified(link, Via::Hand).await?;
    if system.body.get(PROPERTY).is_none_or(Value::is_null) {
        return Err(Trouble::Unsupported(
            "this platform tells no restore policy, so it may return by itself; set it in the firmware by hand; nothing was sent"
                .into(),
        ));
    }
    if is_off(&system.body) {
        return Ok(Sent { verdict: Verdict::NotNeeded, at: link.layout.system.clone(), mode: None });
    }
    command::allowed(view::allowable(&system.body, PROPERTY).as_deref(), ALWAYS_OFF, "restore policy")?;
    command::patch(bmc, link, std::slice::from_ref(&link.layout.system), &[json!({ PROPERTY: ALWAYS_OFF })]).await
}

/// True if the active policy is AlwaysOff.
pub fn is_off(system: &Value) -> bool {
    view::restore_policy(system) == RestorePolicy::AlwaysOff
}
