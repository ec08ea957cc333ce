//! The API's client over a unix socket: used by the command line, and by nothing else in the product.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use vocabulary::Fault;

/// Largest answer taken, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest line of what is followed, bytes.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// Nobody answers at the address.
    Unreachable(Fault),
    /// The controller said no.
    Fault {
        /// Its status.
        status: u16,
        /// What it said.
        fault: Fault,
    },
}

/// A client for one controller.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the controller at this socket; connects with each request.
    pub fn new(socket: &Path) -> Client {
        Client { socket: socket.to_path_buf() }
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> Error {
        Error::Unreachable(Fault::new(
            50,
            format!("no controller answers at {}: {error}", self.socket.display()),
            "start it with `understudy serve`, or name its socket with --address or UNDERSTUDY_ADDRESS",
        ))
    }

    async fn send(&self, method: &str, path: &str, body: Bytes) -> Result<hyper::Response<Incoming>, Error> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "understudy")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| self.unreachable(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.collect(response).await?;
        let fault = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(300).collect();
            Fault::new(
                52,
                format!("the controller answered {status}: {text}"),
                "the command line and the controller may be of different versions",
            )
        });
        Err(Error::Fault { status, fault })
    }

    async fn collect(&self, response: hyper::Response<Incoming>) -> Result<Bytes, Error> {
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| self.unreachable(error))?;
        Ok(body.to_bytes())
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: Bytes) -> Result<T, Error> {
        let response = self.send(method, path, body).await?;
        let bytes = self.collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let remedy = "the command line and the controller may be of different versions";
            Error::Fault {
                status: 500,
                fault: Fault::new(52, format!("the controller's answer is not understood: {error}"), remedy),
            }
        })
    }

    /// Reads a view.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask("GET", path, Bytes::new()).await
    }

    /// Sends a request.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        self.ask("POST", path, bytes.into()).await
    }

    /// Follows the journal; calls `each` for every line until it says stop or the controller goes away.
    pub async fn watch(&self, path: &str, mut each: impl FnMut(&str) -> bool) -> Result<(), Error> {
        let mut body = self.send("GET", path, Bytes::new()).await?.into_body();
        let mut buffer = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreachable(error))?;
            let Ok(data) = frame.into_data() else { continue };
            // what is left moves once, however many lines came together, and is looked at once, however long it grows
            let Some(end) = data.iter().rposition(|byte| *byte == b'\n') else {
                buffer.extend_from_slice(&data);
                if buffer.len() > LINE_BYTES_MAX {
                    return Err(self.unreachable("a line without end"));
                }
                continue;
            };
            let (whole, rest) = data.split_at(end + 1);
            buffer.extend_from_slice(whole);
            for line in buffer.split_inclusive(|byte| *byte == b'\n') {
                if !each(String::from_utf8_lossy(line).trim_end()) {
                    return Ok(());
                }
            }
            buffer = rest.to_vec();
        }
        Err(self.unreachable("the controller went away"))
    }
}
