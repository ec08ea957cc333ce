//! Quirks of Redfish alone: what a BMC lists, how it takes settings, what it calls done.
//! Must never act by itself: this is the list of lies, the other files tell them.

use serde::{Deserialize, Serialize};

use super::RESET_TYPES;
use crate::bmc::limits;

/// What becomes of BootSourceOverrideMode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeProperty {
    /// It is told, and can be set.
    #[default]
    Told,
    /// It does not exist.
    Missing,
    /// It is told; a PATCH that carries it is refused.
    Refused,
}

/// Whether setting the boot device resets the boot mode to `Legacy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeFlip {
    /// It does not.
    #[default]
    Never,
    /// A PATCH that carries the device does, whatever mode it carries.
    WithDevice,
    /// Every PATCH of the override does, also one that carries nothing but the mode.
    Always,
}

/// Where the boot override is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootPlace {
    /// At the System, which names no settings resource.
    #[default]
    System,
    /// At the settings resource that the System names; a PATCH at the System is refused. The next start takes it from there.
    Settings,
    /// The same; a PATCH at the System is answered 200 and forgotten.
    SettingsInSilence,
}

/// Whether a PATCH of the System, or of what belongs to it, and a reset are answered "accepted, and goes on" (202), and how the task ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskBehaviour {
    /// They are not.
    #[default]
    None,
    /// After a while it is done, and only then.
    Completes,
    /// As iDRAC: what was set reads as wanted at once; before its job is scheduled it counts for nothing when the machine starts.
    Schedules,
    /// After a while it fails, and nothing was set.
    Fails,
    /// It goes on for ever, and nothing is set.
    Stalls,
}

/// Whether the restore policy is a BIOS attribute instead of a property of the System. What is set is pending until the next start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyAttribute {
    /// It is a property of the System.
    #[default]
    None,
    /// As iDRAC: `AcPwrRcvry`; what is set without a time of application is pending for ever.
    Dell,
    /// As iLO: `AutoPowerOn`.
    Hpe,
}

/// What becomes of the event stream (server-sent events).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventStream {
    /// It tells what happens.
    #[default]
    Offered,
    /// There is no event service.
    Absent,
    /// It is offered, and answered 503.
    Refused,
    /// It opens, and then nothing comes.
    Stalls,
    /// It brings events as fast as they are taken, whatever happens.
    Floods,
    /// It brings noise.
    Garbage,
    /// It ends as soon as it is open.
    Closes,
}

/// How the hardware is told beyond the system's own summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryForm {
    /// Processors, ports with LLDP, PowerSubsystem.
    #[default]
    Full,
    /// Processors, NetworkPorts without LLDP, all of power in one resource.
    Older,
    /// Not at all.
    None,
}

/// How the port at the other end of a cable is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LldpForm {
    /// As its own text.
    #[default]
    Text,
    /// As octets in hex with colons between, as the standard writes it.
    Octets,
    /// Marked as not sent.
    Unsent,
}

/// How the event log is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogForm {
    /// Whole entries in their collection.
    #[default]
    Told,
    /// There is none.
    Absent,
    /// The collection has bare links to its entries.
    Links,
    /// Among its entries are some that are none, and its pages go in a circle.
    Nonsense,
}

/// Who has the event log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogPlace {
    /// The system.
    #[default]
    System,
    /// The manager, as on iDRAC.
    Manager,
}

/// What a BMC does otherwise over Redfish alone. The default keeps to the standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedfishQuirks {
    /// How the hardware is told beyond the system's own summary.
    pub inventory: InventoryForm,
    /// How the port at the other end of a cable is told.
    pub lldp: LldpForm,
    /// Resources whose path ends so are answered 503.
    pub fails: Option<String>,
    /// Resources whose path ends so are never answered.
    pub hangs: Option<String>,
    /// How the event log is told.
    pub log: LogForm,
    /// Who has it.
    pub log_at: LogPlace,
    /// It is told in pages of so many entries, each with the link to the next; 0: at once. Other queries than those links' are refused.
    pub log_page: u32,
    /// Its newest entry comes first.
    pub log_newest_first: bool,
    /// So many entries from long ago stand in it before its first one.
    pub log_padding: u32,
    /// What becomes of the event stream.
    pub events: EventStream,
    /// The account may make sessions; else it has to name itself in each request.
    pub makes_sessions: bool,
    /// The values that a reset takes stand at the action itself; `false`: only in the ActionInfo resource that it names.
    pub inline_values: bool,
    /// The reset types that the System takes and lists; None: all that a machine understands.
    pub reset_types: Option<Vec<String>>,
    /// After a power-off an On is answered 409 for so long, ms.
    pub settling_ms: u64,
    /// The boot override takes `Continuous`.
    pub continuous: bool,
    /// What a PATCH of the boot override does not carry is changed all the same: enabled becomes `Once`, the mode `Legacy`.
    pub boot_resets_unsent: bool,
    /// What becomes of the boot mode.
    pub boot_mode: ModeProperty,
    /// A PATCH of the boot override that carries a value which is in force already is refused.
    pub refuses_unchanged: bool,
    /// Where the boot override is taken.
    pub boot_place: BootPlace,
    /// For so long after a power-on a PATCH of the boot override is refused, because the machine is in POST, ms.
    pub post_ms: u64,
    /// Whether setting the boot device resets the boot mode to `Legacy`.
    pub flips_mode: ModeFlip,
    /// HttpBootUri stays what it is, whatever a PATCH carries.
    pub keeps_uri: bool,
    /// Whether the restore policy is a BIOS attribute.
    pub policy_attribute: PolicyAttribute,
    /// Settings and resets are answered 202, with a task.
    pub task: TaskBehaviour,
    /// A task goes on for so long, ms.
    pub task_ms: u64,
    /// A task answers 404 for so long, ms.
    pub task_hidden_ms: u64,
    /// The 202 carries the task as its body; `false`: only the Location of its monitor.
    pub task_in_body: bool,
    /// A task that has ended is not there any more.
    pub task_goes: bool,
    /// Any look at a task's monitor deletes the task.
    pub monitor_deletes: bool,
    /// A request that asks for bodies that are not compressed (`Accept-Encoding: identity`) is answered 406.
    pub refuses_identity: bool,
    /// Bodies are compressed, and their ETags weak, unless a request asks for the contrary.
    pub compresses: bool,
    /// A connection that was idle for so long is cut at the next request, which is not looked at; 0: never, ms.
    pub idle_cut_ms: u64,
}

impl Default for RedfishQuirks {
    fn default() -> Self {
        Self {
            inventory: InventoryForm::default(),
            lldp: LldpForm::default(),
            fails: None,
            hangs: None,
            log: LogForm::default(),
            log_at: LogPlace::default(),
            log_page: 0,
            log_newest_first: false,
            log_padding: 0,
            events: EventStream::default(),
            makes_sessions: true,
            inline_values: true,
            reset_types: None,
            settling_ms: 0,
            continuous: true,
            boot_resets_unsent: false,
            boot_mode: ModeProperty::default(),
            refuses_unchanged: false,
            boot_place: BootPlace::default(),
            post_ms: 0,
            flips_mode: ModeFlip::default(),
            keeps_uri: false,
            policy_attribute: PolicyAttribute::default(),
            task: TaskBehaviour::default(),
            task_ms: 0,
            task_hidden_ms: 0,
            task_in_body: true,
            task_goes: false,
            monitor_deletes: false,
            refuses_identity: false,
            compresses: false,
            idle_cut_ms: 0,
        }
    }
}

impl RedfishQuirks {
    /// Refuses values that no BMC could have.
    pub(super) fn check(&self) -> Result<(), String> {
        let delays = [
            ("settling_ms", self.settling_ms),
            ("post_ms", self.post_ms),
            ("task_ms", self.task_ms),
            ("task_hidden_ms", self.task_hidden_ms),
            ("idle_cut_ms", self.idle_cut_ms),
        ];
        if let Some((name, _)) = delays.iter().find(|(_, value)| *value > limits::DELAY_MAX_MS) {
            return Err(format!("quirk redfish.{name} is longer than a day; say milliseconds"));
        }
        if self.log_padding > limits::LOG_PADDING_MAX {
            return Err(format!("quirk redfish.log_padding is more than {}", limits::LOG_PADDING_MAX));
        }
        let unknown = self.reset_types.iter().flatten().find(|word| !RESET_TYPES.contains(&word.as_str()));
        match unknown {
            Some(word) => Err(format!("quirk redfish.reset_types: {word} is none of {}", RESET_TYPES.join(", "))),
            None => Ok(()),
        }
    }

    /// The reset types of the System.
    pub fn resets(&self) -> Vec<&str> {
        match &self.reset_types {
            Some(words) => words.iter().map(String::as_str).collect(),
            None => RESET_TYPES.to_vec(),
        }
    }
}
