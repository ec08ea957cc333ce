//! One request, one answer, over kept connections: bounded, never redirected, never replayed unless it is a GET.
//! Must never send a POST, PATCH or DELETE twice, follow a link to another host, or log a header or a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, InvalidHeaderValue,
    LOCATION,
};
use serde_json::Value;
use vocabulary::Secret;

use super::tls::Pin;
pub use super::transport::Via;
use super::transport::{Ask, Failure, Stream, Transport};
use super::trouble::Trouble;
use super::view;
use crate::limits::{self, Patience};

/// Who asks.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nobody: the service root only.
    Nobody,
    /// A session.
    Token(Secret),
    /// The account itself, where the BMC gives no session, and why.
    Account { user: String, password: Secret, why: NoSession },
}

/// Why a BMC gives no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSession {
    /// It has no free one.
    Full,
    /// The account may not make one.
    Rights,
    /// It does not tell.
    Untold,
}

/// An answer of a BMC, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// ETag of the resource, from the header, else from the body.
    pub etag: Option<String>,
    /// Session token, where one was given out.
    pub token: Option<Secret>,
    /// Where the created resource is.
    pub location: Option<String>,
    /// The body; null if there was none or it was no JSON.
    pub body: Value,
    /// What the body takes in memory at most, bytes.
    pub weight: usize,
}

impl Reply {
    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The status and what the BMC says about it, for people.
    pub fn explained(&self) -> String {
        match view::explanation(&self.body) {
            Some(text) => format!("{} ({text})", self.status),
            None => self.status.to_string(),
        }
    }
}

/// One BMC, spoken to in HTTP.
#[derive(Debug)]
pub struct Http {
    transport: Box<dyn Transport>,
    pin: Arc<Pin>,
    patience: Patience,
    /// It refuses to be told that bodies must not be compressed.
    refuses_identity: AtomicBool,
}

impl Http {
    /// Speaks over this; connects to nobody yet. The pin is the one by which the transport knows its BMC.
    pub fn new(transport: Box<dyn Transport>, pin: Arc<Pin>, patience: Patience) -> Http {
        Http { transport, pin, patience, refuses_identity: AtomicBool::new(false) }
    }

    /// The certificate that is held to.
    pub fn certificate(&self) -> Option<String> {
        self.pin.certificate()
    }

    /// The certificate and whether commands may go out under it.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// GET; tried once more if a kept connection broke before the answer. Any status is an answer.
    pub async fn get(&self, via: Via, path: &str, who: &Credential) -> Result<Reply, Trouble> {
        let ask = async || match self.once(via, Method::GET, path, who, None, None).await {
            Err(Failure::Broken(_)) => self.once(via, Method::GET, path, who, None, None).await,
            first => first,
        };
        let said = !self.refuses_identity.load(Ordering::Relaxed);
        let answer = match ask().await {
            // some iLOs answer so to "identity" (OpenStack's sushy): not said to this BMC again, if that is what it was
            Ok(reply) if reply.status == 406 && said => {
                self.refuses_identity.store(true, Ordering::Relaxed);
                let again = ask().await;
                let helped = again.as_ref().is_ok_and(|reply| reply.status != 406);
                self.refuses_identity.store(helped, Ordering::Relaxed);
                again
            }
            first => first,
        };
        answer.map_err(|failure| self.blamed(failure, &Method::GET, path))
    }

    /// POST, PATCH or DELETE; sent at most once. A lost reply is `BrokenOff`: whether it happened is unknown.
    pub async fn command(
        &self,
        method: Method,
        path: &str,
        who: &Credential,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Reply, Trouble> {
        self.once(Via::Hand, method.clone(), path, who, body, if_match)
            .await
            .map_err(|failure| self.blamed(failure, &method, path))
    }

    /// Opens an event stream on a connection of its own; only a stream is one. How long it then lasts is not bounded here.
    pub async fn listen(&self, path: &str, who: &Credential) -> Result<Stream, Trouble> {
        let opened = async {
            let mut headers = identified(who)?;
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            let wait = self.patience.request;
            self.transport
                .listen(Ask { via: Via::Eyes, method: Method::GET, path: path.to_owned(), headers, body: None, wait })
                .await
        };
        let stream = opened.await.map_err(|failure| self.blamed(failure, &Method::GET, path))?;
        let kind = text_of(&stream.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        match stream.status {
            200 if kind.to_ascii_lowercase().starts_with("text/event-stream") => Ok(stream),
            200 => Err(Trouble::Answer(format!("GET {path} is answered with something that is no event stream"))),
            status => Err(Trouble::of(status, path, &status.to_string())),
        }
    }

    async fn once(
        &self,
        via: Via,
        method: Method,
        path: &str,
        who: &Credential,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Reply, Failure> {
        let wait = match via {
            Via::Hand if method == Method::DELETE => limits::FAREWELL,
            Via::Hand if method != Method::GET => self.patience.command_request,
            Via::Eyes | Via::Hand => self.patience.request,
        };
        let mut headers = identified(who)?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // a compressed body could not be read, and its ETag would be a weak one
        if !self.refuses_identity.load(Ordering::Relaxed) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(etag) = if_match {
            headers.insert(IF_MATCH, HeaderValue::from_str(etag).map_err(|_| no_value("ETag"))?);
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let begun = tokio::time::Instant::now();
        let came = self.transport.exchange(Ask { via, method: method.clone(), path: path.to_owned(), headers, body, wait }).await;
        let status = came.as_ref().map(|came| came.status).unwrap_or_default();
        tracing::debug!(bmc = ?self.transport, %method, path, status, ms = begun.elapsed().as_millis(), "request");
        let came = came?;
        understood(came.status, &came.headers, &came.body).map_err(Failure::Unusable)
    }

    fn blamed(&self, failure: Failure, method: &Method, path: &str) -> Trouble {
        if let Some(certificate) = self.pin.refusal() {
            return certificate;
        }
        match failure {
            Failure::Connect(why) => Trouble::Silent(format!("no connection ({why}); nothing was sent")),
            Failure::Broken(why) if method == Method::GET => {
                Trouble::Silent(format!("connection broke during GET {path} ({why})"))
            }
            Failure::Broken(why) => {
                Trouble::BrokenOff(format!("connection broke during {method} {path} ({why}); whether it was done is unknown"))
            }
            Failure::Slow(wait) if method == Method::GET => Trouble::Silent(format!("no answer to GET {path} within {wait:?}")),
            Failure::Slow(wait) => {
                Trouble::BrokenOff(format!("no answer to {method} {path} within {wait:?}; whether it was done is unknown"))
            }
            Failure::Unusable(why) => Trouble::Answer(format!("{method} {path}: {why}")),
        }
    }
}

/// What every request carries, and who asks.
fn identified(who: &Credential) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert("odata-version", HeaderValue::from_static("4.0"));
    let (name, value) = match who {
        Credential::Nobody => return Ok(headers),
        Credential::Token(token) => (HeaderName::from_static("x-auth-token"), sensitive(token.expose())),
        Credential::Account { user, password, .. } => {
            let pair = BASE64.encode(format!("{user}:{}", password.expose()));
            (AUTHORIZATION, sensitive(&format!("Basic {pair}")))
        }
    };
    headers.insert(name, value.map_err(|_| no_value("session's token"))?);
    Ok(headers)
}

fn no_value(what: &str) -> Failure {
    Failure::Unusable(format!("the {what} is no header value"))
}

/// What an answer says, from its pieces; else why it is none. Total, and bounded in what it makes of few bytes.
pub(super) fn understood(status: u16, headers: &HeaderMap, bytes: &[u8]) -> Result<Reply, String> {
    let header = |name: &str| text_of(headers, name);
    let (etag, location) = (header(ETAG.as_str()), header(LOCATION.as_str()));
    let token = header("x-auth-token").filter(|t| t.len() <= limits::TOKEN_MAX).map(Secret::new);
    // each of these bytes can begin a value, which takes up to a hundred times its own length in memory
    let values = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[' | b',')).count();
    if values > limits::VALUES_MAX {
        return Err(format!("the answer has more than {} values", limits::VALUES_MAX));
    }
    let body = match serde_json::from_slice(bytes) {
        Ok(body) => body,
        // An error page or an empty success needs no JSON; a resource does.
        Err(_) if bytes.is_empty() || !(200..300).contains(&status) => Value::Null,
        Err(error) => return Err(format!("the answer is not JSON ({error})")),
    };
    let told = || body.get("@odata.etag").and_then(Value::as_str).map(str::to_owned);
    let etag = etag.filter(|etag| usable(etag)).or_else(|| told().filter(|etag| usable(etag)));
    let weight = bytes.len().saturating_add(values.saturating_mul(limits::VALUE_WEIGHT));
    Ok(Reply { status, etag, token, location, body, weight })
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// True for an ETag that can be sent back: quoted, visible, of sane length, and not empty (there are BMCs that tell `""`, which matches nothing).
fn usable(etag: &str) -> bool {
    let empty = etag.trim_start_matches("W/") == "\"\"";
    etag.len() <= limits::TEXT_MAX && etag.bytes().all(|b| (0x21..0x7f).contains(&b)) && etag.ends_with('"') && !empty
}

fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}
