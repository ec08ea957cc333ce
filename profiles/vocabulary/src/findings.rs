//! What a driver found out of a BMC beyond its readings: platform, quirk records, how it is logged in, and what it can do. For people.
//! Must never be taken for a proof or a permission: commands are refused and judged by what is read when they are given.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Whether a BMC can do something, as far as it tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Can {
    /// It says so.
    Yes,
    /// It lacks it; the detail says why.
    No,
    /// It does not tell: it is tried when it is needed, and read back.
    Untold,
}

impl Can {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Can::Yes => "yes",
            Can::No => "no",
            Can::Untold => "untold",
        }
    }
}

/// One thing that Understudy asks of a BMC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ability {
    /// What.
    pub name: Cow<'static, str>,
    /// Whether.
    pub can: Can,
    /// By which values, or why not.
    pub detail: String,
}

impl Ability {
    /// It can.
    pub fn yes(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Ability {
        Ability { name: name.into(), can: Can::Yes, detail: detail.into() }
    }
    /// It cannot, and why.
    pub fn no(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Ability {
        Ability { name: name.into(), can: Can::No, detail: detail.into() }
    }
    /// It does not tell.
    pub fn untold(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Ability {
        Ability { name: name.into(), can: Can::Untold, detail: detail.into() }
    }
}

/// Everything that was found out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Make, model and firmware.
    pub platform: String,
    /// The quirk records that apply; none: it is taken to keep to the standard.
    pub quirks: Vec<String>,
    /// How this client is logged in.
    pub session: String,
    /// What the BMC can do, and what it lacks.
    pub abilities: Vec<Ability>,
}
