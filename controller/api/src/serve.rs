//! The unix socket on which the API is served: the only door. Whoever may open the socket's file is let in; the principal is the peer's uid.

use crate::context::{Context, Peer};
use crate::routes;
use std::path::Path;
use tokio::net::UnixListener;
use vocabulary::Fault;

/// Binds the socket, readable and writable by its owner alone. A socket that a dead process left behind is replaced;
/// one that somebody listens on is not.
pub async fn bind(path: &Path) -> Result<UnixListener, Fault> {
    use std::os::unix::fs::PermissionsExt;
    let fault = |what: &str, error: std::io::Error| {
        let text = format!("cannot {what} the socket {}: {error}", path.display());
        Fault::new(59, text, "choose another with --socket, or look at the directory's permissions")
    };
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            let text = format!("somebody already listens on {}", path.display());
            return Err(Fault::new(59, text, "stop the other `understudy serve`, or choose another --socket"));
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
