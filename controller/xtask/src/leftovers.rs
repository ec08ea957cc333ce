//! Kills a run of the lab with SIGKILL, at moments at which most of it is under way, and looks for what stays: processes, files. It ends
//! nothing but the run that it started.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cli::Switch;
use crate::prepare;
use crate::run;
use crate::say;
use crate::signals;
use crate::tree::Tree;

/// The scenario that is begun.
const SCENARIO: &str = "crash";
/// How long a moment may be waited for.
const MOMENT_WITHIN: Duration = Duration::from_secs(60);
/// How long a killed run may take to vanish: the lab is asked to end, and killed if it does not.
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// A moment: its name, the switch of the lab, and how it is known from the command lines of the run's processes.
type Moment = (&'static str, Switch, fn(&[Trace]) -> bool);

const MOMENTS: &[Moment] = &[
    ("the lab is being raised", Switch::Machine, |all| all.iter().filter(|trace| trace.pid.is_some()).count() >= 3),
    ("an operator's command runs", Switch::Machine, |all| is_running(all, "--address")),
    ("Open vSwitch forwards", Switch::OpenVswitch, |all| is_running(all, "ovs-vswitchd") && is_running(all, "understudy-agent")),
];

/// Something of a run.
#[derive(Debug)]
struct Trace {
    pid: Option<u32>,
    what: String,
}

fn is_running(all: &[Trace], word: &str) -> bool {
    all.iter().any(|trace| trace.pid.is_some() && trace.what.contains(word))
}

/// Kills a run at each moment; an error names what stayed.
pub fn check(tree: &Tree) -> Result<()> {
    MOMENTS.iter().try_for_each(|moment| kill_at(tree, moment))
}

fn kill_at(tree: &Tree, (name, switch, is_now): &Moment) -> Result<()> {
    let mut command = prepare::scenario_command(tree, "e2e");
    command.arg(SCENARIO).args(switch.words()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = run::spawn(&mut command, "the run that is killed")?;
    let start = Instant::now();
    let mark = format!("{SCENARIO}-{}", child.id());
    let places = [tree.lab().join("runs"), std::env::temp_dir().join("understudy-runs")];
    let mut present = Vec::new();
    while !is_now(&present) && start.elapsed() < MOMENT_WITHIN && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK);
        present = traces(&mark, &places);
    }
    let came = is_now(&present);
    let killed = child.kill();
    let waited = child.wait();
    signals::child_ended();
    killed.and(waited).context("the run could not be killed")?;
    if !came {
        bail!("the moment at which {name} did not come within {} s", MOMENT_WITHIN.as_secs());
    }
    let dead = Instant::now();
    let mut left = traces(&mark, &places);
    while !left.is_empty() && dead.elapsed() < GONE_WITHIN {
        std::thread::sleep(LOOK);
        left = traces(&mark, &places);
    }
    if !left.is_empty() {
        bail!("of a run killed while {name} stays: {left:?}");
    }
    say!("killed while {name}: its {} parts were gone after {:.1} s", present.len(), dead.elapsed().as_secs_f64());
    Ok(())
}

/// The processes that have the run's name in their command line or environment, and the files that bear it.
fn traces(mark: &str, places: &[PathBuf]) -> Vec<Trace> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = Vec::new();
    for process in entries(Path::new("/proc")) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // a process that just ended has none, and one of another user is none of ours
        let read =
            |file: &str| String::from_utf8_lossy(&std::fs::read(process.join(file)).unwrap_or_default()).replace('\0', " ");
        let line = read("cmdline");
        if bears(&line, mark) || bears(&read("environ"), mark) {
            all.push(Trace { pid: Some(pid), what: line });
        }
    }
    for path in places.iter().flat_map(|folder| entries(folder)) {
        if bears(&path.to_string_lossy(), mark) {
            all.push(Trace { pid: None, what: path.display().to_string() });
        }
    }
    all
}

/// Whether a text has the mark in it, not followed by a further digit.
fn bears(text: &str, mark: &str) -> bool {
    text.match_indices(mark)
        .any(|(at, _)| text.get(at + mark.len()..).is_none_or(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scratch_folder;
    use std::process::Command;

    #[test]
    fn processes_and_files_of_a_run_are_seen_and_others_are_not() {
        let folder = scratch_folder("leftovers");
        let mark = format!("run-{}", std::process::id());
        for name in [mark.clone(), format!("{mark}.words"), format!("{mark}1")] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let mut child = Command::new("sleep").arg("60").env("SOME", format!("/x/{mark}/y")).spawn().unwrap();
        let (pid, start) = (child.id(), Instant::now());
        let seen = || traces(&mark, std::slice::from_ref(&folder));
        // between fork and exec it still has our own environment
        while seen().len() < 3 && start.elapsed() < GONE_WITHIN {
            std::thread::sleep(LOOK);
        }
        let found = seen();
        child.kill().and_then(|()| child.wait()).unwrap();
        assert_eq!(found.iter().filter_map(|trace| trace.pid).collect::<Vec<_>>(), [pid]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(seen().len(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
