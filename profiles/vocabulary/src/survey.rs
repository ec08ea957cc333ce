//! What a BMC tells beyond its readings: parts, sensors, the end of its event log. For people, and for signs of failures to come.
//! Must never be a part of a proof.

use crate::WallTime;
use serde::{Deserialize, Serialize};

/// How much a survey asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Inventory and sensors; over IPMI the watchdog too.
    Facts,
    /// And the end of the event log.
    FactsAndLog,
}

/// Something that a BMC tells of its machine, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// What.
    pub name: String,
    /// As it was told, with its unit.
    pub value: String,
}

impl Fact {
    /// A fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Fact {
        Fact { name: name.into(), value: value.into() }
    }
}

/// An entry of a BMC's event log. Never a part of a proof: it is as old as it is, by a clock that nobody checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its number or name in the log, as the BMC writes it.
    pub id: String,
    /// When, by the BMC's clock; `None` if it did not know the time.
    pub at: Option<WallTime>,
    /// What kind of sensor, or of entry.
    pub kind: String,
    /// What happened.
    pub what: String,
    /// `OK`, `Warning`, `Critical`, or `unknown` where it is not told.
    pub severity: String,
}

/// All that a BMC tells beyond its readings. For people: never a part of a proof, and never what a decision rests on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Survey {
    /// When it was asked, by the agent's wall clock.
    pub at: Option<WallTime>,
    /// Inventory, sensors, watchdog, each with the reason where it is not told.
    pub facts: Vec<Fact>,
    /// The end of the event log, the oldest first, where it was asked for.
    pub log: Vec<LogEntry>,
}
