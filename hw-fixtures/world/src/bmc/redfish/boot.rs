//! The boot override: what a PATCH makes of it, what it reads, and where on platforms that take it elsewhere than at the System.
//! Must never take half of an override: everything in it is checked before anything is set.

use std::time::Duration;

use serde_json::{Value, json};

use super::Answer;
use super::body::put;
use super::message::{error, property_error};
use super::value::{one_of, text};
use crate::bmc::quirks::{BootPlace, ModeFlip, ModeProperty, RedfishQuirks};
use crate::bmc::{Boot, State};
use crate::clock::since;

/// Values of BootSourceOverrideTarget.
const TARGETS: [&str; 7] = ["None", "Pxe", "Hdd", "Cd", "Usb", "BiosSetup", "UefiHttp"];
/// Values of BootSourceOverrideEnabled.
const ENABLED: [&str; 3] = ["Disabled", "Once", "Continuous"];
/// Values of BootSourceOverrideMode.
const MODES: [&str; 2] = ["Legacy", "UEFI"];

/// The System's Boot object.
pub fn view(boot: &Boot, quirks: &RedfishQuirks) -> Value {
    let mut body = json!({
        "BootSourceOverrideEnabled": boot.enabled,
        "BootSourceOverrideEnabled@Redfish.AllowableValues": enabled(quirks),
        "BootSourceOverrideTarget": boot.target,
        "BootSourceOverrideTarget@Redfish.AllowableValues": TARGETS,
        "HttpBootUri": boot.uri,
    });
    if quirks.boot_mode != ModeProperty::Missing {
        put(&mut body, "BootSourceOverrideMode", json!(boot.mode));
        put(&mut body, "BootSourceOverrideMode@Redfish.AllowableValues", json!(MODES));
    }
    body
}

fn enabled(quirks: &RedfishQuirks) -> &'static [&'static str] {
    if quirks.continuous { &ENABLED } else { &ENABLED[..2] }
}

/// The override of the next start where it is not yet that of the System.
pub fn future(state: &State) -> &Boot {
    state.boot_future.as_ref().unwrap_or(&state.boot)
}

/// What a PATCH of Boot at the System or (`elsewhere`) at its settings resource makes of the override.
pub fn wish(value: &Value, state: &State, elsewhere: bool) -> Result<Boot, Answer> {
    let quirks = &state.quirks.redfish;
    if state.run.is_some() && since(state.moved_at) < Duration::from_millis(quirks.post_ms) {
        let refusal =
            error(hyper::StatusCode::BAD_REQUEST, "iLO.2.14.UnableToModifyDuringSystemPOST", &["BootSourceOverrideTarget"]);
        return Err(refusal);
    }
    if quirks.boot_place == BootPlace::Settings && !elsewhere {
        return Err(property_error("PropertyNotWritable", "Boot", &["Boot"]));
    }
    let Some(object) = value.as_object() else {
        return Err(property_error("PropertyValueTypeError", "Boot", &["(not an object)", "Boot"]));
    };
    // what is set here ends with a start alone
    let before = Boot { expires: None, ..if elsewhere { future(state) } else { &state.boot }.clone() };
    let mut boot = before.clone();
    if quirks.boot_resets_unsent {
        (boot.enabled, boot.mode) = ("Once".into(), "Legacy".into());
    }
    for (name, value) in object {
        let (place, old, taken) = match name.as_str() {
            "BootSourceOverrideEnabled" => (&mut boot.enabled, &before.enabled, one_of(name, value, enabled(quirks))?),
            "BootSourceOverrideTarget" => (&mut boot.target, &before.target, one_of(name, value, &TARGETS)?),
            "BootSourceOverrideMode" if quirks.boot_mode == ModeProperty::Refused => {
                return Err(property_error("PropertyNotWritable", "Boot/BootSourceOverrideMode", &[name]));
            }
            "BootSourceOverrideMode" if quirks.boot_mode == ModeProperty::Told => {
                (&mut boot.mode, &before.mode, one_of(name, value, &MODES)?)
            }
            "HttpBootUri" if value.is_null() => (&mut boot.uri, &before.uri, ""),
            "HttpBootUri" => (&mut boot.uri, &before.uri, text(name, value)?),
            other => return Err(property_error("PropertyUnknown", &format!("Boot/{other}"), &[other])),
        };
        if quirks.refuses_unchanged && taken == old {
            return Err(property_error("PropertyValueConflict", &format!("Boot/{name}"), &[name, name]));
        }
        taken.clone_into(place);
    }
    let device = object.contains_key("BootSourceOverrideTarget");
    if quirks.flips_mode == ModeFlip::Always || quirks.flips_mode == ModeFlip::WithDevice && device {
        boot.mode = "Legacy".into();
    }
    if quirks.keeps_uri {
        boot.uri = before.uri;
    }
    Ok(boot)
}
