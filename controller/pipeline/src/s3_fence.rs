//! Stage 3: an old machine is proven harmless. Power, storage, network and permits are cut in parallel; the first sufficient set wins
//! and the rest are pursued all the same.
//!
//! This file alone makes the three authorities on which a grant can rest. None of them can be made elsewhere, copied or read from
//! storage: a restart voids them and the world is looked at again.
//!
//! ```compile_fail
//! // a proof cannot be written down
//! let proof = pipeline::s3_fence::FenceProof { plan: todo!(), machines: vec![], sets: vec![], confirmed: todo!() };
//! ```
//! ```compile_fail
//! // a proof cannot be copied
//! fn twice(proof: pipeline::s3_fence::FenceProof) -> (pipeline::s3_fence::FenceProof, pipeline::s3_fence::FenceProof) {
//!     (proof.clone(), proof)
//! }
//! ```
//! ```compile_fail
//! // a proof cannot come from storage
//! fn read(text: &str) -> pipeline::s3_fence::FenceProof {
//!     serde_json::from_str(text).unwrap()
//! }
//! ```

mod human;
mod judge;
mod life;
mod outlets;
mod power;
mod send;

pub(crate) use human::evidence as evidence_by_word;
pub use human::{contacted, moved, read};
pub(crate) use judge::order;
pub use judge::{judge, missing, same_holder, uncut};
pub(crate) use outlets::are_cut;
pub use outlets::{to_give_back, usable as usable_outlets};
pub use power::polled;
pub use send::{begin, complete, drive, drive_advance, refresh};

use crate::effect::Agent;
use crate::plan::Plan;
use crate::state::State;
use crate::work::{Key, Work};
use std::collections::BTreeSet;
use vocabulary::estate::Estate;
use vocabulary::request::Resource;
use vocabulary::{Instant, MachineId, PlanId, ServerId, Span, VolumeId};

/// Evidence that every machine that ever held the server is harmless to it. Made by `judge` alone; neither `Clone` nor `Deserialize`.
#[derive(Debug)]
pub struct FenceProof {
    plan: PlanId,
    machines: Vec<MachineId>,
    sets: Vec<String>,
    confirmed: Instant,
}

/// The server has never been on any machine: no history in the ledger, and its agents report no holder and no session.
#[derive(Debug)]
pub struct NeverPlaced {
    plan: PlanId,
    confirmed: Instant,
}

/// The server stays on the machine that owns it: a restart in place.
#[derive(Debug)]
pub struct SameHolder {
    plan: PlanId,
}

/// What a grant rests on.
#[derive(Debug)]
pub enum Authority {
    /// A proven fence.
    Fenced(FenceProof),
    /// A first placement.
    NeverPlaced(NeverPlaced),
    /// A restart in place.
    SameHolder(SameHolder),
}

/// Why a grant may not be made now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lapsed {
    /// It belongs to another plan.
    #[error("this authority belongs to plan {0}")]
    Foreign(PlanId),
    /// A part of it is too old and must be confirmed anew.
    #[error("a part of this proof was confirmed {0} ago")]
    Stale(Span),
}

impl Authority {
    /// True for this plan, now: of this plan, and no part older than `fresh_for`.
    pub fn covers(&self, plan: &Plan, now: Instant, fresh_for: Span) -> Result<(), Lapsed> {
        let (of, confirmed) = match self {
            Authority::Fenced(proof) => (proof.plan, Some(proof.confirmed)),
            Authority::NeverPlaced(never) => (never.plan, Some(never.confirmed)),
            Authority::SameHolder(same) => (same.plan, None),
        };
        if of != plan.id() {
            return Err(Lapsed::Foreign(of));
        }
        match confirmed.map(|at| now.since(at)) {
            Some(age) if age > fresh_for => Err(Lapsed::Stale(age)),
            _ => Ok(()),
        }
    }

    /// The proof sets, for records.
    pub fn sets(&self) -> Vec<String> {
        match self {
            Authority::Fenced(proof) => proof.sets.clone(),
            Authority::NeverPlaced(_) => vec!["never placed".to_owned()],
            Authority::SameHolder(_) => vec!["same holder".to_owned()],
        }
    }

    /// The machines it covers.
    pub fn machines(&self) -> &[MachineId] {
        match self {
            Authority::Fenced(proof) => &proof.machines,
            Authority::NeverPlaced(_) | Authority::SameHolder(_) => &[],
        }
    }
}

/// The agent and the resource of a task that cuts a machine off.
pub(crate) fn subject(estate: &Estate, key: &Key) -> Option<(Agent, Resource)> {
    Some(match key {
        Key::Power(machine) => (Agent::of_bmc(estate, machine), Resource::Machine(machine.clone())),
        Key::Port(_, port) => (Agent::Switch(port.switch.clone()), Resource::Port(port.clone())),
        Key::Permit(machine, service) => (Agent::Boot(service.clone()), Resource::Permit(machine.clone())),
        Key::Cut(_, outlet) => (Agent::Outlets(outlet.pdu.clone()), Resource::Outlet(outlet.clone())),
        _ => return None,
    })
}

/// The initiator name of a plan's placement.
pub(crate) fn initiator(server: &ServerId, plan: &Plan) -> vocabulary::storage::InitiatorName {
    vocabulary::storage::InitiatorName::of_placement(server, plan.epoch())
}

/// Volumes of the plan's server: those of its profile and those the ledger says it owns.
fn volumes(state: &State, work: &Work) -> BTreeSet<VolumeId> {
    let Some(server) = work.plan.server() else { return BTreeSet::new() };
    let of_profile = state.estate.servers.get(server).map(|profile| profile.volumes.iter().map(|v| v.id()).collect::<Vec<_>>());
    let owned = state.ledger.volumes.iter().filter(|(_, (owner, _, _))| owner == server).map(|(id, _)| id.clone());
    of_profile.unwrap_or_default().into_iter().chain(owned).collect()
}

/// True if a reading comes from the box that the estate and the enrolment name.
pub(crate) fn is_target(
    state: &crate::state::State,
    machine: &MachineId,
    reading: &vocabulary::power::MachineReading,
) -> Result<(), String> {
    match state.estate.machines.get(machine) {
        Some(document) => power::is_same_box(state, machine, document, reading),
        None => Err(format!("{machine} is not in the estate")),
    }
}
