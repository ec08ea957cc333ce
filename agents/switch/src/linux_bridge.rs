//! The driver for a VLAN-filtering bridge of a Linux kernel: the one of its host over routing netlink, or one that is given.
//!
//! A new native VLAN leaves the port an untagged member of the old one, and deleting a VLAN that is not there is no error: so a move sets
//! the new, deletes every other, and believes only what it reads back.

pub mod kernel;
pub mod netlink;
mod watch;

use crate::kept::{Kept, OpenError};
use crate::limits::{INTERFACE_NAME_BYTES_MAX, MESSAGE_TIME, NETLINK_TIMEOUT, PORTS_MAX};
use crate::vlans::{self, Carried, Change, Run};
use async_trait::async_trait;
use contract::AgentError;
use contract::switch::Switch;
use kernel::{Kernel, KernelError, Link, Talk};
use netlink::Netlink;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::network::PortReading;
use vocabulary::{PortId, PortName, PortSetting, SwitchId};
use watch::Watch;

/// What this driver needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxBridgeConfig {
    /// The bridge's interface. It must filter VLANs.
    pub bridge: String,
    /// The ports that the agent owns, by the names of their interfaces. Others, such as uplinks, are never touched.
    pub ports: BTreeSet<PortName>,
}

/// The driver of one bridge.
pub struct LinuxBridge {
    switch: SwitchId,
    bridge: String,
    ports: BTreeMap<PortName, Port>,
    kernel: Arc<dyn Kernel>,
    watch: Watch,
}

/// One port.
#[derive(Default)]
struct Port {
    /// One change at a time; ports do not wait for each other.
    turn: tokio::sync::Mutex<()>,
    /// What it was last asked to carry.
    wanted: Mutex<Option<PortSetting>>,
}

impl Port {
    fn wanted(&self) -> MutexGuard<'_, Option<PortSetting>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port as it was just seen.
struct Seen {
    link: Link,
    carried: Carried,
}

/// A change of VLANs as it goes to the kernel.
struct Messages {
    set: Vec<Vec<Run>>,
    delete: Vec<Vec<Run>>,
}

impl Messages {
    fn of(change: &Change) -> Messages {
        Messages { set: vlans::parts(&change.set), delete: vlans::parts(&change.delete) }
    }

    /// How many there are beyond one to set and one to delete.
    fn beyond_usual(&self) -> u32 {
        let beyond = self.set.len().saturating_sub(1) + self.delete.len().saturating_sub(1);
        u32::try_from(beyond).unwrap_or(u32::MAX)
    }
}

fn contradiction(config: &LinuxBridgeConfig) -> Option<String> {
    let fits = |name: &str| (1..=INTERFACE_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(['/', ' ']);
    if !fits(&config.bridge) {
        return Some(format!("`{}` is not the name of an interface", config.bridge.escape_debug()));
    }
    if config.ports.is_empty() || config.ports.len() > PORTS_MAX {
        return Some(format!("it needs 1 to {PORTS_MAX} ports, not {}", config.ports.len()));
    }
    let odd = config.ports.iter().find(|port| !fits(port.as_str()) || port.as_str() == config.bridge);
    odd.map(|port| format!("`{port}` cannot be a port's interface"))
}

/// A failure before anything was changed.
fn unread(error: KernelError) -> AgentError {
    match error {
        KernelError::Unfit(reason) => AgentError::Rejected { reason },
        other => AgentError::Unreachable { reason: other.to_string() },
    }
}

/// A failure after something may have been changed.
fn unconfirmed(error: KernelError) -> AgentError {
    AgentError::Unconfirmed { reason: error.to_string() }
}

/// The limit counts from `begun`.
async fn within<T>(begun: Instant, limit: Duration, what: impl Future<Output = Result<T, AgentError>>) -> Result<T, AgentError> {
    let late = || AgentError::Unconfirmed { reason: format!("the kernel did not answer within {} s", limit.as_secs()) };
    tokio::time::timeout_at(begun + limit, what).await.unwrap_or_else(|_| Err(late()))
}

async fn in_time<T>(what: impl Future<Output = Result<T, AgentError>>) -> Result<T, AgentError> {
    within(Instant::now(), NETLINK_TIMEOUT, what).await
}

impl LinuxBridge {
    /// Opens the driver of this host's bridge and begins to listen; needs a running tokio runtime.
    pub fn open(switch: SwitchId, config: LinuxBridgeConfig) -> Result<LinuxBridge, OpenError> {
        LinuxBridge::open_on(switch, config, Arc::new(Netlink))
    }

    /// The same of a given kernel's bridge.
    pub fn open_on(switch: SwitchId, config: LinuxBridgeConfig, kernel: Arc<dyn Kernel>) -> Result<LinuxBridge, OpenError> {
        if let Some(reason) = contradiction(&config) {
            return Err(OpenError { switch, reason });
        }
        let watch = Watch::start(kernel.clone(), config.ports.clone());
        let ports = config.ports.into_iter().map(|port| (port, Port::default())).collect();
        Ok(LinuxBridge { switch, bridge: config.bridge, ports, kernel, watch })
    }

    fn port(&self, port: &PortName) -> Result<&Port, AgentError> {
        self.ports.get(port).ok_or_else(|| AgentError::Rejected {
            reason: format!(
                "switch `{}` has no port `{port}` that this agent owns: add it to the agent's configuration",
                self.switch
            ),
        })
    }

    /// The port now. `Unfit` if it is no port of a bridge that filters.
    async fn see(&self, talk: &dyn Talk, port: &PortName) -> Result<Seen, KernelError> {
        let bridge = talk.bridge(&self.bridge).await?;
        let link = talk.link(port.as_str()).await?;
        if link.controller != Some(bridge) {
            return Err(KernelError::Unfit(format!(
                "the interface {port} is not a port of the bridge {}: attach it",
                self.bridge
            )));
        }
        let carried = talk.vlans(link.index).await?;
        Ok(Seen { link, carried })
    }

    async fn reading(&self, talk: &dyn Talk, port: &PortName, mtu: bool) -> Result<PortReading, KernelError> {
        let seen = self.see(talk, port).await?;
        let (mut setting, leaks) = seen.carried.setting();
        // an MTU that nobody asked for is not part of the setting
        setting.mtu = seen.link.mtu.filter(|_| mtu).and_then(|mtu| u16::try_from(mtu).ok());
        Ok(PortReading {
            port: PortId { switch: self.switch.clone(), port: port.clone() },
            setting,
            leaks,
            admin_up: seen.link.up,
            link_up: seen.link.carrier,
            learnt: talk.learnt(seen.link.index).await?,
            frames_in: seen.link.frames_in,
            // the kernel forgets everything; whoever keeps the setting says so
            saved: false,
            read_at: self.kernel.now(),
        })
    }

    /// Makes the port carry exactly the setting, and its link up or down; reads back. All in its time, which a change of many VLANs lengthens.
    async fn apply(&self, port: &PortName, setting: &PortSetting, up: bool) -> Result<PortReading, AgentError> {
        let begun = Instant::now();
        let seen = async {
            let talk = self.kernel.talk().await.map_err(unread)?;
            let seen = self.see(&*talk, port).await.map_err(unread)?;
            Ok((talk, seen))
        };
        let (talk, seen) = within(begun, NETLINK_TIMEOUT, seen).await?;
        let messages = Messages::of(&seen.carried.change_to(setting));
        let limit = NETLINK_TIMEOUT + MESSAGE_TIME.saturating_mul(messages.beyond_usual());
        within(begun, limit, self.change(&*talk, (port, setting, up), &seen.link, &messages)).await
    }

    async fn change(
        &self,
        talk: &dyn Talk,
        (port, setting, up): (&PortName, &PortSetting, bool),
        link: &Link,
        messages: &Messages,
    ) -> Result<PortReading, AgentError> {
        let index = link.index;
        if let Some(mtu) = setting.mtu.map(u32::from)
            && link.mtu != Some(mtu)
        {
            let refused = |error| AgentError::Rejected { reason: format!("port {port} does not take an MTU of {mtu}: {error}") };
            talk.set_mtu(index, mtu).await.map_err(refused)?;
        }
        if !up {
            talk.put(index, false).await.map_err(unconfirmed)?;
        }
        for runs in &messages.set {
            talk.set_vlans(index, runs).await.map_err(unconfirmed)?;
        }
        for runs in &messages.delete {
            talk.delete_vlans(index, runs).await.map_err(unconfirmed)?;
        }
        if up && !link.up {
            talk.put(index, true).await.map_err(unconfirmed)?;
        }
        talk.flush(index).await.map_err(unconfirmed)?;
        let reading = self.reading(talk, port, setting.mtu.is_some()).await.map_err(unconfirmed)?;
        if reading.setting != *setting || reading.leaks || reading.admin_up != up {
            let seen = format!("{:?}, leaks: {}, up: {}", reading.setting, reading.leaks, reading.admin_up);
            return Err(AgentError::Unconfirmed { reason: format!("port {port} reads back as {seen}, not as {setting:?}") });
        }
        Ok(reading)
    }
}

#[async_trait]
impl Switch for LinuxBridge {
    async fn read(&self, port: &PortName) -> Result<PortReading, AgentError> {
        let mtu = self.port(port)?.wanted().as_ref().is_some_and(|wanted| wanted.mtu.is_some());
        in_time(async {
            let talk = self.kernel.talk().await.map_err(unread)?;
            self.reading(&*talk, port, mtu).await.map_err(unread)
        })
        .await
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
            let seen = async { self.see(&*self.kernel.talk().await.map_err(unread)?, &name).await.map_err(unread) };
            let same = match in_time(seen).await {
                Ok(seen) => wanted.map_or(seen.carried.is_empty(), |wanted| seen.carried.is_exactly(&wanted)),
                Err(_) => false,
            };
            if !same {
                return PortId { switch: self.switch.clone(), port: name };
            }
        }
    }
}

#[async_trait]
impl Kept for LinuxBridge {
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
}
