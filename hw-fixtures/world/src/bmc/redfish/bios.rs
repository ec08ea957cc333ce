//! The BIOS resource of platforms whose restore policy is a BIOS attribute, and the settings resource at which it is set.
//! Must never make a setting active: that is done by the next start.

use serde_json::{Map, Value, json};

use super::Answer;
use super::body::put;
use super::message::property_error;
use super::value::one_of;
use crate::bmc::machine::{Machine, RestorePolicy};
use crate::bmc::quirks::PolicyAttribute;
use crate::bmc::{BiosWish, State};

const APPLY_TIME: &str = "@Redfish.SettingsApplyTime";

/// Name of the attribute and its values for AlwaysOn, AlwaysOff, LastState.
fn words(attribute: PolicyAttribute) -> Option<(&'static str, [&'static str; 3])> {
    match attribute {
        PolicyAttribute::None => None,
        PolicyAttribute::Dell => Some(("AcPwrRcvry", ["On", "Off", "Last"])),
        PolicyAttribute::Hpe => Some(("AutoPowerOn", ["AlwaysPowerOn", "AlwaysPowerOff", "RestoreLastState"])),
    }
}

const POLICIES: [RestorePolicy; 3] = [RestorePolicy::AlwaysOn, RestorePolicy::AlwaysOff, RestorePolicy::LastState];

/// Where the BIOS is.
pub fn path(machine: &Machine) -> String {
    format!("Systems/{}/Bios", machine.hardware.system_id)
}

/// The BIOS as it is, or (`pending`) as it will be; None where there is none.
pub fn view(state: &State, machine: &Machine, pending: bool) -> Option<Value> {
    let attribute = state.quirks.redfish.policy_attribute;
    let (name, values) = words(attribute)?;
    let word = |policy| POLICIES.iter().zip(values).find(|(one, _)| **one == policy).map(|(_, word)| word);
    let mut attributes = json!({ "BootMode": "Uefi" });
    let (policy, id) = match (&state.policy_wish, pending) {
        (_, false) => (Some(state.policy), "Bios"),
        (Some(wish), true) => (Some(wish.policy), "Settings"),
        // iDRAC tells only what is pending, iLO everything
        (None, true) => (Some(state.policy).filter(|_| attribute == PolicyAttribute::Hpe), "Settings"),
    };
    if pending && attribute == PolicyAttribute::Dell {
        attributes = json!({});
    }
    if let Some(word) = policy.and_then(word) {
        put(&mut attributes, name, json!(word));
    }
    let path = path(machine);
    let own = if pending { format!("{path}/Settings") } else { path.clone() };
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{own}"),
        "@odata.type": "#Bios.v1_2_1.Bios",
        "Id": id,
        "Name": "BIOS Configuration",
        "Attributes": attributes,
    });
    if !pending {
        let mut settings = json!({
            "@odata.type": "#Settings.v1_3_5.Settings",
            "SettingsObject": { "@odata.id": format!("/redfish/v1/{path}/Settings") },
        });
        if attribute == PolicyAttribute::Dell {
            put(&mut settings, "SupportedApplyTimes", json!(["OnReset", "AtMaintenanceWindowStart"]));
        }
        put(&mut body, "@Redfish.Settings", settings);
    }
    Some(body)
}

/// What a PATCH of the settings resource asks for.
pub fn wish(body: &Map<String, Value>, state: &State) -> Result<BiosWish, Answer> {
    let attribute = state.quirks.redfish.policy_attribute;
    let Some((known, values)) = words(attribute) else {
        return Err(property_error("PropertyUnknown", "Attributes", &["Attributes"]));
    };
    let mut policy = None;
    // what iDRAC is given without a time is kept and never applied
    let mut applies = attribute != PolicyAttribute::Dell;
    for (name, value) in body {
        match (name.as_str(), value.as_object()) {
            ("Attributes", Some(attributes)) => {
                for (name, value) in attributes {
                    if name != known {
                        return Err(property_error("PropertyUnknown", &format!("Attributes/{name}"), &[name]));
                    }
                    let word = one_of(name, value, &values)?;
                    policy = POLICIES.iter().zip(values).find(|(_, one)| *one == word).map(|(policy, _)| *policy);
                }
            }
            (APPLY_TIME, Some(time)) if attribute == PolicyAttribute::Dell => {
                applies = time.get("ApplyTime").is_some_and(|time| time == "OnReset");
            }
            (other, _) => return Err(property_error("PropertyUnknown", other, &[other])),
        }
    }
    let missing = || property_error("PropertyMissing", "Attributes", &["Attributes"]);
    Ok(BiosWish { policy: policy.ok_or_else(missing)?, applies })
}
