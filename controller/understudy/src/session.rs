//! One conversation with the controller: asks views, sends requests, within a deadline. It never tries a request twice: what was
//! sent may have been accepted.

use crate::address::{Address, DEFAULT_SOCKET};
use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::render::{self, Look};
use crate::{limits, out};
use api::client::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vocabulary::Fault;

/// An answer: exactly what came, and the same understood and cleaned for people.
#[derive(Debug)]
pub struct Seen<T> {
    /// As it came.
    pub raw: Value,
    /// Understood, and cleaned of what could steer a terminal.
    pub view: T,
}

/// What a verb needs to talk to the controller and to people.
#[derive(Clone, Debug)]
pub struct Session {
    /// The controller's client.
    pub client: Client,
    /// Text or JSON.
    pub output: Output,
    /// How text looks.
    pub look: Look,
    socket: PathBuf,
}

impl Session {
    /// With the controller at this address.
    pub fn new(address: &Address, output: Output) -> Session {
        Session { client: Client::new(&address.0), output, look: Look::of_stdout(), socket: address.0.clone() }
    }

    /// True if programs read the output.
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        asked: impl Future<Output = Result<T, api::client::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(deadline, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                let message =
                    format!("the controller at {} did not answer within {} s", self.socket.display(), deadline.as_secs());
                let remedy = "look at its log and at the load of its machine, then ask again";
                Err(Failure::new(Exit::Unreachable, Fault::new(60, message, remedy)))
            }
        }
    }

    /// A view.
    pub async fn view<T: DeserializeOwned>(&self, path: &str) -> Result<Seen<T>, Failure> {
        self.slow_view(path, limits::ANSWER).await
    }

    /// A view that may take long.
    pub async fn slow_view<T: DeserializeOwned>(&self, path: &str, deadline: Duration) -> Result<Seen<T>, Failure> {
        understood(self.within(deadline, self.client.get(path)).await?)
    }

    /// Sends a request, once.
    pub async fn order<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<Seen<T>, Failure> {
        understood(self.within(limits::AGENTS_ANSWER, self.client.post(path, body)).await?)
    }

    /// Prints an answer: as it came for programs, by `text` for people.
    pub fn show<T>(&self, seen: &Seen<T>, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json() { out::json(&seen.raw) } else { out::line(&text(&seen.view)) }
    }

    /// How another command would reach the same controller, for remedies that are to be copied.
    pub fn command(&self, rest: &str) -> String {
        if self.socket == Path::new(DEFAULT_SOCKET) || std::env::var_os("UNDERSTUDY_ADDRESS").is_some() {
            format!("understudy {rest}")
        } else {
            format!("understudy --address unix:{} {rest}", self.socket.display())
        }
    }
}

/// An answer of another version of the controller may hold fields that are not known here; one that lacks fields is a fault.
pub fn understood<T: DeserializeOwned>(raw: Value) -> Result<Seen<T>, Failure> {
    match serde_json::from_value(render::clean_value(raw.clone())) {
        Ok(view) => Ok(Seen { raw, view }),
        Err(error) => {
            let message = format!("the controller's answer is not understood: {error}");
            Err(Failure::new(Exit::Bug, Fault::new(61, message, "use a command line of the controller's version")))
        }
    }
}
