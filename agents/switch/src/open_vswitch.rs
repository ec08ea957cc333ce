//! The driver for a bridge of Open vSwitch on this host.
//!
//! Three sockets, since no one of them knows all. The database (OVSDB) holds the VLANs: every change is one transaction, on the disk before it is
//! answered. That a transaction was answered proves nothing about frames: the daemon says when it has taken it up (`cur_cfg`), on its control
//! socket when the flows it has cached follow it, and which addresses it has learnt; the bridge's OpenFlow socket says, and decides, whether a
//! port is up. So no reading can be had while the daemon is dead, whatever the database holds.
//!
//! A port is shut by both: it is put down, which ends with the daemon's life, and it carries nothing, which does not.

mod columns;
mod connection;
mod control;
mod database;
mod equipment;
mod frames;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod openflow;
mod rows;
mod trouble;
mod watch;

use crate::kept::{Kept, OpenError};
use crate::limits::{
    OVS_CHANGE_TIMEOUT, OVS_CONVERSATIONS_MAX, OVS_MTU_TIMEOUT, OVS_PATH_BYTES_MAX, OVS_READ_TIMEOUT, OVS_TRIES,
    OVS_WATCH_PERIOD, PORTS_MAX,
};
use async_trait::async_trait;
use columns::Columns;
use connection::Address;
use contract::AgentError;
use contract::switch::Switch;
use database::Database;
use equipment::Equipment;
use rows::{Found, Interface, Target};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use trouble::{Trouble, silent};
use vocabulary::network::PortReading;
use vocabulary::{PortId, PortName, PortSetting, SwitchId, WallTime};
use watch::Watch;

/// What this driver needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OpenVswitchConfig {
    /// The bridge. It must forward by VLAN and address alone: no OpenFlow controller, and no rule but `NORMAL`.
    pub bridge: String,
    /// The ports that the agent owns, by their names in the database. Others, such as uplinks, are never touched.
    pub ports: BTreeSet<PortName>,
    /// The folder of ovs-vswitchd's process number and sockets.
    #[serde(default = "usual_folder")]
    pub run_dir: PathBuf,
    /// The database's socket, `unix:PATH` or `tcp:ADDRESS:PORT`; `db.sock` of that folder if it is not named.
    #[serde(default)]
    pub database: Option<String>,
    /// The switch's own identity, `external_ids:system-id`: the database of another one is not believed.
    #[serde(default)]
    pub system_id: Option<String>,
}

fn usual_folder() -> PathBuf {
    PathBuf::from("/var/run/openvswitch")
}

/// The driver of one bridge.
pub struct OpenVswitch {
    switch: SwitchId,
    target: Target,
    run_dir: PathBuf,
    database: Address,
    ports: BTreeMap<PortName, Port>,
    conversations: Semaphore,
    watch: Watch,
}

/// One port.
struct Port {
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    /// What it was last asked to carry.
    wanted: Mutex<Option<PortSetting>>,
    /// True from a change of VLANs until cached flows are known to follow it; so too at first, since an agent may have ended in between.
    unsettled: AtomicBool,
}

impl Default for Port {
    fn default() -> Port {
        Port { turn: tokio::sync::Mutex::default(), wanted: Mutex::default(), unsettled: AtomicBool::new(true) }
    }
}

impl Port {
    fn wanted(&self) -> MutexGuard<'_, Option<PortSetting>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(text: &str) -> Result<Address, String> {
    match text.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') && path.len() <= OVS_PATH_BYTES_MAX => Ok(Address::Unix(path.into())),
        Some(("tcp", address)) => address.parse().map(Address::Tcp).map_err(|error| format!("`{text}`: {error}")),
        _ => Err(format!("`{}` is no socket: write unix:/PATH or tcp:ADDRESS:PORT", text.escape_debug())),
    }
}

fn contradiction(config: &OpenVswitchConfig) -> Option<String> {
    let (bridge, folder) = (&config.bridge, &config.run_dir);
    if bridge.is_empty() || bridge.len() > OVS_PATH_BYTES_MAX || bridge.contains(['/', '\0']) {
        return Some(format!("`{}` is not the name of a bridge", bridge.escape_debug()));
    }
    if !folder.is_absolute() || folder.as_os_str().len() > OVS_PATH_BYTES_MAX {
        return Some(format!("`{}` is not an absolute path, or too long for one of a socket", folder.display()));
    }
    if config.ports.is_empty() || config.ports.len() > PORTS_MAX {
        return Some(format!("it needs 1 to {PORTS_MAX} ports, not {}", config.ports.len()));
    }
    let own = config.ports.iter().find(|port| port.as_str() == bridge);
    own.map(|port| format!("`{port}` is the bridge itself"))
}

/// A port as it was read, both from the database and from the switch.
struct Read {
    found: Found,
    interfaces: Vec<Interface>,
    seen: equipment::Seen,
}

impl OpenVswitch {
    /// Opens the driver and begins to listen; needs a running tokio runtime.
    pub fn open(switch: SwitchId, config: OpenVswitchConfig) -> Result<OpenVswitch, OpenError> {
        if let Some(reason) = contradiction(&config) {
            return Err(OpenError { switch, reason });
        }
        let named = config.database.unwrap_or_else(|| format!("unix:{}", config.run_dir.join("db.sock").display()));
        let database = match address(&named) {
            Ok(database) => database,
            Err(reason) => return Err(OpenError { switch, reason }),
        };
        let watch = Watch::start(database.clone(), config.ports.clone());
        let ports = config.ports.into_iter().map(|port| (port, Port::default())).collect();
        let target = Target { bridge: config.bridge, system_id: config.system_id };
        let conversations = Semaphore::new(OVS_CONVERSATIONS_MAX);
        Ok(OpenVswitch { switch, target, run_dir: config.run_dir, database, ports, conversations, watch })
    }

    fn port(&self, port: &PortName) -> Result<&Port, AgentError> {
        self.ports.get(port).ok_or_else(|| AgentError::Rejected {
            reason: format!(
                "switch `{}` has no port `{port}` that this agent owns: add it to the agent's configuration",
                self.switch
            ),
        })
    }

    async fn database(&self) -> Result<Database<'_>, Trouble> {
        Database::open(&self.database, &self.target).await
    }

    async fn equipment(&self) -> Result<Equipment<'_>, Trouble> {
        Equipment::open(&self.run_dir, &self.target.bridge).await
    }

    /// Waits for a turn among the conversations; whoever drops it ends it.
    async fn conversation(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Trouble> {
        self.conversations.acquire().await.map_err(|_| silent("this agent", "it ends"))
    }

    /// The port as it is in force: what the database held when it was asked, once the daemon has taken it up, if it still holds that then.
    async fn see(&self, port: &PortName, database: &mut Database<'_>, equipment: &mut Equipment<'_>) -> Result<Read, Trouble> {
        let name = port.as_str();
        let before = database.look_and_count(name).await?;
        if before.progress.current >= before.progress.next {
            return Err(silent("ovsdb-server", "it says that what it was told just now is in force already"));
        }
        let (found, interfaces) = database.applied(name, &before, before.progress.next).await?;
        if found.port != before.port || found.bridge != before.bridge {
            return Err(Trouble::Raced);
        }
        found.bridge.must_forward_by_vlan()?;
        equipment.must_be_of(&found)?;
        let seen = equipment.see(&interfaces).await?;
        Ok(Read { found, interfaces, seen })
    }

    fn reading(&self, port: &PortName, mtu: bool, read: Read, asked_at: SystemTime) -> PortReading {
        let (mut setting, leaks) = read.found.setting();
        // an MTU that nobody asked for is no part of the setting; of a bond the members' one, if they have one
        let told: BTreeSet<Option<i64>> = read.interfaces.iter().map(|interface| interface.mtu).collect();
        let same = if told.len() == 1 { told.first().copied().flatten() } else { None };
        setting.mtu = same.filter(|_| mtu).and_then(|mtu| u16::try_from(mtu).ok());
        let mtu_saved = !mtu || read.interfaces.iter().all(|interface| interface.mtu_wanted == interface.mtu);
        let nothing = setting.native.is_none() && setting.tagged.is_empty() && !leaks;
        let since = asked_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        PortReading {
            port: PortId { switch: self.switch.clone(), port: port.clone() },
            setting,
            leaks,
            admin_up: read.seen.up,
            link_up: read.seen.link,
            learnt: read.seen.learnt,
            frames_in: read.seen.frames_in,
            // what was read was on the disk; that a port is down never is, so a port that is down is only saved if it would carry nothing
            saved: mtu_saved && (read.seen.up || nothing),
            // before it was asked for: never younger than it is
            read_at: WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    async fn read_now(&self, (port, state): (&PortName, &Port), mtu: bool) -> Result<PortReading, Trouble> {
        // whoever changes the port meanwhile waits for its turn, and what is settled then is settled
        let turn = if state.unsettled.load(Ordering::Acquire) { state.turn.try_lock().ok() } else { None };
        let _conversation = self.conversation().await?;
        let asked_at = SystemTime::now();
        // the daemon first: if it is dead, nobody need wait
        let mut equipment = self.equipment().await?;
        let mut database = self.database().await?;
        let mut last = Trouble::Raced;
        for _ in 0..OVS_TRIES {
            match self.see(port, &mut database, &mut equipment).await {
                Err(Trouble::Raced) => last = Trouble::Raced,
                other => {
                    let read = other?;
                    // a change was given up on before anybody knew that, or nobody knows of changes before this life
                    if state.unsettled.load(Ordering::Acquire) {
                        equipment.settle().await?;
                        if turn.is_some() {
                            state.unsettled.store(false, Ordering::Release);
                        }
                    }
                    return Ok(self.reading(port, mtu, read, asked_at));
                }
            }
        }
        Err(last)
    }

    /// Makes the interfaces have the MTU before anything else; one that they do not take is taken back.
    async fn fit_mtu(&self, port: &PortName, mtu: u16, database: &mut Database<'_>) -> Result<(), Trouble> {
        let before = database.look_and_count(port.as_str()).await?;
        let (found, interfaces) = database.applied(port.as_str(), &before, before.progress.next).await?;
        if interfaces.iter().all(|interface| interface.mtu == Some(i64::from(mtu))) {
            return Ok(());
        }
        database.set_mtu(&found, Some(i64::from(mtu))).await?;
        if database.has_mtu(&found, mtu, OVS_MTU_TIMEOUT).await? {
            return Ok(());
        }
        let wanted = interfaces.first().and_then(|interface| interface.mtu_wanted);
        database.set_mtu(&found, wanted).await?;
        Err(Trouble::Unfit(format!("port {port} does not take an MTU of {mtu}")))
    }

    /// One try of a change; `changed` becomes true before the first thing is.
    async fn change(
        &self,
        (port, state): (&PortName, &Port),
        (setting, up): (&PortSetting, bool),
        changed: &mut bool,
    ) -> Result<PortReading, Trouble> {
        let _turn = self.conversation().await?;
        let equipment = match self.equipment().await {
            // the database is told all the same: a daemon that comes back begins with what it says, and what is to be cut off is cut off as
            // far as VLANs go where rules decide
            Err(trouble @ (Trouble::Silent { .. } | Trouble::Unfit(_))) => Err(trouble),
            other => Ok(other?),
        };
        let mut database = self.database().await?;
        let found = database.look(port.as_str()).await?;
        if let Ok(equipment) = &equipment {
            equipment.must_be_of(&found)?;
            if let Some(mtu) = setting.mtu {
                self.fit_mtu(port, mtu, &mut database).await?;
            }
        }
        let columns = Columns::of(setting);
        if columns != found.port.columns {
            state.unsettled.store(true, Ordering::Release);
        }
        let number = match database.change(&found, &columns, setting.mtu).await {
            Err(Trouble::Raced) => return Err(Trouble::Raced),
            other => {
                *changed = true;
                other?
            }
        };
        found.bridge.must_forward_by_vlan()?;
        let mut equipment = equipment?;
        let (_, interfaces) = database.applied(port.as_str(), &found, number).await?;
        if !up {
            equipment.put(&interfaces, false).await?;
        }
        if state.unsettled.load(Ordering::Acquire) {
            equipment.settle().await?;
            state.unsettled.store(false, Ordering::Release);
        }
        // not before its VLANs are in force
        if up {
            equipment.put(&interfaces, true).await?;
        }
        equipment.flush(&interfaces).await?;
        let asked_at = SystemTime::now();
        let read = self.see(port, &mut database, &mut equipment).await?;
        Ok(self.reading(port, setting.mtu.is_some(), read, asked_at))
    }

    /// Makes the port carry exactly the setting, and puts it up or down; reads back.
    async fn apply(&self, port: &PortName, setting: &PortSetting, up: bool) -> Result<PortReading, AgentError> {
        let state = self.port(port)?;
        let mut changed = false;
        let work = async {
            let mut tries = 1;
            loop {
                match self.change((port, state), (setting, up), &mut changed).await {
                    Err(Trouble::Raced) if tries < OVS_TRIES => tries += 1,
                    other => return other,
                }
            }
        };
        let done = tokio::time::timeout(OVS_CHANGE_TIMEOUT, work).await;
        let late = || Trouble::Silent { what: "a change", reason: format!("not done within {} s", OVS_CHANGE_TIMEOUT.as_secs()) };
        let reading = match done {
            // whatever was done by then
            Err(_) => return Err(late().unconfirmed()),
            Ok(Err(trouble)) if changed => return Err(trouble.unconfirmed()),
            Ok(Err(trouble)) => return Err(trouble.unread()),
            Ok(Ok(reading)) => reading,
        };
        if reading.setting != *setting || reading.leaks || reading.admin_up != up {
            let seen = format!("{:?}, leaks: {}, up: {}", reading.setting, reading.leaks, reading.admin_up);
            return Err(AgentError::Unconfirmed { reason: format!("port {port} reads back as {seen}, not as {setting:?}") });
        }
        Ok(reading)
    }
}

#[async_trait]
impl Switch for OpenVswitch {
    async fn read(&self, port: &PortName) -> Result<PortReading, AgentError> {
        let state = self.port(port)?;
        let mtu = state.wanted().as_ref().is_some_and(|wanted| wanted.mtu.is_some());
        let late = || silent("a reading", format!("not done within {} s", OVS_READ_TIMEOUT.as_secs()));
        let read = tokio::time::timeout(OVS_READ_TIMEOUT, self.read_now((port, state), mtu)).await;
        read.unwrap_or_else(|_| Err(late())).map_err(Trouble::unread)
    }

    async fn set(&self, port: &PortName, setting: &PortSetting) -> Result<PortReading, AgentError> {
        let state = self.port(port)?;
        if setting.native.is_some_and(|native| setting.tagged.contains(&native)) {
            return Err(AgentError::Rejected { reason: format!("port {port}: its native VLAN cannot be tagged as well") });
        }
        let _turn = state.turn.lock().await;
        let before = state.wanted().replace(setting.clone());
        let done = self.apply(port, setting, true).await;
        if matches!(done, Err(AgentError::Rejected { .. })) {
            *state.wanted() = before;
        }
        done
    }

    async fn changed(&self) -> PortId {
        loop {
            let name = self.watch.next().await;
            let Some(port) = self.ports.get(&name) else { continue };
            let _turn = port.turn.lock().await;
            let wanted = port.wanted().clone();
            // a note tells of the database, so the database is enough to see whether it was an echo of our own
            let look = async { self.database().await?.look(name.as_str()).await };
            let same = match tokio::time::timeout(OVS_READ_TIMEOUT, look).await {
                Ok(Ok(found)) => {
                    let nothing = PortSetting { native: None, tagged: BTreeSet::new(), mtu: None };
                    found.bridge.unfit.is_none()
                        && !found.setting().1
                        && found.port.columns.is_exactly(&wanted.unwrap_or(nothing))
                }
                Ok(Err(_)) | Err(_) => false,
            };
            if !same {
                return PortId { switch: self.switch.clone(), port: name };
            }
        }
    }
}

#[async_trait]
impl Kept for OpenVswitch {
    fn ports(&self) -> Vec<PortName> {
        self.ports.keys().cloned().collect()
    }

    async fn shut(&self, port: &PortName) -> Result<PortReading, AgentError> {
        let nothing = PortSetting { native: None, tagged: BTreeSet::new(), mtu: None };
        let state = self.port(port)?;
        let _turn = state.turn.lock().await;
        *state.wanted() = Some(nothing.clone());
        self.apply(port, &nothing, false).await
    }

    /// The daemon does, and it begins with what the database holds.
    fn restarts_alone(&self) -> bool {
        true
    }

    fn watch_period(&self) -> Duration {
        OVS_WATCH_PERIOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_named_in_two_ways() {
        assert_eq!(address("unix:/run/db.sock"), Ok(Address::Unix("/run/db.sock".into())));
        assert_eq!(address("tcp:127.0.0.1:6640"), Ok(Address::Tcp(([127, 0, 0, 1], 6640).into())));
        for bad in ["", "/run/db.sock", "unix:db.sock", "tcp:localhost:6640", "tcp:127.0.0.1", "ssl:127.0.0.1:6640"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(address(&format!("unix:/{}", "a".repeat(OVS_PATH_BYTES_MAX))).is_err());
    }
}
