//! What a client may set on the System: restore policy, boot override, identify light, asset tag.
//! Must never take half of a request: everything in it is checked before anything is set.

use std::sync::Arc;

use hyper::header::HeaderMap;
use serde_json::{Map, Value};

use super::message::{self, property_error};
use super::route::Route;
use super::view::{self, BOOT_ENABLED, BOOT_MODES, BOOT_TARGETS, INDICATORS, RESTORE_POLICIES};
use super::{Answer, check_match};
use crate::bmc::{Bmc, Boot};
use crate::config::RestorePolicy;
use crate::device::Light;
use crate::limits;
use crate::quirks::{Indicator, Quirks, SettingBehaviour};

/// What a request would set.
#[derive(Debug, Default)]
struct Wish {
    policy: Option<RestorePolicy>,
    boot: Option<Boot>,
    asset_tag: Option<String>,
    lit: Option<bool>,
}

/// A PATCH of the System.
pub async fn patch(bmc: &Arc<Bmc>, route: &Route, body: &Map<String, Value>, headers: &HeaderMap, quirks: &Quirks) -> Answer {
    view::refresh(bmc).await;
    let current = view::view(bmc, route);
    let etag = current.as_ref().and_then(|body| view::etag(body, quirks));
    if let Err(refusal) = check_match(headers, etag.as_deref(), quirks) {
        return refusal;
    }
    // what is set here ends with a start alone
    let before = Boot { expires: None, ..bmc.state().boot.clone() };
    let known = current.as_ref().and_then(Value::as_object);
    match wish(body, known, before, quirks) {
        Ok(wish) => {
            grant(bmc, wish, quirks);
            message::success()
        }
        Err(refusal) => refusal,
    }
}

fn grant(bmc: &Bmc, wish: Wish, quirks: &Quirks) {
    let mut state = bmc.state();
    if let Some(policy) = wish.policy {
        match quirks.restore_policy {
            SettingBehaviour::Obeys => state.policy = policy,
            SettingBehaviour::Pending => state.policy_pending = Some(policy),
            SettingBehaviour::Ignored | SettingBehaviour::Unsupported => {}
        }
    }
    if let Some(boot) = wish.boot {
        match quirks.boot_override {
            SettingBehaviour::Obeys => state.boot = boot,
            SettingBehaviour::Pending => state.boot_pending = Some(boot),
            SettingBehaviour::Ignored | SettingBehaviour::Unsupported => {}
        }
    }
    if let Some(lit) = wish.lit
        && quirks.indicator != Indicator::Ignored
    {
        state.device.light = lit.then_some(Light::Steady);
    }
    if let Some(tag) = wish.asset_tag {
        state.asset_tag = tag;
    }
}

fn wish(body: &Map<String, Value>, known: Option<&Map<String, Value>>, boot: Boot, quirks: &Quirks) -> Result<Wish, Answer> {
    let mut wish = Wish::default();
    if body.is_empty() {
        return Err(property_error("NoOperation", "", &[]));
    }
    for (name, value) in body {
        match name.as_str() {
            "PowerRestorePolicy" if quirks.restore_policy != SettingBehaviour::Unsupported => {
                let text = one_of(name, value, &RESTORE_POLICIES)?;
                wish.policy = RestorePolicy::parse(text);
            }
            "Boot" if quirks.boot_override != SettingBehaviour::Unsupported => wish.boot = Some(boot_wish(value, boot.clone())?),
            "LocationIndicatorActive" if matches!(quirks.indicator, Indicator::Location | Indicator::Ignored) => {
                let lit = value.as_bool();
                wish.lit =
                    Some(lit.ok_or_else(|| property_error("PropertyValueTypeError", name, &["(not true or false)", name]))?);
            }
            "IndicatorLED" if quirks.indicator == Indicator::Led => {
                wish.lit = Some(one_of(name, value, &INDICATORS)? != "Off");
            }
            "AssetTag" => wish.asset_tag = Some(text(name, value)?.to_owned()),
            other if known.is_some_and(|known| known.contains_key(other)) => {
                return Err(property_error("PropertyNotWritable", other, &[other]));
            }
            other => return Err(property_error("PropertyUnknown", other, &[other])),
        }
    }
    Ok(wish)
}

fn boot_wish(value: &Value, mut boot: Boot) -> Result<Boot, Answer> {
    let Some(object) = value.as_object() else {
        return Err(property_error("PropertyValueTypeError", "Boot", &["(not an object)", "Boot"]));
    };
    for (name, value) in object {
        match name.as_str() {
            "BootSourceOverrideEnabled" => boot.enabled = one_of(name, value, &BOOT_ENABLED)?.to_owned(),
            "BootSourceOverrideTarget" => boot.target = one_of(name, value, &BOOT_TARGETS)?.to_owned(),
            "BootSourceOverrideMode" => boot.mode = one_of(name, value, &BOOT_MODES)?.to_owned(),
            "HttpBootUri" => boot.uri = text(name, value)?.to_owned(),
            other => return Err(property_error("PropertyUnknown", &format!("Boot/{other}"), &[other])),
        }
    }
    Ok(boot)
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Answer> {
    match value.as_str() {
        Some(text) if text.chars().count() <= limits::TEXT_MAX => Ok(text),
        Some(_) => Err(property_error("PropertyValueNotInList", name, &["(too long)", name])),
        None => Err(property_error("PropertyValueTypeError", name, &["(not a string)", name])),
    }
}

fn one_of<'a>(name: &str, value: &'a Value, allowed: &[&str]) -> Result<&'a str, Answer> {
    let given = text(name, value)?;
    if allowed.contains(&given) { Ok(given) } else { Err(property_error("PropertyValueNotInList", name, &[given, name])) }
}
