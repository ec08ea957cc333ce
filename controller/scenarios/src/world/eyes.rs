//! The users' side of a world: asks every server for its answer at its address, again and again, over the switch.
//!
//! It believes nobody: what it knows is what came over the network, and when.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::world::machine::Machine;
use simulator::fabric::Fabric;
use simulator::site::Site;
use tokio::time::{Instant, sleep, timeout};
use vocabulary::ServerId;

use crate::eyes::{Seen, Tick, understood};
use crate::limits::{ANSWER, TICK};

/// See the module. Clones see the same.
#[derive(Clone)]
pub struct Eyes(Arc<Mutex<BTreeMap<ServerId, Seen>>>);

/// The data network, and all that may answer in it.
struct View {
    fabric: Fabric,
    machines: Vec<Machine>,
}

impl Eyes {
    /// Opens them.
    pub fn open(site: &Site) -> Eyes {
        let eyes = Eyes(Arc::default());
        let machines = site.stands.values().map(|stand| stand.machine.clone()).collect();
        let view = Arc::new(View { fabric: site.fabric.clone(), machines });
        for server in site.estate.servers.keys() {
            if let Some(address) = address(site, server) {
                tokio::spawn(eyes.clone().watch(view.clone(), server.clone(), address));
            }
        }
        eyes
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, Seen>> {
        // nothing that holds it can fail in between
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(self, view: Arc<View>, server: ServerId, address: Ipv4Addr) {
        let begun = Instant::now();
        loop {
            let start = Instant::now();
            let page = timeout(ANSWER, view.fabric.page(&view.machines, address, "/")).await.ok().flatten();
            let body = page.and_then(Result::ok).filter(|page| page.status == 200).map(|page| page.body).unwrap_or_default();
            let answer = understood(server.as_str(), &String::from_utf8_lossy(&body));
            let at = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.lock().entry(server.clone()).or_default().take(Tick { server: server.to_string(), at, answer });
            sleep(TICK.saturating_sub(start.elapsed())).await;
        }
    }

    /// What is known of a server.
    pub fn seen(&self, server: &ServerId) -> Seen {
        self.lock().get(server).cloned().unwrap_or_default()
    }
}

/// Where a server answers its users.
pub fn address(site: &Site, server: &ServerId) -> Option<Ipv4Addr> {
    let production = site.estate.servers.get(server)?.networks.iter().find(|network| network.role.as_str() == "production")?;
    production.address?.to_string().split('/').next()?.parse().ok()
}
