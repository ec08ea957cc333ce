//! All that can happen to the core.

use crate::record::{Found, Record, Subject};
use std::collections::BTreeMap;
use std::sync::Arc;
use vocabulary::boot::BootContact;
use vocabulary::check::CheckOutcome;
use vocabulary::estate::{Estate, Mode};
use vocabulary::network::PortReading;
use vocabulary::power::MachineReading;
use vocabulary::request::{AgentError, AgentHello, Answer};
use vocabulary::storage::VolumeReading;
use vocabulary::{
    AgentId, BootServiceId, ControllerLife, Instant, Lineage, MachineId, OpId, PortId, Secret, ServerId, SiteId, Span, TierId,
    VolumeId, WallTime,
};

/// Something that happened, with the shell's clocks at that moment.
#[derive(Clone, Debug)]
pub struct Event {
    /// The controller's monotonic clock; never goes back.
    pub now: Instant,
    /// Wall clock, for records and people.
    pub wall: WallTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A record of the journal, in order, at start. Its effects were performed or lost in an earlier life; none are asked for.
    Replayed(Box<Record>),
    /// The estate's documents, at start and at each accepted reload: `reload::accept` was asked before.
    EstateLoaded(Arc<Estate>),
    /// All records are replayed. Open plans look at the world again.
    Started {
        /// Key from which the secrets of placements are derived; never recorded.
        key: Secret,
        /// True in a lab estate: ceilings are `auto`.
        lab: bool,
        /// This process, as the journal has it from its beginning.
        controller: ControllerLife,
        /// That of the store. Agents that obey another one obey no process on a copy of ours.
        lineage: Lineage,
    },
    /// Something was seen.
    Observed(Observation),
    /// A command was answered, or is known not to be.
    Completed {
        /// Which.
        op: OpId,
        /// How.
        outcome: Result<Answer, AgentError>,
        /// From the request to the reply, by the clock of whoever sent it. Told, never judged by.
        took: Span,
    },
    /// Somebody wants something.
    Intent {
        /// To answer by.
        ticket: u64,
        /// Who.
        principal: String,
        /// What.
        intent: Intent,
    },
    /// An agent took the ledger into its memory.
    Readopted {
        /// Which.
        agent: String,
        /// Who wanted it.
        principal: String,
    },
    /// Time has passed: a wake-up that an effect asked for, or the regular one.
    Tick,
}

/// One routine observation. Never recorded.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A poll of a machine's BMC.
    Machine { machine: MachineId, reading: Result<MachineReading, AgentError> },
    /// All health checks of a server from one vantage point: the worst outcome.
    Check { server: ServerId, vantage: AgentId, outcome: CheckOutcome },
    /// A poll of a volume's target.
    Volume { volume: VolumeId, reading: Result<VolumeReading, AgentError> },
    /// A poll of a port, or a change of it.
    Port { port: PortId, reading: Result<PortReading, AgentError> },
    /// A machine's contact with a boot service.
    Contact { service: BootServiceId, contact: BootContact },
    /// What an agent says of itself, and when it was asked by the controller's clock. Told before anything is asked of that life.
    Hello { agent: String, asked: Instant, hello: AgentHello },
    /// A look at what a machine's BMC tells of failures to come: by name, with what it told of each. A look that could not be made is none.
    Signs { machine: MachineId, signs: BTreeMap<String, String> },
    /// Whether at least one canary answers.
    Canaries { alive: bool },
}

/// What an operator or a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Gives an agent a certificate.
    EnrolAgent { agent: AgentId },
    /// Has an agent's memory seeded from the ledger.
    ReadoptAgent { agent: AgentId },
    /// Takes a machine in: identity checked, certificate pinned, restore policy set, ports parked.
    EnrolMachine { machine: MachineId },
    /// First placement on `home`, or power for the present one.
    StartServer { server: ServerId },
    /// Orderly stop.
    StopServer { server: ServerId },
    /// Orderly stop, then start, on the same machine.
    RestartServer { server: ServerId },
    /// Failover by hand: the verdict is the operator's, the proof is not. With a `hash`, only the plan of that hash is sealed.
    StartFailover { server: ServerId, reason: String, hash: Option<String> },
    /// Agrees to the plan of that hash, which waits for it in mode `approve`.
    ApproveFailover { server: ServerId, hash: String, reason: String },
    /// Gives up a failover that has cut nothing off yet, or one that waits to be approved; the server is held.
    AbortFailover { server: ServerId, reason: String },
    /// Agrees that what the guard holds in a failure domain goes on.
    ResumeGuard { domain: String, reason: String },
    /// Agrees that a restored store takes from the agents what was shown under that hash.
    Adopt { hash: String, reason: String },
    /// Agrees that the servers of a site are started in the order that was shown under that hash.
    StartSite { site: SiteId, hash: String, reason: String },
    /// Says that a machine which is being fenced is off: who says so stands before it, and has read its serial number.
    ConfirmOff { machine: MachineId, serial: String, found: Found, reason: String },
    /// Lifts a machine's quarantine and returns it to a pool.
    ReleaseMachine { machine: MachineId },
    /// Stops every new effect for a server, or for the whole estate.
    Hold { server: Option<ServerId>, reason: String },
    /// Lets that go.
    Resume { server: Option<ServerId>, reason: String },
    /// Somebody works on it for so long: nothing is done about it by itself.
    Maintain { subject: Subject, lasts: Span, reason: String },
    /// The work is done.
    EndMaintenance { subject: Subject },
    /// Raises or lowers the ceiling of a tier.
    SetTierMode { tier: TierId, mode: Mode },
}
