//! The hand of a test or a lab that makes BMCs lie and machines die: requests, and what they do.
//! Must never tell a password or a session's token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use world::bmc::limits::DELAY_MAX_MS;
use world::bmc::{Change, Mishap, Outcome, Quirks, Reading};
use world::clock;

use crate::error::Error;
use crate::station::Station;

/// A control request. `name` is a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The pid of every machine's process (null: off).
    Pids,
    /// Truth, readings, settings and quirks of a machine.
    State {
        /// Machine.
        name: String,
    },
    /// A finger on the power button: on if off, else the ACPI button.
    PressPowerButton {
        /// Machine.
        name: String,
    },
    /// Powers on, past the BMC's quirks.
    PowerOn {
        /// Machine.
        name: String,
    },
    /// Cuts power and waits until the process is reaped, past the BMC's quirks.
    PowerOff {
        /// Machine.
        name: String,
    },
    /// SIGSTOP: the machine hangs, its power stays on.
    Freeze {
        /// Machine.
        name: String,
    },
    /// SIGCONT.
    Thaw {
        /// Machine.
        name: String,
    },
    /// SIGKILL from outside: the machine dies by itself.
    Kill {
        /// Machine.
        name: String,
    },
    /// Mains power fails: machine and BMC are gone.
    PowerLoss {
        /// Machine.
        name: String,
    },
    /// Mains power returns: the active restore policy applies.
    PowerReturn {
        /// Machine.
        name: String,
    },
    /// Changes the named quirks, leaves the others.
    SetQuirks {
        /// Machine.
        name: String,
        /// Keys as in the configuration.
        quirks: Value,
    },
    /// An honest BMC again.
    ClearQuirks {
        /// Machine.
        name: String,
    },
    /// The BMC restarts itself; the machine runs on.
    RebootBmc {
        /// Machine.
        name: String,
        /// How long it is away, ms (none: quirk `bmc_reboot_ms`).
        #[serde(default)]
        away_ms: Option<u64>,
        /// How long readings are wrong afterwards, ms (none: quirk `bmc_early_ms`).
        #[serde(default)]
        early_ms: Option<u64>,
    },
    /// A part of the machine fails, or is well again: its sensors and the event log tell it.
    Mishap {
        /// Machine.
        name: String,
        /// What happens.
        what: Mishap,
    },
    /// The event log is cleared.
    ClearLog {
        /// Machine.
        name: String,
    },
    /// The machine's system starts the watchdog: power cycle after this time without a kick.
    Watchdog {
        /// Machine.
        name: String,
        /// The time, s.
        period_s: u16,
    },
    /// Every session is forgotten.
    LoseSessions {
        /// Machine.
        name: String,
    },
    /// A new key and certificate for new connections; the file keeps the old one.
    ChangeCertificate {
        /// Machine.
        name: String,
    },
    /// From here on the connection tells changes, one a line.
    Watch,
}

/// Commands for the machines of one simulator, from inside the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    machines: Arc<BTreeMap<String, Arc<Station>>>,
    changes: broadcast::Sender<Change>,
}

impl Control {
    /// A hand for these machines.
    pub(crate) fn new(machines: BTreeMap<String, Arc<Station>>, changes: broadcast::Sender<Change>) -> Control {
        Control { machines: Arc::new(machines), changes }
    }

    /// Does what a request asks for.
    pub async fn perform(&self, request: Request) -> Result<Value, Error> {
        // In a task of its own: a caller that gives up must not leave a machine half started.
        let control = self.clone();
        tokio::spawn(async move { perform(&control, request).await })
            .await
            .unwrap_or_else(|e| Err(Error::refused("(control)", e.to_string())))
    }

    /// The same in the control socket's shape: `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
    pub async fn answer(&self, request: Request) -> Value {
        match self.perform(request).await {
            Ok(mut value) => {
                if let Some(object) = value.as_object_mut() {
                    object.insert("ok".into(), json!(true));
                }
                value
            }
            Err(e) => json!({ "ok": false, "error": e.to_string() }),
        }
    }

    /// Changes quirks of a machine: keys as in the configuration, the others stay.
    pub async fn set_quirks(&self, name: &str, quirks: Value) -> Result<(), Error> {
        self.perform(Request::SetQuirks { name: name.into(), quirks }).await.map(drop)
    }

    /// The pid of a machine's process; None: off and reaped.
    pub fn pid(&self, name: &str) -> Result<Option<i32>, Error> {
        Ok(self.find(name)?.state().pid())
    }

    /// Truth, readings, settings and quirks of a machine.
    pub async fn state(&self, name: &str) -> Result<Value, Error> {
        self.perform(Request::State { name: name.into() }).await
    }

    /// Changes as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Station>, Error> {
        self.machines.get(name).ok_or_else(|| Error::UnknownMachine(name.into()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Station>> {
        self.machines.values()
    }
}

/// Does what a request asks for; `Watch` is the socket's own business and only acknowledged here.
async fn perform(control: &Control, request: Request) -> Result<Value, Error> {
    match request {
        Request::Pids => Ok(Value::Object(control.all().map(|b| (b.config.name.clone(), json!(b.state().pid()))).collect())),
        Request::Watch => Ok(json!({})),
        Request::State { name } => Ok(state(control.find(&name)?.as_ref())),
        Request::PressPowerButton { name } => done(control.find(&name)?.press_button().await?),
        Request::PowerOn { name } => done(control.find(&name)?.power_on("ManagementCommand").await?),
        Request::PowerOff { name } => Ok(control.find(&name)?.pull().await.map(|()| json!({}))?),
        Request::Freeze { name } => Ok(control.find(&name)?.freeze().await.map(|()| json!({}))?),
        Request::Thaw { name } => Ok(control.find(&name)?.thaw().map(|()| json!({}))?),
        Request::Kill { name } => Ok(control.find(&name)?.kill().map(|()| json!({}))?),
        Request::PowerLoss { name } => Ok(control.find(&name)?.power_loss().await.map(|()| json!({}))?),
        Request::PowerReturn { name } => Ok(control.find(&name)?.power_return().await.map(|()| json!({}))?),
        Request::SetQuirks { name, quirks } => {
            let bmc = control.find(&name)?;
            let before = bmc.state().quirks.clone();
            let quirks = before.changed(&quirks).map_err(|reason| Error::refused(&name, reason))?;
            bmc.set_quirks(quirks.clone());
            bmc.settled().await;
            Ok(json!({ "quirks": quirks }))
        }
        Request::ClearQuirks { name } => {
            let bmc = control.find(&name)?;
            bmc.set_quirks(Quirks::default());
            bmc.settled().await;
            Ok(json!({}))
        }
        Request::RebootBmc { name, away_ms, early_ms } => {
            let bmc = control.find(&name)?;
            if !bmc.state().supply {
                return Err(Error::refused(&name, "it has no mains power"));
            }
            let quirks = bmc.state().quirks.clone();
            let time = |asked: Option<u64>, quirk| Duration::from_millis(asked.unwrap_or(quirk).min(DELAY_MAX_MS));
            bmc.restart_bmc(time(away_ms, quirks.bmc_reboot_ms), time(early_ms, quirks.bmc_early_ms), "commanded");
            bmc.settled().await;
            Ok(json!({}))
        }
        Request::Mishap { name, what } => {
            control.find(&name)?.state().happens(what);
            Ok(json!({}))
        }
        Request::ClearLog { name } => {
            let mut state = control.find(&name)?.state();
            let now = state.clock_s();
            state.device.log.clear(now);
            Ok(json!({}))
        }
        Request::Watchdog { name, period_s } => {
            let started = world::bmc::ipmi::start_watchdog(control.find(&name)?, Duration::from_secs(u64::from(period_s)));
            if started { Ok(json!({})) } else { Err(Error::refused(&name, "no watchdog counts so far")) }
        }
        Request::LoseSessions { name } => {
            let bmc = control.find(&name)?;
            bmc.state().forget_sessions();
            bmc.nudge();
            Ok(json!({}))
        }
        Request::ChangeCertificate { name } => {
            let bmc = control.find(&name)?;
            if bmc.identity().is_none() {
                return Err(Error::refused(&name, "it speaks no Redfish, so it has no certificate"));
            }
            let identity = crate::tls::identity(&name, bmc.address)?;
            let pem = identity.pem.clone();
            *bmc.identity() = Some(identity);
            Ok(json!({ "certificate": pem }))
        }
    }
}

fn done(outcome: Outcome) -> Result<Value, Error> {
    Ok(json!({ "outcome": match outcome {
        Outcome::Done => "done",
        Outcome::NoEffect => "no_effect",
        Outcome::Conflict => "conflict",
    }}))
}

fn state(bmc: &Station) -> Value {
    let told = |reading| match reading {
        Reading::Is(text) => json!(text),
        Reading::Null => Value::Null,
        Reading::Missing => json!("(missing)"),
        Reading::Unavailable => json!("(error)"),
    };
    let link = bmc.link().get();
    let mut state = bmc.state();
    let timeout = state.session_timeout();
    let ipmi_timeout = Duration::from_millis(state.quirks.ipmi_session_timeout_ms);
    json!({
        "name": bmc.config.name,
        "address": bmc.address,
        "ipmi_address": bmc.ipmi,
        "pid": state.pid(),
        "power": if state.run.is_some() { "on" } else { "off" },
        "frozen": state.run.is_some_and(|run| run.frozen),
        "starts": state.generation,
        "mains": state.supply,
        "system_power": told(state.system_power()),
        "chassis_power": told(state.chassis_power()),
        "reach": link.reach,
        "bmc_starting": state.bmc_down,
        "last_reset_cause": state.last_reset.map(|(_, cause)| cause),
        "restore_policy": state.policy,
        "restore_policy_pending": state.policy_pending,
        "boot": { "enabled": state.boot.enabled, "target": state.boot.target, "mode": state.boot.mode },
        "http_boot_uri": state.boot.uri,
        "boot_taken": state.boot_taken.as_ref().map(|boot| json!({
            "enabled": boot.enabled, "target": boot.target, "mode": boot.mode, "http_boot_uri": boot.uri,
        })),
        "sessions": state.sessions.list(timeout).len(),
        "ipmi_sessions": state.rmcp.count(clock::now(), ipmi_timeout),
        "events": state.device.log.len(),
        "identify": state.device.light_state() != 0,
        "requests": state.requests,
        "recent": state.recent,
        "quirks": state.quirks,
    })
}
