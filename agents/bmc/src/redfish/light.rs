//! The identify light over Redfish: `LocationIndicatorActive`, or `IndicatorLED` of older BMCs.
//! Must never call a light on that the BMC does not tell to be on.

use serde_json::{Value, json};
use vocabulary::light::{Light, LightReading};

use super::command::{self, Sent, Verdict};
use super::http::Via;
use super::trouble::Trouble;
use super::{Link, Redfish};

const ACTIVE: &str = "LocationIndicatorActive";
const LED: &str = "IndicatorLED";

/// Switches the light of the system.
pub async fn switch(bmc: &Redfish, link: &Link, light: Light) -> Result<Sent, Trouble> {
    if matches!(light, Light::Seconds(_)) {
        let text = "Redfish has no light that goes out by itself; switch it on, and off again";
        return Err(Trouble::Unsupported(format!("{text}; nothing was sent")));
    }
    let system = bmc.identified(link, Via::Hand).await?;
    if reading(&system.body).fits(light) {
        return Ok(Sent::to_system(link, Verdict::NotNeeded));
    }
    let on = light != Light::Off;
    let is_told = |name: &str| system.body.get(name).is_some_and(|value| !value.is_null());
    let bodies = if is_told(ACTIVE) {
        vec![json!({ ACTIVE: on })]
    } else if is_told(LED) && on {
        vec![json!({ LED: "Lit" }), json!({ LED: "Blinking" })]
    } else if is_told(LED) {
        vec![json!({ LED: "Off" })]
    } else {
        return Err(Trouble::Unsupported("this system tells of no identify light; nothing was sent".into()));
    };
    command::patch(bmc, link, std::slice::from_ref(&link.layout.system), &bodies).await
}

/// What it reads.
pub fn reading(system: &Value) -> LightReading {
    match (system.get(ACTIVE).and_then(Value::as_bool), system.get(LED).and_then(Value::as_str)) {
        (Some(true), _) | (None, Some("Lit" | "Blinking")) => LightReading::Steady,
        (Some(false), _) | (None, Some("Off")) => LightReading::Off,
        _ => LightReading::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;

    #[test]
    fn the_newer_property_counts_and_what_is_not_told_is_unknown() {
        for (system, read) in [
            (json!({ ACTIVE: true, LED: "Off" }), LightReading::Steady),
            (json!({ ACTIVE: false, LED: "Lit" }), LightReading::Off),
            (json!({ LED: "Blinking" }), LightReading::Steady),
            (json!({ ACTIVE: null, LED: "Off" }), LightReading::Off),
            (json!({ LED: "Unknown" }), LightReading::Unknown),
            (json!({ ACTIVE: "yes" }), LightReading::Unknown),
            (json!({}), LightReading::Unknown),
        ] {
            assert_eq!(reading(&system), read, "{system}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(system in any_json()) {
            let _ = reading(&system);
        }
    }
}
