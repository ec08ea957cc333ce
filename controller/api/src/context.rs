//! What every route may use, and who asks.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use engine::Handle;
use tokio::net::UnixListener;
use vocabulary::Instant;

/// Largest request body, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What every route may use.
#[derive(Clone)]
pub struct Context {
    /// The engine.
    pub engine: Handle,
    /// The estate's UUID.
    pub estate: String,
}

impl Context {
    /// This instant, by the engine's clock.
    pub fn now(&self) -> Instant {
        self.engine.clock().now()
    }

    /// The number of the newest entry that was told to watchers.
    pub fn revision(&self) -> u64 {
        self.engine.revision()
    }
}

/// Who is at the other end of the socket.
#[derive(Clone, Debug)]
pub struct Peer {
    uid: Option<u32>,
}

impl Peer {
    /// The principal, for records.
    pub fn principal(&self) -> String {
        self.uid.map_or_else(|| "unknown".to_owned(), |uid| format!("uid {uid}"))
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Peer { uid: stream.io().peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}
