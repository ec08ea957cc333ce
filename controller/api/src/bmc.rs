//! What was found out of a machine's BMC, as `machine show` and `machine probe` tell it. Fields are only ever added.
//! Must never hold a secret: of the account only how it is logged in is told.

use crate::view::MachineView;
use engine::{Findings, Scope, Survey};
use serde::{Deserialize, Serialize};
use vocabulary::light::LightReading;

/// A machine, and what was found out of its BMC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineFullView {
    /// The machine as every list shows it.
    #[serde(flatten)]
    pub machine: MachineView,
    /// `null` while the BMC was not read since the controller's start.
    #[serde(default)]
    pub bmc: Option<BmcView>,
    /// `null` unless it was asked for.
    #[serde(default)]
    pub survey: Option<SurveyView>,
}

/// A machine's identify light, after it was switched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightView {
    /// The machine.
    pub machine: String,
    /// What the light reads: `off`, `steady`, `for-a-while`, or `unknown` where the BMC does not tell.
    pub light: LightReading,
}

/// How much of a survey is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeWord {
    /// Inventory, sensors, watchdog.
    Facts,
    /// And the end of the event log.
    Log,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Scope {
        match word {
            ScopeWord::Facts => Scope::Facts,
            ScopeWord::Log => Scope::FactsAndLog,
        }
    }
}

/// What a BMC told beyond its readings, asked at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyView {
    /// Inventory and sensors; over IPMI the watchdog too.
    pub facts: Vec<FactView>,
    /// The end of its event log, the oldest first, where it was asked for.
    #[serde(default)]
    pub log: Vec<LogEntryView>,
}

/// An entry of a BMC's event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntryView {
    /// Its number or name in the log, as the BMC writes it.
    pub id: String,
    /// When, by the BMC's clock, milliseconds since 1970; `null` if it did not know the time.
    pub at_ms: Option<u64>,
    /// What kind of sensor, or of entry.
    pub kind: String,
    /// What happened.
    pub what: String,
    /// `OK`, `Warning`, `Critical`, or `unknown` where it is not told.
    pub severity: String,
}

/// One thing that a BMC tells of its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactView {
    /// What.
    pub name: String,
    /// As it was told, with its unit, or why it was not.
    pub value: String,
}

impl From<&Survey> for SurveyView {
    fn from(survey: &Survey) -> SurveyView {
        let facts = survey.facts.iter().map(|fact| FactView { name: fact.name.clone(), value: fact.value.clone() });
        let log = survey.log.iter().map(|entry| LogEntryView {
            id: entry.id.clone(),
            at_ms: entry.at.map(|at| at.0),
            kind: entry.kind.clone(),
            what: entry.what.clone(),
            severity: entry.severity.clone(),
        });
        SurveyView { facts: facts.collect(), log: log.collect() }
    }
}

/// What was found out of a BMC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmcView {
    /// Make, model and firmware.
    pub platform: String,
    /// The quirk records that apply; none: it is taken to keep to the standard.
    pub quirks: Vec<String>,
    /// How it is logged in to.
    pub session: String,
    /// What it can do, and what it lacks.
    pub abilities: Vec<AbilityView>,
}

/// One thing that Understudy asks of a BMC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbilityView {
    /// What.
    pub name: String,
    /// `yes`, `no`, or `untold`: then it is tried when it is needed, and read back.
    pub can: String,
    /// By which values, or why not.
    pub detail: String,
}

impl From<&Findings> for BmcView {
    fn from(findings: &Findings) -> BmcView {
        let abilities = findings.abilities.iter().map(|ability| AbilityView {
            name: ability.name.clone().into_owned(),
            can: ability.can.word().to_owned(),
            detail: ability.detail.clone(),
        });
        BmcView {
            platform: findings.platform.clone(),
            quirks: findings.quirks.clone(),
            session: findings.session.clone(),
            abilities: abilities.collect(),
        }
    }
}
