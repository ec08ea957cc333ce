//! Requests over kept TLS connections to one BMC: pinned, bounded, never redirected, never replayed.
//! Must never log a header or a body.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, RequestBuilder, Response};

use super::tls::Pin;
use super::transport::{Ask, Came, Chunks, Failure, Stream, Transport, Via};
use super::view;
use crate::limits::{self, Patience};

/// See the module.
#[derive(Debug)]
pub struct OverTls {
    base: String,
    eyes: Client,
    hand: Client,
    /// For the event stream; made when the first is opened, most BMCs have none.
    ears: OnceLock<Client>,
    pin: Arc<Pin>,
    patience: Patience,
}

impl OverTls {
    /// Makes ready to talk; connects to nobody yet.
    pub fn new(address: SocketAddr, pin: Arc<Pin>, patience: Patience) -> Result<OverTls, String> {
        let unusable = |failure| match failure {
            Failure::Unusable(why) | Failure::Connect(why) | Failure::Broken(why) => why,
            Failure::Slow(_) => "the HTTP client cannot be set up".to_owned(),
        };
        let eyes = client(&pin, patience, limits::IDLE_EYES_MAX, limits::IDLE_EYES).map_err(unusable)?;
        let hand = client(&pin, patience, limits::IDLE_HAND_MAX, limits::IDLE_HAND).map_err(unusable)?;
        Ok(OverTls { base: format!("https://{address}"), eyes, hand, ears: OnceLock::new(), pin, patience })
    }

    fn request(&self, client: &Client, ask: Ask) -> RequestBuilder {
        let request = client.request(ask.method, format!("{}{}", self.base, ask.path)).headers(ask.headers);
        match ask.body {
            Some(body) => request.body(body),
            None => request,
        }
    }
}

#[async_trait]
impl Transport for OverTls {
    async fn exchange(&self, ask: Ask) -> Result<Came, Failure> {
        let wait = ask.wait;
        let client = match ask.via {
            Via::Eyes => &self.eyes,
            Via::Hand => &self.hand,
        };
        match self.request(client, ask).timeout(wait).send().await {
            Ok(response) => whole(response, wait).await,
            Err(error) => Err(failure(&error, wait)),
        }
    }

    async fn listen(&self, ask: Ask) -> Result<Stream, Failure> {
        let ears = match self.ears.get() {
            Some(ears) => ears,
            None => {
                let made = client(&self.pin, self.patience, 0, Duration::ZERO)?;
                self.ears.get_or_init(|| made)
            }
        };
        let wait = ask.wait;
        let answered = tokio::time::timeout(wait, self.request(ears, ask).send()).await;
        let response = answered.map_err(|_| Failure::Slow(wait))?.map_err(|error| failure(&error, wait))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Stream { status, headers, body: Box::new(Body(response)) })
    }
}

#[derive(Debug)]
struct Body(Response);

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let chunk = self.0.chunk().await.map_err(|error| error.without_url().to_string())?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

/// A client of one BMC: its certificate alone, no redirect, no replay. `idle_max`: connections that are kept, for so long.
fn client(pin: &Arc<Pin>, patience: Patience, idle_max: usize, idle: Duration) -> Result<Client, Failure> {
    let tls = pin.client().map_err(|e| Failure::Unusable(format!("TLS cannot be set up: {e}")))?;
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
        .map_err(|e| Failure::Unusable(format!("the HTTP client cannot be set up: {}", chain(&e))))
}

async fn whole(mut response: Response, wait: Duration) -> Result<Came, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limits::BODY_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Unusable(format!("the answer is larger than {} bytes", limits::BODY_MAX))),
            Ok(None) => break,
            Err(error) => return Err(failure(&error, wait)),
        }
    }
    Ok(Came { status: response.status().as_u16(), headers: response.headers().clone(), body })
}

fn failure(error: &reqwest::Error, wait: Duration) -> Failure {
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
