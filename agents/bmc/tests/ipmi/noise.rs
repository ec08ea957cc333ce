//! BMCs that talk garbage as fast as they can, beside honest ones on the same sockets.
//! Must never ask how loud it was: only the honest ones' answers count.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sim::{Sim, UUID, door};

/// How long it goes on.
const WHILE: Duration = Duration::from_secs(4);
/// So many loud ones.
const LOUD: usize = 3;

/// A socket that sends noise without a pause to whoever has asked it anything.
struct Loud {
    address: std::net::SocketAddr,
    sent: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loud {
    fn start() -> Loud {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (sent, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ends) = (Arc::clone(&sent), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 64];
            let mut to = None;
            while !ends.load(Ordering::Relaxed) {
                match to {
                    None => to = socket.recv_from(&mut packet).ok().map(|(_, from)| from),
                    Some(to) => {
                        packet.fill(0xa5);
                        counted.fetch_add(u64::from(socket.send_to(&packet, to).is_ok()), Ordering::Relaxed);
                    }
                }
            }
        });
        Loud { address, sent, end, thread: Some(thread) }
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[tokio::test]
async fn bmcs_that_talk_garbage_without_end_delay_no_other() {
    let sim = Sim::start(UUID);
    let honest = bmc::open(&door(sim.address)).unwrap();
    honest.read().await.unwrap();
    let loud: Vec<Loud> = (0..LOUD).map(|_| Loud::start()).collect();
    let met = loud.iter().map(|loud| {
        let driver = bmc::open(&door(loud.address)).unwrap();
        async move { driver.read().await }
    });
    let met = tokio::spawn(futures::future::join_all(met.collect::<Vec<_>>()));
    let (begun, mut slowest, mut polls) = (Instant::now(), Duration::ZERO, 0);
    while begun.elapsed() < WHILE {
        let asked = Instant::now();
        honest.read().await.unwrap();
        slowest = slowest.max(asked.elapsed());
        polls += 1;
    }
    let sent: u64 = loud.iter().map(|loud| loud.sent.load(Ordering::Relaxed)).sum();
    eprintln!("{polls} polls, the slowest took {slowest:?}; {sent} packets of noise");
    assert!(sent > 100_000, "{sent} packets of noise are none");
    assert!(slowest < Duration::from_secs(1), "{polls} polls, the slowest took {slowest:?}");
    for outcome in met.await.unwrap() {
        assert!(outcome.is_err(), "{outcome:?}");
    }
}
