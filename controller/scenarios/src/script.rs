//! The language of scenarios: what a data centre is, what happens to it, what is expected of Understudy.
//!
//! One step a line. Its words are about machines and servers; nothing in it may name how a data centre is pretended, since the same file
//! is to run against a simulated one.

mod parts;
mod read;
mod rivals;
mod storage;
mod times;
mod words;

pub use read::{Fault, read};

use pipeline::record::Found;
use pipeline::stage::Stage;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use vocabulary::boot::{BootMethod, Firmware};
use vocabulary::estate::{Mode, ServiceDown};
use vocabulary::{AgentId, MachineId, ServerId};

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name: the file's.
    pub name: String,
    /// What it shows, in one sentence.
    pub title: String,
    /// The data centre it needs.
    pub setup: Setup,
    /// What happens, in order.
    pub steps: Vec<Numbered>,
}

/// The data centre of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The machines' firmware.
    pub firmware: Firmware,
    /// How servers boot.
    pub method: BootMethod,
    /// How many machines.
    pub machines: u8,
    /// Settings of the estate document that differ from the example's: `fencing.proof` and its value.
    pub settings: Vec<(String, String)>,
    /// Machines that are spoken to over IPMI.
    pub over_ipmi: BTreeSet<u8>,
    /// How long the boot service leases addresses, if not as long as usual.
    pub address_lease: Option<Duration>,
    /// Machines that stand in one rack, on one feed; the others have one of their own.
    pub one_rack: BTreeSet<u8>,
    /// The BMCs belong to an agent of their own.
    pub bmcs_outside: bool,
    /// Whether the outlets of its machines are in the documents.
    pub outlets: Outlets,
    /// Machines with disks of their own, which no agent can revoke.
    pub local_disks: BTreeSet<u8>,
    /// What the servers' documents want where their machine answers and their service does not.
    pub service_down: ServiceDown,
    /// How long the machines' firmware tests itself longer than by itself.
    pub post: Duration,
    /// How long an outage may last by the servers' group, if its document says anything else than the example's.
    pub recovery_target: Option<Duration>,
    /// How long a kernel that panicked writes its memory away before the machine starts again.
    pub dump: Duration,
    /// The storage target is told by a step not to do what it is asked.
    pub headstrong: bool,
}

/// What the documents say of outlets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outlets {
    /// Nothing.
    #[default]
    Unnamed,
    /// Where each machine hangs.
    Named,
    /// The same, but those of m1 and m2 are taken for each other's.
    Swapped,
}

/// A step with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Line number, from 1.
    pub line: usize,
    /// The line as written.
    pub text: String,
    /// What it says.
    pub step: Step,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everything is started and every server serves.
    Up,
    /// Time passes.
    Pause(Duration),
    /// A server answers at its address.
    WaitServes(ServerId, Duration),
    /// So many more records of a server are acknowledged.
    WaitRecords(u64, ServerId, Duration),
    /// The controller dies by itself (it was told to).
    WaitControllerDies(Duration),
    /// A machine dies: its power is gone.
    Kill(MachineId),
    /// A machine stands still, its power on.
    Freeze(MachineId),
    /// A frozen machine goes on.
    Thaw(MachineId),
    /// A finger on a machine's power button.
    PressPower(MachineId),
    /// A BMC changes its manners.
    Bmc(MachineId, Manner),
    /// A part of a machine fails, or is well again; the machine runs on.
    Part(MachineId, world::bmc::Mishap),
    /// The feed of a machine fails, and its BMC with it; with `true` it is back.
    Feed(MachineId, bool),
    /// The feeds of all machines fail together; with `true` they are back.
    FeedAll(bool),
    /// A person has the whole site started, each server where it was.
    StartSite,
    /// The storage target ends at once and comes back with what it keeps.
    RestartTarget,
    /// Something is wrong with the storage target.
    Target(AtTarget),
    /// What happens to the agent beside a device.
    Agent(AgentId, Mishap),
    /// A person has an agent without a memory seeded from the ledger.
    Readopt(AgentId),
    /// A person releases a machine from quarantine.
    Release(MachineId),
    /// A person holds everything, or one server.
    Hold(Option<ServerId>),
    /// A person lets that go.
    Resume(Option<ServerId>),
    /// A person says that he works on a machine, for so long at most.
    Maintain(MachineId, Duration),
    /// The work is done.
    EndMaintenance(MachineId),
    /// How far the controller may go by itself.
    Mode(Mode),
    /// A person agrees to the failover that waits; with `true` there is none that waits, and he is told so.
    Approve(ServerId, bool),
    /// A person says that a machine is as he has left it, by the serial number on its box; with `true` nobody waits for that, and he is told so.
    ConfirmOff(MachineId, Found, bool),
    /// A person has looked at what the guard holds in this failure domain, and lets it go.
    LetGo(String),
    /// The controller is killed.
    KillController,
    /// The controller is started again; with a stage, it dies when a failover enters that.
    RestartController(Option<Stage>),
    /// A backup of all that the controller knows is taken.
    BackUp,
    /// The controller's machine is lost with all that was on it; the last backup is restored elsewhere, and the controller started on that.
    RestoreController,
    /// Something becomes of a controller beside the one that is ours.
    Rival(Beside),
    /// A person has the restored store adopted.
    Adopt,
    /// A server restarts from inside.
    Reboot(ServerId),
    /// The process of a service ends; its machine lives on.
    Crash(ServerId),
    /// The kernel under a server panics.
    Panic(ServerId),
    /// Something happens to the networks, or to the way from somebody to somebody.
    Network(Disturbance),
    /// What a careless engineer does: a server is started on another machine, and the old one is not fenced.
    ByHand {
        /// The server.
        server: ServerId,
        /// The machine it is started on.
        to: MachineId,
    },
    /// Something must be so.
    Expect(Expectation),
}

/// How a BMC behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Honest,
    /// It answers.
    Reachable,
    /// It does not.
    Unreachable,
    /// It agrees to switch off, and does nothing.
    IgnoresOff,
    /// It agrees to switch off, and the machine runs on for so long.
    SwitchesOffAfter(Duration),
    /// It says Off, whatever is so.
    SaysOff,
    /// It calls it a conflict to switch off what is off.
    RefusesOffWhenOff,
}

/// What happens to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Its process ends at once.
    Dies,
    /// It is started again.
    Returns,
    /// It ends at once, and is started again on an empty disk.
    Forgets,
    /// It is started a second time where it lies, and that one is refused.
    TwiceInVain,
    /// It is started a second time on a copy of all that lies there, and nobody is told.
    OnACopy,
    /// Somebody copies all that it keeps.
    Copied,
    /// It ends at once, and what was copied last is started in its place.
    Older,
}

/// What is wrong with the storage target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtTarget {
    /// It agrees to end a session and keeps it, or with `false` ends sessions again.
    KeepsSessions(bool),
    /// It calls every logical unit busy that is to be removed, or with `false` removes them again.
    KeepsExports(bool),
    /// Its disk does nothing for so long; what it was told it does afterwards.
    Stalls(Duration),
    /// A colleague exports a server's volume a second time, past its agent and every document, to whoever it is admitted to.
    ExportsAgain(ServerId),
}

/// What the storage target shows of a server's volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// So many sessions, over all its exports.
    Sessions(usize),
    /// So many exports of what lies behind it.
    Exports(usize),
    /// Writes that it took and has not done.
    Writes,
}

/// What becomes of a controller beside the one that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Ours stands still.
    Stops,
    /// The last backup is restored beside it, into a folder of its own; the controller that is started on that is ours from now on.
    Restored,
    /// All that ours keeps is copied beside it while it stands still, and a controller is started on the copy, which is ours from now on.
    Copied,
    /// The one that stood still goes on.
    GoesOn,
    /// Another is started on the folder of ours, and is refused.
    SecondInVain,
    /// The controller of another estate comes, whose documents name the same equipment, takes in what it finds and starts its servers.
    Comes,
}

/// A controller that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// The one that stood still while another took its place.
    Stale,
    /// That of another estate.
    Estate,
}

/// What happens to the networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// The switch's machine loses its power and starts again; over when it forwards again what it was told to keep.
    SwitchRestarts,
    /// The switch's agent is out of reach, or with `true` in reach again. The switch forwards on.
    SwitchReach(bool),
    /// The controller is cut off from production and from its canaries, or with `true` back.
    Uplink(bool),
    /// The controller alone does not see a server any more, or with `true` sees it again.
    Sight(ServerId, bool),
    /// A colleague's push puts every port of a machine into the VLANs of servers.
    Push(MachineId),
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// A server serves on this machine.
    On(ServerId, MachineId, Duration),
    /// A machine is in this state, by the controller's word.
    In(MachineId, String, Duration),
    /// The controller tells that a machine foretells a failure; with `false`, that it foretells none.
    Foretells(MachineId, bool, Duration),
    /// The last failover of a server was proven by exactly these sets.
    FencedBy(ServerId, BTreeSet<String>),
    /// Nothing is done for a server, and the reason has this code.
    Held(ServerId, String, Duration),
    /// A server restarted: another start of it answers, on the machine it was on.
    Restarted(ServerId, Duration),
    /// No failover begins during this time.
    NoFailover(Duration),
    /// So many failovers of a server were completed since the start, and none is open.
    Failovers(ServerId, usize, Duration),
    /// A machine gets nothing of its boot service and no server for this long.
    BootsNothing(MachineId, Duration),
    /// A machine is in no VLAN of a server and reaches no volume for this long.
    Harmless(MachineId, Duration),
    /// No port of a machine is in a VLAN of a server any more.
    Barred(MachineId, Duration),
    /// The controller raised an alarm with this code.
    Alarm(String, Duration),
    /// A machine's lease of its address was renewed.
    LeaseRenewed(MachineId, Duration),
    /// A rival's commands are not obeyed, by its own record and by the storage agent's word.
    NotObeyed(Rival, Duration),
    /// The storage target shows this of a server's volume.
    AtTarget(ServerId, Shown, Duration),
    /// Never more machines than this were effective for one server at once.
    EffectiveAtMost(u64),
    /// Every acknowledged record is there, in order, none of one start between another's, and one machine answers.
    AcknowledgedRecovered,
    /// The oracle saw the split brain. What a negative control is for.
    SplitBrainCaught,
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}
