//! The judge's process beside the data centre, and its judgement. It sees facts of switch, storage, machines and consoles; nothing of the
//! controller goes to it, and what it says is believed without exception.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use lab::client::Client;
use lab::services::{Ready, Service};
use oracle::for_lab;
use serde_json::{Value, json};

use crate::limits::{JUDGED, VERDICT_BYTES_MAX};
use crate::places::Places;
use crate::script::Setup;
use crate::trouble::{Done, Trouble, at};

/// The judge's name in the lab's process table.
const NAME: &str = "oracle";
const PROGRAM: &str = "understudy-oracle";

/// What the oracle found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The most machines ever effective at once for one server.
    pub effective: u64,
    /// Records acknowledged (before the instant asked about).
    pub acknowledged: u64,
    /// Of those, records found again in order.
    pub recovered: u64,
    /// Two MAC addresses answered for one address in turn, or one start's records stand between another's.
    pub mixed: bool,
    /// Everything that must not be, in sentences.
    pub violations: Vec<String>,
    /// When it did not see, in sentences.
    pub blind: Vec<String>,
}

impl Verdict {
    /// `expect effective at most N`.
    pub fn effective_at_most(&self, number: u64) -> Done {
        if self.effective == 0 {
            return Err(Trouble::Oracle("it never saw an effective machine: it saw nothing".to_owned()));
        }
        if self.effective > number {
            let text = format!("{} machines were effective at once: {}", self.effective, self.violations.join("; "));
            return Err(Trouble::Oracle(text));
        }
        Ok(())
    }

    /// `expect acknowledged recovered`.
    pub fn acknowledged_recovered(&self) -> Done {
        if self.acknowledged == 0 {
            return Err(Trouble::Oracle("nothing was acknowledged: nothing is proven".to_owned()));
        }
        if self.recovered != self.acknowledged || !self.violations.is_empty() {
            let (found, all, wrong) = (self.recovered, self.acknowledged, self.violations.join("; "));
            return Err(Trouble::Oracle(format!("{found} of {all} acknowledged records are there, in order; {wrong}")));
        }
        Ok(())
    }

    /// `expect split brain caught`.
    pub fn split_brain_caught(&self) -> Done {
        if self.effective >= 2 && self.mixed && !self.violations.is_empty() {
            return Ok(());
        }
        Err(Trouble::Oracle(format!("it did not see the split brain: {self:?}")))
    }
}

/// The judge.
pub struct Oracle {
    socket: PathBuf,
}

fn words(path: &Path) -> String {
    path.display().to_string()
}

impl Oracle {
    /// Starts it, before the first machine runs.
    pub fn start(client: &mut Client, places: &Places, run: &Path, setup: &Setup) -> Done<Oracle> {
        let config = for_lab::config(run, setup.machines).map_err(|error| Trouble::Oracle(error.to_string()))?;
        let path = run.join(for_lab::CONFIG);
        at(&path, std::fs::write(&path, serde_json::to_vec_pretty(&config).unwrap_or_default()))?;
        let socket = run.join(for_lab::QUERY);
        let mut argv = vec![words(&places.bin_dir.join(PROGRAM))];
        for (flag, file) in [("--config", for_lab::CONFIG), ("--out", for_lab::LOG), ("--verdict", for_lab::VERDICT)] {
            argv.extend([flag.to_owned(), words(&run.join(file))]);
        }
        client.add(Service { name: NAME.to_owned(), argv, ready: Some(Ready::Unix(socket.clone())), ..Service::default() })?;
        Ok(Oracle { socket })
    }

    /// Its judgement so far. With a server and an instant (milliseconds since 1970), the records are those that this server had
    /// acknowledged before then; otherwise all of all servers. A judge that could not see something it needs, for longer than it bears, has
    /// not judged: that is an error, whatever it says.
    pub fn judge(&self, before: Option<(&str, u64)>) -> Done<Verdict> {
        let mut question = json!({"ask": "verdict"});
        if let (Some((_, instant)), Some(map)) = (before, question.as_object_mut()) {
            map.insert("before_ms".to_owned(), json!(instant));
        }
        let answer = self.ask(&question)?;
        if let Some(error) = answer.get("error") {
            return Err(Trouble::Oracle(format!("it could not judge: {error}")));
        }
        seen(understood(&answer, before.map(|(server, _)| server))?)
    }

    fn ask(&self, question: &Value) -> Done<Value> {
        let talk = || {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(JUDGED))?;
            stream.set_write_timeout(Some(JUDGED))?;
            writeln!(stream, "{question}")?;
            let mut line = String::new();
            BufReader::new(stream.take(VERDICT_BYTES_MAX)).read_line(&mut line)?;
            serde_json::from_str(&line).map_err(std::io::Error::other)
        };
        at(&self.socket, talk())
    }
}

/// Only a run that was seen can be good.
fn seen(verdict: Verdict) -> Done<Verdict> {
    if verdict.blind.is_empty() {
        return Ok(verdict);
    }
    Err(Trouble::Oracle(format!("it did not see all that it needs, so nothing is proven: {}", verdict.blind.join("; "))))
}

fn sentences(value: &Value, key: &str) -> Option<Vec<String>> {
    let texts = value.get(key)?.as_array()?;
    texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

/// An answer that lacks something is no judgement: it never becomes a zero, or a run without fault.
fn understood(answer: &Value, only: Option<&str>) -> Done<Verdict> {
    let lacking = |key: &str| Trouble::Oracle(format!("its judgement has no `{key}`"));
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).ok_or_else(|| lacking(key));
    let servers = answer.get("servers").and_then(Value::as_object).ok_or_else(|| lacking("servers"))?;
    let mut verdict = Verdict {
        effective: number(answer, "effective_max")?,
        violations: sentences(answer, "violations").ok_or_else(|| lacking("violations"))?,
        blind: sentences(answer, "blind").ok_or_else(|| lacking("blind"))?,
        ..Verdict::default()
    };
    let (acknowledged, recovered) =
        if only.is_some() { ("acknowledged_before", "recovered_before") } else { ("acknowledged", "recovered") };
    for (name, server) in servers {
        let is = |key: &str| server.get(key).and_then(Value::as_bool).unwrap_or(false);
        verdict.mixed |= is("contested") || is("interleaved");
        if only.is_none_or(|only| only == name) {
            verdict.acknowledged += number(server, acknowledged)?;
            verdict.recovered += number(server, recovered)?;
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_that_was_blind_has_not_judged() {
        let answer = |blind: &[&str]| json!({"effective_max": 1, "violations": [], "blind": blind, "servers": {}});
        assert!(seen(understood(&answer(&[]), None).unwrap()).is_ok());
        let error = seen(understood(&answer(&["the switch source was silent from 3.0 s to 9.0 s"]), None).unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("silent from 3.0 s to 9.0 s"), "{error}");
    }

    #[test]
    fn a_judgement_is_read_and_half_of_one_is_none() {
        let whole = json!({"effective_max": 1, "violations": ["x"], "blind": [], "servers": {
            "web1": {"acknowledged": 9, "recovered": 9, "acknowledged_before": 5, "recovered_before": 4, "contested": false},
            "web2": {"acknowledged": 3, "recovered": 3, "interleaved": true},
        }});
        let all = understood(&whole, None).unwrap();
        assert_eq!((all.effective, all.acknowledged, all.recovered, all.mixed), (1, 12, 12, true));
        let one = understood(&whole, Some("web1")).unwrap();
        assert_eq!((one.acknowledged, one.recovered), (5, 4));
        assert!(understood(&whole, Some("web2")).is_err());
        assert!(understood(&json!({"servers": {}}), None).is_err());
        assert!(understood(&json!({"effective_max": 1, "violations": [], "servers": {}}), None).is_err());
    }
}
