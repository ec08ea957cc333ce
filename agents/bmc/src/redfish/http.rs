//! One request, one answer, over kept connections: bounded, never redirected, never replayed unless it is a GET.
//! Must never send a POST, PATCH or DELETE twice, follow a link to another host, or log a header or a body.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use vocabulary::Secret;

use super::tls::Pin;
use super::trouble::Trouble;
use super::view;
use crate::limits::{self, Patience};

/// Which connections a request uses: many requests look at once, one command goes out on the connection that just answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// For readings.
    Eyes,
    /// For commands and the identity check before them.
    Hand,
}

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

/// The way to one BMC.
#[derive(Debug)]
pub struct Http {
    base: String,
    eyes: Client,
    hand: Client,
    /// For the event stream; made when the first is opened, most BMCs have none.
    ears: OnceLock<Client>,
    pin: Arc<Pin>,
    patience: Patience,
    /// It refuses to be told that bodies must not be compressed.
    refuses_identity: AtomicBool,
}

impl Http {
    /// Makes ready to talk; connects to nobody yet.
    pub fn new(address: SocketAddr, pin: Arc<Pin>, patience: Patience) -> Result<Http, Trouble> {
        let eyes = client(&pin, patience, limits::IDLE_EYES_MAX, limits::IDLE_EYES)?;
        let hand = client(&pin, patience, limits::IDLE_HAND_MAX, limits::IDLE_HAND)?;
        Ok(Http {
            base: format!("https://{address}"),
            eyes,
            hand,
            ears: OnceLock::new(),
            pin,
            patience,
            refuses_identity: AtomicBool::new(false),
        })
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
    pub async fn listen(&self, path: &str, who: &Credential) -> Result<Response, Trouble> {
        let ears = match self.ears.get() {
            Some(ears) => ears,
            None => {
                let made = client(&self.pin, self.patience, 0, Duration::ZERO)?;
                self.ears.get_or_init(|| made)
            }
        };
        let wait = self.patience.request;
        let asked = async {
            let request = ears.get(format!("{}{path}", self.base)).header(ACCEPT, "text/event-stream");
            identified(request, who)?.send().await.map_err(|error| Failure::of(&error, wait))
        };
        let answered = tokio::time::timeout(wait, asked).await.unwrap_or(Err(Failure::Slow(wait)));
        let response = answered.map_err(|failure| self.blamed(failure, &Method::GET, path))?;
        let kind = text_of(response.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
        match response.status().as_u16() {
            200 if kind.to_ascii_lowercase().starts_with("text/event-stream") => Ok(response),
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
        let (client, wait) = match via {
            Via::Eyes => (&self.eyes, self.patience.request),
            Via::Hand if method == Method::GET => (&self.hand, self.patience.request),
            Via::Hand if method == Method::DELETE => (&self.hand, limits::FAREWELL),
            Via::Hand => (&self.hand, self.patience.command_request),
        };
        let request =
            client.request(method.clone(), format!("{}{path}", self.base)).timeout(wait).header(ACCEPT, "application/json");
        let mut request = identified(request, who)?;
        // a compressed body could not be read, and its ETag would be a weak one
        if !self.refuses_identity.load(Ordering::Relaxed) {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(etag) = if_match {
            request = request.header(IF_MATCH, etag);
        }
        let begun = Instant::now();
        let reply = match request.send().await {
            Ok(response) => read(response, wait).await,
            Err(error) => Err(Failure::of(&error, wait)),
        };
        let status = reply.as_ref().map(|r| r.status).unwrap_or_default();
        tracing::debug!(bmc = %self.base, %method, path, status, ms = begun.elapsed().as_millis(), "request");
        reply
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

/// A client of one BMC: its certificate alone, no redirect, no replay. `idle_max`: connections that are kept, for so long.
fn client(pin: &Arc<Pin>, patience: Patience, idle_max: usize, idle: Duration) -> Result<Client, Trouble> {
    let tls = pin.client().map_err(|e| Trouble::Unsupported(format!("TLS cannot be set up: {e}")))?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(patience.connect)
        .tcp_user_timeout(limits::UNACKNOWLEDGED)
        .tcp_keepalive(limits::STREAM_KEEP_ALIVE)
        .pool_max_idle_per_host(idle_max)
        .pool_idle_timeout(idle)
        .build()
        .map_err(|e| Trouble::Unsupported(format!("the HTTP client cannot be set up: {}", chain(&e))))
}

/// A request with what every request carries, and with who asks.
fn identified(request: RequestBuilder, who: &Credential) -> Result<RequestBuilder, Failure> {
    let request = request.header("OData-Version", "4.0");
    Ok(match who {
        Credential::Nobody => request,
        Credential::Token(token) => request.header("X-Auth-Token", sensitive(token)?),
        Credential::Account { user, password, .. } => request.basic_auth(user, Some(password.expose())),
    })
}

/// Why no usable answer came.
enum Failure {
    /// No connection: nothing was sent.
    Connect(String),
    /// The connection ended before the answer.
    Broken(String),
    /// No answer in time.
    Slow(Duration),
    /// An answer that is none.
    Unusable(String),
}

impl Failure {
    fn of(error: &reqwest::Error, wait: Duration) -> Failure {
        if error.is_connect() {
            Failure::Connect(chain(error))
        } else if error.is_timeout() {
            Failure::Slow(wait)
        } else if error.is_builder() {
            Failure::Unusable(chain(error))
        } else {
            Failure::Broken(chain(error))
        }
    }
}

async fn read(mut response: Response, wait: Duration) -> Result<Reply, Failure> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= limits::BODY_MAX => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Unusable(format!("the answer is larger than {} bytes", limits::BODY_MAX))),
            Ok(None) => break,
            Err(error) => return Err(Failure::of(&error, wait)),
        }
    }
    understood(response.status().as_u16(), response.headers(), &bytes).map_err(Failure::Unusable)
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

fn sensitive(token: &Secret) -> Result<HeaderValue, Failure> {
    let mut value =
        HeaderValue::from_str(token.expose()).map_err(|_| Failure::Unusable("the session's token is no header value".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with its causes, bounded; addresses only, never a header.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    view::clean(&text, limits::EXPLANATION_MAX)
}
