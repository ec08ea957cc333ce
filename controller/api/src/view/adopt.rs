//! What is shown of an adoption: what a restored store takes from the agents, and what became of it.

use super::AgreedView;
use serde::{Deserialize, Serialize};

/// What a restored store would take from the agents, as they say it now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptionView {
    /// How many entries the backup had; `null` if the store was adopted already and only agents are left that were not heard then.
    pub entries: Option<u64>,
    /// When the backup was taken, milliseconds since 1970.
    pub taken: Option<u64>,
    /// What is agreed to: this, and nothing else.
    pub hash: String,
    /// Who has agreed, and for how long their word still holds.
    pub agreed: Vec<AgreedView>,
    /// How many people have to.
    pub needed: usize,
    /// The estate's counter after it.
    pub counter: u64,
    /// Agents that were heard.
    pub heard: Vec<String>,
    /// Agents that were not: what they keep is only observed until they are adopted too.
    pub absent: Vec<AbsentView>,
    /// Servers that are elsewhere than the backup says.
    pub placed: Vec<PlacedView>,
    /// Machines that are barred, and by the backup are not.
    pub barred: Vec<BarredView>,
    /// Machines that were released since.
    pub freed: Vec<String>,
    /// Servers of which nobody can say where they are: each is held until a person has looked.
    pub undecided: Vec<UndecidedView>,
    /// What agents keep that no document speaks of: while there is any, nothing is adopted.
    pub strange: Vec<String>,
}

/// An agent that was not heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentView {
    /// Which.
    pub agent: String,
    /// Why.
    pub why: String,
}

/// A server that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedView {
    /// Which.
    pub server: String,
    /// Where it is.
    pub machine: String,
    /// By which plan.
    pub plan: String,
    /// Where the backup has it.
    pub before: Option<String>,
}

/// A machine that is barred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarredView {
    /// Which.
    pub machine: String,
    /// Since which plan.
    pub plan: String,
    /// The server it bore, where that is known.
    pub server: Option<String>,
    /// Why.
    pub why: String,
}

/// A server that nobody can place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndecidedView {
    /// Which.
    pub server: String,
    /// Every machine that is said to bear it.
    pub may_be_on: Vec<String>,
    /// Why.
    pub why: String,
}

/// What became of a word for an adoption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedView {
    /// True if it is adopted; false while others have to agree as well.
    pub adopted: bool,
    /// Agents that were had to obey this store, with the reason if one did not.
    pub agents: Vec<SeededView>,
}

/// An agent that was had to obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeededView {
    /// Which.
    pub agent: String,
    /// Why it does not obey; `null` if it does.
    pub refused: Option<String>,
}
