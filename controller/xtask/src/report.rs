//! Rows that the lab and the benchmarks write, and the table for SPECIFICATION.md made from them. It reports what was measured and never
//! fills in what was not.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// A row of `lab e2e --json`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Scenario {
    pub scenario: String,
    pub passed: bool,
    pub total_s: Option<f64>,
    pub reason: Option<String>,
}

impl Scenario {
    /// `crash failed: ...`
    pub fn sentence(&self) -> String {
        let verdict = if self.passed { "passed" } else { "failed" };
        format!("{} {verdict}: {}", self.scenario, self.reason.as_deref().unwrap_or("no reason given"))
    }
}

/// A row of `bench NAME --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Measure {
    pub what: String,
    pub ours: Option<f64>,
    pub peer: Option<f64>,
    pub unit: String,
    pub ratio: Option<f64>,
    pub goal: Value,
    pub met: Option<bool>,
}

/// What the demo writes, whole: a key more or less is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    pub scenario: String,
    pub spare: String,
    pub total_s: f64,
    pub own_ms: u64,
    pub stages: Vec<Stage>,
    pub effective_machines: u64,
    pub acknowledged: u64,
    pub recovered: u64,
    /// Where the hall was a simulated one.
    #[serde(default)]
    pub hall: Option<Hall>,
}

/// Of a simulated hall: its machines, the servers that ran, which machine died, where its server is now, and lost records of all servers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hall {
    pub machines: usize,
    pub live: usize,
    pub from: String,
    pub to: String,
    pub lost: u64,
}

/// A stage of the demo's failover, in seconds from the fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    pub start_s: f64,
    pub end_s: f64,
}

/// The stages that the demo's failover goes through, and the parts of its boot.
const STAGES: [&str; 14] = [
    "detect",
    "decide",
    "fence",
    "place",
    "network",
    "storage",
    "boot",
    "verify",
    "return",
    "boot.firmware",
    "boot.dhcp",
    "boot.kernel",
    "boot.root",
    "boot.service",
];

/// The demo's outcome.
pub fn read_demo(file: &Path) -> Result<Demo> {
    let bytes = std::fs::read(file).with_context(|| format!("the demo left no {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not what the demo promises", file.display()))
}

impl Demo {
    /// Whether the promise was kept, and every stage is there.
    pub fn check(&self) -> Result<()> {
        if self.recovered != self.acknowledged || self.acknowledged == 0 || self.effective_machines != 1 {
            bail!("the demo exited 0 although the promise was not kept: {self:?}");
        }
        let mut names: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        let mut wanted = STAGES;
        names.sort_unstable();
        wanted.sort_unstable();
        if names != wanted {
            bail!("the demo told of the stages {names:?}, not of {wanted:?}");
        }
        let total_ms = self.total_s * 1000.0;
        let late = |stage: &&Stage| !(0.0 <= stage.start_s && stage.start_s <= stage.end_s && stage.end_s <= self.total_s);
        if let Some(stage) = self.stages.iter().find(late) {
            bail!("{stage:?} is not within the {} s of the whole", self.total_s);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one failover")]
        let own_ms = self.own_ms as f64;
        if own_ms > total_ms || self.scenario.is_empty() || !["cold", "parked"].contains(&self.spare.as_str()) {
            bail!("the demo told of {self:?}");
        }
        match &self.hall {
            Some(hall) if hall.from == hall.to || hall.lost != 0 || hall.live == 0 => bail!("the demo told of {hall:?}"),
            Some(_) | None => Ok(()),
        }
    }

    /// The same of a simulated hall of so many machines.
    pub fn check_hall(&self, machines: usize) -> Result<()> {
        self.check()?;
        if self.hall.as_ref().is_none_or(|hall| hall.machines != machines) {
            bail!("the demo was to have {machines} simulated machines, and told of {:?}", self.hall);
        }
        Ok(())
    }
}

/// The measures of a file; none if the benchmark could not run.
pub fn read_measures(file: &Path) -> Vec<Measure> {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The table, as Markdown.
pub fn specification(scenarios: &[Scenario], measures: &[Measure]) -> String {
    let mut lines =
        vec!["| what | ours | peer | unit | ratio | goal | met |".to_owned(), "|---|---|---|---|---|---|---|".to_owned()];
    for measure in measures {
        let cells = [
            measure.what.clone(),
            number(measure.ours),
            number(measure.peer),
            measure.unit.clone(),
            number(measure.ratio),
            goal(&measure.goal),
            verdict(measure.met).to_owned(),
        ];
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    for scenario in scenarios {
        lines.push(format!(
            "| scenario `{}` | {} |  | s |  | passes | {} |",
            scenario.scenario,
            number(scenario.total_s),
            verdict(Some(scenario.passed))
        ));
    }
    lines.join("\n")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
}

/// `{"of": "ratio", "at_most": 1.05}` as `ratio <= 1.05`.
fn goal(goal: &Value) -> String {
    let of = goal.get("of").and_then(Value::as_str).unwrap_or_default();
    for (key, sign) in [("at_most", "<="), ("at_least", ">=")] {
        if let Some(limit) = goal.get(key) {
            return format!("{of} {sign} {limit}");
        }
    }
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_a_table_and_a_missing_number_stays_missing() {
        let measures: Vec<Measure> = serde_json::from_str(
            r#"[{"what":"failover","ours":14.2,"peer":null,"unit":"s","ratio":null,"goal":{"of":"ratio","at_most":1.05},"met":false}]"#,
        )
        .unwrap();
        let scenarios: Vec<Scenario> =
            serde_json::from_str(r#"[{"scenario":"crash","passed":true,"total_s":20.5,"reason":null}]"#).unwrap();
        let table = specification(&scenarios, &measures);
        assert!(table.contains("| failover | 14.200 | - | s | - | ratio <= 1.05 | NO |"), "{table}");
        assert!(table.contains("| scenario `crash` | 20.500 |  | s |  | passes | yes |"), "{table}");
    }

    #[test]
    fn a_demo_is_believed_only_whole() {
        let stages: Vec<_> = STAGES.iter().map(|name| serde_json::json!({"name": name, "start_s": 0.5, "end_s": 2.0})).collect();
        let good = serde_json::json!({
            "scenario": "crash", "spare": "cold", "total_s": 2.0, "own_ms": 3, "stages": stages,
            "effective_machines": 1, "acknowledged": 7, "recovered": 7,
        });
        let read = |value: &Value| serde_json::from_value::<Demo>(value.clone());
        assert!(read(&good).unwrap().check().is_ok());
        for (key, value) in [
            ("recovered", 6.into()),
            ("effective_machines", 2.into()),
            ("stages", Value::Array(Vec::new())),
            ("total_s", 1.into()),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(read(&bad).unwrap().check().is_err(), "{key}");
        }
        let mut more = good;
        more["more"] = 1.into();
        assert!(read(&more).is_err());
    }

    #[test]
    fn a_failed_scenario_says_why() {
        let row: Scenario =
            serde_json::from_str(r#"{"scenario":"hang","passed":false,"total_s":3,"reason":"two writers"}"#).unwrap();
        assert_eq!(row.sentence(), "hang failed: two writers");
    }
}
