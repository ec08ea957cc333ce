//! The door of a simulated production network: a real address for each server, at which a request is carried to whoever has the server's own
//! address in the hall, and the answer back. It must never answer for a machine: where nobody does, it is as silent as the network is.

use crate::fabric::Fabric;
use crate::limits::{ACCEPT_PAUSE, BACKLOG, CLIENTS_MAX, HEAD_BYTES_MAX, KEPT_EVERY, PATIENCE};
use nix::sys::socket::{Backlog, listen};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use world::machine::Machine;

/// The hall behind a door.
#[derive(Clone)]
pub struct Behind {
    /// The network.
    pub fabric: Fabric,
    /// All machines.
    pub machines: Arc<Vec<Machine>>,
}

/// Serves clients of the server with this address in the hall, while somebody has it, until the task is aborted.
pub async fn serve(listener: TcpListener, to: Ipv4Addr, behind: Behind, mut open: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        if !*open.borrow_and_update() {
            darkness(&listener, &mut open).await;
        }
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            _ = open.changed() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let behind = behind.clone();
                tokio::spawn(async move {
                    // a client that goes away has had enough
                    let _ = tokio::time::timeout(PATIENCE, client(stream, to, &behind)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a door cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Nobody is there: a queue of one that is full makes the kernel drop every further SYN, as a network does in which nobody has the address.
async fn darkness(listener: &TcpListener, open: &mut watch::Receiver<bool>) {
    let resize = |size: i32| {
        if let Err(error) = Backlog::new(size).and_then(|backlog| listen(listener, backlog)) {
            tracing::warn!(%error, "the queue of a door cannot be changed");
        }
    };
    resize(0);
    let filler = match listener.local_addr() {
        Ok(address) => tokio::time::timeout(ACCEPT_PAUSE, TcpStream::connect(address)).await.ok(),
        Err(_) => None,
    };
    // closed only when the hall is
    let _ = open.wait_for(|open| *open).await;
    drop(filler);
    // what waited was sent into the dark
    while let Ok(Ok(lost)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        drop(lost);
    }
    resize(BACKLOG);
}

/// Opens and shuts doors as their servers come and go, for ever.
pub async fn keep(behind: Behind, doors: BTreeMap<Ipv4Addr, watch::Sender<bool>>) {
    loop {
        let there: BTreeSet<Ipv4Addr> =
            behind.machines.iter().filter_map(|machine| machine.service()).map(|service| service.at.address).collect();
        for (to, door) in &doors {
            let open = there.contains(to)
                && behind.fabric.page(&behind.machines, *to, "/healthz").await.is_some_and(|page| page.is_ok());
            door.send_if_modified(|is_open| std::mem::replace(is_open, open) != open);
        }
        tokio::time::sleep(KEPT_EVERY).await;
    }
}

async fn client(mut stream: TcpStream, to: Ipv4Addr, behind: &Behind) -> io::Result<()> {
    let Some(path) = path(&mut stream).await? else { return Ok(()) };
    let Some(Ok(page)) = behind.fabric.page(&behind.machines, to, &path).await else {
        // silence, until the client gives up
        return tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop);
    };
    let head = format!("HTTP/1.0 {} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.status, page.body.len());
    stream.write_all(&[head.as_bytes(), &page.body].concat()).await?;
    stream.shutdown().await
}

/// The path of a GET, once the whole head is there.
async fn path(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let room = HEAD_BYTES_MAX.saturating_sub(head.len());
        if room == 0 || (&mut *stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).map(str::to_owned))
}
