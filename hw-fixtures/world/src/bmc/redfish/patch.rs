//! What a client may set on the System: restore policy, boot override, identify light, asset tag.
//! Must never take half of a request: everything in it is checked before anything is set.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use serde_json::{Map, Value};

use super::message::{self, property_error};
use super::route::Route;
use super::value::{one_of, text};
use super::view::{self, INDICATORS, RESTORE_POLICIES};
use super::{Answer, bios, boot, check_match, task};
use crate::bmc::device::Light;
use crate::bmc::machine::RestorePolicy;
use crate::bmc::quirks::{BootPlace, EtagBehaviour, Indicator, Quirks, SettingBehaviour, TaskBehaviour};
use crate::bmc::{BiosWish, Bmc, Boot, State};
use crate::clock::now;

/// What a request would set.
#[derive(Debug, Default)]
struct Wish {
    policy: Option<RestorePolicy>,
    boot: Option<Boot>,
    bios: Option<BiosWish>,
    asset_tag: Option<String>,
    lit: Option<bool>,
}

/// A PATCH of the System.
pub async fn patch(bmc: &Arc<Bmc>, route: &Route, body: &Map<String, Value>, headers: &HeaderMap, quirks: &Quirks) -> Answer {
    bmc.look().await;
    if quirks.etag == EtagBehaviour::Raced {
        let mut state = bmc.state();
        state.raced = !state.raced;
        if state.raced {
            // the other hand
            state.asset_tag = if state.asset_tag.is_empty() { "raced".into() } else { String::new() };
        }
    }
    let current = view::view(bmc, route);
    let etag = current.as_ref().and_then(|body| view::etag(body, quirks));
    if let Err(refusal) = check_match(headers, etag.as_deref(), quirks) {
        return refusal;
    }
    let known = current.as_ref().and_then(Value::as_object);
    let wished = wish(body, known, route, &bmc.state());
    match wished {
        Ok(wish) if task::is_wanted(&quirks.redfish) => begin(bmc, wish, route, quirks),
        Ok(wish) => {
            grant(bmc, wish, route, quirks);
            message::success()
        }
        Err(refusal) => refusal,
    }
}

/// Answers with a task, at whose end the wish is granted, or is not.
fn begin(bmc: &Arc<Bmc>, wish: Wish, route: &Route, quirks: &Quirks) -> Answer {
    let length = Duration::from_millis(quirks.redfish.task_ms);
    let answer = task::accepted(&mut bmc.state());
    match quirks.redfish.task {
        TaskBehaviour::Schedules => {
            grant(bmc, wish, route, quirks);
            bmc.state().boot_scheduled = Some(now() + length);
        }
        TaskBehaviour::Completes => {
            let (bmc, route, quirks) = (Arc::clone(bmc), route.clone(), quirks.clone());
            tokio::spawn(async move {
                tokio::time::sleep(length).await;
                grant(&bmc, wish, &route, &quirks);
            });
        }
        TaskBehaviour::None | TaskBehaviour::Fails | TaskBehaviour::Stalls => {}
    }
    answer
}

fn grant(bmc: &Bmc, wish: Wish, route: &Route, quirks: &Quirks) {
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
            SettingBehaviour::Obeys if *route == Route::SystemSettings => state.boot_future = Some(boot),
            SettingBehaviour::Obeys if quirks.redfish.boot_place == BootPlace::SettingsInSilence => {}
            SettingBehaviour::Obeys => state.boot = boot,
            SettingBehaviour::Pending => state.boot_pending = Some(boot),
            SettingBehaviour::Ignored | SettingBehaviour::Unsupported => {}
        }
    }
    if let Some(bios) = wish.bios {
        state.policy_wish = Some(bios);
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

fn wish(body: &Map<String, Value>, known: Option<&Map<String, Value>>, route: &Route, state: &State) -> Result<Wish, Answer> {
    let (quirks, mut wish) = (&state.quirks, Wish::default());
    let elsewhere = *route == Route::SystemSettings;
    if body.is_empty() {
        return Err(property_error("NoOperation", "", &[]));
    }
    if *route == Route::BiosSettings {
        wish.bios = Some(bios::wish(body, state)?);
        return Ok(wish);
    }
    for (name, value) in body {
        match name.as_str() {
            "PowerRestorePolicy" if !elsewhere && known.is_some_and(|known| known.contains_key("PowerRestorePolicy")) => {
                let text = one_of(name, value, &RESTORE_POLICIES)?;
                wish.policy = RestorePolicy::parse(text);
            }
            "Boot" if quirks.boot_override != SettingBehaviour::Unsupported => {
                wish.boot = Some(boot::wish(value, state, elsewhere)?);
            }
            "LocationIndicatorActive" if !elsewhere && matches!(quirks.indicator, Indicator::Location | Indicator::Ignored) => {
                let lit = value.as_bool();
                wish.lit =
                    Some(lit.ok_or_else(|| property_error("PropertyValueTypeError", name, &["(not true or false)", name]))?);
            }
            "IndicatorLED" if !elsewhere && quirks.indicator == Indicator::Led => {
                wish.lit = Some(one_of(name, value, &INDICATORS)? != "Off");
            }
            "AssetTag" if !elsewhere => wish.asset_tag = Some(text(name, value)?.to_owned()),
            other if known.is_some_and(|known| known.contains_key(other)) => {
                return Err(property_error("PropertyNotWritable", other, &[other]));
            }
            other => return Err(property_error("PropertyUnknown", other, &[other])),
        }
    }
    Ok(wish)
}
