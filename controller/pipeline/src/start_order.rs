//! The order in which the servers of a site are started again after its power was gone: what a person is shown, agrees to by its hash, and gets.
//! It is data, and reads nothing.

use crate::plan::digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vocabulary::{Epoch, GroupId, MachineId, ServerId, SiteId};

/// One server's turn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// Which.
    pub server: ServerId,
    /// Where it is, and stays.
    pub machine: MachineId,
    /// The epoch of that placement, which stays too.
    pub epoch: Epoch,
    /// Its group.
    pub group: GroupId,
    /// Groups of this order whose starts must have come to their ends before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<GroupId>,
}

/// A whole order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StartOrder {
    /// Of this site.
    pub site: SiteId,
    /// First come, first started, as far as `after` and the inrush limit let it.
    pub turns: Vec<Turn>,
}

impl StartOrder {
    /// SHA-256 over canonical JSON, in hex: what persons agree to.
    pub fn hash(&self) -> String {
        // serde_json's Value sorts object keys (no preserve_order feature in this workspace), so the text is canonical
        digest(&serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default())
    }
}
