//! Faults and quirks as data: what a BMC does wrong, each a switch that can be set at start and changed while it runs.
//! Must never act by itself: this is the list of lies, the other files tell them.

mod redfish;

use serde::{Deserialize, Serialize};

use crate::bmc::limits;
pub use redfish::{
    BootPlace, EventStream, InventoryForm, LldpForm, LogForm, LogPlace, ModeFlip, ModeProperty, PolicyAttribute, RedfishQuirks,
    TaskBehaviour,
};

/// The reset types that a machine understands.
pub const RESET_TYPES: [&str; 5] = ["On", "ForceOff", "GracefulShutdown", "ForceRestart", "PushPowerButton"];

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
    /// Bytes that are neither TLS nor RMCP.
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
    /// As `required`, and before every second PATCH another hand changes the resource.
    Raced,
    /// `""`, and every If-Match is answered 412.
    Empty,
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

/// Whether the account can log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// As it should.
    #[default]
    Usable,
    /// Somebody has given it another password.
    OtherPassword,
    /// As it should; over IPMI with the first 16 bytes of its password, as in IPMI 1.5: the rest was forgotten without a word.
    ShortPassword,
    /// Locked.
    Locked,
    /// Switched off.
    Disabled,
}

/// What the account may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// Read.
    User,
    /// Command power and settings.
    Operator,
    /// Everything.
    #[default]
    Administrator,
}

/// How Redfish tells and takes the identify light; over IPMI it is there, ignored, or missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Indicator {
    /// `LocationIndicatorActive`.
    #[default]
    Location,
    /// `IndicatorLED`, which can blink and not be lit.
    Led,
    /// `LocationIndicatorActive`, which forgets what is written.
    Ignored,
    /// Not at all.
    Missing,
}

/// The order of bytes in which IPMI tells the UUID.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidOrder {
    /// As SMBIOS.
    #[default]
    Smbios,
    /// As the UUID's text.
    Text,
    /// All reversed, as IPMI's specification.
    Reversed,
    /// The command does not exist, and the handshake tells zeros.
    Unknown,
}

/// Which privilege level goes into the proofs of an IPMI handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleHashing {
    /// That of RAKP message 1, with the mark of a look-up by name: the specification.
    #[default]
    AsAsked,
    /// That of the Open Session request.
    AsOpened,
    /// The highest that the account has.
    Maximum,
}

/// What the inventory of IPMI is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryReading {
    /// All of it, in pieces as they are asked for.
    #[default]
    Truthful,
    /// Each answer holds half of what was asked for.
    Short,
    /// The product's serial number is not told.
    NoProductSerial,
    /// The product's serial number is a text that nobody has replaced.
    FillerProductSerial,
    /// The board has a serial number of its own.
    OtherBoardSerial,
    /// The checksums of the areas are wrong.
    Broken,
    /// The commands do not exist.
    Unsupported,
}

/// What becomes of an offer of cipher suite 17.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrongSuite {
    /// It is taken.
    #[default]
    Taken,
    /// It is refused.
    Refused,
    /// It is not answered.
    Dropped,
}

/// Every lie a BMC can tell. The default is an honest, quick BMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Whether the port answers.
    pub reach: Reach,
    /// Each request (IPMI: each packet) waits this long before it is looked at, ms.
    pub delay_ms: u64,
    /// Each answer waits this long after the work is done, ms.
    pub reply_delay_ms: u64,
    /// The work is done, the connection closed without an answer, or IPMI's answer lost (requests that change something only).
    pub drop_reply: bool,
    /// Bodies are bytes that are not JSON; the data of IPMI answers is noise.
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
    /// ForceOff of a machine that is off (IPMI says success, "not in this state", or "invalid field").
    pub force_off_when_off: NoEffect,
    /// On of a machine that is on.
    pub on_when_on: NoEffect,
    /// Requests are answered with this status; over IPMI with "unspecified error", whatever it is.
    pub error_status: Option<u16>,
    /// Which of them.
    pub error_scope: ErrorScope,
    /// What a PATCH of PowerRestorePolicy does.
    pub restore_policy: SettingBehaviour,
    /// What a PATCH of the boot override does.
    pub boot_override: SettingBehaviour,
    /// The identify light.
    pub indicator: Indicator,
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
    /// Quirks of Redfish alone: an object of its own.
    pub redfish: RedfishQuirks,
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
    /// Whether the account can log in.
    pub account: AccountState,
    /// What it may do.
    pub privilege: Privilege,
    /// So many wrong passwords in a row lock the account; 0: never.
    pub lockout_after: u32,
    /// For how long, ms.
    pub lockout_ms: u64,
    /// IPMI: nothing is answered, as after an update that switched it off.
    pub ipmi_off: bool,
    /// IPMI: presence pings are answered.
    pub ipmi_ping: bool,
    /// IPMI: the query for cipher suites is answered.
    pub ipmi_cipher_query: bool,
    /// IPMI: what becomes of an offer of cipher suite 17.
    pub ipmi_suite_17: StrongSuite,
    /// IPMI: which privilege level goes into the proofs of the handshake.
    pub ipmi_role: RoleHashing,
    /// IPMI: in which order of bytes the UUID is told.
    pub ipmi_guid: GuidOrder,
    /// IPMI: what the inventory is worth.
    pub ipmi_inventory: InventoryReading,
    /// IPMI: bytes of an inventory, sensor record or log record in one answer; more is "out of range".
    pub ipmi_piece_max: u8,
    /// IPMI: a reservation of the sensor repository is lost after so many parts of records; 0: never.
    pub ipmi_reservation_reads: u8,
    /// IPMI: the repository has got one more sensor.
    pub ipmi_more_sensors: bool,
    /// A full event log loses its oldest record, not the new one.
    pub ipmi_log_wraps: bool,
    /// IPMI: DCMI tells the power drawn.
    pub ipmi_dcmi: bool,
    /// IPMI: the identify light can be switched on until it is switched off.
    pub ipmi_steady_light: bool,
    /// IPMI: sessions at once; 0: the table is full.
    pub ipmi_session_cap: usize,
    /// IPMI: idle time of a session, ms.
    pub ipmi_session_timeout_ms: u64,
    /// IPMI: "node busy" for so long after the BMC started, ms.
    pub ipmi_busy_ms: u64,
    /// IPMI: boot option 3 exists.
    pub ipmi_valid_clearing: bool,
    /// IPMI: so long boot flags are valid without a start, unless boot option 3 says otherwise, ms.
    pub ipmi_boot_valid_ms: u64,
    /// IPMI: the BMC restarts when so many packets wait for it at once (with `delay_ms`); 0: never.
    pub ipmi_flood: usize,
    /// IPMI: a reply leaves this much later, ms.
    pub ipmi_late_ms: u64,
    /// Which share of the replies that is, percent.
    pub ipmi_late_percent: u8,
    /// IPMI: share of the packets that are lost, in each direction, percent.
    pub ipmi_loss_percent: u8,
    /// IPMI: share of the replies that leave twice, percent.
    pub ipmi_duplicate_percent: u8,
    /// IPMI: share of the replies that leave after the next one, percent.
    pub ipmi_reorder_percent: u8,
    /// IPMI: seed of the dice for the four above.
    pub ipmi_seed: u64,
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
            indicator: Indicator::default(),
            once_stays: false,
            etag: EtagBehaviour::default(),
            last_reset_time: ResetTimeReading::default(),
            last_reset_cause: true,
            boot_progress: true,
            allowable_values: true,
            redfish: RedfishQuirks::default(),
            session_cap: limits::SESSIONS_MAX,
            session_timeout_ms: u64::try_from(limits::SESSION_TIMEOUT.as_millis()).unwrap_or(limits::DELAY_MAX_MS),
            basic_auth: true,
            clock_offset_s: 0,
            bmc_reboot_ms: 1_000,
            bmc_early_ms: 0,
            bmc_early_reading: EarlyReading::default(),
            account: AccountState::default(),
            privilege: Privilege::default(),
            lockout_after: 0,
            lockout_ms: 30_000,
            ipmi_off: false,
            ipmi_ping: true,
            ipmi_cipher_query: true,
            ipmi_suite_17: StrongSuite::default(),
            ipmi_role: RoleHashing::default(),
            ipmi_guid: GuidOrder::default(),
            ipmi_inventory: InventoryReading::default(),
            ipmi_piece_max: u8::MAX,
            ipmi_reservation_reads: 0,
            ipmi_more_sensors: false,
            ipmi_log_wraps: false,
            ipmi_dcmi: true,
            ipmi_steady_light: true,
            ipmi_session_cap: limits::IPMI_SESSIONS,
            ipmi_session_timeout_ms: 60_000,
            ipmi_busy_ms: 0,
            ipmi_valid_clearing: true,
            ipmi_boot_valid_ms: u64::try_from(limits::BOOT_VALID.as_millis()).unwrap_or(limits::DELAY_MAX_MS),
            ipmi_flood: 0,
            ipmi_late_ms: 0,
            ipmi_late_percent: 100,
            ipmi_loss_percent: 0,
            ipmi_duplicate_percent: 0,
            ipmi_reorder_percent: 0,
            ipmi_seed: 0,
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
            ("lockout_ms", self.lockout_ms),
            ("ipmi_session_timeout_ms", self.ipmi_session_timeout_ms),
            ("ipmi_busy_ms", self.ipmi_busy_ms),
            ("ipmi_boot_valid_ms", self.ipmi_boot_valid_ms),
            ("ipmi_late_ms", self.ipmi_late_ms),
        ];
        if let Some((name, _)) = delays.iter().find(|(_, value)| *value > limits::DELAY_MAX_MS) {
            return Err(format!("quirk {name} is longer than a day; say milliseconds"));
        }
        let shares = [
            ("ipmi_late_percent", self.ipmi_late_percent),
            ("ipmi_loss_percent", self.ipmi_loss_percent),
            ("ipmi_duplicate_percent", self.ipmi_duplicate_percent),
            ("ipmi_reorder_percent", self.ipmi_reorder_percent),
        ];
        if let Some((name, _)) = shares.iter().find(|(_, value)| *value > 100) {
            return Err(format!("quirk {name} is more than all; use 0 to 100"));
        }
        if self.error_status.is_some_and(|status| !(400..600).contains(&status)) {
            return Err("quirk error_status is no error; use 400 to 599".into());
        }
        if self.clock_offset_s.unsigned_abs() > 100 * 366 * 86_400 {
            return Err("quirk clock_offset_s is more than a century".into());
        }
        self.redfish.check()
    }

    /// These quirks with the named ones changed: `changes` is an object of the same shape, keys left out stay as they are, also in the
    /// objects within.
    pub fn changed(&self, changes: &serde_json::Value) -> Result<Self, String> {
        let Some(changes) = changes.as_object() else {
            return Err("quirks must be an object".into());
        };
        let mut whole = serde_json::to_value(self).map_err(|e| e.to_string())?;
        if let Some(object) = whole.as_object_mut() {
            for (key, change) in changes {
                match (object.get_mut(key).and_then(|group| group.as_object_mut()), change.as_object()) {
                    (Some(group), Some(change)) => group.extend(change.clone()),
                    _ => drop(object.insert(key.clone(), change.clone())),
                }
            }
        }
        let quirks: Self = serde_json::from_value(whole).map_err(|e| e.to_string())?;
        quirks.check()?;
        Ok(quirks)
    }
}
