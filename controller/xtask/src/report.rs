//! Rows that the lab and the benchmarks write, and the table for SPECIFICATION.md made from them. It reports what was measured and never
//! fills in what was not.

use std::path::Path;

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
    fn a_failed_scenario_says_why() {
        let row: Scenario =
            serde_json::from_str(r#"{"scenario":"hang","passed":false,"total_s":3,"reason":"two writers"}"#).unwrap();
        assert_eq!(row.sentence(), "hang failed: two writers");
    }
}
