//! The port of one BMC: listens, speaks TLS and HTTP/1.1, or behaves like a BMC that cannot be reached.
//! Must never hold more than a bounded number of connections, nor answer on a connection older than the last interruption.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{Backlog, listen};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use world::bmc::redfish::Connection;
use world::bmc::{Link, Reach};
use world::watch;

use crate::limits;
use crate::station::Station;

/// How long the connection that fills the queue of an unreachable BMC is tried.
const FILL: Duration = Duration::from_millis(100);

/// Takes the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(limits::BACKLOG).unwrap_or(1))
}

/// Serves one BMC until the task is aborted.
pub async fn serve(bmc: Arc<Station>, listener: TcpListener) {
    let mut link = bmc.link();
    let slots = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut open = Some(listener);
    loop {
        let now = link.see();
        match (now.reach, open.take()) {
            (Reach::Refuse, listener) => {
                drop(listener);
                bmc.redfish_follows(now.serial);
                link.changed().await;
            }
            (_, None) => open = rebind(&bmc).await,
            (Reach::Unreachable, Some(listener)) => {
                darkness(&bmc, now, &listener, &mut link).await;
                open = Some(listener);
            }
            (Reach::Answering | Reach::Garbage, Some(listener)) => {
                bmc.redfish_follows(now.serial);
                tokio::select! {
                    () = link.changed() => {}
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => take(&bmc, now, stream, &slots),
                        Err(e) => {
                            tracing::warn!(machine = %bmc.config.name, error = %e, "accept");
                            tokio::time::sleep(limits::ACCEPT_RETRY).await;
                        }
                    },
                }
                open = Some(listener);
            }
        }
    }
}

async fn rebind(bmc: &Station) -> Option<TcpListener> {
    for _ in 0..limits::REBIND_ATTEMPTS {
        match bind(bmc.address) {
            Ok(listener) => return Some(listener),
            Err(e) => tracing::warn!(machine = %bmc.config.name, address = %bmc.address, error = %e, "cannot listen again"),
        }
        tokio::time::sleep(limits::ACCEPT_RETRY).await;
    }
    None
}

/// Unreachable: a queue of one that is full makes the kernel drop every further SYN, as a dead cable would.
async fn darkness(bmc: &Station, now: Link, listener: &TcpListener, link: &mut watch::Receiver<Link>) {
    let resize = |size: i32| {
        if let Err(e) = Backlog::new(size).and_then(|backlog| listen(listener, backlog)) {
            tracing::warn!(machine = %bmc.config.name, error = %e, "backlog");
        }
    };
    resize(0);
    let filler = tokio::time::timeout(FILL, TcpStream::connect(bmc.address)).await;
    bmc.redfish_follows(now.serial);
    link.changed().await;
    drop(filler);
    // What waited in the queue was sent into the dark: it is lost.
    while let Ok(Ok(lost)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        drop(lost);
    }
    resize(limits::BACKLOG);
}

fn take(bmc: &Arc<Station>, link: Link, stream: TcpStream, slots: &Arc<Semaphore>) {
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
        tracing::debug!(machine = %bmc.config.name, "too many connections");
        return;
    };
    let bmc = Arc::clone(bmc);
    tokio::spawn(async move {
        let mut changes = bmc.link();
        let talk = talk(Arc::clone(&bmc), link.reach, stream);
        tokio::pin!(talk);
        loop {
            tokio::select! {
                biased;
                () = changes.changed() => if changes.get().epoch != link.epoch {
                    break;
                },
                result = &mut talk => {
                    if let Err(e) = result {
                        tracing::debug!(machine = %bmc.config.name, error = %e, "connection");
                    }
                    return;
                }
            }
        }
        // Not polled any more, so nothing is read, done or answered; closed only when a close could be seen again.
        changes.wait_for(|now| now.reach != Reach::Unreachable).await;
        drop(slot);
    });
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn talk(bmc: Arc<Station>, reach: Reach, mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    if reach == Reach::Garbage {
        let noise: [u8; 64] = rand::random();
        stream.write_all(&noise).await?;
        return Ok(stream.shutdown().await?);
    }
    let server = bmc.identity().as_ref().map(|identity| Arc::clone(&identity.server)).ok_or("no certificate")?;
    let acceptor = TlsAcceptor::from(server);
    let stream = tokio::time::timeout(limits::TLS_HANDSHAKE, acceptor.accept(stream)).await??;
    let connection = Arc::new(Connection::new(&bmc));
    let service = service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { connection.answer(request).await }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
