//! Faults and quirks as data: what a BMC does wrong, each a switch that can be set at start and changed while it runs.
//! Must never act by itself: this is the list of lies, the other files tell them.

use serde::{Deserialize, Serialize};

use crate::limits;

/// Whether the BMC's port answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// As it should.
    #[default]
    Answering,
    /// Packets vanish: new connections time out, open ones fall silent.
    Unreachable,
    /// Nobody listens: connections are refused, open ones closed.
    Refuse,
    /// Bytes that are not TLS.
    Garbage,
}

/// What a power state reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerReading {
    /// Follows the machine's process.
    #[default]
    Truthful,
    /// Stays what it was when the quirk was set.
    Stuck,
    /// The key is there, its value is null.
    Null,
    /// The key is not there.
    Missing,
    /// Always `On`.
    On,
    /// Always `Off`.
    Off,
    /// Always `PoweringOn`.
    PoweringOn,
    /// Always `PoweringOff`.
    PoweringOff,
    /// Always `Paused`.
    Paused,
}

/// How an action without effect is answered (ForceOff of a machine that is off, On of one that is on).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoEffect {
    /// 204.
    #[default]
    NoContent,
    /// 409.
    Conflict,
    /// 400.
    BadRequest,
}

/// What a Reset action does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetBehaviour {
    /// What it says.
    #[default]
    Obeys,
    /// Answers 204 and does nothing.
    Ignored,
    /// Answers 500 and does nothing.
    Fails,
    /// Does it and answers 500 all the same.
    FailsAfterwards,
}

/// What a PATCH does to a setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingBehaviour {
    /// Takes it.
    #[default]
    Obeys,
    /// Answers 200; the active value stays old until the quirk goes away.
    Pending,
    /// Answers 200 and forgets it.
    Ignored,
    /// The property does not exist.
    Unsupported,
}

/// What the ETag of a resource is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EtagBehaviour {
    /// Strong, and If-Match is honoured.
    #[default]
    Strong,
    /// Marked weak; If-Match is compared without the mark.
    Weak,
    /// No ETag, If-Match is ignored.
    None,
    /// Strong; a PATCH without If-Match is answered 428.
    Required,
    /// Every If-Match is answered 412.
    AlwaysFails,
}

/// What LastResetTime reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTimeReading {
    /// The time of the last reset.
    #[default]
    Truthful,
    /// Not there.
    Missing,
    /// `0000-00-00T00:00:00+00:00`.
    Zero,
}

/// What the power state reads in the first moments after the BMC itself restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyReading {
    /// `Off`, whatever the machine does.
    #[default]
    Off,
    /// null.
    Null,
    /// 503.
    Error,
}

/// Which requests are answered with `error_status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorScope {
    /// All.
    #[default]
    All,
    /// GET and HEAD.
    Reads,
    /// The rest.
    Writes,
}

/// Every lie a BMC can tell. The default is an honest, quick BMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Whether the port answers.
    pub reach: Reach,
    /// Each request waits this long before it is looked at, ms.
    pub delay_ms: u64,
    /// Each answer waits this long after the work is done, ms.
    pub reply_delay_ms: u64,
    /// The work is done, the connection closed without an answer (requests that change something only).
    pub drop_reply: bool,
    /// Bodies are bytes that are not JSON.
    pub garbage_body: bool,
    /// Told instead of the serial number.
    pub serial: Option<String>,
    /// Told instead of the UUID.
    pub uuid: Option<String>,
    /// What the System's PowerState reads.
    pub power_state: PowerReading,
    /// What the Chassis' PowerState reads.
    pub chassis_power: PowerReading,
    /// The Chassis tells a change this much later, ms.
    pub chassis_lag_ms: u64,
    /// The Chassis says Off as soon as the power-off is accepted.
    pub chassis_leads: bool,
    /// After an accepted power-off: PoweringOff for this long, the machine still runs, ms.
    pub powering_off_ms: u64,
    /// After an accepted power-off: Off at once, the machine still runs this long, ms. A power-on meanwhile is accepted and lost.
    pub off_early_ms: u64,
    /// After a power-on: PoweringOn for this long, ms.
    pub powering_on_ms: u64,
    /// An accepted Reset is begun this much later, nothing shows meanwhile, ms.
    pub reset_delay_ms: u64,
    /// What a Reset action does.
    pub reset: ResetBehaviour,
    /// ForceOff of a machine that is off.
    pub force_off_when_off: NoEffect,
    /// On of a machine that is on.
    pub on_when_on: NoEffect,
    /// Requests are answered with this status.
    pub error_status: Option<u16>,
    /// Which of them.
    pub error_scope: ErrorScope,
    /// What a PATCH of PowerRestorePolicy does.
    pub restore_policy: SettingBehaviour,
    /// What a PATCH of the boot override does.
    pub boot_override: SettingBehaviour,
    /// `Once` is not consumed by a start.
    pub once_stays: bool,
    /// ETags.
    pub etag: EtagBehaviour,
    /// What LastResetTime reads.
    pub last_reset_time: ResetTimeReading,
    /// LastResetCause is told.
    pub last_reset_cause: bool,
    /// BootProgress is told.
    pub boot_progress: bool,
    /// The ActionInfo resource and the AllowableValues in the action are told.
    pub allowable_values: bool,
    /// Sessions at once.
    pub session_cap: usize,
    /// Idle time of a session, ms.
    pub session_timeout_ms: u64,
    /// Basic authentication is accepted.
    pub basic_auth: bool,
    /// The BMC's clock is wrong by this much, s.
    pub clock_offset_s: i64,
    /// How long the BMC is away when it restarts itself, ms.
    pub bmc_reboot_ms: u64,
    /// How long readings are wrong after that, ms.
    pub bmc_early_ms: u64,
    /// What they read then.
    pub bmc_early_reading: EarlyReading,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            delay_ms: 0,
            reply_delay_ms: 0,
            drop_reply: false,
            garbage_body: false,
            serial: None,
            uuid: None,
            power_state: PowerReading::default(),
            chassis_power: PowerReading::default(),
            chassis_lag_ms: 0,
            chassis_leads: false,
            powering_off_ms: 0,
            off_early_ms: 0,
            powering_on_ms: 0,
            reset_delay_ms: 0,
            reset: ResetBehaviour::default(),
            force_off_when_off: NoEffect::default(),
            on_when_on: NoEffect::default(),
            error_status: None,
            error_scope: ErrorScope::default(),
            restore_policy: SettingBehaviour::default(),
            boot_override: SettingBehaviour::default(),
            once_stays: false,
            etag: EtagBehaviour::default(),
            last_reset_time: ResetTimeReading::default(),
            last_reset_cause: true,
            boot_progress: true,
            allowable_values: true,
            session_cap: limits::SESSIONS_MAX,
            session_timeout_ms: u64::try_from(limits::SESSION_TIMEOUT.as_millis()).unwrap_or(limits::DELAY_MAX_MS),
            basic_auth: true,
            clock_offset_s: 0,
            bmc_reboot_ms: 1_000,
            bmc_early_ms: 0,
            bmc_early_reading: EarlyReading::default(),
        }
    }
}

impl Quirks {
    /// Refuses values no BMC could have (and delays that would never end).
    pub fn check(&self) -> Result<(), String> {
        let delays = [
            ("delay_ms", self.delay_ms),
            ("reply_delay_ms", self.reply_delay_ms),
            ("chassis_lag_ms", self.chassis_lag_ms),
            ("powering_off_ms", self.powering_off_ms),
            ("off_early_ms", self.off_early_ms),
            ("powering_on_ms", self.powering_on_ms),
            ("reset_delay_ms", self.reset_delay_ms),
            ("session_timeout_ms", self.session_timeout_ms),
            ("bmc_reboot_ms", self.bmc_reboot_ms),
            ("bmc_early_ms", self.bmc_early_ms),
        ];
        if let Some((name, _)) = delays.iter().find(|(_, value)| *value > limits::DELAY_MAX_MS) {
            return Err(format!("quirk {name} is longer than a day; say milliseconds"));
        }
        if self.error_status.is_some_and(|status| !(400..600).contains(&status)) {
            return Err("quirk error_status is no error; use 400 to 599".into());
        }
        if self.clock_offset_s.unsigned_abs() > 100 * 366 * 86_400 {
            return Err("quirk clock_offset_s is more than a century".into());
        }
        Ok(())
    }

    /// These quirks with the named ones changed: `changes` is an object of the same shape, keys left out stay as they are.
    pub fn changed(&self, changes: &serde_json::Value) -> Result<Self, String> {
        let Some(changes) = changes.as_object() else {
            return Err("quirks must be an object".into());
        };
        let mut whole = serde_json::to_value(self).map_err(|e| e.to_string())?;
        if let Some(object) = whole.as_object_mut() {
            for (key, value) in changes {
                object.insert(key.clone(), value.clone());
            }
        }
        let quirks: Self = serde_json::from_value(whole).map_err(|e| e.to_string())?;
        quirks.check()?;
        Ok(quirks)
    }
}
