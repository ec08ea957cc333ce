//! The workload's little web server: who answers, and how far it is.
//!
//! It keeps answering when the disk is gone, so that two machines answering for one server are seen by the oracle.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::limits::{CLIENTS_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT};

/// What the workload tells of itself.
#[derive(Debug, Default)]
pub struct Standing {
    /// The server's name.
    pub server: String,
    /// Which start this is.
    pub incarnation: String,
    /// The last durable record.
    pub last: AtomicU64,
    /// The volume failed; nothing is acknowledged any more.
    pub failed: AtomicBool,
    /// Somebody asked for a restart from inside.
    pub restart: AtomicBool,
    /// Somebody wants its kernel to panic.
    pub panic: AtomicBool,
    /// The service has crashed: it writes nothing more, and nothing listens any more.
    pub crashed: AtomicBool,
}

/// The answer to a request's first line: status and text.
#[must_use]
pub fn answer(standing: &Standing, first_line: &str) -> (&'static str, String) {
    let mut words = first_line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let last = standing.last.load(Ordering::SeqCst);
    match (method, path) {
        ("GET", "/") => ("200 OK", format!("{} incarnation={} last={last}\n", standing.server, standing.incarnation)),
        ("GET", "/healthz") if standing.failed.load(Ordering::SeqCst) => {
            ("503 Service Unavailable", "the volume failed\n".to_owned())
        }
        ("GET", "/healthz") => ("200 OK", "ok\n".to_owned()),
        ("POST", "/reboot") => {
            standing.restart.store(true, Ordering::SeqCst);
            ("202 Accepted", "restarting\n".to_owned())
        }
        ("POST", "/panic") => {
            standing.panic.store(true, Ordering::SeqCst);
            ("202 Accepted", "panicking\n".to_owned())
        }
        ("POST", "/crash") => {
            standing.crashed.store(true, Ordering::SeqCst);
            ("202 Accepted", "crashing\n".to_owned())
        }
        ("GET", _) => ("404 Not Found", "nothing here\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET / or /healthz, POST /reboot, /panic or /crash\n".to_owned()),
    }
}

/// Serves until the service crashes; each client in a thread of its own, never more than [`CLIENTS_MAX`]. After that connections are refused.
pub fn serve(listener: TcpListener, standing: &Arc<Standing>) {
    let clients = Arc::new(AtomicUsize::new(0));
    let own = listener.local_addr().ok();
    for stream in listener.incoming().flatten() {
        if standing.crashed.load(Ordering::SeqCst) {
            return;
        }
        if clients.load(Ordering::SeqCst) >= CLIENTS_MAX {
            continue;
        }
        clients.fetch_add(1, Ordering::SeqCst);
        let (standing, mine) = (Arc::clone(standing), Arc::clone(&clients));
        let spawned = thread::Builder::new().spawn(move || {
            // a client that goes away in between is its own affair
            let _ = serve_one(stream, &standing);
            if let Some(own) = own.filter(|_| standing.crashed.load(Ordering::SeqCst)) {
                // one more client, so that whoever waits for the next sees that there is none
                drop(TcpStream::connect(own));
            }
            mine.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            clients.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn serve_one(mut stream: TcpStream, standing: &Standing) -> std::io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let got = stream.read(&mut buffer)?;
        if got == 0 || request.len() + got > REQUEST_BYTES_MAX {
            break;
        }
        request.extend_from_slice(buffer.get(..got).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&request);
    let (status, body) = answer(standing, text.lines().next().unwrap_or_default());
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers() {
        let standing = Standing { server: "web1".into(), incarnation: "ab12".into(), ..Standing::default() };
        standing.last.store(7, Ordering::SeqCst);
        assert_eq!(answer(&standing, "GET / HTTP/1.1"), ("200 OK", "web1 incarnation=ab12 last=7\n".into()));
        assert_eq!(answer(&standing, "GET /healthz HTTP/1.1").0, "200 OK");
        standing.failed.store(true, Ordering::SeqCst);
        assert_eq!(answer(&standing, "GET /healthz HTTP/1.1").0, "503 Service Unavailable");
        assert_eq!(answer(&standing, "GET / HTTP/1.1").0, "200 OK", "a split brain must stay visible");
        assert_eq!(answer(&standing, "GET /reboot HTTP/1.1").0, "404 Not Found");
        assert!(!standing.restart.load(Ordering::SeqCst));
        assert_eq!(answer(&standing, "POST /reboot HTTP/1.1").0, "202 Accepted");
        assert!(standing.restart.load(Ordering::SeqCst));
        assert!(!standing.panic.load(Ordering::SeqCst));
        assert_eq!(answer(&standing, "POST /panic HTTP/1.1").0, "202 Accepted");
        assert!(standing.panic.load(Ordering::SeqCst));
        assert_eq!(answer(&standing, "").0, "405 Method Not Allowed");
    }

    #[test]
    fn a_client_is_served_until_the_service_crashes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let standing = Arc::new(Standing { server: "web2".into(), incarnation: "x".into(), ..Standing::default() });
        let of_web = Arc::clone(&standing);
        let serves = thread::spawn(move || serve(listener, &of_web));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("web2 incarnation=x last=0\n"), "{text}");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"POST /crash HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("crashing\n"), "{text}");
        serves.join().unwrap();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
