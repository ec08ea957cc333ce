//! Power distribution units before a simulator's machines: each outlet has the cord of one power supply, and a machine whose cords are all
//! dead loses its mains, its BMC with it. Must never start a machine: that is its BMC's business when the mains return.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use world::outlet::mib::Mib;
use world::outlet::{Load, Mains, Unit};

use crate::error::Error;
use crate::pdu::{Access, PduServer, User};
use crate::station::Station;

/// What a machine that is on takes from all its cords together, watts.
const RUNNING_W: u32 = 240;
/// The same of one that is off: its BMC runs.
const STANDBY_W: u32 = 12;

/// A unit that speaks SNMPv3.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PduConfig {
    /// Name in logs.
    pub name: String,
    /// Address (UDP) at which it speaks SNMP.
    pub listen: SocketAddr,
    /// Serial number as it tells it.
    pub serial: String,
    /// Account name.
    pub user: String,
    /// File with the account's password for authentication and for privacy (one line, 8 bytes at least).
    pub password_file: PathBuf,
    /// Which machine hangs at each outlet. One that stands here twice has two power supplies.
    pub outlets: BTreeMap<u16, String>,
}

/// The power supplies of one machine.
struct Supplies {
    station: Arc<Station>,
    mains: Mutex<Mains>,
    following: AtomicBool,
}

/// The cord of each of them tells the machine.
#[derive(Clone)]
struct Cords(Arc<Supplies>);

impl Supplies {
    fn mains(&self) -> MutexGuard<'_, Mains> {
        // every change is complete before the lock is given back
        self.mains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the machine to what its mains are, one change after the other. Whoever comes while somebody is at it need not wait.
    async fn follow(&self) {
        if self.following.swap(true, Ordering::Relaxed) {
            return;
        }
        loop {
            let (there, known) = (self.mains().are_there(), self.station.state().supply);
            let done = match (there, known) {
                (true, false) => self.station.power_return().await,
                (false, true) => self.station.power_loss().await,
                (true, true) | (false, false) => break,
            };
            if let Err(error) = done {
                tracing::error!(machine = self.station.config.name, %error, "its mains and it do not agree");
                break;
            }
        }
        self.following.store(false, Ordering::Relaxed);
    }
}

impl Load for Cords {
    fn fed(&self, supply: usize, live: bool) {
        self.0.mains().cord(supply, live);
        let supplies = self.0.clone();
        tokio::spawn(async move { supplies.follow().await });
    }

    fn watts(&self, supply: usize) -> u32 {
        let all = if self.0.station.state().run.is_some() { RUNNING_W } else { STANDBY_W };
        let mains = self.0.mains();
        let bearing = u32::try_from(mains.bearing()).unwrap_or(u32::MAX);
        if mains.bears(supply) { all / bearing.max(1) } else { 0 }
    }
}

/// Serves the units, with these machines behind them.
pub async fn serve(pdus: &[PduConfig], machines: &BTreeMap<String, Arc<Station>>) -> Result<Vec<PduServer>, Error> {
    let wrong = |pdu: &PduConfig, reason: String| Error::Config(format!("power distribution unit {}: {reason}", pdu.name));
    let mut cords: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in pdus.iter().flat_map(|pdu| pdu.outlets.values()) {
        *cords.entry(machine).or_default() += 1;
    }
    let mut supplies: BTreeMap<&str, (Cords, usize)> = BTreeMap::new();
    let mut served = Vec::new();
    for pdu in pdus {
        let unit = Unit::new(&pdu.name, pdu.outlets.keys().copied()).with_serial(&pdu.serial);
        for (number, machine) in &pdu.outlets {
            let station = machines
                .get(machine)
                .ok_or_else(|| wrong(pdu, format!("outlet {number} feeds {machine}, which is no machine")))?;
            let count = cords.get(machine.as_str()).copied().unwrap_or(1);
            let fresh = || {
                let mains = Mutex::new(Mains::new(count));
                (Cords(Arc::new(Supplies { station: station.clone(), mains, following: AtomicBool::new(false) })), 0)
            };
            let (load, next) = supplies.entry(machine).or_insert_with(fresh);
            unit.plug(*number, Arc::new(load.clone()), *next);
            *next += 1;
        }
        let text = std::fs::read_to_string(&pdu.password_file);
        let password = text.map_err(|source| Error::File { action: "cannot read", path: pdu.password_file.clone(), source })?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        let user = User { name: pdu.user.clone(), authentication: password.clone(), privacy: password };
        let access = Access { community: None, user: Some(user), may_write: true };
        let server = PduServer::start_at(Mib::of(unit), &access, pdu.listen).await;
        served.push(server.map_err(|error| wrong(pdu, format!("{error:#}")))?);
    }
    Ok(served)
}
