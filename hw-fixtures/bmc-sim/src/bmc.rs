//! One BMC with its machine: what is true (the process), what was set, and what it says about both.
//! Must never say Off truthfully before the machine's process is reaped; every other Off is a quirk someone asked for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};

use crate::clock;
use crate::config::{MachineConfig, RestorePolicy, Secret};
use crate::device::{Device, Entry, Mishap};
use crate::limits;
use crate::progress::Progress;
use crate::quirks::{AccountState, EarlyReading, PowerReading, Quirks, Reach, SettingBehaviour};
use crate::reading::{Reading, fixed};
use crate::rmcp::Table;
use crate::sessions::Sessions;
use crate::tasks::Tasks;
use crate::tls::Identity;

/// Something that happened to a machine, told to whoever watches.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// CLOCK_MONOTONIC, ns: comparable between processes.
    pub monotonic_ns: u64,
    /// The machine.
    pub name: String,
    /// `on`, `off`, `frozen`, `thawed`, `reset`, `power_loss`, `power_return`, `bmc_down`, `bmc_up`.
    pub what: &'static str,
    /// The machine's process, where there is one.
    pub pid: Option<i32>,
    /// Why, in Redfish's words where it has some.
    pub cause: String,
}

/// Whether the port answers, and how often that was interrupted: connections of an older epoch are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// What new connections meet.
    pub reach: Reach,
    /// Grows whenever the BMC stops answering.
    pub epoch: u64,
    /// Grows with every change.
    pub serial: u64,
}

/// A power-off that was accepted and is not finished.
#[derive(Debug, Clone, Copy)]
pub struct Doom {
    /// What the System's PowerState reads meanwhile.
    pub shown: &'static str,
}

/// The machine's process, not yet reaped.
#[derive(Debug)]
pub struct Process {
    /// The child; its pid stays ours until it is reaped.
    pub child: std::process::Child,
    /// Which start this is.
    pub generation: u64,
    /// Commands for its monitor.
    pub monitor: Option<mpsc::Sender<&'static str>>,
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
    /// CLOCK_MONOTONIC, ns.
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

/// Everything that changes.
#[derive(Debug)]
pub struct State {
    /// The lies of the moment.
    pub quirks: Quirks,
    /// The truth about power: Some until reaped.
    pub process: Option<Process>,
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
    /// When the monitor last told a reset of this start.
    pub reset_seen: Option<Instant>,
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
    /// Where the boot has come to.
    pub progress: Progress,
    /// Requests that changed something.
    pub recent: VecDeque<Recent>,
    /// Requests answered in all.
    pub requests: u64,
    /// The certificate in use; None: it speaks no Redfish.
    pub identity: Option<Identity>,
}

/// What nobody is told.
#[derive(Debug)]
pub struct Secrets {
    /// The account's password.
    pub password: Secret,
    /// The BMC key of IPMI, where there is one.
    pub key: Option<Vec<u8>>,
}

/// Where a BMC is met.
#[derive(Debug)]
pub struct Faces {
    /// Redfish, where it speaks that.
    pub redfish: SocketAddr,
    /// Its certificate; None: it does not speak it.
    pub identity: Option<Identity>,
    /// IPMI, where it speaks that.
    pub ipmi: Option<SocketAddr>,
}

/// A BMC and its machine.
#[derive(Debug)]
pub struct Bmc {
    /// As configured.
    pub config: MachineConfig,
    /// Password and key.
    pub(crate) secrets: Secrets,
    /// Namespace for the machine's process.
    pub(crate) hall: Option<PathBuf>,
    /// Where it speaks Redfish.
    pub address: SocketAddr,
    /// Where it speaks IPMI.
    pub ipmi: Option<SocketAddr>,
    /// Power operations run one at a time.
    pub(crate) lever: tokio::sync::Mutex<()>,
    /// Bumped at every start and every reaping.
    pub(crate) moved: watch::Sender<u64>,
    /// Whether the port answers.
    pub(crate) link: watch::Sender<Link>,
    /// The link's serial that the port of Redfish has put in force.
    pub(crate) served: watch::Sender<u64>,
    /// The same of the port of IPMI.
    pub(crate) served_ipmi: watch::Sender<u64>,
    /// The same for whoever listens to the BMC's own event stream.
    pub(crate) events: broadcast::Sender<&'static str>,
    /// Changes for watchers.
    pub(crate) changes: broadcast::Sender<Change>,
    state: Mutex<State>,
}

impl Bmc {
    /// A BMC whose machine is off.
    pub(crate) fn new(
        config: MachineConfig,
        secrets: Secrets,
        hall: Option<PathBuf>,
        faces: Faces,
        changes: broadcast::Sender<Change>,
    ) -> Arc<Self> {
        let quirks = config.quirks.clone();
        let link = Link { reach: quirks.reach, epoch: 0, serial: 0 };
        let state = State {
            process: None,
            generation: 0,
            doom: None,
            restarting: false,
            powering_on_until: None,
            moved_at: Instant::now(),
            stuck_system: Reading::Is("Off"),
            stuck_chassis: Reading::Is("Off"),
            closed: false,
            supply: true,
            ran_at_loss: false,
            last_reset: None,
            reset_seen: None,
            policy: config.restore_policy,
            policy_pending: None,
            policy_wish: None,
            boot: Boot::none(&config.hardware.boot_mode),
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
            bmc_started: (SystemTime::now() - limits::UP_BEFORE, Instant::now()),
            bmc_down: false,
            bmc_boots: 0,
            early_until: None,
            progress: Progress::default(),
            recent: VecDeque::new(),
            requests: 0,
            identity: faces.identity,
            quirks,
        };
        // a port that does not exist is never waited for
        let served = |exists: bool| watch::Sender::new(if exists { 0 } else { u64::MAX });
        Arc::new(Self {
            served: served(config.redfish),
            served_ipmi: served(faces.ipmi.is_some()),
            config,
            secrets,
            hall,
            address: faces.redfish,
            ipmi: faces.ipmi,
            lever: tokio::sync::Mutex::new(()),
            moved: watch::Sender::new(0),
            link: watch::Sender::new(link),
            events: broadcast::Sender::new(limits::EVENTS_KEPT),
            changes,
            state: Mutex::new(state),
        })
    }

    /// The state; never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.boot.expires.is_some_and(|at| at <= Instant::now()) {
            state.boot.end();
        }
        state
    }

    /// True for the account's name and password, if it can log in at this moment; a wrong password counts.
    pub(crate) fn knows(&self, user: &[u8], password: &[u8]) -> bool {
        let usable = {
            let state = self.state();
            matches!(state.quirks.account, AccountState::Usable | AccountState::ShortPassword)
                && state.locked_until.is_none_or(|until| until <= Instant::now())
        };
        if user != self.config.user.as_bytes() || !usable {
            return false;
        }
        let right = self.secrets.password.is(password);
        if right {
            self.state().failures = 0;
        } else {
            self.failed_login();
        }
        right
    }

    /// Somebody named the account and did not know its password.
    pub(crate) fn failed_login(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.quirks.lockout_after > 0 && state.failures >= state.quirks.lockout_after {
            state.locked_until = Some(Instant::now() + Duration::from_millis(state.quirks.lockout_ms));
            state.failures = 0;
        }
    }

    /// Tells the watchers, and the BMC's own event log.
    pub(crate) fn tell(&self, what: &'static str, pid: Option<i32>, cause: impl Into<String>) {
        self.state().log(what);
        let change =
            Change { monotonic_ns: clock::monotonic_ns(), name: self.config.name.clone(), what, pid, cause: cause.into() };
        tracing::info!(machine = %change.name, what, pid, cause = %change.cause, "change");
        // Nobody watching is no error.
        let _ = self.changes.send(change);
        let _ = self.events.send(what);
    }

    /// The simulator ends: no start any more, the machine is killed, connections are closed.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.refresh_link();
        // Refused only if it is off already.
        let _ = self.signal(nix::sys::signal::Signal::SIGKILL);
    }

    /// Puts new quirks in force; what they withheld (pending settings) takes effect when they go away.
    pub(crate) fn set_quirks(&self, quirks: Quirks) {
        {
            let mut state = self.state();
            let stuck = |before: PowerReading, after: PowerReading| before != PowerReading::Stuck && after == PowerReading::Stuck;
            if stuck(state.quirks.power_state, quirks.power_state) {
                state.stuck_system = state.system_power();
            }
            if stuck(state.quirks.chassis_power, quirks.chassis_power) {
                state.stuck_chassis = state.chassis_power();
            }
            state.quirks = quirks;
            if state.quirks.restore_policy != SettingBehaviour::Pending
                && let Some(policy) = state.policy_pending.take()
            {
                state.policy = policy;
            }
            if state.quirks.boot_override != SettingBehaviour::Pending
                && let Some(boot) = state.boot_pending.take()
            {
                state.boot = boot;
            }
        }
        self.refresh_link();
        self.nudge();
    }

    /// Lets every event stream look whether it still stands.
    pub(crate) fn nudge(&self) {
        // Nobody listening is no error.
        let _ = self.events.send("");
    }

    /// Works out anew whether the port answers, after anything that bears on it.
    pub(crate) fn refresh_link(&self) {
        let reach = {
            let state = self.state();
            match (state.closed, state.supply && !state.bmc_down) {
                (true, _) => Reach::Refuse,
                (false, true) => state.quirks.reach,
                (false, false) => Reach::Unreachable,
            }
        };
        self.link.send_if_modified(|link| {
            if link.reach == reach {
                return false;
            }
            link.epoch += u64::from(link.reach == Reach::Answering);
            link.reach = reach;
            link.serial += 1;
            true
        });
    }

    /// Waits until the port behaves as was last decided, so that who commanded a fault can count on it.
    pub(crate) async fn settled(&self) {
        let serial = self.link.borrow().serial;
        let (mut redfish, mut ipmi) = (self.served.subscribe(), self.served_ipmi.subscribe());
        let done = async {
            let _ = redfish.wait_for(|served| *served >= serial).await;
            let _ = ipmi.wait_for(|served| *served >= serial).await;
        };
        if tokio::time::timeout(limits::SETTLE_WAIT, done).await.is_err() {
            tracing::warn!(machine = %self.config.name, "the port is slow to follow");
        }
    }

    /// The BMC restarts itself: away, sessions lost, readings wrong for a while. The machine runs on.
    pub(crate) fn restart_bmc(self: &Arc<Self>, away: Duration, early: Duration, cause: &str) {
        let boot = {
            let mut state = self.state();
            state.bmc_down = true;
            state.bmc_boots += 1;
            state.forget_sessions();
            state.device.restart();
            state.bmc_boots
        };
        self.refresh_link();
        self.tell("bmc_down", None, cause);
        let bmc = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(away).await;
            bmc.bmc_is_up(boot, early).await;
        });
    }

    /// The BMC has started, unless a later restart of it is under way.
    pub(crate) async fn bmc_is_up(&self, boot: u64, early: Duration) {
        {
            let mut state = self.state();
            if state.bmc_boots != boot {
                return;
            }
            state.bmc_down = false;
            state.bmc_started = (SystemTime::now(), Instant::now());
            state.early_until = (!early.is_zero()).then(|| Instant::now() + early);
        }
        self.refresh_link();
        self.settled().await;
        self.tell("bmc_up", None, "");
    }
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
    /// The process group of the machine, while it is not reaped.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().and_then(|p| i32::try_from(p.child.id()).ok())
    }

    /// Idle time after which sessions end.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.quirks.session_timeout_ms)
    }

    /// True for a while after a power-off, where a quirk says so.
    pub fn is_settling(&self) -> bool {
        let settling = Duration::from_millis(self.quirks.redfish.settling_ms);
        self.process.is_none() && self.generation > 0 && self.moved_at.elapsed() < settling
    }

    /// Every session is forgotten.
    pub fn forget_sessions(&mut self) {
        self.sessions.clear();
        self.rmcp.clear();
    }

    /// Writes what happened into the event log, and stops the watchdog of a machine that went off.
    fn log(&mut self, what: &str) {
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
        self.device.log.write(entry, clock::seconds(SystemTime::now(), self.quirks.clock_offset_s), self.quirks.ipmi_log_wraps);
    }

    /// A part of the machine fails, or is well again.
    pub fn happens(&mut self, mishap: Mishap) {
        if let Some(supply) = mishap.supply() {
            self.device.second_supply = supply;
        }
        self.device.log.write(
            Entry::Mishap(mishap),
            clock::seconds(SystemTime::now(), self.quirks.clock_offset_s),
            self.quirks.ipmi_log_wraps,
        );
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
        fixed(self.quirks.power_state, self.stuck_system).or_else(|| self.early()).unwrap_or_else(|| self.system_truth())
    }

    /// What Chassis.PowerState (the rail) reads now, lies included.
    pub fn chassis_power(&self) -> Reading {
        fixed(self.quirks.chassis_power, self.stuck_chassis).or_else(|| self.early()).unwrap_or_else(|| self.chassis_truth())
    }

    fn early(&self) -> Option<Reading> {
        self.early_until.filter(|until| Instant::now() < *until).map(|_| match self.quirks.bmc_early_reading {
            EarlyReading::Off => Reading::Is("Off"),
            EarlyReading::Null => Reading::Null,
            EarlyReading::Error => Reading::Unavailable,
        })
    }

    fn system_truth(&self) -> Reading {
        if self.restarting {
            return Reading::Is("On");
        }
        if self.process.is_none() {
            return Reading::Is("Off");
        }
        if let Some(doom) = self.doom {
            return Reading::Is(doom.shown);
        }
        let powering_on = self.powering_on_until.is_some_and(|until| Instant::now() < until);
        Reading::Is(if powering_on { "PoweringOn" } else { "On" })
    }

    fn chassis_truth(&self) -> Reading {
        let leads = self.quirks.chassis_leads && self.doom.is_some();
        let on = (self.process.is_some() || self.restarting) && !leads;
        let lags = self.moved_at.elapsed() < Duration::from_millis(self.quirks.chassis_lag_ms);
        Reading::Is(if on != lags { "On" } else { "Off" })
    }
}
