//! What a restored store takes from the agents, as data. Concludes nothing.

use crate::basis::Basis;
use crate::plan::digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::request::Resource;
use vocabulary::{Epoch, MachineId, PoolId, ServerId, VolumeId};

/// What is taken from the agents, as differences from what the store says. Recorded as it is, so that folding decides nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Adoption {
    /// The highest epoch that any of them, or the store, has seen: the next plan draws a higher one.
    pub counter: Epoch,
    /// Agents whose memory was taken.
    pub heard: BTreeSet<String>,
    /// Agents that said nothing that could be taken, with the reason: what they keep is only observed.
    pub absent: BTreeMap<String, String>,
    /// Servers that are elsewhere than the store says.
    pub placed: Vec<Placed>,
    /// Machines that are barred, and by the store are not.
    pub barred: Vec<Barred>,
    /// Machines with outlets that are barred, and by the store are not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outlets: BTreeMap<MachineId, Epoch>,
    /// Machines that were released since, with the pool of the server that each bore, which takes it where no document names one.
    pub freed: BTreeMap<MachineId, Option<PoolId>>,
    /// Servers of which nobody can say where they are: held until a person has looked.
    pub undecided: BTreeMap<ServerId, Undecided>,
    /// Servers of which nobody could say, the last time, and of which that is known now.
    pub settled: BTreeSet<ServerId>,
    /// What agents keep for servers and machines of which no document speaks: then the documents are older than what runs, and nothing is taken.
    pub strange: BTreeSet<String>,
    /// The epochs that the agents keep.
    pub kept: Vec<Kept>,
}

/// A server that is elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// Which.
    pub server: ServerId,
    /// Where it is.
    pub machine: MachineId,
    /// Since which plan.
    pub epoch: Epoch,
    /// Where the store says it is.
    pub before: Option<(MachineId, Epoch)>,
    /// Its volumes that are held there.
    pub volumes: Vec<VolumeId>,
    /// What of the documents this rests on.
    pub basis: Basis,
}

/// A machine that is barred.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Barred {
    /// Which.
    pub machine: MachineId,
    /// Since which plan.
    pub epoch: Epoch,
    /// The server that it bore, where that is known.
    pub server: Option<ServerId>,
    /// True if that server is still nowhere else.
    pub bears: bool,
    /// Why.
    pub why: String,
    /// What of the documents this rests on.
    pub basis: Basis,
}

/// A server that nobody can place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Undecided {
    /// Why.
    pub why: String,
    /// Every machine that is said to bear it, by the store or by any agent: none of them is a spare, and each is fenced before it serves elsewhere.
    pub may_be_on: BTreeSet<MachineId>,
}

/// The epoch that an agent keeps for a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Which agent.
    pub agent: String,
    /// Of what.
    pub resource: Resource,
    /// The epoch.
    pub epoch: Epoch,
}

impl Adoption {
    /// SHA-256 over its canonical JSON, in hex: what persons agree to.
    pub fn hash(&self) -> String {
        // serde_json's Value sorts object keys, so the text is canonical; of these types nothing fails to be written
        digest(&serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default())
    }
}
