//! What an agent is asked and what it answers: the words on the wire. The gate decides by the token; nothing here decides.

use crate::boot::{BootContact, Permit, PermitReading};
use crate::check::{Check, CheckOutcome};
use crate::findings::Findings;
use crate::light::{Light, LightReading};
use crate::network::{PortReading, PortSetting};
use crate::outlet::OutletReading;
use crate::power::{BootTarget, MachineReading};
use crate::storage::{InitiatorName, VolumeReading};
use crate::survey::{Scope, Survey};
use crate::{
    AgentBootId, ControllerLife, Epoch, EstateUuid, Fault, Lineage, MachineId, OpId, OutletId, PlanId, PortId, Secret, ServerId,
    VlanId, VolumeId,
};
use serde::{Deserialize, Serialize};

/// What the gate keeps an epoch, a holder and a bar for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A machine's power and boot override.
    Machine(MachineId),
    /// A port.
    Port(PortId),
    /// A volume.
    Volume(VolumeId),
    /// A machine's permit at a boot service.
    Permit(MachineId),
    /// An outlet.
    Outlet(OutletId),
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Resource::Machine(machine) => write!(f, "machine {machine}"),
            Resource::Port(port) => write!(f, "port {port}"),
            Resource::Volume(volume) => write!(f, "volume {volume}"),
            Resource::Permit(machine) => write!(f, "permit of {machine}"),
            Resource::Outlet(outlet) => write!(f, "outlet {outlet}"),
        }
    }
}

/// Who a resource was granted to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The server.
    pub server: ServerId,
    /// The machine that bears it.
    pub machine: MachineId,
    /// The plan that granted it.
    pub plan: PlanId,
}

/// The fencing token that every mutating request carries. The gate refuses a lower epoch, an equal epoch of another plan, a foreign
/// estate or lineage, another boot of the agent, and an expired command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// The estate.
    pub estate: EstateUuid,
    /// The store's lineage.
    pub lineage: Lineage,
    /// The process that sends it.
    #[serde(default)]
    pub controller: ControllerLife,
    /// The plan.
    pub plan: PlanId,
    /// The step within the plan, for people.
    pub step: String,
    /// The plan's epoch.
    pub epoch: Epoch,
    /// This command; a retry bears the same.
    pub op: OpId,
    /// The life of the agent for which this command was made.
    pub agent_boot: AgentBootId,
    /// The agent's own tick (milliseconds of its monotonic clock) after which it must refuse.
    pub expires_tick: u64,
}

/// A request to an agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Present exactly on mutating actions.
    pub token: Option<Token>,
    /// What.
    pub action: Action,
}

/// What an agent can do. Read actions need no token, nor does the identify light, on which nothing rests; all others do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Action {
    // -- observe --
    /// The agent's boot id, tick and what its gate keeps.
    Hello,
    /// A process of a controller says who it is, and is told what `Hello` is told. From then on the gate obeys it alone, if it obeyed nobody
    /// yet or one of those that this store knows to have come `before`, and knows no higher epoch than this store had drawn (`counter`) when that
    /// process began: a store that is behind takes nobody's place. Otherwise another process, on a copy of the store or on a newer one,
    /// has taken the place: then nothing is changed, and the answer says whom the gate obeys.
    Introduce { estate: EstateUuid, lineage: Lineage, controller: ControllerLife, before: Vec<ControllerLife>, counter: Epoch },
    /// A controller has compared what this life of the agent said with what it had confirmed. Until one did, the agent puts nothing back
    /// by itself; `current: false` says that its memory is an older copy, or lost: then it goes on waiting. Changes nothing durable.
    Vouch {
        boot: AgentBootId,
        estate: EstateUuid,
        lineage: Lineage,
        #[serde(default)]
        controller: ControllerLife,
        current: bool,
    },
    /// One machine through its BMC, fresh.
    ReadMachine { machine: MachineId },
    /// A routine look at one machine: who answers may have been asked up to a minute ago. Not for plans.
    WatchMachine { machine: MachineId },
    /// `Done` when the machine's BMC says that something happened, or has just begun to tell. That is no fact, only a reason to read the
    /// machine now. Rejected at once where the BMC tells nothing by itself; while nothing happens it is not answered.
    AwaitChange { machine: MachineId },
    /// One port from forwarding state, fresh.
    ReadPort { port: PortId },
    /// One volume from the target, fresh.
    ReadVolume { volume: VolumeId },
    /// One machine's permit.
    ReadPermit { machine: MachineId },
    /// One outlet, fresh.
    ReadOutlet { outlet: OutletId },
    /// How many power supplies the machine's BMC counts.
    CountSupplies { machine: MachineId },
    /// What was found out of the machine's BMC so far; asks it nothing.
    ReadFindings { machine: MachineId },
    /// What the machine's BMC tells beyond its readings: many questions to it. For people, never for plans.
    Survey { machine: MachineId, scope: Scope },
    /// Boot contacts after a sequence number; waits up to some seconds if there is none.
    ReadContacts { after: u64 },
    /// Runs a health check from this vantage point.
    RunCheck { check: Check },
    // -- show --
    /// Switches the light by which a person finds the machine, after making sure that it is that machine.
    Identify { machine: MachineId, light: Light },
    // -- fence --
    /// Raises the epoch of these resources and answers "no older operation in flight" or `Busy`.
    AdvanceEpoch { resources: Vec<Resource> },
    /// ForceOff; bars the machine's power.
    PowerOff { machine: MachineId },
    /// Puts the port into the quarantine VLAN alone and bars it.
    BarPort { port: PortId, quarantine: VlanId },
    /// Removes every initiator except `keep` and ends its sessions; verified. `keep` is honoured only if the holder's plan is this token's plan.
    RevokeVolume { volume: VolumeId, keep: Option<InitiatorName> },
    /// Voids the machine's permit and tokens and bars it.
    RevokePermit { machine: MachineId },
    /// Switches the outlet off, also for when its unit gets power back, and bars it.
    CutOutlet { outlet: OutletId },
    // -- grant --
    /// Makes the port carry exactly this for the holder.
    JoinPort { port: PortId, setting: PortSetting, holder: Holder },
    /// Admits exactly this initiator for the holder.
    GrantVolume { volume: VolumeId, initiator: InitiatorName, user: String, secret: Secret, holder: Holder },
    /// Lets the machine boot as the server.
    GrantPermit { permit: Box<Permit> },
    /// The next boot's device.
    SetBootTarget { machine: MachineId, target: BootTarget },
    /// Power on; refused while the machine is barred.
    PowerOn { machine: MachineId },
    // -- keep and release --
    /// Restore policy AlwaysOff, read back.
    SetRestorePolicyOff { machine: MachineId },
    /// Parks a port: exactly the parking VLAN, no holder.
    ParkPort { port: PortId, parking: VlanId },
    /// Lifts the bar of these resources; never at a lower epoch than the bar's.
    LiftBar { resources: Vec<Resource> },
    /// Switches the outlet on, also for when its unit gets power back; refused while it is barred.
    FeedOutlet { outlet: OutletId },
    /// Graceful stop of the operating system; never part of a fence.
    ShutDown { machine: MachineId },
}

impl Action {
    /// True if the action changes nothing that anything rests on, and needs no token.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Action::Hello
                | Action::Introduce { .. }
                | Action::Vouch { .. }
                | Action::ReadMachine { .. }
                | Action::WatchMachine { .. }
                | Action::AwaitChange { .. }
                | Action::ReadPort { .. }
                | Action::ReadVolume { .. }
                | Action::ReadPermit { .. }
                | Action::ReadOutlet { .. }
                | Action::CountSupplies { .. }
                | Action::ReadFindings { .. }
                | Action::Survey { .. }
                | Action::ReadContacts { .. }
                | Action::RunCheck { .. }
                | Action::Identify { .. }
        )
    }

    /// True for a look that the detection takes again and again, and for what only people ask: no plan waits for its answer, and it must
    /// never keep one waiting.
    pub fn is_routine(&self) -> bool {
        matches!(
            self,
            Action::WatchMachine { .. }
                | Action::AwaitChange { .. }
                | Action::ReadFindings { .. }
                | Action::Survey { .. }
                | Action::ReadContacts { .. }
                | Action::RunCheck { .. }
        )
    }

    /// True if the action only observes or takes away: all that an agent without a trusted memory may do. One list for gate and core.
    pub fn takes_away(&self) -> bool {
        match self {
            Action::AdvanceEpoch { .. }
            | Action::PowerOff { .. }
            | Action::BarPort { .. }
            | Action::RevokeVolume { .. }
            | Action::RevokePermit { .. }
            | Action::CutOutlet { .. } => true,
            Action::JoinPort { .. }
            | Action::GrantVolume { .. }
            | Action::GrantPermit { .. }
            | Action::SetBootTarget { .. }
            | Action::PowerOn { .. }
            | Action::SetRestorePolicyOff { .. }
            | Action::ParkPort { .. }
            | Action::LiftBar { .. }
            | Action::FeedOutlet { .. }
            | Action::ShutDown { .. } => false,
            read => read.is_read(),
        }
    }

    /// The resources that the action touches; empty for `Hello`, `Introduce`, `Vouch`, contacts and checks.
    pub fn resources(&self) -> Vec<Resource> {
        match self {
            Action::Hello | Action::Introduce { .. } | Action::Vouch { .. } => Vec::new(),
            Action::ReadContacts { .. } | Action::RunCheck { .. } => Vec::new(),
            Action::ReadMachine { machine }
            | Action::WatchMachine { machine }
            | Action::AwaitChange { machine }
            | Action::Identify { machine, .. }
            | Action::CountSupplies { machine }
            | Action::ReadFindings { machine }
            | Action::Survey { machine, .. }
            | Action::PowerOff { machine }
            | Action::SetBootTarget { machine, .. }
            | Action::PowerOn { machine }
            | Action::SetRestorePolicyOff { machine }
            | Action::ShutDown { machine } => vec![Resource::Machine(machine.clone())],
            Action::ReadPort { port }
            | Action::BarPort { port, .. }
            | Action::JoinPort { port, .. }
            | Action::ParkPort { port, .. } => {
                vec![Resource::Port(port.clone())]
            }
            Action::ReadVolume { volume } | Action::RevokeVolume { volume, .. } | Action::GrantVolume { volume, .. } => {
                vec![Resource::Volume(volume.clone())]
            }
            Action::ReadPermit { machine } | Action::RevokePermit { machine } => {
                vec![Resource::Permit(machine.clone())]
            }
            Action::GrantPermit { permit } => vec![Resource::Permit(permit.machine.clone())],
            Action::ReadOutlet { outlet } | Action::CutOutlet { outlet } | Action::FeedOutlet { outlet } => {
                vec![Resource::Outlet(outlet.clone())]
            }
            Action::AdvanceEpoch { resources } | Action::LiftBar { resources } => resources.clone(),
        }
    }
}

/// What an agent's gate keeps of one resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GateEntry {
    /// The resource.
    pub resource: Resource,
    /// Highest epoch seen.
    pub epoch: Epoch,
    /// The plan of that epoch.
    pub plan: Option<PlanId>,
    /// Who it is granted to.
    pub holder: Option<Holder>,
    /// The epoch at which it was barred, while it is.
    pub barred: Option<Epoch>,
    /// The highest number among the commands of this epoch that were confirmed; 0 if none was. `None` of an agent that does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
}

/// An agent's answer to `Hello`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentHello {
    /// This life of the agent.
    pub boot: AgentBootId,
    /// Its monotonic clock now, in milliseconds.
    pub tick: u64,
    /// The estate it is enrolled in.
    pub estate: Option<EstateUuid>,
    /// The store's lineage it knows.
    pub lineage: Option<Lineage>,
    /// The process of a controller that it obeys; `None` before the first has introduced itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obeys: Option<ControllerLife>,
    /// False if its memory is empty, older or copied: then it may only observe and revoke, and nothing it says counts in a proof.
    pub trusted: bool,
    /// What its gate keeps.
    pub entries: Vec<GateEntry>,
}

/// An agent's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Answer {
    /// To `Hello` and `Introduce`.
    Hello(AgentHello),
    /// To `ReadMachine`, `WatchMachine` and after every power, boot target and restore policy action: what was read back.
    Machine(MachineReading),
    /// To `Identify`: what was read back.
    Light { light: LightReading },
    /// To `ReadPort` and after every port action: what was read back.
    Port(PortReading),
    /// To `ReadVolume` and after every volume action: what was read back.
    Volume(VolumeReading),
    /// To `ReadPermit` and after every permit action.
    Permit(PermitReading),
    /// To `ReadOutlet` and after every outlet action: what was read back.
    Outlet(OutletReading),
    /// To `CountSupplies`; `None` where the BMC does not tell.
    Supplies { count: Option<u32> },
    /// To `ReadFindings`; `None` while the BMC was not read.
    Findings { findings: Option<Findings> },
    /// To `Survey`; what went wrong changed nothing.
    Survey { told: Result<Survey, Fault> },
    /// To `ReadContacts`.
    Contacts { contacts: Vec<BootContact> },
    /// To `RunCheck`.
    Check { outcome: CheckOutcome },
    /// To `AdvanceEpoch`: these have no older operation in flight; the others are still busy and are asked again.
    Advanced { clear: Vec<Resource>, busy: Vec<Resource> },
    /// To `LiftBar`, `Vouch` and `AwaitChange`.
    Done,
}

/// Why an agent did not do it: callers branch on the kind alone, never on the text. Three kinds are a gate's no.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum AgentError {
    /// Nobody answered in time; whether it happened is unknown.
    #[error("unreachable: {reason}")]
    Unreachable { reason: String },
    /// The gate said no: bar, holder, no trust, expired, a disk that is full. Nothing was done; the same may pass later.
    #[error("refused: {reason}")]
    Refused { reason: String },
    /// The gate said no: it has seen a higher epoch on that resource. Nothing was done, and nothing of that plan will be.
    #[error("refused: {reason}")]
    LowerEpoch { highest: Epoch, reason: String },
    /// The gate said no: another estate, another store, or another plan that drew the same epoch. Nothing was done, and nothing will be.
    #[error("refused: {reason}")]
    Foreign { reason: String },
    /// The device said no. Nothing was done.
    #[error("rejected by the device: {reason}")]
    Rejected { reason: String },
    /// It was tried, but what was read back does not confirm it.
    #[error("unconfirmed: {reason}")]
    Unconfirmed { reason: String },
}

impl AgentError {
    /// True if a gate said no, for whatever reason: nothing was done.
    pub fn is_refusal(&self) -> bool {
        matches!(self, AgentError::Refused { .. } | AgentError::LowerEpoch { .. } | AgentError::Foreign { .. })
    }
}
