//! The plan: immutable, hashed, printable. A dry run is the same document, and its hash is the one that is later approved:
//! it is taken over the body alone, which holds no clock value, epoch, op id or secret.

use crate::stage::Stage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use vocabulary::{Epoch, MachineId, PlanId, ServerId, Span};

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Takes a machine in.
    Enrol,
    /// A server's first placement.
    FirstStart,
    /// Power for the present placement.
    Restart,
    /// Orderly stop of the present placement.
    Stop,
    /// Moves a server off a machine that was judged dead.
    Failover,
    /// Lifts a quarantine.
    Release,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Kind::Enrol => "enrol",
            Kind::FirstStart => "first-start",
            Kind::Restart => "restart",
            Kind::Stop => "stop",
            Kind::Failover => "failover",
            Kind::Release => "release",
        })
    }
}

/// One step of a plan, in words that name the device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The stage it belongs to.
    pub stage: Stage,
    /// The agent that does it.
    pub agent: String,
    /// What is done.
    pub what: String,
    /// How long it may take before the next thing is tried.
    pub deadline: Span,
}

/// A machine that was not chosen, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub machine: MachineId,
    /// Why.
    pub reason: String,
}

/// What the hash is taken over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Body {
    /// What for.
    pub kind: Kind,
    /// The server, where it is about one.
    pub server: Option<ServerId>,
    /// Machines to be proven harmless: every one that ever held the server and was not released.
    pub fence: Vec<MachineId>,
    /// The machine that is to bear the server, or is enrolled or released.
    pub target: MachineId,
    /// What is done.
    pub steps: Vec<Step>,
    /// Machines that were not chosen.
    pub passed_over: Vec<PassedOver>,
    /// Estate documents the plan was made from, with their revisions.
    pub revisions: BTreeMap<String, String>,
}

impl Body {
    /// SHA-256 over canonical JSON (sorted keys), in hex: over what is done. Why other machines were passed over is not part of it, so
    /// a spare that is not used cannot change what was approved.
    pub fn hash(&self) -> String {
        let done = Body { passed_over: Vec::new(), ..self.clone() };
        // serde_json's Value sorts object keys (no preserve_order feature in this workspace), so the text is canonical
        digest(&serde_json::to_value(done).map(|value| value.to_string()).unwrap_or_default())
    }
}

/// SHA-256 of a text, in hex.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sealed plan: it has drawn its epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    epoch: Epoch,
    hash: String,
    body: Body,
}

impl Plan {
    /// Seals a body under a freshly drawn epoch.
    pub(crate) fn seal(body: Body, epoch: Epoch) -> Plan {
        Plan { epoch, hash: body.hash(), body }
    }
    /// Its id.
    pub fn id(&self) -> PlanId {
        PlanId(self.epoch)
    }
    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// The hash that is approved.
    pub fn hash(&self) -> &str {
        &self.hash
    }
    /// What it does.
    pub fn body(&self) -> &Body {
        &self.body
    }
    /// The server; every plan kind that grants has one.
    pub fn server(&self) -> Option<&ServerId> {
        self.body.server.as_ref()
    }
    /// The target.
    pub fn target(&self) -> &MachineId {
        &self.body.target
    }
}
