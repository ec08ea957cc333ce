//! Redfish as this BMC speaks it: one request in, one answer out, with the faults of the moment.
//! Must never take more than a bounded body, nor do work for a caller that did not say who it is.

mod act;
mod bios;
mod body;
mod boot;
mod gzip;
mod hardware;
mod log;
mod message;
mod patch;
mod route;
mod sensors;
mod stream;
mod task;
mod value;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::bmc::limits;
use crate::bmc::quirks::{ErrorScope, EtagBehaviour, Privilege, Quirks};
use crate::bmc::{Bmc, Recent};
use crate::clock::{now, since};
use route::Route;

/// An answer under construction.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    /// In place of a body: an event stream.
    events: Option<stream::Events>,
}

/// What goes over the wire: all at once, or as it comes.
pub type Body = Either<Full<Bytes>, stream::Events>;

/// The connection is closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("answer dropped on request")]
pub struct Dropped;

/// A request taken apart; nothing of it is borrowed, so that work goes on when the client is gone.
#[derive(Debug)]
struct Asked {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new(), events: None }
    }

    fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new(), events: None }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One connection of a client that was let in: requests go in, answers come out.
///
/// Who carries them sees to the rest: it asks [`Bmc::link`] before it lets a client in and while it waits for an answer, since a BMC that
/// cannot be reached any more neither answers nor closes; it closes the connection where it gets no answer but [`Dropped`]; and it may cut
/// an answer short wherever it wants.
#[derive(Debug)]
pub struct Connection {
    bmc: Arc<Bmc>,
    heard: Mutex<Instant>,
}

impl Connection {
    /// A client has come.
    pub fn new(bmc: &Arc<Bmc>) -> Connection {
        Connection { bmc: Arc::clone(bmc), heard: Mutex::new(now()) }
    }

    /// Answers one request, or closes the connection where a quirk says so. May never return where a quirk says so.
    pub async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Dropped>
    where
        B: hyper::body::Body,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let idle = since(*self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let cut = Duration::from_millis(self.bmc.state().quirks.redfish.idle_cut_ms);
        if !cut.is_zero() && idle >= cut {
            return Err(Dropped);
        }
        let answer = answer(&self.bmc, request).await;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now();
        answer
    }
}

async fn answer<B>(bmc: &Arc<Bmc>, request: Request<B>) -> Result<Response<Body>, Dropped>
where
    B: hyper::body::Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let quirks = {
        let mut state = bmc.state();
        state.requests += 1;
        state.quirks.clone()
    };
    if quirks.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(quirks.delay_ms)).await;
    }
    let (parts, body) = request.into_parts();
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    let head = parts.method == Method::HEAD;
    let plain = parts.headers.get(header::ACCEPT_ENCODING).is_some_and(|accepted| accepted == "identity");
    let answer = match read(body).await {
        Ok(_) if plain && quirks.redfish.refuses_identity => {
            message::error(StatusCode::NOT_ACCEPTABLE, "HeaderInvalid", &["Accept-Encoding"])
        }
        Err(refusal) => refusal,
        Ok(body) => {
            let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
            let asked = Asked { method: parts.method, path, query, headers: parts.headers, body };
            let work = respond(Arc::clone(bmc), asked);
            if changes {
                // A client that hangs up does not undo what its BMC has begun.
                tokio::spawn(work)
                    .await
                    .unwrap_or_else(|e| message::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &[&e.to_string()]))
            } else {
                work.await
            }
        }
    };
    if quirks.reply_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(quirks.reply_delay_ms)).await;
    }
    if quirks.drop_reply && changes {
        return Err(Dropped);
    }
    Ok(response(answer, &quirks, Shape { head, packed: quirks.redfish.compresses && !plain }))
}

async fn read<B>(body: B) -> Result<Bytes, Answer>
where
    B: hyper::body::Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(limits::BODY_READ, Limited::new(body, limits::BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            Err(message::error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", &[]).with("connection", "close"))
        }
        Ok(Err(_)) => Err(message::error(StatusCode::BAD_REQUEST, "UnrecognizedRequestBody", &[])),
        Err(_) => Err(message::error(StatusCode::REQUEST_TIMEOUT, "GeneralError", &[]).with("connection", "close")),
    }
}

/// Does what is asked and keeps a note of it if it may have changed something.
async fn respond(bmc: Arc<Bmc>, asked: Asked) -> Answer {
    let answer = decide(&bmc, &asked).await;
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        let body: Option<Value> = serde_json::from_slice(&asked.body).ok();
        let reset_type = body.as_ref().and_then(|b| b.get("ResetType")).and_then(Value::as_str);
        let short = |text: &str| text.chars().take(limits::TEXT_MAX).collect::<String>();
        bmc.state().remember(Recent {
            monotonic_ns: bmc.ticks.now_ns(),
            method: asked.method.to_string(),
            path: short(&asked.path),
            reset_type: reset_type.map(short),
            status: answer.status.as_u16(),
        });
    }
    answer
}

async fn decide(bmc: &Arc<Bmc>, asked: &Asked) -> Answer {
    let quirks = bmc.state().quirks.clone();
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    let fails = match quirks.error_scope {
        ErrorScope::All => true,
        ErrorScope::Reads => reads,
        ErrorScope::Writes => !reads,
    };
    if let Some(status) = quirks.error_status.filter(|_| fails).and_then(|s| StatusCode::from_u16(s).ok()) {
        return message::error(status, "InternalError", &[]);
    }
    let is_meant = |end: &Option<String>| end.as_ref().is_some_and(|end| asked.path.trim_end_matches('/').ends_with(end));
    if is_meant(&quirks.redfish.hangs) {
        tokio::time::sleep(Duration::from_millis(limits::DELAY_MAX_MS)).await;
    }
    if is_meant(&quirks.redfish.fails) {
        return message::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceTemporarilyUnavailable", &["5"]);
    }
    let Some(route) = route::find(&asked.path, &bmc.config, &quirks) else {
        return match identify(bmc, asked, &quirks) {
            Ok(()) => message::error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", &[&asked.path]),
            Err(refusal) => refusal,
        };
    };
    let login = route == Route::Sessions && asked.method == Method::POST;
    if !login
        && !route.is_public()
        && let Err(refusal) = identify(bmc, asked, &quirks)
    {
        return refusal;
    }
    // who only reads may end a session all the same
    if !reads && !login && quirks.privilege == Privilege::User && !matches!(route, Route::Session(_)) {
        return message::error(StatusCode::FORBIDDEN, "InsufficientPrivilege", &[]);
    }
    let allowed = route.methods(&quirks);
    match asked.method.as_str() {
        "GET" | "HEAD" if allowed.contains(&"GET") => get(bmc, &route, asked, &quirks).await,
        method if !allowed.contains(&method) => {
            message::error(StatusCode::METHOD_NOT_ALLOWED, "OperationNotAllowed", &[]).with("allow", allowed.join(", "))
        }
        "DELETE" => act::close_session(bmc, &route),
        method => match serde_json::from_slice::<Value>(&asked.body) {
            Ok(Value::Object(body)) if method == "POST" => act::post(bmc, &route, &body).await,
            Ok(Value::Object(body)) => patch::patch(bmc, &route, &body, &asked.headers, &quirks).await,
            Ok(_) => message::error(StatusCode::BAD_REQUEST, "UnrecognizedRequestBody", &[]),
            Err(_) => message::error(StatusCode::BAD_REQUEST, "MalformedJSON", &[]),
        },
    }
}

async fn get(bmc: &Arc<Bmc>, route: &Route, asked: &Asked, quirks: &Quirks) -> Answer {
    if *route == Route::Metadata {
        return Answer::new(StatusCode::OK, json!(view::METADATA)).with("content-type", "application/xml");
    }
    if let Route::TaskMonitor(id) = route {
        return task::monitor(bmc, *id);
    }
    if *route == Route::Events {
        let token = asked.headers.get("x-auth-token").and_then(|v| v.to_str().ok());
        return stream::open(bmc, token, quirks.redfish.events);
    }
    let page = match route {
        Route::Log(part) => match log::asked(part, asked.query.as_deref(), quirks) {
            Some(part) => Some(Route::Log(part)),
            None => return message::error(StatusCode::BAD_REQUEST, "QueryNotSupportedOnResource", &[]),
        },
        _ => None,
    };
    bmc.look().await;
    let Some(mut body) = view::view(bmc, page.as_ref().unwrap_or(route)) else {
        return message::error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", &[&asked.path]);
    };
    if let Some(failure) = view::take_failure(&mut body) {
        return message::error(failure, "ServiceTemporarilyUnavailable", &["5"]).with("retry-after", "5");
    }
    let (text, etag) = view::written(body, quirks);
    let Some(etag) = etag else {
        return Answer::new(StatusCode::OK, Value::String(text));
    };
    let known = asked.headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if known == Some(etag.as_str()) {
        return Answer { status: StatusCode::NOT_MODIFIED, body: None, headers: vec![("etag", etag)], events: None };
    }
    Answer::new(StatusCode::OK, Value::String(text)).with("etag", etag)
}

/// Who asks: a session's token, or name and password. A wrong token is not made good by a right password.
fn identify(bmc: &Bmc, asked: &Asked, quirks: &Quirks) -> Result<(), Answer> {
    let refuse = || {
        let answer = message::error(StatusCode::UNAUTHORIZED, "NoValidSession", &[]);
        if quirks.basic_auth { answer.with("www-authenticate", "Basic realm=\"bmc\"") } else { answer }
    };
    if let Some(token) = asked.headers.get("x-auth-token") {
        let token = token.to_str().map_err(|_| refuse())?;
        let mut state = bmc.state();
        let timeout = state.session_timeout();
        return if state.sessions.touch(token, timeout) { Ok(()) } else { Err(refuse()) };
    }
    let given = asked.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let encoded = given.and_then(|text| text.strip_prefix("Basic ")).filter(|_| quirks.basic_auth).ok_or_else(refuse)?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).map_err(|_| refuse())?;
    let mut pair = decoded.splitn(2, |byte| *byte == b':');
    let user = pair.next().unwrap_or_default();
    let password = pair.next().unwrap_or_default();
    if bmc.knows(user, password) { Ok(()) } else { Err(refuse()) }
}

/// How an answer leaves.
struct Shape {
    /// Without its body.
    head: bool,
    /// Compressed.
    packed: bool,
}

fn response(answer: Answer, quirks: &Quirks, shape: Shape) -> Response<Body> {
    if let Some(events) = answer.events {
        return stream::response(events);
    }
    let has_body = answer.body.is_some();
    let text = match answer.body {
        None => String::new(),
        Some(_) if quirks.garbage_body => "{\"PowerState\": \"O\u{fffd}<html>".into(),
        Some(Value::String(text)) => text,
        Some(body) => body.to_string(),
    };
    let packed = shape.packed && !text.is_empty();
    let body = if packed { Bytes::from(gzip::packed(text.as_bytes())) } else { Bytes::from(text) };
    let length = body.len();
    let mut response = Response::new(Either::Left(Full::new(if shape.head { Bytes::new() } else { body })));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert("odata-version", HeaderValue::from_static("4.0"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in answer.headers {
        let value = if packed && name == "etag" && !value.starts_with("W/") { format!("W/{value}") } else { value };
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The If-Match of a request against the ETag of the moment; Err is the refusal.
fn check_match(headers: &HeaderMap, current: Option<&str>, quirks: &Quirks) -> Result<(), Answer> {
    let bare = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    match (headers.get(header::IF_MATCH).map(|v| v.to_str().unwrap_or_default()), quirks.etag) {
        (_, EtagBehaviour::None)
        | (None, EtagBehaviour::Strong | EtagBehaviour::Weak | EtagBehaviour::AlwaysFails | EtagBehaviour::Empty) => Ok(()),
        (None, EtagBehaviour::Required | EtagBehaviour::Raced) => {
            Err(message::error(StatusCode::PRECONDITION_REQUIRED, "PreconditionRequired", &[]))
        }
        (Some(given), behaviour) => {
            let matches = given.trim() == "*" || given.split(',').any(|one| Some(bare(one)) == current.map(bare));
            if matches && !matches!(behaviour, EtagBehaviour::AlwaysFails | EtagBehaviour::Empty) {
                Ok(())
            } else {
                Err(message::error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", &[]))
            }
        }
    }
}
