//! Actions and sessions: every POST, and the DELETE of a session.
//! Must never power a machine in another way than `power.rs` does, nor say why a log-in failed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::Answer;
use super::message::{self, error};
use super::route::Route;
use super::view::{MANAGER_RESET_TYPES, RESET_TYPES, session_body};
use crate::bmc::Bmc;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::power::Outcome;
use crate::quirks::{NoEffect, ResetBehaviour};

/// A POST with a JSON object.
pub async fn post(bmc: &Arc<Bmc>, route: &Route, body: &Map<String, Value>) -> Answer {
    match route {
        Route::Sessions => open_session(bmc, body),
        Route::SystemReset => reset_system(bmc, body).await,
        Route::ManagerReset => reset_manager(bmc, body),
        // The route's own list of methods lets nothing else through.
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "OperationNotAllowed", &[]),
    }
}

/// Closes a session.
pub fn close_session(bmc: &Bmc, route: &Route) -> Answer {
    match route {
        Route::Session(id) if bmc.state().sessions.close(id) => Answer::no_content(),
        Route::Session(id) => {
            let path = format!("/redfish/v1/SessionService/Sessions/{id}");
            error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", &[&path])
        }
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "OperationNotAllowed", &[]),
    }
}

fn open_session(bmc: &Bmc, body: &Map<String, Value>) -> Answer {
    for name in ["UserName", "Password"] {
        match body.get(name) {
            None => return message::property_error("PropertyMissing", name, &[name]),
            Some(Value::String(_)) => {}
            Some(_) => return message::property_error("PropertyValueTypeError", name, &["(not told)", name]),
        }
    }
    let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("UserName") != bmc.config.user || !bmc.password.is(text("Password").as_bytes()) {
        let path = "/redfish/v1/SessionService/Sessions";
        return error(StatusCode::UNAUTHORIZED, "ResourceAtUriUnauthorized", &[path, "Invalid username or password"]);
    }
    let (opened, offset) = {
        let mut state = bmc.state();
        let (cap, timeout) = (state.quirks.session_cap, state.session_timeout());
        (state.sessions.open(cap, timeout), state.quirks.clock_offset_s)
    };
    let Some((id, token)) = opened else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "SessionLimitExceeded", &[]);
    };
    let location = format!("/redfish/v1/SessionService/Sessions/{id}");
    Answer::new(StatusCode::CREATED, session_body(&id, &bmc.config.user, &rfc3339(SystemTime::now(), offset)))
        .with("location", location)
        .with("x-auth-token", token)
}

/// The ResetType of a body, if it is one of these.
fn reset_type<'a>(body: &'a Map<String, Value>, action: &str, allowed: &[&str]) -> Result<&'a str, Answer> {
    if let Some(unknown) = body.keys().find(|key| *key != "ResetType") {
        return Err(error(StatusCode::BAD_REQUEST, "ActionParameterUnknown", &[action, unknown]));
    }
    match body.get("ResetType") {
        None => Err(error(StatusCode::BAD_REQUEST, "ActionParameterMissing", &[action, "ResetType"])),
        Some(Value::String(text)) if allowed.contains(&text.as_str()) => Ok(text),
        Some(value) => {
            let value = value.to_string();
            let arguments = [value.trim_matches('"'), "ResetType", action];
            Err(error(StatusCode::BAD_REQUEST, "ActionParameterValueNotInList", &arguments))
        }
    }
}

async fn reset_system(bmc: &Arc<Bmc>, body: &Map<String, Value>) -> Answer {
    let wanted = match reset_type(body, "ComputerSystem.Reset", &RESET_TYPES) {
        Ok(wanted) => wanted.to_owned(),
        Err(refusal) => return refusal,
    };
    let quirks = bmc.state().quirks.clone();
    match quirks.reset {
        ResetBehaviour::Ignored => return Answer::no_content(),
        ResetBehaviour::Fails => return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &[]),
        ResetBehaviour::Obeys | ResetBehaviour::FailsAfterwards => {}
    }
    let done = if quirks.reset_delay_ms > 0 {
        let (bmc, wanted) = (Arc::clone(bmc), wanted.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(quirks.reset_delay_ms)).await;
            if let Err(e) = perform(&bmc, &wanted).await {
                tracing::warn!(error = %e, "delayed reset");
            }
        });
        Ok(Outcome::Done)
    } else {
        perform(bmc, &wanted).await
    };
    if quirks.reset == ResetBehaviour::FailsAfterwards {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &[]);
    }
    let refusal = |status| error(status, "ActionParameterValueConflict", &["ResetType", &wanted]);
    match done {
        Ok(Outcome::Done) => Answer::no_content(),
        Ok(Outcome::Conflict) => refusal(StatusCode::CONFLICT),
        Ok(Outcome::NoEffect) => match (wanted.as_str(), quirks.on_when_on, quirks.force_off_when_off) {
            ("On", NoEffect::NoContent, _) | ("ForceOff", _, NoEffect::NoContent) => Answer::no_content(),
            ("On", NoEffect::BadRequest, _) | ("ForceOff", _, NoEffect::BadRequest) => refusal(StatusCode::BAD_REQUEST),
            _ => refusal(StatusCode::CONFLICT),
        },
        Err(e) => {
            tracing::error!(error = %e, reset = wanted, "reset failed");
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &[])
        }
    }
}

async fn perform(bmc: &Arc<Bmc>, wanted: &str) -> Result<Outcome, Error> {
    const CAUSE: &str = "ManagementCommand";
    match wanted {
        "On" => bmc.power_on(CAUSE).await,
        "ForceOff" => Ok(bmc.force_off().await),
        "ForceRestart" => bmc.force_restart(CAUSE).await,
        "PushPowerButton" => bmc.press_button().await,
        _ => Ok(bmc.graceful_off().await),
    }
}

fn reset_manager(bmc: &Arc<Bmc>, body: &Map<String, Value>) -> Answer {
    if let Err(refusal) = reset_type(body, "Manager.Reset", &MANAGER_RESET_TYPES) {
        return refusal;
    }
    let (away, early) = {
        let state = bmc.state();
        (Duration::from_millis(state.quirks.bmc_reboot_ms), Duration::from_millis(state.quirks.bmc_early_ms))
    };
    let bmc = Arc::clone(bmc);
    tokio::spawn(async move {
        // The answer leaves before the BMC does.
        tokio::time::sleep(crate::limits::LAST_WORDS).await;
        bmc.restart_bmc(away, early, "Manager.Reset");
    });
    Answer::no_content()
}
