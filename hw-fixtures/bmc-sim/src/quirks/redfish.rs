//! Quirks of Redfish alone: what a BMC lists, how it takes settings, what it calls done.
//! Must never act by itself: this is the list of lies, the other files tell them.

use serde::{Deserialize, Serialize};

use super::RESET_TYPES;

/// What a BMC does otherwise over Redfish alone. The default keeps to the standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedfishQuirks {
    /// The values that a reset takes stand at the action itself; `false`: only in the ActionInfo resource that it names.
    pub inline_values: bool,
    /// The reset types that the System takes and lists; None: all that a machine understands.
    pub reset_types: Option<Vec<String>>,
}

impl Default for RedfishQuirks {
    fn default() -> Self {
        Self { inline_values: true, reset_types: None }
    }
}

impl RedfishQuirks {
    /// Refuses values that no BMC could have.
    pub(super) fn check(&self) -> Result<(), String> {
        let unknown = self.reset_types.iter().flatten().find(|word| !RESET_TYPES.contains(&word.as_str()));
        match unknown {
            Some(word) => Err(format!("quirk redfish.reset_types: {word} is none of {}", RESET_TYPES.join(", "))),
            None => Ok(()),
        }
    }

    /// The reset types of the System.
    pub fn resets(&self) -> Vec<&str> {
        match &self.reset_types {
            Some(words) => words.iter().map(String::as_str).collect(),
            None => RESET_TYPES.to_vec(),
        }
    }
}
