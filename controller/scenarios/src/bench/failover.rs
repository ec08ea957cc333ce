//! The failover benchmark: Understudy against a hand-written script, in turn, each time in a fresh data centre of the same kind, with the
//! same windows and the same proof. Both are timed by the users' eyes.

use std::sync::mpsc::channel;
use std::time::Instant;

use lab::control::Act;
use lab::names::SwitchKind;
use serde_json::{Value, json};
use vocabulary::boot::Firmware;

use super::{Ended, Row, about, at_most, ended, median};
use crate::clock::wall_ms;
use crate::demo::SETTLE_MS;
use crate::hand;
use crate::library;
use crate::limits::{HAND, MOVED, SERVES};
use crate::places::Places;
use crate::rig::Make;
use crate::run::{self, Run, until};
use crate::script::Scenario;
use crate::seconds::Known;
use crate::trouble::{Done, Trouble};

const SERVER: &str = "web1";
const MACHINE: &str = "m1";
const SPARE: &str = "m3";
/// As in the runs that its figures are compared with.
const MAKE: Make = Make { switch: SwitchKind::Machine, keep: false };
/// The goals of the design.
const RATIO_AT_MOST: f64 = 1.05;
const OWN_MS_AT_MOST: f64 = 250.0;
/// A script that is slower than this in its own steps is no rival.
const SCRIPT_OWN_S_AT_MOST: f64 = 1.0;
const UP_S_AT_MOST_BIOS: f64 = 30.0;
const UP_S_AT_MOST_UEFI: f64 = 60.0;

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

/// One measured failover.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// From nothing to both servers' answers.
    up_s: f64,
    /// From the fault to the verdict.
    verdict_s: f64,
    /// From the fault to the users' first answer.
    total_s: f64,
    /// The own part of it.
    own_s: f64,
}

/// Measures so many pairs by S and N, and fewer by P alone.
pub fn measure(places: &Places, pairs: usize, pairs_by_power: usize) -> Done<(Vec<Row>, Ended)> {
    let (ours, peer) = series(places, pairs, Proof::StorageAndNetwork)?;
    let script_own = median_of(&peer, |one| one.own_s);
    let up_s = median_of(&[&ours[..], &peer[..]].concat(), |one| one.up_s);
    let mut rows = vec![
        compared("failover, cold spare, proof by S and N", &ours, &peer, |one| one.total_s, Some(RATIO_AT_MOST)),
        compared("the same, from the verdict on", &ours, &peer, |one| one.total_s - one.verdict_s, None),
        compared("power lost to verdict, at the lab's windows", &ours, &peer, |one| one.verdict_s, None),
        at_most("own time of a failover", median_of(&ours, |one| one.own_s * 1000.0), "ms", OWN_MS_AT_MOST),
        Row { peer: Some(script_own), ..about("own steps of the script (its devices' answers counted)", "s") },
        at_most("lab up, both servers answering, BIOS", up_s, "s", UP_S_AT_MOST_BIOS),
        at_most("lab up, both servers answering, UEFI", up_with_uefi(places)?, "s", UP_S_AT_MOST_UEFI),
    ];
    if pairs_by_power > 0 {
        let (ours, peer) = series(places, pairs_by_power, Proof::Power)?;
        rows.push(compared("failover, cold spare, proof by P alone", &ours, &peer, |one| one.total_s, None));
    }
    let ended = if script_own > SCRIPT_OWN_S_AT_MOST { Ended::NotMeasured } else { ended(&rows) };
    Ok((rows, ended))
}

fn compared(what: &str, ours: &[Measured], peer: &[Measured], of: impl Fn(&Measured) -> f64, goal: Option<f64>) -> Row {
    let ratio = median(ours.iter().zip(peer).map(|(ours, peer)| of(ours) / of(peer)).collect());
    Row {
        ours: Some(median_of(ours, &of)),
        peer: Some(median_of(peer, &of)),
        ratio: Some(ratio),
        goal: goal.map_or(Value::Null, |most| json!({"of": "ratio", "at_most": most})),
        met: goal.map(|most| ratio <= most),
        ..about(what, "s")
    }
}

fn median_of(all: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    median(all.iter().map(of).collect())
}

/// Ours and the peer's, in turn, so that a slow minute of the computer hits both.
fn series(places: &Places, pairs: usize, proof: Proof) -> Done<(Vec<Measured>, Vec<Measured>)> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let our = by_understudy(places, proof)?;
        let other = by_script(places, proof)?;
        println!(
            "pair {pair} of {pairs} ({}): ours {:.2} s (verdict after {:.2} s, own {:.0} ms), script {:.2} s (verdict after {:.2} s, own \
             {:.2} s)",
            proof.setting(),
            our.total_s,
            our.verdict_s,
            our.own_s * 1000.0,
            other.total_s,
            other.verdict_s,
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

/// Seconds until both servers answer where the firmware is UEFI.
fn up_with_uefi(places: &Places) -> Done<f64> {
    let mut scenario = scenario(Proof::StorageAndNetwork)?;
    scenario.setup.firmware = Firmware::Uefi;
    let begin = Instant::now();
    run::up(places, &scenario, MAKE, &|_| {})?.start(&|_| {})?;
    Ok(begin.elapsed().as_secs_f64())
}

/// A data centre with both servers up for a while, and the seconds until both answered.
fn ready<'a>(places: &'a Places, proof: Proof) -> Done<(Run<'a>, f64)> {
    let begin = Instant::now();
    let mut run = run::up(places, &scenario(proof)?, MAKE, &|_| {})?;
    run.start(&|_| {})?;
    let up_s = begin.elapsed().as_secs_f64();
    until("twenty records", SERVES, || {
        let seen = run.rig.eyes.seen(SERVER)?;
        Ok(if seen.answer.is_some_and(|(_, answer)| answer.last >= crate::limits::RECORDS) {
            Ok(())
        } else {
            Err("fewer".to_owned())
        })
    })?;
    Ok((run, up_s))
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
    let (run, up_s) = ready(places, proof)?;
    let before = incarnation(&run)?;
    let fault = wall_ms();
    run.rig.hand()?.machine(MACHINE, Act::Kill)?;
    let answered = back(&run, &before)?;
    let plan = until("the failover's end", MOVED, || {
        let last = run.rig.product.failovers()?.into_iter().next_back();
        Ok(last.filter(|plan| plan.state == "done").ok_or_else(|| "it is open".to_owned()))
    })?;
    let verdict = run.judged()?;
    if verdict.effective != 1 || verdict.recovered != verdict.acknowledged || verdict.acknowledged == 0 {
        return Err(Trouble::Oracle(format!("a failover that broke the promise is not measured: {verdict:?}")));
    }
    let failover = run.rig.product.failover(&plan.id)?;
    let (story, console) = (run.rig.product.story(), run.rig.consoles.since(SPARE, fault));
    let known = Known { fault, failover: &failover, story: &story, console: &console, answered, settle: SETTLE_MS };
    let since = |at: u64| seconds(at.saturating_sub(fault));
    Ok(Measured { up_s, verdict_s: since(known.verdict()), total_s: since(answered), own_s: seconds(known.own_ms()) })
}

fn by_script(places: &Places, proof: Proof) -> Done<Measured> {
    let (run, up_s) = ready(places, proof)?;
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
    // what the script did need not be safe, but it must have been seen
    run.judged()?;
    let detected = hand::when(&steps, "detected")?;
    let own = hand::when(&steps, "powered-on")?.saturating_sub(detected);
    let settle = match proof {
        Proof::Power => SETTLE_MS,
        Proof::StorageAndNetwork => 0,
    };
    let since = |at: u64| seconds(at.saturating_sub(fault));
    Ok(Measured { up_s, verdict_s: since(detected), total_s: since(answered), own_s: seconds(own.saturating_sub(settle)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_compared_one_by_one() {
        let one = |total_s| Measured { up_s: 20.0, verdict_s: 2.0, total_s, own_s: 0.1 };
        let total = |one: &Measured| one.total_s;
        let row = compared("x", &[one(10.0), one(11.0)], &[one(10.0), one(10.0)], total, Some(1.05));
        assert_eq!((row.ratio, row.met), (Some(1.05), Some(true)));
        assert_eq!(compared("x", &[one(12.0)], &[one(10.0)], total, Some(1.05)).met, Some(false));
        assert_eq!(compared("x", &[one(12.0)], &[one(10.0)], total, None).met, None);
    }
}
