//! Restore policy AlwaysOff: what keeps a dead machine from returning by itself when power returns. A property of the system, or, on
//! platforms without that, a BIOS attribute by the name that this platform's record knows.
//! Must never take a pending value for the active one, and never guess the name of an attribute.

use serde_json::{Map, Value, json};
use vocabulary::power::RestorePolicy;

use super::command::{self, Sent, Verdict};
use super::http::Via;
use super::trouble::Trouble;
use super::{Link, Redfish, layout, view};
use crate::quirks::RestoreAttribute;

const PROPERTY: &str = "PowerRestorePolicy";
const ALWAYS_OFF: &str = "AlwaysOff";

/// How the policy reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reads {
    /// What is active.
    pub active: RestorePolicy,
    /// The same for people, and what is pending.
    pub shown: String,
}

/// Sets the policy, unless it is active already, or pending: who asks again before the machine's next start writes nothing twice.
pub async fn set_off(bmc: &Redfish, link: &Link) -> Result<Sent, Trouble> {
    let system = bmc.identified(link, Via::Hand).await?.body;
    let needless = || Sent::to_system(link, Verdict::NotNeeded);
    if is_told(&system) {
        if view::restore_policy(&system) == RestorePolicy::AlwaysOff {
            return Ok(needless());
        }
        command::allowed(view::allowable(&system, PROPERTY).as_deref(), ALWAYS_OFF, "restore policy")?;
        let places = std::slice::from_ref(&link.layout.system);
        return command::patch(bmc, link, places, &[json!({ PROPERTY: ALWAYS_OFF })]).await;
    }
    let untold = |why: String| {
        Trouble::Unsupported(format!(
            "this platform tells no restore policy{why}, so it may return by itself; set it in the firmware by hand; nothing was sent"
        ))
    };
    let Some((attribute, path)) = attribute(link, &system) else { return Err(untold(String::new())) };
    let bios = layout::resource(&bmc.http, &path, &link.session.credential).await?;
    let Some(active) = value(&bios, attribute) else {
        return Err(untold(format!(", nor the BIOS attribute {}", attribute.name)));
    };
    let Some(settings) = view::settings(&bios) else {
        return Err(untold(format!(", and names no settings resource for the BIOS attribute {}", attribute.name)));
    };
    let pending = layout::optional(&bmc.http, Some(&settings), &link.session.credential).await?;
    if active == attribute.off || value(&pending, attribute).is_some_and(|value| value == attribute.off) {
        return Ok(needless());
    }
    command::patch(bmc, link, &[settings], &bodies(&bios, attribute)).await
}

/// The forms of the PATCH: with the time of its application where the BIOS offers "at the next start" (iDRAC keeps a value without it for
/// ever, and never applies it), else, and where that is refused, without.
fn bodies(bios: &Value, attribute: RestoreAttribute) -> Vec<Value> {
    const ON_RESET: &str = "OnReset";
    let plain = json!({ "Attributes": { attribute.name: attribute.off } });
    let times = bios.get("@Redfish.Settings").and_then(|settings| settings.get("SupportedApplyTimes"));
    let offered = times.and_then(Value::as_array).is_some_and(|list| list.iter().any(|one| one == ON_RESET));
    let mut forms = Vec::new();
    if offered {
        let mut timed = plain.as_object().cloned().unwrap_or_else(Map::new);
        timed.insert("@Redfish.SettingsApplyTime".into(), json!({ "ApplyTime": ON_RESET }));
        forms.push(Value::Object(timed));
    }
    forms.push(plain);
    forms
}

/// What is active now: as the system tells it, or, where it tells nothing, the BIOS by the attribute of this platform's record.
pub async fn read_back(bmc: &Redfish, link: &Link, system: &Value) -> Result<Reads, Trouble> {
    let active = view::restore_policy(system);
    let by_system = |active| Reads { active, shown: format!("{active:?}") };
    let Some((attribute, path)) = attribute(link, system).filter(|_| !is_told(system)) else { return Ok(by_system(active)) };
    let who = &link.session.credential;
    let bios = layout::optional(&bmc.http, Some(&path), who).await?;
    let told = value(&bios, attribute);
    if told.as_deref() == Some(attribute.off) {
        return Ok(by_system(RestorePolicy::AlwaysOff));
    }
    let pending = layout::optional(&bmc.http, view::settings(&bios).as_deref(), who).await?;
    let waits = match value(&pending, attribute) {
        Some(value) if value == attribute.off => format!("; {value} is pending until the machine's next start"),
        _ => String::new(),
    };
    let shown = format!("{} in the BIOS attribute {}{waits}", told.as_deref().unwrap_or("nothing"), attribute.name);
    Ok(Reads { active: RestorePolicy::Unknown, shown })
}

/// True if the system itself has a restore policy.
fn is_told(system: &Value) -> bool {
    !system.get(PROPERTY).is_none_or(Value::is_null)
}

/// The attribute that this platform's record knows, and the BIOS that has it.
fn attribute(link: &Link, system: &Value) -> Option<(RestoreAttribute, String)> {
    Some((link.layout.quirks.restore_attribute()?, system.get("Bios").and_then(view::link)?))
}

fn value(bios: &Value, attribute: RestoreAttribute) -> Option<String> {
    view::text(bios.get("Attributes")?, attribute.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;

    const ATTRIBUTE: RestoreAttribute = RestoreAttribute { name: "AcPwrRcvry", off: "Off" };

    proptest! {
        #[test]
        fn reading_is_total(bios in any_json()) {
            prop_assert!(!bodies(&bios, ATTRIBUTE).is_empty());
            let _ = (value(&bios, ATTRIBUTE), is_told(&bios));
        }
    }

    #[test]
    fn the_time_is_sent_where_it_is_offered() {
        let plain = json!({ "Attributes": { "AcPwrRcvry": "Off" } });
        let other = json!({ "@Redfish.Settings": { "SupportedApplyTimes": ["Immediate"] } });
        for bios in [json!({}), other] {
            assert_eq!(bodies(&bios, ATTRIBUTE), std::slice::from_ref(&plain));
        }
        let forms = bodies(&json!({ "@Redfish.Settings": { "SupportedApplyTimes": ["OnReset"] } }), ATTRIBUTE);
        assert_eq!(forms[0]["@Redfish.SettingsApplyTime"], json!({ "ApplyTime": "OnReset" }));
        assert_eq!(forms[1..], [plain]);
    }
}
