//! The failover benchmark: Understudy against a hand-written script, in turn, each time in a fresh data centre of the same kind, with the
//! same windows and the same proof. Both are timed by the users' eyes.

use std::path::Path;
use std::sync::mpsc::channel;

use lab::control::Act;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::wall_ms;
use crate::demo::SETTLE_MS;
use crate::hand;
use crate::library;
use crate::limits::{HAND, MOVED, SERVES};
use crate::places::Places;
use crate::run::{self, Run, until};
use crate::script::Scenario;
use crate::seconds::Known;
use crate::trouble::{Done, Trouble, at};

const SERVER: &str = "web1";
const MACHINE: &str = "m1";
const SPARE: &str = "m3";
/// The goals of the design.
const RATIO_AT_MOST: f64 = 1.05;
const OWN_MS_AT_MOST: f64 = 250.0;
/// A script that is slower than this in its own steps is no rival.
const SCRIPT_OWN_S_AT_MOST: f64 = 1.0;

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

/// Which sets count as the proof.
#[derive(Clone, Copy)]
enum Proof {
    StorageAndNetwork,
    Power,
}

impl Proof {
    fn setting(self) -> &'static str {
        match self {
            Proof::StorageAndNetwork => "storage-and-network-only",
            Proof::Power => "power-only",
        }
    }
    fn of_script(self) -> &'static str {
        match self {
            Proof::StorageAndNetwork => "storage-network",
            Proof::Power => "power",
        }
    }
}

/// One measured failover: seconds from the fault to the users' first answer, and the own part of it.
#[derive(Clone, Copy, Debug)]
struct Measured {
    total_s: f64,
    own_s: f64,
}

/// Measures so many pairs by S and N, and fewer by P alone; writes the rows, and says how it ended.
pub fn measure(places: &Places, pairs: usize, pairs_by_power: usize, json: Option<&Path>) -> Ended {
    match all(places, pairs, pairs_by_power) {
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

fn all(places: &Places, pairs: usize, pairs_by_power: usize) -> Done<(Vec<Row>, Ended)> {
    let (ours, peer) = series(places, pairs, Proof::StorageAndNetwork)?;
    let mut rows = vec![compared("failover, cold spare, proof by S and N", &ours, &peer, Some(RATIO_AT_MOST))];
    let own_ms = median(ours.iter().map(|one| one.own_s * 1000.0).collect());
    rows.push(Row {
        what: "own time of a failover".to_owned(),
        ours: Some(own_ms),
        peer: None,
        unit: "ms",
        ratio: None,
        goal: json!({"of": "ours", "at_most": OWN_MS_AT_MOST}),
        met: Some(own_ms <= OWN_MS_AT_MOST),
    });
    let script_own = median(peer.iter().map(|one| one.own_s).collect());
    rows.push(Row {
        what: "own steps of the script (its devices' answers counted)".to_owned(),
        ours: None,
        peer: Some(script_own),
        unit: "s",
        ratio: None,
        goal: Value::Null,
        met: None,
    });
    if pairs_by_power > 0 {
        let (ours, peer) = series(places, pairs_by_power, Proof::Power)?;
        rows.push(compared("the same, proof by P alone", &ours, &peer, None));
    }
    let ended = match rows.iter().all(|row| row.met != Some(false)) {
        _ if script_own > SCRIPT_OWN_S_AT_MOST => Ended::NotMeasured,
        true => Ended::Met,
        false => Ended::Missed,
    };
    Ok((rows, ended))
}

fn compared(what: &str, ours: &[Measured], peer: &[Measured], goal: Option<f64>) -> Row {
    let ratio = median(ours.iter().zip(peer).map(|(ours, peer)| ours.total_s / peer.total_s).collect());
    Row {
        what: what.to_owned(),
        ours: Some(median(ours.iter().map(|one| one.total_s).collect())),
        peer: Some(median(peer.iter().map(|one| one.total_s).collect())),
        unit: "s",
        ratio: Some(ratio),
        goal: goal.map_or(Value::Null, |most| json!({"of": "ratio", "at_most": most})),
        met: goal.map(|most| ratio <= most),
    }
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

/// Ours and the peer's, in turn, so that a slow minute of the computer hits both.
fn series(places: &Places, pairs: usize, proof: Proof) -> Done<(Vec<Measured>, Vec<Measured>)> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let our = by_understudy(places, proof)?;
        let other = by_script(places, proof)?;
        println!(
            "pair {pair} of {pairs} ({}): ours {:.2} s (own {:.0} ms), script {:.2} s (own {:.2} s)",
            proof.setting(),
            our.total_s,
            our.own_s * 1000.0,
            other.total_s,
            other.own_s
        );
        ours.push(our);
        peer.push(other);
    }
    Ok((ours, peer))
}

fn scenario(proof: Proof) -> Done<Scenario> {
    let Some(Ok(mut scenario)) = library::find("crash") else {
        return Err(Trouble::Wrong("the scenario `crash` cannot be read".to_owned()));
    };
    scenario.setup.settings.push(("fencing.proof".to_owned(), proof.setting().to_owned()));
    scenario.name = "bench".to_owned();
    Ok(scenario)
}

/// A data centre with both servers up for a while.
fn ready<'a>(places: &'a Places, proof: Proof) -> Done<Run<'a>> {
    let run = run::up(places, &scenario(proof)?, false, &|_| {})?;
    run.rig.start_servers(&|_| {})?;
    until("twenty records", SERVES, || {
        let seen = run.rig.eyes.seen(SERVER)?;
        Ok(if seen.answer.is_some_and(|(_, answer)| answer.last >= crate::limits::RECORDS) {
            Ok(())
        } else {
            Err("fewer".to_owned())
        })
    })?;
    Ok(run)
}

/// When a start of the server other than this one answered first.
fn back(run: &Run<'_>, before: &str) -> Done<u64> {
    until("the server's answer", MOVED, || {
        let seen = run.rig.eyes.seen(SERVER)?;
        let new = seen.answer.as_ref().map(|(_, answer)| answer.incarnation.clone()).filter(|start| start != before);
        Ok(new.and_then(|start| seen.first.get(&start).copied()).ok_or_else(|| "the old start answered last".to_owned()))
    })
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn incarnation(run: &Run<'_>) -> Done<String> {
    Ok(run.rig.eyes.seen(SERVER)?.answer.map(|(_, answer)| answer.incarnation).unwrap_or_default())
}

fn by_understudy(places: &Places, proof: Proof) -> Done<Measured> {
    let run = ready(places, proof)?;
    let before = incarnation(&run)?;
    let fault = wall_ms();
    run.rig.hand()?.machine(MACHINE, Act::Kill)?;
    let answered = back(&run, &before)?;
    let plan = until("the failover's end", MOVED, || {
        let last = run.rig.product.failovers()?.into_iter().next_back();
        Ok(last.filter(|plan| plan.state == "done").ok_or_else(|| "it is open".to_owned()))
    })?;
    let failover = run.rig.product.failover(&plan.id)?;
    let (story, console) = (run.rig.product.story(), run.rig.consoles.since(SPARE, fault));
    let known = Known { fault, failover: &failover, story: &story, console: &console, answered, settle: SETTLE_MS };
    Ok(Measured { total_s: seconds(answered.saturating_sub(fault)), own_s: seconds(known.own_ms()) })
}

fn by_script(places: &Places, proof: Proof) -> Done<Measured> {
    let run = ready(places, proof)?;
    let before = incarnation(&run)?;
    run.rig.take_product_away()?;
    let folder = run.rig.run.clone();
    let words = ["1", "1", "3", proof.of_script(), "wait"].map(str::to_owned);
    let (told, steps) = channel();
    let script = std::thread::spawn(move || {
        hand::failover(&folder, &words, |step| {
            // the listener may have given up
            let _ = told.send(step.clone());
        })
    });
    let ready = steps.recv_timeout(HAND);
    let failed = || Trouble::Wrong("the script ended before it was ready".to_owned());
    if ready.is_err() {
        return Err(script.join().ok().and_then(Result::err).unwrap_or_else(failed));
    }
    let fault = wall_ms();
    run.rig.hand()?.machine(MACHINE, Act::Kill)?;
    let answered = back(&run, &before)?;
    let steps = script.join().unwrap_or_else(|_| Err(failed()))?;
    let own = hand::when(&steps, "powered-on")?.saturating_sub(hand::when(&steps, "detected")?);
    let settle = match proof {
        Proof::Power => SETTLE_MS,
        Proof::StorageAndNetwork => 0,
    };
    Ok(Measured { total_s: seconds(answered.saturating_sub(fault)), own_s: seconds(own.saturating_sub(settle)) })
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
        let one = |total_s| Measured { total_s, own_s: 0.1 };
        let row = compared("x", &[one(10.0), one(11.0)], &[one(10.0), one(10.0)], Some(1.05));
        assert_eq!((row.ratio, row.met), (Some(1.05), Some(true)));
        assert_eq!(compared("x", &[one(12.0)], &[one(10.0)], Some(1.05)).met, Some(false));
        assert_eq!(compared("x", &[one(12.0)], &[one(10.0)], None).met, None);
    }
}
