//! What is being seen: the newest observation of each thing and since when it has been so. Volatile: empty after a restart.

use crate::ledger::Consented;
use crate::record::Subject;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vocabulary::boot::BootStep;
use vocabulary::check::CheckOutcome;
use vocabulary::estate::Estate;
use vocabulary::network::PortReading;
use vocabulary::power::MachineReading;
use vocabulary::request::{AgentHello, Resource};
use vocabulary::{
    AgentBootId, AgentId, Epoch, Instant, MachineId, OpId, PortId, ServerId, SiteId, Span, SwitchId, VolumeId, WallTime,
};

/// How many boot contacts are kept per machine.
pub const CONTACTS_MAX: usize = 32;
/// How often a server's suspicion may begin or end on record within `TOLD_WINDOW`: one that flaps cannot fill the journal.
pub const TOLD_MAX: usize = 12;
/// See `TOLD_MAX`.
pub const TOLD_WINDOW: Span = Span::seconds(600);
/// A crashed kernel that is not heard for so long, and is heard again, has crashed again.
pub const SAME_DUMP: Span = Span::seconds(300);
/// A controller may have been blind for so long before its canaries told: they are asked every 2 s, and have a second.
pub const BLIND_BEFORE: Span = Span::seconds(4);
/// The controller as a vantage point.
pub const CONTROLLER: &str = "controller";

/// Resources by agent, as `Ledger::confirmed` keeps them.
pub type Kept = (String, Resource);

/// An agent's confirmation of a newer command: what it stood at before, and when it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rise {
    /// The one before.
    pub before: OpId,
    /// When.
    pub at: Instant,
}

/// So many former lives of an agent are told apart from new ones.
pub const FORMER_LIVES: usize = 8;

/// The lives of one agent, as its hellos have told them to this life of the controller.
#[derive(Debug)]
pub struct Lives {
    /// The present one.
    pub now: AgentBootId,
    /// When it was first heard, if another was heard before it.
    pub since: Option<Instant>,
    /// Those before it, oldest first.
    former: VecDeque<AgentBootId>,
}

/// Which of an agent's lives has said something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// One that was not heard before: from now on it is the present one.
    New,
    /// The present one.
    Present,
    /// One that is over.
    Former,
}

/// All that is being watched.
#[derive(Debug, Default)]
pub struct Watch {
    /// Machines.
    pub machines: BTreeMap<MachineId, MachineWatch>,
    /// Servers.
    pub servers: BTreeMap<ServerId, ServerWatch>,
    /// Volumes.
    pub volumes: BTreeMap<VolumeId, VolumeWatch>,
    /// Ports.
    pub ports: BTreeMap<PortId, PortReading>,
    /// What agents have confirmed in this life, lately, oldest first.
    pub rises: BTreeMap<Kept, Vec<Rise>>,
    /// The last epoch that was drawn before this life.
    pub drawn_before: Epoch,
    /// Which store each agent obeys, by its last hello; empty until its first one in this life.
    pub stores: BTreeMap<String, String>,
    /// Each agent's lives.
    pub lives: BTreeMap<String, Lives>,
    /// What each agent said last, while it is to be adopted.
    pub gates: BTreeMap<String, Gate>,
    /// When agents were seeded from the ledger in this life.
    pub readopted: BTreeMap<String, Instant>,
    /// Since when no canary answers.
    pub blind_since: Option<Instant>,
    /// Machines whose server is or was under suspicion; kept for the guard's window after that.
    pub suspicions: BTreeMap<MachineId, Suspicion>,
    /// When a suspicion of a server began or ended on record lately, oldest first.
    pub told: BTreeMap<ServerId, VecDeque<Instant>>,
    /// When what is in maintenance, until that wall-clock time, ends by this life's own clock.
    pub maintained: BTreeMap<(Subject, WallTime), Instant>,
    /// Until when the word of those who agreed holds, by this life's own clock.
    pub consents: BTreeMap<Consented, Instant>,
    /// Servers whose machines live and whose services do not.
    pub ill: BTreeSet<ServerId>,
    /// When something moved last in the start of a site that is under way.
    pub cold_starts: BTreeMap<SiteId, Instant>,
    /// When it was looked at last whose turn it is.
    pub power_ons: BTreeMap<SiteId, Instant>,
    /// Since when a server whose turn it would be lacks something for it.
    pub lacking: BTreeMap<ServerId, Instant>,
    /// Alarms that were raised and whose cause lasts, so that each is raised once.
    pub alarms: BTreeSet<String>,
}

/// What an agent's gate keeps, as it says, and what of it the store knows better.
#[derive(Debug)]
pub struct Gate {
    /// When it was asked.
    pub asked: Instant,
    /// Its hello.
    pub hello: AgentHello,
    /// What it has forgotten, in sentences.
    pub forgotten: Vec<String>,
}

impl Watch {
    /// A controller that was blind has seen silence where there was none: every silence that began then begins anew. One that began so long before that
    /// it was not blind yet stands.
    pub fn sees_again(&mut self, blind_since: Instant, now: Instant) {
        let doubtful = |since: &Instant| Instant(since.0.saturating_add(BLIND_BEFORE.0)) >= blind_since;
        let own = |(vantage, _): &(&AgentId, &mut VantageWatch)| vantage.as_str() == CONTROLLER;
        let told = self.servers.values_mut().flat_map(|server| server.vantages.iter_mut().filter(own));
        for since in told.filter_map(|(_, told)| told.silent_since.as_mut()).filter(|since| doubtful(since)) {
            *since = now;
        }
        let failing = self.machines.values_mut().filter_map(|machine| machine.failing_since.as_mut());
        for since in failing.filter(|since| doubtful(since)) {
            *since = now;
        }
    }

    /// Takes in that this life of an agent has said something, on a question of `asked`. A life that answers what was asked after its successor was
    /// heard has come back, as a virtual machine does that is put back to a snapshot of its memory: it is as good as new.
    pub fn hears(&mut self, agent: &str, boot: &AgentBootId, asked: Instant, now: Instant) -> Life {
        let Some(lives) = self.lives.get_mut(agent) else {
            let lives = Lives { now: boot.clone(), since: None, former: VecDeque::new() };
            self.lives.insert(agent.to_owned(), lives);
            return Life::New;
        };
        if lives.now == *boot {
            return Life::Present;
        }
        if lives.former.contains(boot) && lives.since.is_some_and(|since| asked < since) {
            return Life::Former;
        }
        lives.former.retain(|former| former != boot);
        if lives.former.len() == FORMER_LIVES {
            lives.former.pop_front();
        }
        lives.former.push_back(std::mem::replace(&mut lives.now, boot.clone()));
        lives.since = Some(now);
        Life::New
    }

    /// True if one more change of a server's suspicion may be told now; it is counted.
    pub fn may_tell(&mut self, server: &ServerId, now: Instant) -> bool {
        let told = self.told.entry(server.clone()).or_default();
        told.retain(|at| now.since(*at) < TOLD_WINDOW);
        let may = told.len() < TOLD_MAX;
        if may {
            told.push_back(now);
        }
        may
    }
}

/// The vantage points from which health checks are run: the controller itself, and each agent that the estate names as one.
pub fn vantages(estate: &Estate) -> Vec<AgentId> {
    let own: Option<AgentId> = CONTROLLER.parse().ok();
    let agents = estate.switches.iter().filter(|(_, switch)| switch.vantage).filter_map(|(id, _)| id.as_str().parse().ok());
    own.into_iter().chain(agents).collect()
}

/// True if the documents name it as one of them.
pub fn is_vantage(estate: &Estate, vantage: &AgentId) -> bool {
    let switch = || vantage.as_str().parse().ok().and_then(|id: SwitchId| estate.switches.get(&id));
    vantage.as_str() == CONTROLLER || switch().is_some_and(|switch| switch.vantage)
}

/// Since when a machine is suspect without a break, and when it was last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspicion {
    /// Since when.
    pub first: Instant,
    /// When it was last.
    pub last: Instant,
}

/// One machine.
#[derive(Debug, Default)]
pub struct MachineWatch {
    /// The last good reading.
    pub last: Option<(Instant, MachineReading)>,
    /// Since when every try failed.
    pub failing_since: Option<Instant>,
    /// The last failure's text.
    pub failure: Option<String>,
    /// Since when every good reading said Off on all sources, with no failure in between.
    pub off_since: Option<Instant>,
    /// How many did.
    pub off_reads: u32,
    /// When the last reset was seen to move, or firmware to begin a boot.
    pub reset_moved: Option<Instant>,
    /// When the machine was first seen to reset itself or to boot since its server was last well: a machine that only ever boots is not
    /// granted a new boot time by each try.
    pub away_since: Option<Instant>,
    /// Recent boot contacts.
    pub contacts: VecDeque<(Instant, BootStep)>,
    /// How many looks in a row have found fewer signs of failures to come than are recorded.
    pub looks_without: u32,
}

/// One server.
#[derive(Debug, Default)]
pub struct ServerWatch {
    /// Vantage points.
    pub vantages: BTreeMap<AgentId, VantageWatch>,
    /// Since when its kernel is told to write its memory away, and when that was told last; until it is healthy.
    pub dumping: Option<(Instant, Instant)>,
}

/// One server from one vantage point.
#[derive(Debug)]
pub struct VantageWatch {
    /// What it saw last.
    pub outcome: CheckOutcome,
    /// When.
    pub at: Instant,
    /// When it had seen something before that: it looks again after it has told, so this was not asked for earlier.
    pub asked_after: Option<Instant>,
    /// Since when it has been silent.
    pub silent_since: Option<Instant>,
    /// Since when it has been answered, and not as it should be.
    pub wrong_since: Option<Instant>,
    /// Since when it has been healthy.
    pub healthy_since: Option<Instant>,
    /// When it was healthy last, in this life.
    pub healthy_at: Option<Instant>,
}

/// One volume.
#[derive(Debug)]
pub struct VolumeWatch {
    /// Operations at the last reading.
    pub operations: Option<u64>,
    /// When it was read first since the start of this controller.
    pub first_read: Instant,
    /// When it was read last.
    pub last_read: Instant,
    /// When the counter was last seen to grow.
    pub grew_at: Option<Instant>,
    /// Initiators in session at the last reading.
    pub sessions: BTreeSet<String>,
}

/// True if the firmware tells of a boot that the reading before did not. `OSRunning` and `None` tell of no boot that is under way (Redfish schema
/// `ComputerSystem`, `BootProgress.LastState`).
fn began_to_boot(before: &MachineReading, reading: &MachineReading) -> bool {
    let told = before.boot_progress.as_ref().zip(reading.boot_progress.as_ref());
    told.is_some_and(|(before, now)| before != now && !matches!(now.as_str(), "OSRunning" | "None"))
}

impl MachineWatch {
    /// Folds a poll in.
    pub fn observe(&mut self, now: Instant, reading: Result<MachineReading, String>) {
        match reading {
            Ok(reading) => {
                let moved = self.last.as_ref().is_some_and(|(_, before)| {
                    let reset = before.last_reset.is_some() && reading.last_reset.is_some();
                    (reset && before.last_reset != reading.last_reset) || began_to_boot(before, &reading)
                });
                if moved {
                    self.reset_moved = Some(now);
                    self.away_since.get_or_insert(now);
                }
                if reading.all_off() {
                    self.off_since.get_or_insert(now);
                    self.off_reads = self.off_reads.saturating_add(1);
                } else {
                    self.off_since = None;
                    self.off_reads = 0;
                }
                self.failing_since = None;
                self.failure = None;
                self.last = Some((now, reading));
            }
            Err(text) => {
                // Unknown is never Off: a failure ends every window of Off
                self.off_since = None;
                self.off_reads = 0;
                self.failing_since.get_or_insert(now);
                self.failure = Some(text);
            }
        }
    }

    /// Folds a boot contact in.
    pub fn contact(&mut self, now: Instant, step: BootStep) {
        if self.contacts.len() == CONTACTS_MAX {
            self.contacts.pop_front();
        }
        self.contacts.push_back((now, step));
        self.away_since.get_or_insert(now);
    }

    /// Its server is healthy since then. One that is healthy since before the reset was noticed may only not have been missed yet.
    pub fn back(&mut self, now: Instant, healthy_since: Instant, window: Span) {
        if self.away_since.is_some_and(|away| healthy_since > away || now.since(away) > window) {
            self.away_since = None;
        }
    }
}

impl ServerWatch {
    /// Folds a check in.
    pub fn observe(&mut self, now: Instant, vantage: AgentId, outcome: CheckOutcome) {
        match outcome {
            CheckOutcome::Dumping(_) => {
                let same = self.dumping.filter(|(_, last)| now.since(*last) < SAME_DUMP);
                self.dumping = Some((same.map_or(now, |(first, _)| first), now));
            }
            CheckOutcome::Healthy => self.dumping = None,
            _ => {}
        }
        let before = self.vantages.remove(&vantage);
        let since =
            |is_so: bool, so: fn(&VantageWatch) -> Option<Instant>| is_so.then(|| before.as_ref().and_then(so).unwrap_or(now));
        let silent_since = since(matches!(outcome, CheckOutcome::Silent(_)), |before| before.silent_since);
        let wrong_since = since(matches!(outcome, CheckOutcome::Wrong(_)), |before| before.wrong_since);
        let healthy_since = since(matches!(outcome, CheckOutcome::Healthy), |before| before.healthy_since);
        let healthy_at = if healthy_since.is_some() { Some(now) } else { before.as_ref().and_then(|before| before.healthy_at) };
        let asked_after = before.map(|before| before.at);
        let seen = VantageWatch { outcome, at: now, asked_after, silent_since, wrong_since, healthy_since, healthy_at };
        self.vantages.insert(vantage, seen);
    }

    /// Forgets everything: the server has moved to another machine.
    pub fn forget(&mut self) {
        self.vantages.clear();
        self.dumping = None;
    }
}

impl VolumeWatch {
    /// Folds a reading in.
    pub fn observe(
        before: Option<VolumeWatch>,
        now: Instant,
        operations: Option<u64>,
        sessions: BTreeSet<String>,
    ) -> VolumeWatch {
        let Some(before) = before else {
            return VolumeWatch { operations, first_read: now, last_read: now, grew_at: None, sessions };
        };
        // a counter that fell was reset with its target: growth is not known, so it counts as a sign of life
        let grew = match (before.operations, operations) {
            (Some(old), Some(new)) => old != new,
            _ => false,
        };
        VolumeWatch {
            operations,
            first_read: before.first_read,
            last_read: now,
            grew_at: if grew { Some(now) } else { before.grew_at },
            sessions,
        }
    }

    /// Since when no operation was served; `None` if the target does not count them.
    pub fn still_since(&self) -> Option<Instant> {
        self.operations.map(|_| self.grew_at.unwrap_or(self.first_read))
    }
}
