//! Search for BMCs: who answers at many addresses, and, with an account that was given, what the machines behind them are made of.
//! Must never use an account that was not given, try it again where it was refused, or change anything on a BMC.

mod pings;
mod sweep;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures::stream::{self, StreamExt as _};
use tokio::sync::watch;
use vocabulary::estate::{BmcAccess, BmcProtocol, IpmiAccess, IpmiPrivilege, SecretReference};
use vocabulary::power::Identity;
use vocabulary::{Fault, Secret};

use crate::driver::{Door, Inspection};
use crate::limits::{self, Patience};
pub use crate::redfish::Greeting;
use crate::registry;
pub use targets::{Targets, Unusable};

/// What to search for, and how.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where.
    pub targets: Targets,
    /// Addresses asked in a second; beyond [`limits::SEARCH_RATE_MAX`] it counts as that, and 0 as 1.
    pub rate: u32,
    /// Where Redfish is spoken.
    pub redfish_port: u16,
    /// Where IPMI is spoken.
    pub ipmi_port: u16,
    /// The account with which hardware is read; none: only what is told to everybody is found.
    pub account: Option<Account>,
    /// How long a BMC is waited for once it was found.
    pub patience: Patience,
}

/// An account that somebody gave.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// The BMC key (K_G) of those that speak IPMI, where they have one.
    pub key: Option<Secret>,
    /// The privilege level that IPMI is asked for; looking needs no more than the lowest.
    pub privilege: IpmiPrivilege,
}

/// A BMC that was found.
#[derive(Clone, Debug)]
pub struct Bmc {
    /// Where it was spoken to.
    pub address: IpAddr,
    /// Where it answers as well.
    pub also: BTreeSet<IpAddr>,
    /// What its Redfish service tells everybody; `None`: it speaks none.
    pub redfish: Option<Greeting>,
    /// Whether it speaks IPMI.
    pub ipmi: bool,
    /// What it told to the account.
    pub inspection: Option<Inspection>,
    /// Why it told nothing to the account, where one was given.
    pub trouble: Option<Fault>,
}

/// How far a search is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Addresses to ask.
    pub addresses: usize,
    /// Addresses that were asked and have answered, or had their time.
    pub asked: usize,
    /// BMCs found.
    pub found: usize,
    /// BMCs whose hardware was read, or would not be told.
    pub read: usize,
    /// BMCs whose hardware is to be read; 0 while addresses are asked.
    pub to_read: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The BMCs, each once, by address.
    pub bmcs: Vec<Bmc>,
    /// How far it came.
    pub progress: Progress,
    /// It was told to stop before it had asked everybody.
    pub stopped: bool,
    /// Addresses that could not be asked because of this host, and the last reason.
    pub unasked: Option<(usize, String)>,
}

impl Bmc {
    /// The protocol by which it is spoken to, and where.
    fn way(&self, search: &Search) -> (BmcProtocol, SocketAddr) {
        match self.redfish {
            Some(_) => (BmcProtocol::Redfish, SocketAddr::new(self.address, search.redfish_port)),
            None => (BmcProtocol::Ipmi, SocketAddr::new(self.address, search.ipmi_port)),
        }
    }

    /// Who the machine says it is; empty where it was not asked.
    pub fn identity(&self) -> Identity {
        let nobody = || Identity { uuid: String::new(), serial: String::new() };
        self.inspection.as_ref().map_or_else(nobody, |inspection| inspection.probe.reading.identity.clone())
    }

    /// What two addresses of one BMC have in common before anybody logged in. A certificate alone may be a maker's, a UUID alone a sample's.
    fn face(&self) -> Option<(String, String)> {
        let greeting = self.redfish.as_ref().filter(|greeting| !greeting.uuid.is_empty())?;
        Some((greeting.uuid.clone(), greeting.certificate.clone()))
    }

    fn is_same(&self, other: &Bmc) -> bool {
        let (one, two) = (self.identity(), other.identity());
        if one.uuid.is_empty() || two.uuid.is_empty() {
            return self.face().is_some_and(|face| other.face() == Some(face));
        }
        one.uuid == two.uuid && (one.serial == two.serial || one.serial.is_empty() || two.serial.is_empty())
    }
}

/// Searches. `stop` turned to true (or its sender dropped) ends it within [`limits::FAREWELL`], with what was found until then.
pub async fn discover(search: &Search, progress: &watch::Sender<Progress>, stop: &watch::Receiver<bool>) -> Found {
    let swept = sweep::sweep(search, progress, stop.clone()).await;
    let mut bmcs = swept.bmcs;
    if let Some(account) = &search.account {
        progress.send_modify(|progress| progress.to_read = bmcs.len());
        let groups = by_face(bmcs);
        let read = stream::iter(groups).map(|group| inspect_group(group, search, account, progress, stop.clone()));
        bmcs = read.buffer_unordered(limits::HARDWARE_AT_ONCE).collect::<Vec<_>>().await.concat();
    }
    let bmcs = folded(bmcs);
    progress.send_modify(|progress| progress.found = bmcs.len());
    Found { bmcs, progress: *progress.borrow(), stopped: *stop.borrow(), unasked: swept.unasked }
}

/// Addresses that may be one BMC's stand together, so that a password it refuses is not tried at its other addresses.
fn by_face(bmcs: Vec<Bmc>) -> Vec<Vec<Bmc>> {
    let mut groups: BTreeMap<(String, String), Vec<Bmc>> = BTreeMap::new();
    let mut alone = Vec::new();
    for bmc in bmcs {
        match bmc.face() {
            Some(face) => groups.entry(face).or_default().push(bmc),
            None => alone.push(vec![bmc]),
        }
    }
    groups.into_values().chain(alone).collect()
}

/// Reads one after the other; after the first that did not tell, the account is not tried at the others.
async fn inspect_group(
    mut group: Vec<Bmc>,
    search: &Search,
    account: &Account,
    progress: &watch::Sender<Progress>,
    mut stop: watch::Receiver<bool>,
) -> Vec<Bmc> {
    let mut refused: Option<Fault> = None;
    for bmc in &mut group {
        if refused.is_none() && !*stop.borrow() {
            match inspect(bmc, search, account, &mut stop).await {
                Some(Ok(inspection)) => bmc.inspection = Some(inspection),
                Some(Err(fault)) => refused = Some(fault),
                None => {}
            }
        }
        bmc.trouble.clone_from(&refused);
        progress.send_modify(|progress| progress.read += 1);
    }
    group
}

/// Looks at one BMC by one protocol, so that the account is tried once; `None` if it was told to stop meanwhile.
async fn inspect(
    bmc: &Bmc,
    search: &Search,
    account: &Account,
    stop: &mut watch::Receiver<bool>,
) -> Option<Result<Inspection, Fault>> {
    let (protocol, address) = bmc.way(search);
    let ipmi = IpmiAccess { privilege: account.privilege, ..IpmiAccess::default() };
    let door = Door {
        // the account goes only to who shows the certificate that was just seen
        pin: bmc.redfish.as_ref().map(|greeting| greeting.certificate.clone()),
        patience: search.patience,
        key: account.key.clone(),
        ..Door::new(
            vocabulary::estate::Bmc {
                protocol,
                address,
                user: account.user.clone(),
                password: SecretReference(String::new()),
                agent: None,
                certificate: String::new(),
                ipmi: (protocol == BmcProtocol::Ipmi).then_some(ipmi),
                // nothing that changes anything can leave
                access: BmcAccess::Watch,
            },
            Identity { uuid: String::new(), serial: String::new() },
            account.password.clone(),
            None,
        )
    };
    let driver = match registry::look(&door) {
        Ok(driver) => driver,
        Err(fault) => return Some(Err(fault)),
    };
    let looked = tokio::select! {
        looked = driver.inspect() => Some(looked),
        () = stopped(stop) => None,
    };
    // a session that was made is ended, whatever came of it
    if tokio::time::timeout(limits::FAREWELL, driver.close()).await.is_err() {
        tracing::debug!(%address, "no farewell in time");
    }
    looked
}

/// Returns when the search is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // a sender that is gone cannot want it any more
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Each BMC once, by address.
fn folded(mut bmcs: Vec<Bmc>) -> Vec<Bmc> {
    // one that told of itself stands for those that did not, Redfish for IPMI, the lower address for the higher
    bmcs.sort_by_key(|bmc| (bmc.inspection.is_none(), bmc.redfish.is_none(), bmc.address));
    let mut kept: Vec<Bmc> = Vec::new();
    for bmc in bmcs {
        match kept.iter_mut().find(|one| one.is_same(&bmc)) {
            Some(one) => {
                one.also.insert(bmc.address);
                one.ipmi |= bmc.ipmi;
            }
            None => kept.push(bmc),
        }
    }
    kept.sort_by_key(|bmc| bmc.address);
    kept
}

#[cfg(test)]
#[path = "discover/tests.rs"]
mod tests;
