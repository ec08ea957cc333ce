//! One BMC with its machine: what is true (its host), what was set, and what it says about both. Bytes and requests go in, answers come
//! out; who carries them is not its business, nor what its host is made of.
//!
//! Whoever carries requests opens a [`redfish::Connection`], whoever carries packets an [`ipmi::Port`]; both look at [`Bmc::link`], which
//! says whether the BMC can be reached at all. What happens to a machine or its BMC from outside (mains, accidents, quirks) are methods of
//! [`Bmc`]; what happens within the machine its [`Host`] tells.
//!
//! Must never say Off truthfully before the host says that a start's life has ended; every other Off is a quirk someone asked for. Must
//! never ask the machine it runs on for time or chance: both are given.

mod command;
mod device;
mod error;
pub mod host;
pub mod ipmi;
pub mod limits;
mod machine;
mod power;
mod quirks;
mod reading;
pub mod redfish;
pub mod rmcp;
mod sensing;
mod sessions;
mod stamp;
#[cfg(test)]
mod stand_in;
mod state;
#[cfg(test)]
mod story;
mod tasks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::clock::{Ticks, Wall, now};
use crate::dice::Dice;
use crate::watch;

pub use command::{Answered, Reset};
pub use device::{Entry, Mishap};
pub use error::Error;
pub use host::{Host, Stage};
pub use machine::{Hardware, Machine, Neighbour, Nic, RestorePolicy, Secret};
pub use power::Outcome;
pub use quirks::{
    AccountState, BootPlace, EarlyReading, ErrorScope, EtagBehaviour, EventStream, GuidOrder, ModeFlip, ModeProperty, NoEffect,
    PolicyAttribute, PowerReading, Privilege, Quirks, Reach, RedfishQuirks, ResetBehaviour, ResetTimeReading, RoleHashing,
    SettingBehaviour, StrongSuite, TaskBehaviour,
};
pub use reading::Reading;
pub use state::{BiosWish, Boot, Recent, Run, State, Told};

use state::Doom;

/// Something that happened to a machine, told to whoever watches.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// When, by the BMC's ticks.
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

/// What nobody is told.
#[derive(Debug)]
pub struct Secrets {
    /// The account's password.
    pub password: Secret,
    /// The BMC key of IPMI, where there is one.
    pub key: Option<Vec<u8>>,
}

/// The ports that follow a BMC's link by themselves, as sockets do: who changes the link may wait for them ([`Bmc::settled`]).
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// That of Redfish.
    pub redfish: bool,
    /// That of IPMI.
    pub ipmi: bool,
}

/// All that a BMC takes from around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Its machine, which is off.
    pub host: Arc<dyn Host>,
    /// The time of day that everybody else has.
    pub wall: Wall,
    /// By what its changes are stamped.
    pub ticks: Ticks,
    /// Session ids, tokens, nonces, noise: from here alone.
    pub dice: Dice,
    /// Who follows its link.
    pub ports: Ports,
    /// Where its changes are told.
    pub changes: broadcast::Sender<Change>,
}

/// A BMC and its machine.
#[derive(Debug)]
pub struct Bmc {
    /// As configured.
    pub config: Machine,
    /// Password and key.
    secrets: Secrets,
    /// The machine.
    host: Arc<dyn Host>,
    /// By what changes are stamped.
    ticks: Ticks,
    /// Chance.
    dice: Dice,
    /// Power operations run one at a time.
    lever: tokio::sync::Mutex<()>,
    /// Bumped at every start and every end of one.
    moved: watch::Sender<u64>,
    /// Whether the port answers.
    link: watch::Sender<Link>,
    /// The link's serial that the port of Redfish has put in force.
    served: watch::Sender<u64>,
    /// The same of the port of IPMI.
    served_ipmi: watch::Sender<u64>,
    /// The same for whoever listens to the BMC's own event stream.
    events: broadcast::Sender<&'static str>,
    /// Changes for watchers.
    changes: broadcast::Sender<Change>,
    state: Mutex<State>,
}

impl Bmc {
    /// A BMC whose machine is off.
    pub fn new(config: Machine, secrets: Secrets, surroundings: Surroundings) -> Arc<Self> {
        let Surroundings { host, wall, ticks, dice, ports, changes } = surroundings;
        let link = Link { reach: config.quirks.reach, epoch: 0, serial: 0 };
        let state = State::new(&config, wall);
        // a port that does not exist is never waited for
        let served = |exists: bool| watch::Sender::new(if exists { 0 } else { u64::MAX });
        Arc::new(Self {
            served: served(ports.redfish),
            served_ipmi: served(ports.ipmi),
            config,
            secrets,
            host,
            ticks,
            dice,
            lever: tokio::sync::Mutex::new(()),
            moved: watch::Sender::new(0),
            link: watch::Sender::new(link),
            events: broadcast::Sender::new(limits::EVENTS_KEPT),
            changes,
            state: Mutex::new(state),
        })
    }

    /// Whether it can be reached, as it is and as it changes: whoever carries packets and requests to it asks here first.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The port of Redfish has put the link of this serial in force.
    pub fn redfish_follows(&self, serial: u64) {
        self.served.set(serial);
    }

    /// The port of IPMI has put the link of this serial in force.
    pub fn ipmi_follows(&self, serial: u64) {
        self.served_ipmi.set(serial);
    }

    /// The state; never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.boot.expires.is_some_and(|at| at <= now()) {
            state.boot.end();
        }
        state
    }

    /// True for the account's name and password, if it can log in at this moment; a wrong password counts.
    fn knows(&self, user: &[u8], password: &[u8]) -> bool {
        let usable = {
            let state = self.state();
            matches!(state.quirks.account, AccountState::Usable | AccountState::ShortPassword)
                && state.locked_until.is_none_or(|until| until <= now())
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
    fn failed_login(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.quirks.lockout_after > 0 && state.failures >= state.quirks.lockout_after {
            state.locked_until = Some(now() + Duration::from_millis(state.quirks.lockout_ms));
            state.failures = 0;
        }
    }

    /// Tells the watchers, and the BMC's own event log.
    fn tell(&self, what: &'static str, pid: Option<i32>, cause: impl Into<String>) {
        self.state().log(what);
        let change = Change { monotonic_ns: self.ticks.now_ns(), name: self.config.name.clone(), what, pid, cause: cause.into() };
        tracing::info!(machine = %change.name, what, pid, cause = %change.cause, "change");
        // Nobody watching is no error.
        let _ = self.changes.send(change);
        let _ = self.events.send(what);
    }

    /// The simulator ends: no start any more, the machine is killed, connections are closed.
    pub fn close(&self) {
        self.state().closed = true;
        self.refresh_link();
        // Refused only if it is off already.
        let _ = self.host.kill();
    }

    /// Puts new quirks in force; what they withheld (pending settings) takes effect when they go away.
    pub fn set_quirks(&self, quirks: Quirks) {
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
    pub fn nudge(&self) {
        // Nobody listening is no error.
        let _ = self.events.send("");
    }

    /// Works out anew whether the port answers, after anything that bears on it.
    fn refresh_link(&self) {
        let reach = {
            let state = self.state();
            match (state.closed, state.supply && !state.bmc_down) {
                (true, _) => Reach::Refuse,
                (false, true) => state.quirks.reach,
                (false, false) => Reach::Unreachable,
            }
        };
        self.link.change(|link| {
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
    pub async fn settled(&self) {
        let serial = self.link.get().serial;
        let (mut redfish, mut ipmi) = (self.served.subscribe(), self.served_ipmi.subscribe());
        let done = async {
            redfish.wait_for(|served| served >= serial).await;
            ipmi.wait_for(|served| served >= serial).await;
        };
        if tokio::time::timeout(limits::SETTLE_WAIT, done).await.is_err() {
            tracing::warn!(machine = %self.config.name, "the port is slow to follow");
        }
    }

    /// The BMC restarts itself: away, sessions lost, readings wrong for a while. The machine runs on.
    pub fn restart_bmc(self: &Arc<Self>, away: Duration, early: Duration, cause: &str) {
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
    async fn bmc_is_up(&self, boot: u64, early: Duration) {
        {
            let mut state = self.state();
            if state.bmc_boots != boot {
                return;
            }
            state.bmc_down = false;
            state.bmc_started = (state.wall.now(), now());
            state.early_until = (!early.is_zero()).then(|| now() + early);
        }
        self.refresh_link();
        self.settled().await;
        self.tell("bmc_up", None, "");
    }
}
