//! The payload of a lab server: numbered records, durable first, acknowledged after, so that a lost or doubled write can be seen.
//!
//! It must never acknowledge what is not durable, and never again after one failed write.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::kernel::say;
use crate::limits::RECORD_EVERY;
use crate::records::{LOG, Log, Record};
use crate::web::{Standing, serve};

/// Where acknowledgements go: the oracle's sink in the production network.
pub const COLLECTOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 20, 0, 1), 7777);
const WEB_PORT: u16 = 80;

/// Starts the web server and the writer of a server.
pub fn start(server: &str) -> io::Result<Arc<Standing>> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let incarnation = boot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let (log, last) = Log::open(Path::new(LOG))?;
    let standing =
        Arc::new(Standing { server: server.to_owned(), incarnation, last: AtomicU64::new(last), ..Standing::default() });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, WEB_PORT))?;
    let of_web = Arc::clone(&standing);
    thread::spawn(move || serve(listener, &of_web));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let of_writer = Arc::clone(&standing);
    thread::spawn(move || write(log, &of_writer, |line| drop(socket.send_to(line, COLLECTOR))));
    Ok(standing)
}

/// Writes records until a write fails, the service crashes or a restart is asked for; acknowledges each after it is durable.
fn write(mut log: Log, standing: &Standing, acknowledge: impl Fn(&[u8])) {
    let mut next = Instant::now();
    while !(standing.restart.load(Ordering::SeqCst) || standing.crashed.load(Ordering::SeqCst)) {
        let number = standing.last.load(Ordering::SeqCst) + 1;
        let record = Record { server: standing.server.clone(), incarnation: standing.incarnation.clone(), number };
        if let Err(error) = log.append(&record) {
            standing.failed.store(true, Ordering::SeqCst);
            say(&format!("record {number}: {error}; nothing is acknowledged any more"));
            return;
        }
        standing.last.store(number, Ordering::SeqCst);
        acknowledge(record.line().as_bytes());
        next = (next + RECORD_EVERY).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_is_acknowledged_is_durable_and_in_order() {
        let folder = std::env::temp_dir().join(format!("workload-{}", std::process::id()));
        let path = folder.join("records");
        let (log, last) = Log::open(&path).unwrap();
        let standing =
            Standing { server: "web1".into(), incarnation: "aa".into(), last: AtomicU64::new(last), ..Standing::default() };
        let acknowledged = Mutex::new(Vec::new());
        write(log, &standing, |line| {
            let line = String::from_utf8(line.to_vec()).unwrap();
            assert!(fs::read_to_string(&path).unwrap().ends_with(&line), "acknowledged before it was written");
            let mut all = acknowledged.lock().unwrap();
            all.push(line);
            if all.len() == 3 {
                standing.restart.store(true, Ordering::SeqCst);
            }
        });
        assert_eq!(*acknowledged.lock().unwrap(), ["web1 aa 1\n", "web1 aa 2\n", "web1 aa 3\n"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
