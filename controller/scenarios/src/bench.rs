//! Benchmarks: what is measured against a rival in the same run, as rows. Must never call a goal met that was not measured.

mod crowd;
pub mod failover;
pub mod poll;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::trouble::{Done, at};

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    what: String,
    ours: Option<f64>,
    peer: Option<f64>,
    unit: &'static str,
    ratio: Option<f64>,
    goal: Value,
    met: Option<bool>,
}

/// How a benchmark ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every goal was met.
    Met,
    /// One was missed.
    Missed,
    /// It could not be measured.
    NotMeasured,
}

/// Writes the rows, to a file too if one is named, and says how it ended.
pub fn report(measured: Done<(Vec<Row>, Ended)>, json: Option<&Path>) -> Ended {
    match measured {
        Ok((rows, ended)) => {
            for row in &rows {
                println!("{}", serde_json::to_string(row).unwrap_or_default());
            }
            let text = serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n";
            match json.map_or(Ok(()), |path| at(path, std::fs::write(path, text))) {
                Ok(()) => ended,
                Err(trouble) => {
                    eprintln!("the benchmark: {trouble}");
                    Ended::NotMeasured
                }
            }
        }
        Err(trouble) => {
            eprintln!("the benchmark could not run: {trouble}");
            Ended::NotMeasured
        }
    }
}

/// Met if no goal was missed.
fn ended(rows: &[Row]) -> Ended {
    if rows.iter().all(|row| row.met != Some(false)) { Ended::Met } else { Ended::Missed }
}

/// A row that has no figures yet.
fn about(what: &str, unit: &'static str) -> Row {
    Row { what: what.to_owned(), ours: None, peer: None, unit, ratio: None, goal: Value::Null, met: None }
}

fn at_most(what: &str, ours: f64, unit: &'static str, most: f64) -> Row {
    Row { ours: Some(ours), goal: json!({"of": "ours", "at_most": most}), met: Some(ours <= most), ..about(what, unit) }
}

/// The middle value; of an even number the mean of the two in the middle; of none, not a number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|below| values.get(below))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (upper + lower) / 2.0,
        (Some(upper), _) => *upper,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn a_row_says_whether_its_goal_is_met() {
        let (good, bad) = (at_most("x", 30.0, "s", 30.0), at_most("x", 31.0, "s", 30.0));
        assert_eq!((good.met, bad.met), (Some(true), Some(false)));
        assert_eq!(ended(&[good.clone(), about("x", "s")]), Ended::Met);
        assert_eq!(ended(&[good, bad]), Ended::Missed);
    }
}
