//! What a controller sees of the production network by itself: services that answer at their addresses, and the canary. From the gateway, as
//! a client would. Must never answer out of what a machine is, only out of what reaches it and comes back.

use crate::fabric::Fabric;
use crate::life::Life;
use async_trait::async_trait;
use contract::check::Vantage;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vocabulary::check::{Check, CheckOutcome, TcpCheck};
use world::machine::{ConnectionRefused, Machine};

/// See the module. Clones see the same.
#[derive(Clone)]
pub struct Eyes {
    fabric: Fabric,
    machines: Arc<Vec<Machine>>,
    uplink: Arc<AtomicBool>,
    life: Life,
}

impl Eyes {
    /// Of these machines, for the process of this life.
    pub fn new(fabric: Fabric, machines: Arc<Vec<Machine>>, life: Life) -> Eyes {
        Eyes { fabric, machines, uplink: Arc::new(AtomicBool::new(true)), life }
    }

    /// Whether whoever looks is connected at all.
    pub fn set_uplink(&self, up: bool) {
        self.uplink.store(up, Ordering::Relaxed);
    }

    /// True if the gateway answers.
    pub async fn canary(&self) -> bool {
        self.life.passes().await;
        self.uplink.load(Ordering::Relaxed)
    }

    fn hears_dump(&self, host: std::net::Ipv4Addr) -> bool {
        self.uplink.load(Ordering::Relaxed) && self.fabric.dumps(host)
    }

    /// Whether a connection opens; `None` is silence.
    async fn connects(&self, address: SocketAddr) -> Option<Result<(), ConnectionRefused>> {
        let IpAddr::V4(to) = address.ip() else { return None };
        if !self.uplink.load(Ordering::Relaxed) {
            return None;
        }
        let page = self.fabric.page(&self.machines, to, "/healthz").await;
        page.map(|page| page.map(drop))
    }
}

#[async_trait]
impl Vantage for Eyes {
    async fn run(&self, check: &Check) -> CheckOutcome {
        self.life.passes().await;
        // the halls have no other
        let Check::Tcp(TcpCheck { address, deadline }) = check else {
            return CheckOutcome::Unknown("only connections are tried here".to_owned());
        };
        let outcome = match self.connects(*address).await {
            // a connection is all that it asks for
            Some(Ok(())) => CheckOutcome::Healthy,
            Some(Err(ConnectionRefused)) => CheckOutcome::Wrong(format!("{address} refused the connection")),
            None => {
                tokio::time::sleep(deadline.as_duration()).await;
                match address.ip() {
                    IpAddr::V4(host) if self.hears_dump(host) => CheckOutcome::Dumping("its kernel has crashed".to_owned()),
                    _ => CheckOutcome::Silent("no answer".to_owned()),
                }
            }
        };
        self.life.passes().await;
        outcome
    }
}
