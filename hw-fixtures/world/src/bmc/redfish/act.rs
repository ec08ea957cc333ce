//! Actions and sessions: every POST, and the DELETE of a session.
//! Must never power a machine in another way than `power.rs` does, nor say why a log-in failed.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::Answer;
use super::message::{self, error};
use super::route::Route;
use super::task;
use super::view::{MANAGER_RESET_TYPES, session_body};
use crate::bmc::Bmc;
use crate::bmc::command::{Answered, Reset};
use crate::bmc::stamp::rfc3339;

/// What the reset types of the System mean.
const RESETS: [Reset; 5] = [Reset::On, Reset::ForceOff, Reset::GracefulShutdown, Reset::ForceRestart, Reset::PushPowerButton];

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
        Route::Session(id) if bmc.state().sessions.close(id) => {
            bmc.nudge();
            Answer::no_content()
        }
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
    if !bmc.knows(text("UserName").as_bytes(), text("Password").as_bytes()) {
        let path = "/redfish/v1/SessionService/Sessions";
        return error(StatusCode::UNAUTHORIZED, "ResourceAtUriUnauthorized", &[path, "Invalid username or password"]);
    }
    if !bmc.state().quirks.redfish.makes_sessions {
        return error(StatusCode::FORBIDDEN, "InsufficientPrivilege", &[]);
    }
    let (opened, at) = {
        let mut state = bmc.state();
        let (cap, timeout, wall) = (state.quirks.session_cap, state.session_timeout(), state.wall.clone());
        (state.sessions.open(cap, timeout, &wall, &bmc.dice), rfc3339(wall.now(), state.quirks.clock_offset_s))
    };
    let Some((id, token)) = opened else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "SessionLimitExceeded", &[]);
    };
    let location = format!("/redfish/v1/SessionService/Sessions/{id}");
    Answer::new(StatusCode::CREATED, session_body(&id, &bmc.config.user, &at))
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
    let quirks = bmc.state().quirks.redfish.clone();
    let wanted = match reset_type(body, "ComputerSystem.Reset", &quirks.resets()) {
        Ok(wanted) => RESETS.into_iter().find(|reset| reset.word() == wanted).unwrap_or(Reset::GracefulShutdown),
        Err(refusal) => return refusal,
    };
    let settles = wanted == Reset::On && bmc.state().is_settling();
    let answered = if settles { Answered::Conflict } else { bmc.command(wanted).await };
    let refusal = |status| error(status, "ActionParameterValueConflict", &["ResetType", wanted.word()]);
    match answered {
        Answered::Accepted if task::is_wanted(&quirks) => task::accepted(&mut bmc.state()),
        Answered::Accepted => Answer::no_content(),
        Answered::Conflict => refusal(StatusCode::CONFLICT),
        Answered::Refused => refusal(StatusCode::BAD_REQUEST),
        Answered::Failed => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &[]),
    }
}

fn reset_manager(bmc: &Arc<Bmc>, body: &Map<String, Value>) -> Answer {
    if let Err(refusal) = reset_type(body, "Manager.Reset", &MANAGER_RESET_TYPES) {
        return refusal;
    }
    bmc.restart_soon("Manager.Reset");
    Answer::no_content()
}
