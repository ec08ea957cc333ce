//! The port of one BMC: listens, speaks TLS and HTTP/1.1, or behaves like a BMC that cannot be reached.
//! Must never hold more than a bounded number of connections, nor answer on a connection older than the last interruption.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{Backlog, listen};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::bmc::{Bmc, Link};
use crate::limits;
use crate::quirks::Reach;
use crate::redfish;

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
pub async fn serve(bmc: Arc<Bmc>, listener: TcpListener) {
    let mut link = bmc.link.subscribe();
    let slots = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut open = Some(listener);
    loop {
        let now = *link.borrow_and_update();
        match (now.reach, open.take()) {
            (Reach::Refuse, listener) => {
                drop(listener);
                bmc.served.send_replace(now.serial);
                if link.changed().await.is_err() {
                    return;
                }
            }
            (_, None) => open = rebind(&bmc).await,
            (Reach::Unreachable, Some(listener)) => {
                if darkness(&bmc, now, &listener, &mut link).await.is_err() {
                    return;
                }
                open = Some(listener);
            }
            (Reach::Answering | Reach::Garbage, Some(listener)) => {
                bmc.served.send_replace(now.serial);
                tokio::select! {
                    changed = link.changed() => if changed.is_err() {
                        return;
                    },
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

async fn rebind(bmc: &Bmc) -> Option<TcpListener> {
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
async fn darkness(
    bmc: &Bmc,
    now: Link,
    listener: &TcpListener,
    link: &mut watch::Receiver<Link>,
) -> Result<(), watch::error::RecvError> {
    let resize = |size: i32| {
        if let Err(e) = Backlog::new(size).and_then(|backlog| listen(listener, backlog)) {
            tracing::warn!(machine = %bmc.config.name, error = %e, "backlog");
        }
    };
    resize(0);
    let filler = tokio::time::timeout(FILL, TcpStream::connect(bmc.address)).await;
    bmc.served.send_replace(now.serial);
    let changed = link.changed().await;
    drop(filler);
    // What waited in the queue was sent into the dark: it is lost.
    while let Ok(Ok(lost)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        drop(lost);
    }
    resize(limits::BACKLOG);
    changed
}

fn take(bmc: &Arc<Bmc>, link: Link, stream: TcpStream, slots: &Arc<Semaphore>) {
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
        tracing::debug!(machine = %bmc.config.name, "too many connections");
        return;
    };
    let bmc = Arc::clone(bmc);
    tokio::spawn(async move {
        let mut changes = bmc.link.subscribe();
        let talk = talk(Arc::clone(&bmc), link.reach, stream);
        tokio::pin!(talk);
        loop {
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    let now = *changes.borrow_and_update();
                    if changed.is_err() || now.epoch != link.epoch {
                        break;
                    }
                }
                result = &mut talk => {
                    if let Err(e) = result {
                        tracing::debug!(machine = %bmc.config.name, error = %e, "connection");
                    }
                    return;
                }
            }
        }
        // Not polled any more, so nothing is read, done or answered; closed only when a close could be seen again.
        let _ = changes.wait_for(|now| now.reach != Reach::Unreachable).await;
        drop(slot);
    });
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn talk(bmc: Arc<Bmc>, reach: Reach, mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    if reach == Reach::Garbage {
        let noise: [u8; 64] = rand::random();
        stream.write_all(&noise).await?;
        return Ok(stream.shutdown().await?);
    }
    let server = bmc.state().identity.as_ref().map(|identity| Arc::clone(&identity.server)).ok_or("no certificate")?;
    let acceptor = TlsAcceptor::from(server);
    let stream = tokio::time::timeout(limits::TLS_HANDSHAKE, acceptor.accept(stream)).await??;
    let heard = Arc::new(Mutex::new(Instant::now()));
    let service = service_fn(move |request| {
        let (bmc, heard) = (Arc::clone(&bmc), Arc::clone(&heard));
        async move {
            let idle = |heard: &Mutex<Instant>| heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            let cut = Duration::from_millis(bmc.state().quirks.redfish.idle_cut_ms);
            if !cut.is_zero() && idle(&heard) >= cut {
                return Err(redfish::Dropped);
            }
            let answer = redfish::answer(&bmc, request).await;
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            answer
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
