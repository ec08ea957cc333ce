//! A switch behind the gate: owns its ports, puts back what was set after a restart, and keeps bars where they are.
//! Must never leave a barred port open to a foreign hand, and never let a port up about which nothing is known.

use crate::kept::Kept;
use async_trait::async_trait;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vocabulary::network::PortReading;
use vocabulary::request::Resource;
use vocabulary::{PortId, PortName, PortSetting, SwitchId};

/// What the gate durably holds of a port.
#[derive(Clone, PartialEq, Debug)]
enum Held {
    /// Nothing: a port that is down stays down, without VLANs, until a command comes.
    Nothing,
    /// Set by a command.
    Set(PortSetting),
    /// Barred in this setting; `None` is a bar of which the setting is not known: the port is shut.
    Barred(Option<PortSetting>),
}

impl Held {
    fn setting(&self) -> Option<&PortSetting> {
        match self {
            Held::Nothing => None,
            Held::Set(setting) => Some(setting),
            Held::Barred(setting) => setting.as_ref(),
        }
    }

    fn of(standing: &Standing) -> Held {
        let (barred, setting) = (standing.entry.barred.is_some(), standing.action.as_ref().and_then(setting));
        match &standing.action {
            // only its own quarantine is a barred port's setting
            Some(Action::BarPort { .. }) if barred => Held::Barred(setting),
            _ if barred => Held::Barred(None),
            _ => setting.map_or(Held::Nothing, Held::Set),
        }
    }
}

/// The setting that a command makes.
fn setting(action: &Action) -> Option<PortSetting> {
    match action {
        Action::BarPort { quarantine: vlan, .. } | Action::ParkPort { parking: vlan, .. } => Some(PortSetting::access(*vlan)),
        Action::JoinPort { setting, .. } => Some(setting.clone()),
        _ => None,
    }
}

struct Port {
    /// One change at a time, by a command or by the keeper.
    turn: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
    /// True until the held setting was put back after a start, or after the ledger was taken in.
    pending: Mutex<bool>,
}

impl Port {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, bool> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device of one switch.
pub struct SwitchDevice {
    switch: SwitchId,
    driver: Arc<dyn Kept>,
    ports: BTreeMap<PortName, Port>,
    /// True once the gate has handed its memory over: before, only what commands have barred is kept.
    begun: AtomicBool,
}

impl SwitchDevice {
    /// The device of this switch. Every port waits for `restore`.
    pub fn new(switch: SwitchId, driver: Arc<dyn Kept>) -> SwitchDevice {
        let port = || Port { turn: tokio::sync::Mutex::new(()), held: Mutex::new(Held::Nothing), pending: Mutex::new(true) };
        let ports = driver.ports().into_iter().map(|name| (name, port())).collect();
        SwitchDevice { switch, driver, ports, begun: AtomicBool::new(false) }
    }

    fn port(&self, id: &PortId) -> Result<&Port, AgentError> {
        let own = if id.switch == self.switch { self.ports.get(&id.port) } else { None };
        own.ok_or_else(|| AgentError::Rejected { reason: format!("switch `{}` does not own port {id}", self.switch) })
    }

    /// A reading whose `saved` says whether the gate's file holds the same: then it is put back before the port goes up again. A switch that
    /// can restart alone is up before anybody can put anything back: of that one, its own word is asked for as well.
    fn kept(&self, port: &Port, mut reading: PortReading) -> PortReading {
        let by_itself = !self.driver.restarts_alone() || reading.saved;
        reading.saved = by_itself && port.held().setting() == Some(&reading.setting);
        reading
    }

    /// Puts back what is held. A port about which nothing is known and which is down loses its VLANs and stays down; one that is up
    /// already was put up by somebody else, perhaps for a running server: it is left alone until a command comes.
    async fn put_back(&self, name: &PortName, held: &Held) -> Result<(), AgentError> {
        match (held, held.setting()) {
            (_, Some(setting)) => self.driver.set(name, setting).await.map(drop),
            (Held::Nothing, None) if self.driver.read(name).await?.admin_up => {
                tracing::warn!(switch = %self.switch, port = %name, "nothing is known of this port, and it is up: it is left as it is");
                Ok(())
            }
            (_, None) => self.driver.shut(name).await.map(drop),
        }
    }

    async fn change(&self, id: &PortId, action: &Action, setting: &PortSetting) -> Result<PortReading, AgentError> {
        let port = self.port(id)?;
        let _turn = port.turn.lock().await;
        if matches!(action, Action::BarPort { .. }) {
            // the gate holds a bar from its intent on
            *port.held() = Held::Barred(Some(setting.clone()));
        }
        let reading = self.driver.set(&id.port, setting).await?;
        if !matches!(action, Action::BarPort { .. }) {
            *port.held() = Held::Set(setting.clone());
        }
        *port.pending() = false;
        Ok(self.kept(port, reading))
    }

    /// Looks at one port: puts back what waits since the start, and mends a bar. A foreign change of any other port is the controller's
    /// affair, which sees it in its readings.
    async fn mend(&self, name: &PortName) -> Result<(), AgentError> {
        let Some(port) = self.ports.get(name) else { return Ok(()) };
        let _turn = port.turn.lock().await;
        let held = port.held().clone();
        if *port.pending() && self.begun.load(Ordering::Acquire) {
            self.put_back(name, &held).await?;
            *port.pending() = false;
            tracing::info!(switch = %self.switch, port = %name, ?held, "a port that came late is set");
            return Ok(());
        }
        let Held::Barred(setting) = &held else { return Ok(()) };
        let reading = self.driver.read(name).await?;
        let shut = reading.setting.native.is_none() && reading.setting.tagged.is_empty();
        let cut_off = shut || setting.as_ref().is_some_and(|setting| reading.setting == *setting);
        if cut_off && !reading.leaks {
            return Ok(());
        }
        tracing::warn!(switch = %self.switch, port = %name, seen = ?reading.setting, "a foreign hand at a barred port: it is barred again");
        self.put_back(name, &held).await
    }

    /// Keeps bars, for ever: on the kernel's note within milliseconds, and by the clock.
    pub async fn keep(&self) {
        let mut clock = tokio::time::interval(self.driver.watch_period());
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told: BTreeMap<PortName, String> = BTreeMap::new();
        loop {
            let names = tokio::select! {
                // The clock first: it looks at every port, so no storm of notes about one port can keep it from the others. It is due once
                // a second at most, so the notes are never kept waiting by it for long.
                biased;
                _ = clock.tick() => self.ports.keys().cloned().collect(),
                changed = self.driver.changed() => vec![changed.port],
            };
            for name in names {
                match self.mend(&name).await {
                    Ok(()) => drop(told.remove(&name)),
                    Err(error) => {
                        let error = error.to_string();
                        if told.get(&name) != Some(&error) {
                            tracing::warn!(switch = %self.switch, port = %name, error, "a port cannot be kept; it is tried again");
                            told.insert(name, error);
                        }
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Device for SwitchDevice {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Port(port) if port.switch == self.switch && self.ports.contains_key(&port.port))
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::ReadPort { port: id } => {
                let port = self.port(id)?;
                let reading = self.driver.read(&id.port).await?;
                Ok(Answer::Port(self.kept(port, reading)))
            }
            Action::BarPort { port, .. } | Action::JoinPort { port, .. } | Action::ParkPort { port, .. } => {
                let setting = setting(action).ok_or_else(|| AgentError::Rejected { reason: "no setting".into() })?;
                self.change(port, action, &setting).await.map(Answer::Port)
            }
            _ => Err(AgentError::Rejected { reason: format!("switch `{}` cannot do this kind of action", self.switch) }),
        }
    }

    /// Bars first, then what was set, then ports of which nothing is known. What fails is tried again by `keep`.
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        for one in standing {
            if let Resource::Port(id) = &one.entry.resource
                && let Ok(port) = self.port(id)
            {
                // whoever is at it would call it done
                let _turn = port.turn.lock().await;
                *port.held() = Held::of(one);
                *port.pending() = true;
            }
        }
        self.begun.store(true, Ordering::Release);
        let mut order: Vec<&PortName> = self.ports.keys().collect();
        order.sort_by_key(|name| self.ports.get(*name).is_none_or(|port| !matches!(*port.held(), Held::Barred(_))));
        let mut first = Ok(());
        for name in order {
            let Some(port) = self.ports.get(name) else { continue };
            let _turn = port.turn.lock().await;
            let held = port.held().clone();
            match self.put_back(name, &held).await {
                Ok(()) => *port.pending() = false,
                Err(error) => {
                    // one that is away would keep the agent from serving for minutes; `keep` takes up what is left
                    let away = self.driver.restarts_alone() && matches!(error, AgentError::Unreachable { .. });
                    first = first.and(Err(error));
                    if away {
                        break;
                    }
                }
            }
        }
        first
    }

    fn suspend(&self) {
        self.begun.store(false, Ordering::Release);
    }
}
