//! How a request gets to one BMC and its answer back: over TLS in a program, over its own network in a simulated world. The bytes are the same.
//! Must never send anything twice, follow a redirect, or take an answer that is larger than its bound.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::tls::Pin;
use crate::limits::Patience;

/// Which connections a request uses: many requests look at once, one command goes out on the connection that just answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// For readings.
    Eyes,
    /// For commands and the identity check before them.
    Hand,
}

/// A request as it goes out.
#[derive(Clone, Debug)]
pub struct Ask {
    /// On which connection.
    pub via: Via,
    /// The method.
    pub method: Method,
    /// The path on the BMC.
    pub path: String,
    /// All headers that matter; secrets among them are marked as such.
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Option<Vec<u8>>,
    /// How long the whole answer may take.
    pub wait: Duration,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Came {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole; at most [`crate::limits::BODY_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Why no usable answer came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection: nothing was sent.
    Connect(String),
    /// The connection ended before the answer.
    Broken(String),
    /// No answer in time.
    Slow(Duration),
    /// An answer that is none.
    Unusable(String),
}

/// The way to one BMC.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request, once, and waits for its answer.
    async fn exchange(&self, ask: Ask) -> Result<Came, Failure>;
    /// Opens a stream on a connection of its own; how long it then lasts is not bounded here.
    async fn listen(&self, ask: Ask) -> Result<Stream, Failure>;
}

/// Begins the way to one BMC; connects to nobody yet. What certificate is met there goes to the pin, which decides. The error is for people.
pub type Road = Arc<dyn Fn(SocketAddr, &Arc<Pin>, Patience) -> Result<Box<dyn Transport>, String> + Send + Sync>;

/// An answer that goes on.
#[derive(Debug)]
pub struct Stream {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Box<dyn Chunks>,
}

/// A body piece by piece.
#[async_trait]
pub trait Chunks: fmt::Debug + Send + Sync {
    /// The next piece; `None` at the end, the reason where it broke. Who gives up waiting loses nothing.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String>;
}
