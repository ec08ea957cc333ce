//! Asks every address once, at a steady rate: a presence ping, and a service root where somebody takes a connection. No account is needed.
//! Must never let one address delay another beyond the rate, nor ask more of a box that is no BMC than a greeting.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::pings::{Pings, is_absence};
use super::{Bmc, Greeting, Progress, Search, stopped};
use crate::limits::{self, Patience};
use crate::redfish;

/// What a sweep found.
pub struct Swept {
    /// Who answered, in no order.
    pub bmcs: Vec<Bmc>,
    /// Addresses that could not be asked because of this host, and the last reason.
    pub unasked: Option<(usize, String)>,
}

/// Who answered at one address.
struct Answered {
    address: IpAddr,
    redfish: io::Result<Option<Greeting>>,
    ipmi: io::Result<bool>,
}

/// Asks everybody, or as many as it comes to before it is told to stop.
pub async fn sweep(search: &Search, progress: &watch::Sender<Progress>, mut stop: watch::Receiver<bool>) -> Swept {
    progress.send_modify(|progress| progress.addresses = search.targets.len());
    let pings = Pings::default();
    let mut swept = Swept { bmcs: Vec::new(), unasked: None };
    let mut left = search.targets.iter().fuse();
    let mut next = left.next();
    let mut under_way = FuturesUnordered::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / search.rate.clamp(1, limits::SEARCH_RATE_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while next.is_some() || !under_way.is_empty() {
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = pings.hear() => {}
            Some(answered) = under_way.next(), if !under_way.is_empty() => take(&mut swept, progress, answered),
            _ = ticks.tick(), if next.is_some() && under_way.len() < limits::SEARCH_AT_ONCE_MAX => {
                under_way.extend(next.take().map(|address| ask(address, search, &pings)));
                next = left.next();
            }
        }
    }
    swept
}

fn take(swept: &mut Swept, progress: &watch::Sender<Progress>, answered: Answered) {
    let Answered { address, redfish, ipmi } = answered;
    if let Some(error) = redfish.as_ref().err().or(ipmi.as_ref().err()) {
        let count = swept.unasked.take().map_or(0, |(count, _)| count);
        swept.unasked = Some((count + 1, error.to_string()));
    }
    let (redfish, ipmi) = (redfish.ok().flatten(), ipmi.unwrap_or(false));
    if redfish.is_some() || ipmi {
        tracing::debug!(%address, redfish = redfish.is_some(), ipmi, "a BMC");
        swept.bmcs.push(Bmc { address, also: BTreeSet::new(), redfish, ipmi, inspection: None, trouble: None });
    }
    progress.send_modify(|progress| (progress.asked, progress.found) = (progress.asked + 1, swept.bmcs.len()));
}

async fn ask(address: IpAddr, search: &Search, pings: &Pings) -> Answered {
    let greeted = greet(SocketAddr::new(address, search.redfish_port));
    let (redfish, ipmi) = futures::join!(greeted, pings.ask(SocketAddr::new(address, search.ipmi_port)));
    Answered { address, redfish, ipmi }
}

/// Knocks first: an address where nobody is costs no more than that.
async fn greet(address: SocketAddr) -> io::Result<Option<Greeting>> {
    match tokio::time::timeout(limits::KNOCK, TcpStream::connect(address)).await {
        Err(_) => return Ok(None),
        Ok(Err(error)) if is_absence(&error) => return Ok(None),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(connection)) => drop(connection),
    }
    let patience = Patience { connect: limits::GREETING, request: limits::GREETING, ..Patience::default() };
    match tokio::time::timeout(limits::GREETING, redfish::greet(address, patience)).await {
        Ok(greeting) => greeting.map_err(|trouble| io::Error::other(trouble.to_string())),
        Err(_) => Ok(None),
    }
}
