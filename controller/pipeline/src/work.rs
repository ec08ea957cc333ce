//! What is being done for one plan: tasks on devices, each retried by itself so that none delays another. Volatile: re-made after a
//! restart, when the world is looked at again. Nothing here decides what is sufficient; the stages do.

use crate::brake;
use crate::effect::{Agent, Command, Effect};
use crate::ledger::Ledger;
use crate::out::Out;
use crate::plan::Plan;
use crate::record::Fact;
use crate::stage::Stage;
use crate::trust;
use crate::watch::{Kept, Watch};
use crate::words::{answer_words, words};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::power::MachineReading;
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::{AgentId, BootServiceId, Epoch, Instant, Mac, MachineId, OpId, OutletId, PortId, Span, VolumeId};

/// Deadlines and retries of the core. Documented in docs/limits.md.
pub mod limits {
    use vocabulary::Span;
    /// An answer from a BMC.
    pub const BMC_DEADLINE: Span = Span::seconds(10);
    /// An answer from a switch, storage or boot agent.
    pub const AGENT_DEADLINE: Span = Span::seconds(10);
    /// First retry of a task.
    pub const RETRY_FIRST: Span = Span::ms(100);
    /// Longest pause between retries of a task.
    pub const RETRY_MAX: Span = Span::seconds(5);
    /// A device that failed so many tries of an open plan is looked for by readings, which leave no record, before it is commanded
    /// again.
    pub const LOOK_AFTER: u32 = 8;
    /// A command of a fence that was sent so often without being confirmed is sent more and more seldom.
    pub const SENT_OFTEN: u32 = 12;
    /// The longest pause between two of those.
    pub const SELDOM_MAX: Span = Span::seconds(300);
    /// How often a plan that a person holds looks whether it still is.
    pub const HELD_LOOK: Span = Span::seconds(1);
    /// Pause between two tries of a health check while a plan verifies.
    pub const VERIFY_EVERY: Span = Span::ms(150);
    /// The same of one by a plugin.
    pub const VERIFY_PLUGIN_EVERY: Span = Span::seconds(2);
    /// How often the power of a fenced machine is read while a part of its fence is not confirmed, and while it is quarantined.
    pub const QUARANTINE_POWER_EVERY: Span = Span::seconds(5);
    /// A BMC that failed so many tries counts as silent.
    pub const BMC_TRIES: u32 = 3;
    /// A machine that is being fenced and whose BMC has not answered so long is cut off at its outlets, if that can prove it dead.
    pub const BMC_PATIENCE: Span = Span::seconds(10);
    /// The same where the BMC answers, and the machine does not go off.
    pub const OFF_PATIENCE: Span = Span::seconds(30);
    /// An outlet must read off and at zero watts over so long: meters are slow.
    pub const OUTLET_SETTLE: Span = Span::seconds(5);
    /// So long a machine may go on without mains, by what its power supplies hold: what is seen of it after that is a sign of life.
    pub const HOLD_UP: Span = Span::seconds(3);
    /// So many signs of life of a machine whose outlets are cut take them out of its proofs: a foreign hand may have fed one meanwhile.
    pub const CONTRADICTIONS: u32 = 3;
    /// A failover that has no proof so long after it began is told, with what is missing.
    pub const PROOF_PATIENCE: Span = Span::seconds(60);
    /// A machine that persons say is off is looked for at its ports so long before their word counts.
    pub const WORD_SETTLE: Span = Span::seconds(5);
    /// The pause between two looks.
    pub const WORD_LOOK_EVERY: Span = Span::seconds(1);
    /// A word that does not hold so much longer is not used any more: the target must be wired and powered on under it.
    pub const WORD_LEFT_MIN: Span = Span::seconds(120);
    /// By so much the clocks of two hosts may differ.
    pub const CLOCKS_DIFFER: Span = Span::seconds(60);
    /// What a machine that is off may draw at one outlet, watts: an outlet that carries more is another machine's and is not tried.
    pub const STANDBY_WATTS_MAX: u32 = 30;
    /// Before outlets are tried, their agents may take so long to answer, and their meters to show the load.
    pub const TRIAL_PATIENCE: Span = Span::seconds(30);
    /// A BMC whose outlets are cut must be silent for so long.
    pub const DARK_FOR: Span = Span::seconds(5);
    /// And in so many tries.
    pub const DARK_TRIES: u32 = 3;
    /// A BMC that is neither heard nor silent ends the trial after this.
    pub const DARK_PATIENCE: Span = Span::seconds(90);
    /// How long a BMC may take until it answers again once it has mains.
    pub const BMC_RETURN: Span = Span::seconds(300);
    /// ForceOff is sent again if the machine still reads On this long after one was accepted.
    pub const FORCE_OFF_AGAIN: Span = Span::seconds(5);
    /// Power on is sent again if the target still reads Off this long after one was accepted.
    pub const POWER_ON_AGAIN: Span = Span::seconds(10);
    /// A plan that has not begun to fence expires after this.
    pub const PLAN_EXPIRES: Span = Span::seconds(900);
    /// The last look at a fenced machine's ports, for a sign of life, may keep its power proof waiting so long.
    pub const LIFE_PATIENCE: Span = Span::seconds(1);
    /// A target that is not wired and powered within this has failed: the next spare is tried.
    pub const TARGET_PATIENCE: Span = Span::seconds(60);
    /// A target that does not read Off within this, once the fence is proven, has failed.
    pub const TARGET_OFF_PATIENCE: Span = Span::seconds(15);
    /// A target whose agents do not answer is waited for twice as long as the one before, so often at most: 64 minutes.
    pub const TARGET_DOUBLINGS: usize = 8;
    /// So many tries of a boot target that is not confirmed; after that the machine's own network-first order is trusted.
    pub const BOOT_TARGET_TRIES: u32 = 3;
    /// So many tries of an enrolment's reading before it is given up.
    pub const ENROL_TRIES: u32 = 4;
    /// An orderly stop may take this long before the plan is abandoned.
    pub const SHUT_DOWN: Span = Span::seconds(120);
    /// An orderly stop that is to be followed by a start may take this long: who gives up on one that stops later leaves its machine off.
    pub const STOP_FOR_RESTART: Span = Span::seconds(300);
    /// A spare's identity must have been seen, and Off, within this time (until patrols exist).
    pub const SPARE_SEEN: Span = Span::seconds(300);
}

/// One unit of work.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// Raise epochs at an agent.
    Advance(Agent),
    /// Fence: a machine's power.
    Power(MachineId),
    /// Fence: a port.
    Port(MachineId, PortId),
    /// Fence: a look at a port for a sign of life of a machine that its BMC calls off; exists only while it is under way.
    Life(MachineId, PortId),
    /// Fence: a volume.
    Volume(VolumeId),
    /// Fence: a permit.
    Permit(MachineId, BootServiceId),
    /// Fence, and the trial of outlets: an outlet is cut.
    Cut(MachineId, OutletId),
    /// The target is off before it gets anything.
    TargetPower,
    /// A port is joined.
    Join(PortId),
    /// A volume is granted.
    Grant(VolumeId),
    /// A permit is granted.
    Allow(BootServiceId),
    /// The target's boot device is set.
    BootTarget,
    /// The target is powered on.
    PowerOn,
    /// One health check of the service, by its place in the profile, from a vantage point.
    Check(AgentId, usize),
    /// Enrolment: identity is read.
    Identity,
    /// Enrolment and release: an outlet is fed.
    Feed(OutletId),
    /// Enrolment: the load of an outlet is read.
    Load(OutletId),
    /// Enrolment: power supplies are counted.
    Supplies,
    /// Enrolment: the BMC is silent, since the outlets are cut.
    Dark,
    /// Enrolment: the BMC answers again.
    Back,
    /// Enrolment: restore policy.
    RestorePolicy,
    /// Release and enrolment: a port is parked.
    Park(PortId),
    /// Release: bars are lifted at an agent.
    Unbar(Agent),
    /// Orderly stop.
    ShutDown,
    /// Waiting for Off after an orderly stop.
    WaitOff,
}

/// Where a task stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Next try not before.
    Waiting(Instant),
    /// Asked; the answer comes under this op.
    InFlight(OpId, Instant),
    /// Confirmed by a fresh read-back at that time.
    Confirmed(Instant),
    /// Will not be had.
    Unavailable,
}

/// The unbroken run of Off readings that P needs, or O of one outlet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// The BMC session of all reads; 0 for an outlet.
    pub session: u64,
    /// When the first was asked for.
    pub since: Instant,
    /// When the first was answered: what is seen of the machine in readings asked for after that contradicts it.
    pub first_off: Instant,
    /// When the newest was asked for: the proof is as old as that.
    pub newest_off: Instant,
    /// Since when nothing is missing but answers of ports.
    pub full_since: Option<Instant>,
    /// What was last seen at the machine's ports since `first_off`.
    pub ports: BTreeMap<PortId, Heard>,
    /// How many so far.
    pub reads: u32,
    /// `last_reset` of the first; must not change.
    pub last_reset: Option<String>,
    /// `bmc_started` of the first; must not change.
    pub bmc_started: Option<String>,
}

/// What was last seen at a port of a machine that its BMC calls off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Frames received on the port.
    pub frames_in: u64,
    /// Addresses learnt there.
    pub learnt: BTreeSet<Mac>,
    /// How many readings so far.
    pub looks: u32,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Where it stands.
    pub progress: Progress,
    /// Tries so far.
    pub tries: u32,
    /// The last thing that went wrong.
    pub reason: Option<String>,
    /// Evidence of its confirmation.
    pub evidence: Option<String>,
    /// For `Power` and `Cut`: the run of Off readings so far.
    pub window: Option<Window>,
    /// For `Power` and `Cut`: the sign of life that voided its window, until it is told.
    pub veto: Option<String>,
    /// For `Power` and `PowerOn`: when the command was last accepted.
    pub acted_at: Option<Instant>,
    /// For `Power`: true if every reading of the window had a second power source.
    pub strong: bool,
    /// For `Power`: when its device was first asked in this life, by the answer.
    pub first_at: Option<Instant>,
    /// For `Check`: who was asked last could not look.
    pub told_nothing: bool,
    /// For `Volume`: the gate refused to spare our own initiator, since it knows no grant of this plan.
    pub keep_refused: bool,
    /// For a fencing task: whether its device answered a reading since the last try failed. A device that is away for weeks is
    /// looked for by readings, which leave no record.
    pub look: Look,
    /// For a fencing task: how many commands were sent since it was confirmed last.
    pub commands: u32,
    /// For a fencing task: when the last of them was sent.
    pub sent_at: Option<Instant>,
}

/// See `Task::look`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Not looked for.
    No,
    /// A reading is in flight.
    Looking,
    /// It answered: the order is sent next.
    Found,
}

impl Task {
    /// A task to be tried at once.
    pub fn due(now: Instant) -> Task {
        Task {
            progress: Progress::Waiting(now),
            tries: 0,
            reason: None,
            evidence: None,
            window: None,
            veto: None,
            acted_at: None,
            strong: true,
            first_at: None,
            told_nothing: false,
            keep_refused: false,
            look: Look::No,
            commands: 0,
            sent_at: None,
        }
    }
    /// True if it is confirmed.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.progress, Progress::Confirmed(_))
    }
    /// True if it is to be tried now.
    pub fn is_due(&self, now: Instant) -> bool {
        matches!(self.progress, Progress::Waiting(until) if until <= now)
    }
    /// Confirms it.
    pub fn confirm(&mut self, now: Instant, evidence: String) {
        self.progress = Progress::Confirmed(now);
        self.evidence = Some(evidence);
        self.reason = None;
        self.tries = 0;
        self.commands = 0;
    }
    /// The least pause between two commands: `usual` at first, then longer each time, so that what never comes true cannot fill the
    /// journal. It is about as long as the trouble has lasted already.
    pub fn pace(&self, usual: Span) -> Span {
        let doublings = self.commands.saturating_sub(limits::SENT_OFTEN).min(10);
        Span(usual.0.saturating_mul(1 << doublings).min(limits::SELDOM_MAX.0.max(usual.0)))
    }
    /// Puts the next try off, longer each time.
    pub fn retry(&mut self, now: Instant, reason: String) {
        let pause = limits::RETRY_FIRST.0.saturating_mul(1 << self.tries.min(10)).min(limits::RETRY_MAX.0);
        self.tries = self.tries.saturating_add(1);
        self.reason = Some(reason);
        self.progress = Progress::Waiting(now + Span::ms(pause));
    }
    /// Next try at that time, without counting it as a failure.
    pub fn again_at(&mut self, at: Instant) {
        self.progress = Progress::Waiting(at);
    }
}

/// Where a plan's execution stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Epochs advance, old machines are cut, the target is proven off.
    Fence,
    /// Ports and volumes go to the target.
    Wire,
    /// Permit, boot target, power.
    Boot,
    /// Health checks.
    Verify,
    /// Enrolment, release and stop do their own steps.
    Clear,
    /// Closed; only standing orders remain.
    Orders,
}

/// Where the trial of a machine's outlets stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Trial {
    /// Not begun.
    #[default]
    NotBegun,
    /// They are fed before anything else: one that was left off would leave the BMC dark.
    Feeding,
    /// They are fed, as far as their agents could be had; the rest of the enrolment goes on.
    Fed,
    /// What they carry is looked at.
    Weighing(Instant),
    /// They are being cut.
    Cutting(Instant),
    /// They are cut since then, and the BMC should be silent.
    Dark(Instant),
    /// They are fed again since then; what the trial has shown.
    Returning(Instant, Result<(), String>),
    /// It is over: why there was none, or what it has shown.
    Done(Result<(), String>),
}

/// What is seen of a machine that persons say is off.
#[derive(Debug)]
pub struct Attended {
    /// What its ports have heard since.
    pub window: Window,
    /// When they are looked at again.
    pub next_look: Instant,
    /// A sign of life, until it is told.
    pub sign: Option<String>,
}

impl Attended {
    /// From now on.
    pub fn since(now: Instant) -> Attended {
        Attended { window: Window { since: now, ..Window::default() }, next_look: now, sign: None }
    }
}

/// A command that is under way.
#[derive(Debug)]
struct Sent {
    key: Key,
    agent: Agent,
    /// What it changes; empty for a reading.
    changes: Vec<Resource>,
}

/// How a command was answered, and how long that took from request to reply.
pub type Answered<'a> = (&'a Result<Answer, AgentError>, Span);

/// An answer that somebody waits for.
#[derive(Debug)]
pub struct Taken {
    /// Which task it belongs to.
    pub key: Key,
    /// Whose answer it is.
    pub agent: Agent,
    /// When it was asked.
    pub asked: Instant,
    /// What it is worth.
    pub outcome: Result<Answer, AgentError>,
    /// What it has confirmed, as it stood before.
    pub rose: Vec<(Kept, OpId)>,
}

/// One plan's execution.
#[derive(Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    /// Where it stands.
    pub phase: Phase,
    /// When the phase was entered.
    pub since: Instant,
    /// Tasks.
    pub tasks: BTreeMap<Key, Task>,
    /// Resources whose agent has answered that no older operation is in flight.
    pub advanced: BTreeSet<Resource>,
    /// True if a verdict opened it: the verdict is asked again right before the first fencing effect.
    pub by_verdict: bool,
    /// True if an earlier life of the controller opened it: what that one has sent is not known for certain.
    pub resumed: bool,
    /// When the fence was first proven in this life.
    pub proven_at: Option<Instant>,
    /// Enrolment: what was read.
    pub identity: Option<MachineReading>,
    /// How often a machine showed a sign of life although all its outlets were seen cut.
    pub contradicted: BTreeMap<MachineId, u32>,
    /// Machines that persons say are off, and what is seen of them since.
    pub attended: BTreeMap<MachineId, Attended>,
    /// Enrolment: where the trial of the machine's outlets stands.
    pub trial: Trial,
    /// When the target was powered on in this life.
    pub powered_on: Option<Instant>,
    /// The command stream's answers are matched here.
    ops: BTreeMap<OpId, Sent>,
    next_op: u64,
}

impl Work {
    /// Starts the execution of a sealed plan; `next_op` continues the durable count.
    pub fn new(plan: Plan, next_op: u64, by_verdict: bool, now: Instant) -> Work {
        Work {
            plan,
            phase: Phase::Fence,
            since: now,
            tasks: BTreeMap::new(),
            advanced: BTreeSet::new(),
            by_verdict,
            resumed: false,
            proven_at: None,
            identity: None,
            contradicted: BTreeMap::new(),
            attended: BTreeMap::new(),
            trial: Trial::default(),
            powered_on: None,
            ops: BTreeMap::new(),
            next_op: next_op.max(1),
        }
    }

    /// Adds a task that is due now, unless it exists.
    pub fn want(&mut self, key: Key, now: Instant) {
        self.tasks.entry(key).or_insert_with(|| Task::due(now));
    }

    /// Keys of tasks that are due now.
    pub fn due(&self, now: Instant) -> Vec<Key> {
        self.tasks.iter().filter(|(_, task)| task.is_due(now)).map(|(key, _)| key.clone()).collect()
    }

    /// True if the task exists and is confirmed.
    pub fn confirmed(&self, key: &Key) -> bool {
        self.tasks.get(key).is_some_and(Task::is_confirmed)
    }

    /// Enters a phase.
    pub fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }

    /// When the next task becomes due. One that is due already and was not sent waits for another answer, not for time.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.tasks
            .values()
            .filter_map(|task| match task.progress {
                Progress::Waiting(until) if until > now => Some(until),
                Progress::Waiting(_) | Progress::InFlight(..) | Progress::Confirmed(_) | Progress::Unavailable => None,
            })
            .min()
    }

    /// True for a bar that was confirmed once, or is part of a fence that was proven: to confirm it again is nothing new.
    fn restores(&self, key: &Key) -> bool {
        let bar = matches!(key, Key::Power(_) | Key::Port(..) | Key::Volume(_) | Key::Permit(..) | Key::Cut(..));
        bar && (self.proven_at.is_some() || self.tasks.get(key).is_some_and(|task| task.evidence.is_some()))
    }

    /// Why nothing new may be sent, if a person holds this plan. What keeps or restores a bar goes on: standing orders are that.
    pub fn stopped(&self, ledger: &Ledger) -> Option<String> {
        brake::stops(ledger, &self.plan).filter(|_| self.phase != Phase::Orders)
    }

    /// True if a person's hold keeps this command from being sent now: the task is put off, and nothing counts as tried.
    pub fn is_held_back(&mut self, ledger: &Ledger, key: &Key, action: &Action, now: Instant) -> bool {
        let Some(hold) = self.stopped(ledger).filter(|_| !action.is_read() && !self.restores(key)) else { return false };
        let task = self.tasks.entry(key.clone()).or_insert_with(|| Task::due(now));
        task.reason = Some(hold);
        task.again_at(now + limits::HELD_LOOK);
        true
    }

    /// Sends a command for a task: its intent is recorded first if it changes anything. False if the agent may not be asked that now:
    /// the task is put off, with the reason.
    pub fn send(&mut self, ledger: &mut Ledger, out: &mut Out, key: Key, agent: Agent, stage: Stage, action: Action) -> bool {
        if self.is_held_back(ledger, &key, &action, out.now) {
            return false;
        }
        if let Some(refusal) = trust::refusal(ledger, &agent, &action) {
            self.tasks.entry(key).or_insert_with(|| Task::due(out.now)).retry(out.now, refusal.to_string());
            return false;
        }
        let op = OpId { epoch: self.plan.epoch(), number: self.next_op };
        self.next_op += 1;
        if !action.is_read() {
            out.record(ledger, Fact::Intent { plan: self.plan.id(), stage, op, agent: agent.to_string(), what: words(&action) });
        }
        let changes = if action.is_read() { Vec::new() } else { action.resources() };
        let deadline = if matches!(agent, Agent::Bmc(_)) { limits::BMC_DEADLINE } else { limits::AGENT_DEADLINE };
        let command = Command::new(agent.clone(), &self.plan, op, stage, deadline, action);
        out.effects.push(Effect::Command(Box::new(command)));
        self.ops.insert(op, Sent { key: key.clone(), agent, changes });
        let task = self.tasks.entry(key).or_insert_with(|| Task::due(out.now));
        task.progress = Progress::InFlight(op, out.now);
        true
    }

    /// Takes an answer in. `None` for an answer that nobody waits for any more. The outcome of a change is recorded.
    pub fn take(
        &mut self,
        (ledger, watch): (&mut Ledger, &Watch),
        out: &mut Out,
        op: OpId,
        (outcome, took): Answered<'_>,
    ) -> Option<Taken> {
        let Sent { key, agent, changes } = self.ops.remove(&op)?;
        let task = self.tasks.get(&key)?;
        let Progress::InFlight(waiting, asked) = task.progress else { return None };
        if waiting != op {
            return None;
        }
        let outcome = trust::worth(ledger, watch, &agent, asked, outcome);
        let mut rose = Vec::new();
        if !changes.is_empty() {
            let (ok, read_back) = match &outcome {
                Ok(answer) => (true, answer_words(answer)),
                Err(error) => (false, error.to_string()),
            };
            let done = !matches!(key, Key::Advance(_));
            let raised = trust::raised(ledger, &agent, &changes, op, done).filter(|_| ok);
            for resource in raised.iter().flat_map(|raised| &raised.resources) {
                let kept = (agent.to_string(), resource.clone());
                let before = ledger.confirmed.get(&kept).copied().unwrap_or_default();
                rose.push((kept, before));
            }
            out.record(ledger, Fact::Outcome { plan: self.plan.id(), op, ok, read_back, raised, took });
        }
        Some(Taken { key, agent, asked, outcome, rose })
    }

    /// The first number that no command of this work has borne.
    pub fn next_op(&self) -> u64 {
        self.next_op
    }

    /// The plan's epoch.
    pub fn epoch(&self) -> Epoch {
        self.plan.epoch()
    }
}
