//! The control socket: one JSON request a line, one JSON answer a line.
//! Must never be reachable from the network, nor by another user of this machine.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast};
use world::bmc::Change;

use crate::control::{Control, Request};
use crate::error::Error;
use crate::limits;
use crate::lines;

/// Listens on the control socket until the task is aborted.
pub fn bind(path: &Path) -> Result<UnixListener, Error> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let fail = |source| Error::File { action: "cannot listen on", path: path.into(), source };
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(fail)?;
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Serves the control socket until the task is aborted.
pub async fn serve(control: Control, listener: UnixListener) {
    let slots = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                tokio::spawn(async move {
                    if let Err(e) = talk(&control, stream).await {
                        tracing::debug!(error = %e, "control connection");
                    }
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "control accept");
                tokio::time::sleep(limits::ACCEPT_RETRY).await;
            }
        }
    }
}

async fn talk(control: &Control, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = lines::next(&mut reader, limits::CONTROL_LINE_MAX).await? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let request: Result<Request, _> = serde_json::from_slice(&line);
        let watch = matches!(request, Ok(Request::Watch)).then(|| control.watch());
        let answer = match request {
            Ok(request) => control.answer(request).await,
            Err(e) => json!({ "ok": false, "error": format!("not a request: {e}; send {{\"verb\":\"state\",\"name\":\"m1\"}}") }),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
        if let Some(mut changes) = watch {
            return watched(&mut changes, &mut reader, &mut writer).await;
        }
    }
    Ok(())
}

async fn watched<R, W>(changes: &mut broadcast::Receiver<Change>, reader: &mut R, writer: &mut W) -> std::io::Result<()>
where
    R: tokio::io::AsyncBufRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    loop {
        let line = tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => serde_json::to_string(&change).map_err(std::io::Error::other)?,
                Err(broadcast::error::RecvError::Lagged(missed)) => json!({ "missed": missed }).to_string(),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            closed = lines::next(reader, limits::CONTROL_LINE_MAX) => match closed? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        writer.write_all(format!("{line}\n").as_bytes()).await?;
    }
}
