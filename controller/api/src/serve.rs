//! The unix socket on which the API is served: the only door. Whoever may open the socket's file is let in; the principal is the peer's uid.

use crate::routes;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use engine::Handle;
use std::path::Path;
use tokio::net::UnixListener;
use vocabulary::Fault;

/// Largest request body, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What every route may use.
#[derive(Clone)]
pub struct Context {
    /// The engine.
    pub engine: Handle,
    /// The estate's UUID.
    pub estate: String,
    /// The engine's clock began here.
    pub started: std::time::Instant,
}

impl Context {
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

/// Binds the socket, readable and writable by its owner alone. A socket that a dead process left behind is replaced;
/// one that somebody listens on is not.
pub async fn bind(path: &Path) -> Result<UnixListener, Fault> {
    use std::os::unix::fs::PermissionsExt;
    let fault = |what: &str, error: std::io::Error| {
        let text = format!("cannot {what} the socket {}: {error}", path.display());
        Fault::new(26, text, "choose another with --socket, or look at the directory's permissions")
    };
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            let text = format!("somebody already listens on {}", path.display());
            return Err(Fault::new(26, text, "stop the other `understudy serve`, or choose another --socket"));
        }
        std::fs::remove_file(path).map_err(|error| fault("replace", error))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| fault("bind", error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| fault("protect", error))?;
    Ok(listener)
}

/// Serves until `stop` is done; open watches end with it.
pub async fn serve(
    listener: UnixListener,
    context: Context,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = routes::router(context).into_make_service_with_connect_info::<Peer>();
    tokio::select! {
        ended = axum::serve(listener, service) => ended,
        () = stop => Ok(()),
    }
}
