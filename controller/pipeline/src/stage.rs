//! The nine stages as a word, for records, views and seconds.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stage of the pipeline. A failover goes through them in the order detect, decide, place, fence, network, storage, boot, verify, return.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A symptom is suspected.
    Detect,
    /// The verdict is corroborated and the guard has passed.
    Decide,
    /// A spare is reserved, the plan sealed.
    Place,
    /// Epochs are advanced; power, storage, network and permits of the old machines are being cut.
    Fence,
    /// The server is owned by its new machine; ports are joined.
    Network,
    /// Volumes are granted.
    Storage,
    /// Permit, boot target, power on.
    Boot,
    /// The service is being checked.
    Verify,
    /// The plan is closed; the old machine stays in quarantine.
    Return,
}

impl Stage {
    /// All stages in the order of a failover.
    pub const ALL: [Stage; 9] = [
        Stage::Detect,
        Stage::Decide,
        Stage::Place,
        Stage::Fence,
        Stage::Network,
        Stage::Storage,
        Stage::Boot,
        Stage::Verify,
        Stage::Return,
    ];

    /// The stage's name.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Detect => "detect",
            Stage::Decide => "decide",
            Stage::Place => "place",
            Stage::Fence => "fence",
            Stage::Network => "network",
            Stage::Storage => "storage",
            Stage::Boot => "boot",
            Stage::Verify => "verify",
            Stage::Return => "return",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Stage {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Stage::ALL.into_iter().find(|stage| stage.name() == text).ok_or_else(|| {
            format!("`{text}` is not a stage; the nine are detect, decide, place, fence, network, storage, boot, verify, return")
        })
    }
}
