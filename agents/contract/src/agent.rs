//! The two faces of an agent: what a controller calls (`Client`), and what stands behind the gate (`Device`).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Request, Resource};
use vocabulary::{ControllerLife, Epoch, EstateUuid, Lineage, WallTime};

/// An agent as a controller sees it: in process or over the wire.
#[async_trait]
pub trait Client: Send + Sync {
    /// Sends one request and waits for its answer or its deadline. A lost reply is `Unreachable`: whether it happened is unknown.
    async fn call(&self, request: Request) -> Result<Answer, AgentError>;

    /// Gives an agent whose memory was lost the estate's ledger, so that it may be trusted again; also tells it a new lineage.
    /// An operator's command, never a stage's. It never lowers an epoch and never drops a bar.
    async fn readopt(&self, _seed: Readopt) -> Result<AgentHello, AgentError> {
        Err(AgentError::Refused { reason: "this agent keeps no gate of its own".to_owned() })
    }

    /// When the certificate ends that the agent showed last; `None` if it shows none, or was not reached yet.
    fn certificate_until(&self) -> Option<WallTime> {
        None
    }

    /// Has the agent make a key, and returns its request for a certificate (PKCS #10, PEM).
    async fn propose_certificate(&self) -> Result<String, AgentError> {
        Err(AgentError::Refused { reason: "this agent shows no certificate".to_owned() })
    }

    /// Has the agent take the certificate that it asked for last, and show it from then on.
    async fn take_certificate(&self, _certificate_pem: String) -> Result<(), AgentError> {
        Err(AgentError::Refused { reason: "this agent shows no certificate".to_owned() })
    }
}

/// What the estate's ledger knows of one agent's gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Readopt {
    /// The estate; must be the agent's own.
    pub estate: EstateUuid,
    /// The lineage to obey from now on.
    pub lineage: Lineage,
    /// The process of the controller to obey from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerLife>,
    /// The estate's counter: no resource of this agent takes an epoch below it.
    pub floor: Epoch,
    /// Epochs, holders and bars by resource. What the agent keeps besides stays; bars are joined.
    pub entries: Vec<GateEntry>,
    /// How ports are to stand, each as the command that sets it so: `BarPort` where barred, else `JoinPort` or `ParkPort`. The driver
    /// takes them up at once and keeps them over its restarts, as if it had been told so by a plan.
    #[serde(default)]
    pub ports: Vec<Action>,
}

/// What a driver is to put back after a restart of the agent.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// What the gate keeps of the resource.
    pub entry: GateEntry,
    /// What a port was last set to: its `BarPort` (from the intent on), or its confirmed `JoinPort` or `ParkPort`. `None` for a port
    /// that the gate never saw set, and for everything else: there the entry's bar and holder say what must hold.
    pub action: Option<Action>,
}

/// The devices behind one gate.
#[async_trait]
pub trait Device: Send + Sync {
    /// True if this agent owns the resource; a request about any other is refused.
    fn owns(&self, resource: &Resource) -> bool;
    /// Acts. The gate has let it pass: token checked, intent durable, no other mutation in flight on these resources.
    /// `Hello`, `AdvanceEpoch` and `LiftBar` are the gate's own and never come here.
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError>;
    /// Puts back what a restart of the device or the agent may have undone, bars first, before ports go up. Called at start, and after
    /// the ledger was taken in, while no command is admitted: what is given here replaces what the driver held before.
    async fn restore(&self, _standing: &[Standing]) -> Result<(), AgentError> {
        Ok(())
    }
    /// What `restore` handed over turned out to be an older copy: from here on nothing is put back by it, until `restore` is called again.
    /// What commands of this life have set is kept all the same.
    fn suspend(&self) {}
}

#[async_trait]
impl<T: Device + ?Sized> Device for std::sync::Arc<T> {
    fn owns(&self, resource: &Resource) -> bool {
        (**self).owns(resource)
    }
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        (**self).perform(action).await
    }
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        (**self).restore(standing).await
    }
    fn suspend(&self) {
        (**self).suspend();
    }
}
