//! What a controller sees of the production network by itself: services that answer at their addresses, and the canary. From the gateway, as
//! a client would. Must never answer out of what a machine is, only out of what reaches it and comes back.

use crate::fabric::Fabric;
use crate::life::Life;
use async_trait::async_trait;
use contract::check::Vantage;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vocabulary::check::{Check, CheckOutcome, HttpCheck, TcpCheck};
use world::machine::{ConnectionRefused, Machine, Page};

/// See the module. Clones see the same.
#[derive(Clone)]
pub struct Eyes {
    fabric: Fabric,
    machines: Arc<Vec<Machine>>,
    uplink: Arc<AtomicBool>,
    /// To these nothing comes from here.
    hidden: Arc<Mutex<BTreeSet<IpAddr>>>,
    life: Life,
}

impl Eyes {
    /// Of these machines, for the process of this life.
    pub fn new(fabric: Fabric, machines: Arc<Vec<Machine>>, life: Life) -> Eyes {
        Eyes { fabric, machines, uplink: Arc::new(AtomicBool::new(true)), hidden: Arc::default(), life }
    }

    /// Whether whoever looks is connected at all.
    pub fn set_uplink(&self, up: bool) {
        self.uplink.store(up, Ordering::Relaxed);
    }

    /// Whether what is sent from here to this address arrives.
    pub fn see(&self, address: IpAddr, arrives: bool) {
        // nothing that holds it can fail in between
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if arrives {
            hidden.remove(&address);
        } else {
            hidden.insert(address);
        }
    }

    fn hides(&self, address: IpAddr) -> bool {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// True if the gateway answers.
    pub async fn canary(&self) -> bool {
        self.life.passes().await;
        self.uplink.load(Ordering::Relaxed)
    }

    fn hears_dump(&self, host: std::net::Ipv4Addr) -> bool {
        self.uplink.load(Ordering::Relaxed) && self.fabric.dumps(host)
    }

    /// The page that is there; `None` is silence.
    async fn page(&self, address: SocketAddr, path: &str) -> Option<Result<Page, ConnectionRefused>> {
        let IpAddr::V4(to) = address.ip() else { return None };
        if !self.uplink.load(Ordering::Relaxed) || self.hides(address.ip()) {
            return None;
        }
        self.fabric.page(&self.machines, to, path).await
    }
}

/// Where a page is: `http://ADDRESS:PORT/PATH`.
fn place(url: &str) -> Option<(SocketAddr, String)> {
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    Some((address.parse().ok()?, format!("/{path}")))
}

#[async_trait]
impl Vantage for Eyes {
    async fn run(&self, check: &Check) -> CheckOutcome {
        self.life.passes().await;
        // the halls have no others; for the first a connection is enough
        let asked = match check {
            Check::Tcp(TcpCheck { address, deadline }) => Some(((*address, "/".to_owned()), None, deadline)),
            Check::Http(HttpCheck { url, status, deadline, .. }) => place(url).map(|place| (place, Some(*status), deadline)),
            _ => None,
        };
        let Some(((address, path), wanted, deadline)) = asked else {
            return CheckOutcome::Unknown("only connections and pages are tried here".to_owned());
        };
        let outcome = match self.page(address, &path).await {
            Some(Ok(page)) if wanted.is_none_or(|wanted| wanted == page.status) => CheckOutcome::Healthy,
            Some(Ok(page)) => CheckOutcome::Wrong(format!("{address} answers {}", page.status)),
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
