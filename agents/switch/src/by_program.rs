//! The driver whose hands are a program of the site (docs/drivers.md): it reads a port and changes one. What it says that it did counts for
//! nothing before a reading shows it.
//! Must never take a reading that lacks something, or is of another port, for one.

use crate::kept::{Kept, OpenError};
use crate::limits::{PORTS_MAX, PROGRAM_WATCH_PERIOD};
use async_trait::async_trait;
use contract::AgentError;
use contract::switch::Switch;
use program::{CHANGE_MAX, Done, Kind, Program, READ_MAX, Trouble, told_or_null};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vocabulary::network::{Mac, PortReading};
use vocabulary::{PortId, PortName, PortSetting, SwitchId, VlanId, WallTime};

/// What this driver needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramConfig {
    /// The program's file, an absolute path, and its arguments.
    pub command: Vec<String>,
    /// What it finds in its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The ports that the agent owns, by the names that the program knows. It is asked about no other.
    pub ports: BTreeSet<PortName>,
}

/// The driver of one switch.
pub struct SwitchProgram {
    switch: SwitchId,
    program: Program,
    /// Each port with the MTU that it was last asked for: one that nobody asked for is no part of a setting.
    ports: BTreeMap<PortName, Mutex<Option<u16>>>,
}

/// A port as the program tells it. Every field is asked for: what is not told is not empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    port: PortName,
    #[serde(deserialize_with = "told_or_null")]
    native: Option<VlanId>,
    tagged: BTreeSet<VlanId>,
    #[serde(deserialize_with = "told_or_null")]
    mtu: Option<u16>,
    leaks: bool,
    admin_up: bool,
    link_up: bool,
    learnt: BTreeSet<Mac>,
    frames_in: u64,
    saved: bool,
}

fn about(port: &PortName) -> Map<String, Value> {
    Map::from_iter([("port".to_owned(), json!(port))])
}

impl SwitchProgram {
    /// Makes sure that there is such a program. Asks it nothing yet.
    pub fn open(switch: SwitchId, config: ProgramConfig) -> Result<SwitchProgram, OpenError> {
        if config.ports.is_empty() || config.ports.len() > PORTS_MAX {
            let reason = format!("it needs 1 to {PORTS_MAX} ports, not {}", config.ports.len());
            return Err(OpenError { switch, reason });
        }
        let ProgramConfig { command, environment, ports } = config;
        match Program::open(program::Config { command, environment }, Kind::Switch) {
            Ok(program) => {
                let ports = ports.into_iter().map(|port| (port, Mutex::default())).collect();
                Ok(SwitchProgram { switch, program, ports })
            }
            Err(error) => Err(OpenError { switch, reason: error.to_string() }),
        }
    }

    fn mtu_asked(&self, port: &PortName) -> Result<&Mutex<Option<u16>>, AgentError> {
        self.ports.get(port).ok_or_else(|| AgentError::Rejected {
            reason: format!(
                "switch `{}` has no port `{port}` that this agent owns: add it to the agent's configuration",
                self.switch
            ),
        })
    }

    async fn reading(&self, port: &PortName, mtu: bool) -> Result<PortReading, AgentError> {
        let asked_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let told: Told = self.program.ask("read", &about(port), READ_MAX).await.map_err(Trouble::of_reading)?;
        if told.port != *port {
            let reason =
                format!("the program of switch `{}` was asked about port {port} and tells of {}", self.switch, told.port);
            return Err(AgentError::Unreachable { reason });
        }
        // a port that is down forwards nothing, whatever it is configured for
        let (native, tagged) = if told.admin_up { (told.native, told.tagged) } else { (None, BTreeSet::new()) };
        Ok(PortReading {
            port: PortId { switch: self.switch.clone(), port: port.clone() },
            setting: PortSetting { native, tagged, mtu: told.mtu.filter(|_| mtu) },
            leaks: told.leaks,
            admin_up: told.admin_up,
            link_up: told.link_up,
            learnt: told.learnt,
            frames_in: told.frames_in,
            saved: told.saved,
            // before it was asked for: never younger than it is
            read_at: WallTime(u64::try_from(asked_at.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    async fn change(&self, what: &str, about: &Map<String, Value>) -> Result<(), AgentError> {
        self.program.ask(what, about, CHANGE_MAX).await.map(|Done {}| ()).map_err(Trouble::of_change)
    }

    /// A reading after a change: that it cannot be had does not mean that nothing was done.
    async fn read_back(&self, port: &PortName, wanted: &PortSetting, up: bool) -> Result<PortReading, AgentError> {
        let unconfirmed = |reason: String| AgentError::Unconfirmed { reason };
        let reading = self.reading(port, wanted.mtu.is_some()).await.map_err(|error| unconfirmed(error.to_string()))?;
        if reading.setting != *wanted || reading.leaks || reading.admin_up != up {
            let seen = format!("{:?}, leaks: {}, up: {}", reading.setting, reading.leaks, reading.admin_up);
            return Err(unconfirmed(format!("port {port} reads back as {seen}, not as {wanted:?}")));
        }
        Ok(reading)
    }
}

#[async_trait]
impl Switch for SwitchProgram {
    async fn read(&self, port: &PortName) -> Result<PortReading, AgentError> {
        let mtu = self.mtu_asked(port)?.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        self.reading(port, mtu).await
    }

    async fn set(&self, port: &PortName, setting: &PortSetting) -> Result<PortReading, AgentError> {
        let asked = self.mtu_asked(port)?;
        if setting.native.is_some_and(|native| setting.tagged.contains(&native)) {
            return Err(AgentError::Rejected { reason: format!("port {port}: its native VLAN cannot be tagged as well") });
        }
        let mut about = about(port);
        about.extend([
            ("native".to_owned(), json!(setting.native)),
            ("tagged".to_owned(), json!(setting.tagged)),
            ("mtu".to_owned(), json!(setting.mtu)),
        ]);
        let told = self.change("set", &about).await;
        if !matches!(told, Err(AgentError::Rejected { .. })) {
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = setting.mtu;
        }
        told?;
        self.read_back(port, setting, true).await
    }

    /// A program is asked and never tells by itself.
    async fn changed(&self) -> PortId {
        std::future::pending().await
    }
}

#[async_trait]
impl Kept for SwitchProgram {
    fn ports(&self) -> Vec<PortName> {
        self.ports.keys().cloned().collect()
    }

    async fn shut(&self, port: &PortName) -> Result<PortReading, AgentError> {
        self.mtu_asked(port)?;
        self.change("shut", &about(port)).await?;
        let nothing = PortSetting { native: None, tagged: BTreeSet::new(), mtu: None };
        self.read_back(port, &nothing, false).await
    }

    fn restarts_alone(&self) -> bool {
        true
    }

    fn watch_period(&self) -> Duration {
        PROGRAM_WATCH_PERIOD
    }
}
