//! What a BMC knows and what was set: all of it behind one lock, with what its power reads at this moment, lies included.
//! Must never read Off truthfully while a start of the machine has not ended.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::command::Watcher;
use super::device::{Device, Entry, Mishap};
use super::host::Stage;
use super::machine::{Machine, RestorePolicy};
use super::quirks::{EarlyReading, Quirks};
use super::reading::{Reading, fixed};
use super::rmcp::Table;
use super::sessions::Sessions;
use super::tasks::Tasks;
use super::{limits, stamp};
use crate::clock::{Wall, now, since};

/// A power-off that was accepted and is not finished.
#[derive(Debug, Clone, Copy)]
pub struct Doom {
    /// What the System's PowerState reads meanwhile.
    pub shown: &'static str,
}

/// A start of the machine whose life has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Which start this is.
    pub generation: u64,
    /// The process that plays the machine, where one does.
    pub pid: Option<i32>,
    /// Stopped by `freeze`.
    pub frozen: bool,
}

/// The boot override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// `Disabled`, `Once`, `Continuous`.
    pub enabled: String,
    /// `None`, `Pxe`, ...
    pub target: String,
    /// `Legacy`, `UEFI`.
    pub mode: String,
    /// For UefiHttp.
    pub uri: String,
    /// It ends by itself then (boot flags of IPMI).
    pub expires: Option<Instant>,
}

/// A restore policy that was written into the BIOS's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BiosWish {
    /// The policy.
    pub policy: RestorePolicy,
    /// The next start takes it; else it is pending for ever.
    pub applies: bool,
}

/// A request that changed something or tried to.
#[derive(Debug, Clone, Serialize)]
pub struct Recent {
    /// When, by the BMC's ticks.
    pub monotonic_ns: u64,
    /// Method; `IPMI` for a command of that.
    pub method: String,
    /// Path without query, or the IPMI command in small letters.
    pub path: String,
    /// `ResetType` where the body had one, or what IPMI calls otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_type: Option<String>,
    /// Status answered; IPMI: the completion code.
    pub status: u16,
}

/// When something was told of the system's power.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Whatever it was.
    pub at: Option<Instant>,
    /// That it is off, truly or not.
    pub off_at: Option<Instant>,
}

/// Everything that changes.
#[derive(Debug)]
pub struct State {
    /// The lies of the moment.
    pub quirks: Quirks,
    /// Who is told of power commands.
    pub(super) watcher: Option<Watcher>,
    /// When System.PowerState was last read.
    told: Cell<Told>,
    /// The same of the newest reading that has arrived where it was asked for.
    heard: Cell<Told>,
    /// The truth about power: Some until its life has ended.
    pub run: Option<Run>,
    /// Counts starts.
    pub generation: u64,
    /// An accepted power-off still to come.
    pub doom: Option<Doom>,
    /// Between the two halves of a restart: reads On.
    pub restarting: bool,
    /// PoweringOn is told until then.
    pub powering_on_until: Option<Instant>,
    /// Last change of the truth, for a chassis that lags.
    pub moved_at: Instant,
    /// What a stuck System reads.
    pub stuck_system: Reading,
    /// What a stuck Chassis reads.
    pub stuck_chassis: Reading,
    /// The simulator is ending.
    pub closed: bool,
    /// Mains power is there.
    pub supply: bool,
    /// Ran when mains power went.
    pub ran_at_loss: bool,
    /// Time and cause of the last reset.
    pub last_reset: Option<(SystemTime, &'static str)>,
    /// The policy that would act.
    pub policy: RestorePolicy,
    /// A policy set but not active (quirk).
    pub policy_pending: Option<RestorePolicy>,
    /// What the next start makes of it (BIOS attributes).
    pub policy_wish: Option<BiosWish>,
    /// The active boot override.
    pub boot: Boot,
    /// An override set but not active (quirk).
    pub boot_pending: Option<Boot>,
    /// The override that the next start takes from the settings resource (quirk).
    pub boot_future: Option<Boot>,
    /// An override counts for nothing before then: its job is not scheduled (quirk).
    pub boot_scheduled: Option<Instant>,
    /// What was accepted and goes on.
    pub tasks: Tasks,
    /// The override that the last start found.
    pub boot_taken: Option<Boot>,
    /// Free text an owner may write.
    pub asset_tag: String,
    /// Another hand has written it right before the last PATCH (quirk).
    pub raced: bool,
    /// Sessions of Redfish.
    pub sessions: Sessions,
    /// Sessions of IPMI.
    pub rmcp: Table,
    /// What the BMC keeps beside power.
    pub device: Device,
    /// Wrong passwords in a row, and until when they lock the account.
    pub failures: u32,
    /// See above.
    pub locked_until: Option<Instant>,
    /// Counts power commands: a new one ends what is left of a power cycle.
    pub cycles: u64,
    /// When the BMC itself started.
    pub bmc_started: (SystemTime, Instant),
    /// The BMC is restarting.
    pub bmc_down: bool,
    /// Counts restarts of the BMC, so that an older one's end does nothing.
    pub bmc_boots: u64,
    /// Readings are wrong until then.
    pub early_until: Option<Instant>,
    /// Where the boot has come to, in Redfish's words, and when that was seen.
    pub progress: Option<(&'static str, SystemTime)>,
    /// Counts boots: each start, and each reset within one.
    pub boots: u64,
    /// Requests that changed something.
    pub recent: VecDeque<Recent>,
    /// Requests answered in all.
    pub requests: u64,
    /// The time of day that everybody else has.
    pub wall: Wall,
}

impl Boot {
    /// No override.
    pub fn none(mode: &str) -> Self {
        Self { enabled: "Disabled".into(), target: "None".into(), mode: mode.into(), uri: String::new(), expires: None }
    }

    /// It is used up, or its time is over.
    pub fn end(&mut self) {
        self.enabled = "Disabled".into();
        self.target = "None".into();
        self.expires = None;
    }
}

impl State {
    /// Before anything was done with it.
    pub(super) fn new(config: &Machine, wall: Wall) -> State {
        State {
            run: None,
            generation: 0,
            doom: None,
            restarting: false,
            powering_on_until: None,
            moved_at: now(),
            stuck_system: Reading::Is("Off"),
            stuck_chassis: Reading::Is("Off"),
            closed: false,
            supply: true,
            ran_at_loss: false,
            last_reset: None,
            policy: config.restore_policy,
            policy_pending: None,
            policy_wish: None,
            boot: Boot::none(&config.hardware.boot_mode),
            watcher: None,
            told: Cell::default(),
            heard: Cell::default(),
            boot_pending: None,
            boot_future: None,
            boot_scheduled: None,
            tasks: Tasks::default(),
            boot_taken: None,
            asset_tag: String::new(),
            raced: false,
            sessions: Sessions::default(),
            rmcp: Table::default(),
            device: Device::default(),
            failures: 0,
            locked_until: None,
            cycles: 0,
            // a BMC is found running; only a restart in its life makes it young
            bmc_started: (wall.now() - limits::UP_BEFORE, now()),
            bmc_down: false,
            bmc_boots: 0,
            early_until: None,
            progress: None,
            boots: 0,
            recent: VecDeque::new(),
            requests: 0,
            quirks: config.quirks.clone(),
            wall,
        }
    }

    /// Seconds since 1970 by the BMC's own clock.
    pub fn clock_s(&self) -> u32 {
        stamp::seconds(self.wall.now(), self.quirks.clock_offset_s)
    }

    /// A new boot of the machine begins.
    pub(super) fn reboots(&mut self) {
        self.boots += 1;
        self.progress = Some(("PrimaryProcessorInitializationStarted", self.wall.now()));
    }

    /// The machine's boot has come so far; the time is that of the first look.
    pub(super) fn comes_to(&mut self, stage: Stage) {
        if self.progress.is_none_or(|(word, _)| word != stage.word()) {
            self.progress = Some((stage.word(), self.wall.now()));
        }
    }

    /// The process that plays the machine, while that is not over.
    pub fn pid(&self) -> Option<i32> {
        self.run.and_then(|run| run.pid)
    }

    /// Idle time after which sessions end.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.quirks.session_timeout_ms)
    }

    /// True for a while after a power-off, where a quirk says so.
    pub fn is_settling(&self) -> bool {
        let settling = Duration::from_millis(self.quirks.redfish.settling_ms);
        self.run.is_none() && self.generation > 0 && since(self.moved_at) < settling
    }

    /// Every session is forgotten.
    pub fn forget_sessions(&mut self) {
        self.sessions.clear();
        self.rmcp.clear();
    }

    /// Writes what happened into the event log, and stops the watchdog of a machine that went off.
    pub(super) fn log(&mut self, what: &str) {
        let entry = match what {
            // one reset, not a power-off and a power-on
            "off" if self.restarting => return,
            "on" if self.restarting => Entry::Reset { by_system: false },
            "off" => Entry::PowerOff,
            "on" => Entry::PowerOn,
            "reset" => Entry::Reset { by_system: true },
            "power_return" => Entry::MainsLost,
            "bmc_up" => Entry::Started,
            _ => return,
        };
        if entry == Entry::PowerOff {
            self.device.watchdog.stop();
        }
        self.device.log.write(entry, self.clock_s(), self.quirks.ipmi_log_wraps);
    }

    /// A part of the machine fails, or is well again.
    pub fn happens(&mut self, mishap: Mishap) {
        if let Some(supply) = mishap.supply() {
            self.device.second_supply = supply;
        }
        self.device.log.write(Entry::Mishap(mishap), self.clock_s(), self.quirks.ipmi_log_wraps);
    }

    /// Remembers a request that changed something or tried to.
    pub fn remember(&mut self, recent: Recent) {
        if self.recent.len() >= limits::RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }
}

impl State {
    /// What System.PowerState reads now, lies included.
    pub fn system_power(&self) -> Reading {
        let told =
            fixed(self.quirks.power_state, self.stuck_system).or_else(|| self.early()).unwrap_or_else(|| self.system_truth());
        let at = Some(now());
        let off_at = if told == Reading::Is("Off") { at } else { self.told.get().off_at };
        self.told.set(Told { at, off_at });
        told
    }

    /// When System.PowerState was last read. For who carries what it says.
    pub fn told(&self) -> Told {
        self.told.get()
    }

    /// What was told by then has arrived where it was asked for. For who carries it.
    pub fn arrived(&self, told: Told) {
        let heard = self.heard.get();
        self.heard.set(Told { at: heard.at.max(told.at), off_at: heard.off_at.max(told.off_at) });
    }

    /// When the newest reading that has arrived was made. For judges.
    pub fn heard(&self) -> Told {
        self.heard.get()
    }

    /// What Chassis.PowerState (the rail) reads now, lies included.
    pub fn chassis_power(&self) -> Reading {
        fixed(self.quirks.chassis_power, self.stuck_chassis).or_else(|| self.early()).unwrap_or_else(|| self.chassis_truth())
    }

    fn early(&self) -> Option<Reading> {
        self.early_until.filter(|until| now() < *until).map(|_| match self.quirks.bmc_early_reading {
            EarlyReading::Off => Reading::Is("Off"),
            EarlyReading::Null => Reading::Null,
            EarlyReading::Error => Reading::Unavailable,
        })
    }

    fn system_truth(&self) -> Reading {
        if self.restarting {
            return Reading::Is("On");
        }
        if self.run.is_none() {
            return Reading::Is("Off");
        }
        if let Some(doom) = self.doom {
            return Reading::Is(doom.shown);
        }
        let powering_on = self.powering_on_until.is_some_and(|until| now() < until);
        Reading::Is(if powering_on { "PoweringOn" } else { "On" })
    }

    fn chassis_truth(&self) -> Reading {
        let leads = self.quirks.chassis_leads && self.doom.is_some();
        let on = (self.run.is_some() || self.restarting) && !leads;
        let lags = since(self.moved_at) < Duration::from_millis(self.quirks.chassis_lag_ms);
        Reading::Is(if on != lags { "On" } else { "Off" })
    }
}
