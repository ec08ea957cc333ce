//! What is shown of sites and of their starts.

use super::AgreedView;
use serde::{Deserialize, Serialize};

/// A site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// Servers that are meant to run there.
    pub servers: usize,
    /// Servers that wait for their turn in its start; 0 if none is under way.
    pub waiting: usize,
}

/// The start of a site: what would be done, or what is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteStartView {
    /// Which site.
    pub site: String,
    /// `proposed`, or `under-way`.
    pub state: String,
    /// What is agreed to: this order, and no other.
    pub hash: String,
    /// Who has agreed, and for how long their word still holds.
    pub agreed: Vec<AgreedView>,
    /// How many people have to.
    pub needed: usize,
    /// How many servers may be starting at once.
    pub inrush: usize,
    /// Everyone's turn, in order.
    pub turns: Vec<TurnView>,
    /// Servers that are meant to run there and would not be started, with the reason.
    pub left_out: Vec<LeftOutView>,
    /// The last start that ended.
    pub last: Option<StartedView>,
}

/// One server's turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TurnView {
    /// Which.
    pub server: String,
    /// Where it is, and stays.
    pub machine: String,
    /// Groups whose starts come to their ends before.
    pub after: Vec<String>,
    /// `waits`, `starting`, `started`, `failed` or `passed`.
    pub state: String,
    /// What it waits for, why it failed or was passed over, or its plan.
    pub text: Option<String>,
}

/// A server that would not be started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftOutView {
    /// Which.
    pub server: String,
    /// Why.
    pub reason: String,
}

/// A start that has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartedView {
    /// When it began, milliseconds since 1970.
    pub since: u64,
    /// When it ended.
    pub ended: u64,
    /// With what.
    pub result: String,
    /// What became of each turn.
    pub turns: Vec<TurnView>,
}
