//! JSON-RPC as Open vSwitch speaks it, to its database and to its daemon: one question after the other, each with its deadline. A
//! connection serves one conversation; after any trouble it is dropped, so a broken one costs one operation.

use super::frames::Frames;
use super::trouble::{Trouble, silent};
use crate::limits::OVS_ANSWER_TIMEOUT;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// So much is read in one go.
const PIECE: usize = 16 * 1024;

/// Where somebody listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// An address and a port, without any protection of its own.
    Tcp(SocketAddr),
}

/// A socket of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Ends what takes too long.
pub async fn in_time<T>(
    what: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, Trouble>> + Send,
) -> Result<T, Trouble> {
    let late = || silent(what, format!("no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

/// Connects to a socket in the file system.
pub async fn unix(what: &'static str, path: &Path) -> Result<Box<dyn Stream>, Trouble> {
    let connect = async {
        let stream = UnixStream::connect(path).await;
        stream.map_err(|error| silent(what, format!("{}: {error}", path.display())))
    };
    in_time(what, OVS_ANSWER_TIMEOUT, connect).await.map(|stream| Box::new(stream) as Box<dyn Stream>)
}

/// What came in.
pub enum Message {
    /// The answer to the question of that number.
    Answer {
        /// The number.
        id: Value,
        /// What was asked for, or what is wrong.
        outcome: Result<Value, String>,
    },
    /// Something that was not asked for.
    Note {
        /// What happened.
        method: String,
        /// To what.
        params: Value,
    },
}

/// One conversation.
pub struct Connection {
    what: &'static str,
    stream: Box<dyn Stream>,
    frames: Frames,
    asked: u64,
}

fn sorted(mut message: Map<String, Value>) -> Message {
    let mut take = |key: &str| message.remove(key).unwrap_or(Value::Null);
    if let Value::String(method) = take("method") {
        return Message::Note { method, params: take("params") };
    }
    let outcome = match take("error") {
        // the daemon leaves `error` out, or says null
        Value::Null => Ok(take("result")),
        Value::String(text) => Err(text),
        other => Err(other.to_string()),
    };
    Message::Answer { id: take("id"), outcome }
}

impl Connection {
    /// Connects. `what` names the other side for people.
    pub async fn open(what: &'static str, address: &Address) -> Result<Connection, Trouble> {
        let stream = match address {
            Address::Unix(path) => unix(what, path).await?,
            Address::Tcp(address) => {
                let connect =
                    async { TcpStream::connect(address).await.map_err(|error| silent(what, format!("{address}: {error}"))) };
                Box::new(in_time(what, OVS_ANSWER_TIMEOUT, connect).await?)
            }
        };
        Ok(Connection { what, stream, frames: Frames::default(), asked: 0 })
    }

    async fn send(&mut self, message: &Value) -> Result<(), Trouble> {
        let text = message.to_string();
        self.stream.write_all(text.as_bytes()).await.map_err(|error| silent(self.what, error))
    }

    /// The next message, without a deadline of its own. Requests for a sign of life are answered on the way. Nothing is lost if it is
    /// dropped while it waits for bytes.
    pub async fn message(&mut self) -> Result<Message, Trouble> {
        let mut piece = vec![0; PIECE];
        loop {
            while let Some(message) = self.frames.next().map_err(|reason| silent(self.what, reason))? {
                if message.get("method").and_then(Value::as_str) == Some("echo") {
                    let field = |key: &str| message.get(key).cloned().unwrap_or(Value::Null);
                    self.send(&json!({"id": field("id"), "result": field("params"), "error": null})).await?;
                    continue;
                }
                return Ok(sorted(message));
            }
            let read = self.stream.read(&mut piece).await.map_err(|error| silent(self.what, error))?;
            match piece.get(..read) {
                Some(bytes) if read > 0 => self.frames.add(bytes),
                _ => return Err(silent(self.what, "it has ended the connection")),
            }
        }
    }

    /// Sends a question and does not wait.
    pub async fn ask(&mut self, method: &str, params: &Value) -> Result<u64, Trouble> {
        self.asked += 1;
        let question = json!({"id": self.asked, "method": method, "params": params});
        let limit = OVS_ANSWER_TIMEOUT;
        in_time(self.what, limit, self.send(&question)).await?;
        Ok(self.asked)
    }

    /// Asks, and waits that long for the answer: what was asked for, or what the other side says is wrong.
    pub async fn call(&mut self, method: &str, params: &Value, limit: Duration) -> Result<Result<Value, String>, Trouble> {
        let asked = self.ask(method, params).await?;
        let what = self.what;
        let answer = async {
            loop {
                if let Message::Answer { id, outcome } = self.message().await?
                    && id.as_u64() == Some(asked)
                {
                    return Ok(outcome);
                }
            }
        };
        in_time(what, limit, answer).await
    }
}
