//! What is shown of the ways in which a server may be brought back.

use serde::{Deserialize, Serialize};

/// The ladder: of a restart in place and a replacement, which comes first, in what time each is predicted to serve, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderView {
    /// How long the outage may last by the group's `recovery_target`, milliseconds; `null`: it says nothing.
    pub target_ms: Option<u64>,
    /// How long it had lasted then, since the server was last seen well, milliseconds. `null`: nothing is wrong with it, or nobody has seen it well since
    /// the controller's start, and the target is not judged.
    pub lasted_ms: Option<u64>,
    /// First the rung that is taken, last what is not open.
    pub rungs: Vec<RungView>,
}

/// A rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungView {
    /// `restart` (where it is) or `replace` (on a spare).
    pub way: String,
    /// The machine on which it would serve again.
    pub machine: Option<String>,
    /// `first`, `follows`, `skipped` (it would miss the target) or `closed`.
    pub stands: String,
    /// Why.
    pub why: String,
    /// True if it waits for a person; `null` where it is not open.
    pub needs_person: Option<bool>,
    /// In what time it is predicted to serve, milliseconds; `null`: that cannot be said.
    pub predicted_ms: Option<u64>,
    /// What that is made of.
    pub shares: Vec<ShareView>,
    /// The same in one sentence.
    pub text: String,
}

/// A part of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareView {
    /// `stop`, `fence`, `rewire`, `firmware`, `boot`, or `start` for both of them together.
    pub part: String,
    /// How long, milliseconds.
    pub ms: u64,
    /// `recorded`, `setting` or `assumed`.
    pub by: String,
    /// By how many that are on record; 0 where none is.
    pub times: u32,
}
