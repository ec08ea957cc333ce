//! What lies between driver and BMC: it counts, loses, holds back, and leads elsewhere. Must never look into a packet.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the proxy does to the next packets.
#[derive(Default)]
pub struct Orders {
    pub to: Option<SocketAddr>,
    pub cut: bool,
    /// Lose the reply after which this counter has risen.
    pub lose_after: Option<(u64, Box<dyn Fn() -> u64 + Send>)>,
    /// Hold the next reply back until another one comes, and deliver it before that one.
    pub hold: bool,
    held: Option<Vec<u8>>,
    /// Packets that came from the driver.
    pub asked: u64,
    /// Replies that were held back and delivered late.
    pub late: u64,
}

pub struct Proxy {
    pub address: SocketAddr,
    pub orders: Arc<Mutex<Orders>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> Proxy {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = front.local_addr().unwrap();
        let orders = Arc::new(Mutex::new(Orders { to: Some(to), ..Orders::default() }));
        let task = tokio::spawn(carry(front, back, Arc::clone(&orders)));
        Proxy { address, orders, task }
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> T {
        change(&mut self.orders.lock().unwrap())
    }
}

async fn carry(front: UdpSocket, back: UdpSocket, orders: Arc<Mutex<Orders>>) {
    let (mut asked, mut replied) = ([0; 2048], [0; 2048]);
    let mut client = None;
    loop {
        tokio::select! {
            came = front.recv_from(&mut asked) => {
                let (length, from) = came.unwrap();
                client = Some(from);
                let to = {
                    let mut orders = orders.lock().unwrap();
                    orders.asked += 1;
                    orders.to.filter(|_| !orders.cut)
                };
                if let Some(to) = to {
                    back.send_to(&asked[..length], to).await.unwrap();
                }
            }
            came = back.recv_from(&mut replied) => {
                // a dead peer's port is an error here, and nothing to anybody
                let Ok((length, _)) = came else { continue };
                let packets = orders.lock().unwrap().pass(replied[..length].to_vec());
                for packet in packets {
                    front.send_to(&packet, client.unwrap()).await.unwrap();
                }
            }
        }
    }
}

impl Orders {
    fn pass(&mut self, packet: Vec<u8>) -> Vec<Vec<u8>> {
        if self.cut {
            return Vec::new();
        }
        if self.lose_after.as_ref().is_some_and(|(before, count)| count() > *before) {
            self.lose_after = None;
            return Vec::new();
        }
        if std::mem::take(&mut self.hold) {
            self.held = Some(packet);
            return Vec::new();
        }
        self.late += u64::from(self.held.is_some());
        self.held.take().into_iter().chain([packet]).collect()
    }
}
