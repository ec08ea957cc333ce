//! A simulated hall and a controller for it, each a process as it is anywhere: raised, used and ended with this object, and with this process
//! however that ends. It must never leave a process or a file behind, nor know of the hall what its clients could not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lab::sys::{Preparation, prepare};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::console::Line;
use crate::eyes::Eyes;
use crate::limits::{ENDED, HALL_ANSWER, HALL_LINE_BYTES_MAX, HALL_RAISED, LOOK, READY, RUN_PATH_BYTES_MAX};
use crate::product::Product;
use crate::rig::wait_for_trust;
use crate::signals;
use crate::trouble::{Done, Trouble, at};

/// Names of folders of runs begin with this; the process that made one follows.
const FOLDER: &str = "demo-";

/// A process that ends with this object.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        signals::end_group(self.0.id());
        let start = Instant::now();
        while start.elapsed() < ENDED && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK / 5);
        }
        // it may have ended by itself
        let _ = self.0.kill().and_then(|()| self.0.wait());
        signals::forget_group(self.0.id());
    }
}

/// A folder that is removed with this object.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next run
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// See the module. Its parts end in the order of its fields.
pub struct Hall {
    /// The controller.
    pub product: Product,
    /// What the users of the servers that were chosen see.
    pub eyes: Eyes,
    /// The estate's settle time, milliseconds.
    pub settle_ms: u64,
    /// For how long its guard remembers a suspect, milliseconds.
    pub guard_window_ms: u64,
    serve: Option<Part>,
    asks: ChildStdin,
    answers: Receiver<String>,
    hall: Part,
    folder: Folder,
}

/// What a hall tells of itself.
#[derive(Deserialize)]
struct Told {
    services: BTreeMap<String, SocketAddr>,
    bundles: BTreeMap<String, PathBuf>,
    settle_ms: u64,
    guard_window_ms: u64,
}

/// What clients of a server know.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Judged {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Of those, the ones that are there.
    pub recovered: u64,
    /// The most machines at once that acknowledged some.
    pub effective: u64,
}

fn start(program: &Path, arguments: &[&str], log: File, asked: bool) -> Done<Child> {
    let mut command = Command::new(program);
    // a group of its own: Ctrl-C reaches this process, which then ends the others in order
    command.args(arguments).stderr(log).stdout(Stdio::piped()).process_group(0);
    command.stdin(if asked { Stdio::piped() } else { Stdio::null() });
    prepare(&mut command, Preparation { die_with_parent: Some(Signal::SIGKILL), ..Preparation::default() });
    let child = command.spawn().map_err(|source| Trouble::Start { program: program.to_owned(), source })?;
    signals::remember_group(child.id());
    Ok(child)
}

/// The lines of a process, read by a thread of their own.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = String::new();
            match from.by_ref().take(HALL_LINE_BYTES_MAX).read_line(&mut line) {
                Ok(1..) if sender.send(line).is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    });
    lines
}

/// Makes the folder of this run, and removes those of runs that were killed together with everything that could have tidied up.
fn folder(runs: &Path) -> Done<Folder> {
    let short = runs.as_os_str().len() + FOLDER.len() + 10 <= RUN_PATH_BYTES_MAX;
    let runs = if short { runs.to_owned() } else { std::env::temp_dir().join("understudy-halls") };
    at(&runs, std::fs::create_dir_all(&runs))?;
    for entry in std::fs::read_dir(&runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
            drop(Folder(entry.path()));
        }
    }
    let folder = runs.join(format!("{FOLDER}{}", std::process::id()));
    at(&folder, std::fs::create_dir(&folder))?;
    Ok(Folder(folder))
}

impl Hall {
    /// Raises a hall of so many machines below `runs`, and opens eyes for these of its servers. The controller does not run yet. `wait` is
    /// called again and again meanwhile.
    pub fn raise(bin: &Path, runs: &Path, machines: usize, seen: &[String], wait: &mut dyn FnMut()) -> Done<(Hall, Bundles)> {
        let folder = folder(runs)?;
        for name in ["agents", "logs"] {
            at(&folder.0, std::fs::create_dir(folder.0.join(name)))?;
        }
        let (path, log) = (folder.0.display().to_string(), folder.0.join("logs/hall.log"));
        let log = at(&log, File::create(&log))?;
        let arguments = ["--dir", &path, "--machines", &machines.to_string()];
        let mut child = start(&bin.join("understudy-hall"), &arguments, log, true)?;
        let (asks, out) = (child.stdin.take(), child.stdout.take());
        let hall = Part(child);
        let (Some(asks), Some(out)) = (asks, out) else { return Err(Trouble::Wrong("the hall has no ends".to_owned())) };
        let product = Product::at(&bin.join("understudy"), &folder.0.join("api.sock"))?;
        let (eyes, answers) = (Eyes::default(), lines(out));
        let mut raised = Hall { product, eyes, settle_ms: 0, guard_window_ms: 0, serve: None, asks, answers, hall, folder };
        let told: Told = raised.hear(HALL_RAISED, wait)?;
        let seen: Vec<_> = seen.iter().filter_map(|name| Some((name.clone(), *told.services.get(name)?))).collect();
        raised.eyes = Eyes::here(&seen);
        (raised.settle_ms, raised.guard_window_ms) = (told.settle_ms, told.guard_window_ms);
        Ok((raised, Bundles(told.bundles)))
    }

    /// The next answer of the hall.
    fn hear<T: DeserializeOwned>(&mut self, within: Duration, wait: &mut dyn FnMut()) -> Done<T> {
        let start = Instant::now();
        let line = loop {
            match self.answers.recv_timeout(LOOK) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Disconnected) => return Err(Trouble::NotUp { reason: self.last_words("hall") }),
                Err(RecvTimeoutError::Timeout) if signals::interrupted() => return Err(Trouble::Interrupted),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > within => {
                    let last = self.last_words("hall");
                    return Err(Trouble::Late { what: "the hall's answer".to_owned(), within, last });
                }
                Err(RecvTimeoutError::Timeout) => wait(),
            }
        };
        let wrong = |why: &dyn std::fmt::Display| Trouble::Wrong(format!("the hall told {}: {why}", line.trim()));
        let answer: Value = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
        if answer.get("ok") != Some(&Value::Bool(true)) {
            return Err(wrong(&"that is a refusal"));
        }
        serde_json::from_value(answer).map_err(|error| wrong(&error))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Done<T> {
        if writeln!(self.asks, "{request}").and_then(|()| self.asks.flush()).is_err() {
            return Err(Trouble::NotUp { reason: self.last_words("hall") });
        }
        self.hear(HALL_ANSWER, &mut || {})
    }

    /// Starts the controller, and enrols the agents. To be called by the thread on which everything hangs.
    pub fn start_controller(&mut self, bin: &Path, bundles: &Bundles) -> Done {
        let path = |name: &str| self.folder.0.join(name).display().to_string();
        let (estate, state, socket) = (path("estate"), path("state"), path("api.sock"));
        self.product.offline(&["estate", "init", &estate, "--state", &state, "--lab"])?;
        self.product.offline(&["estate", "check", &estate, "--lab"])?;
        let log = self.folder.0.join("logs/serve.log");
        let log = at(&log, File::create(&log))?;
        let words = ["serve", "--state", &state, "--estate", &estate, "--socket", &socket];
        let mut child = start(&bin.join("understudy"), &words, log, false)?;
        let ready = child.stdout.take().map(lines);
        self.serve = Some(Part(child));
        if ready.is_none_or(|ready| ready.recv_timeout(READY).is_err()) {
            return Err(Trouble::NotUp { reason: self.last_words("serve") });
        }
        self.product.follow();
        for (agent, bundle) in &bundles.0 {
            self.product.command(&["agent", "enroll", agent, "--out", &bundle.display().to_string()])?;
        }
        let _: Value = self.hear(HALL_RAISED, &mut || {})?;
        wait_for_trust(&self.product)
    }

    /// The hardware of a machine dies. How many records clients had been told of by then.
    pub fn kill(&mut self, machine: &str) -> Done<u64> {
        #[derive(Deserialize)]
        struct Killed {
            told: u64,
        }
        let killed: Killed = self.ask(&json!({ "verb": "kill", "machine": machine }))?;
        Ok(killed.told)
    }

    /// Which servers would answer now, and on which machines.
    pub fn serving(&mut self) -> Done<BTreeMap<String, Vec<String>>> {
        #[derive(Deserialize)]
        struct Serving {
            servers: BTreeMap<String, Vec<String>>,
        }
        let serving: Serving = self.ask(&json!({ "verb": "serving" }))?;
        Ok(serving.servers)
    }

    /// A machine's console from an instant on.
    pub fn console(&mut self, machine: &str, from: u64) -> Done<Vec<Line>> {
        #[derive(Deserialize)]
        struct Shown {
            lines: Vec<Line>,
        }
        let shown: Shown = self.ask(&json!({ "verb": "console", "machine": machine, "from": from }))?;
        Ok(shown.lines)
    }

    /// Holds the first so many records that clients were told of, as far as they are this server's, against its volume.
    pub fn judge(&mut self, server: &str, first: u64) -> Done<Judged> {
        self.ask(&json!({ "verb": "judge", "server": server, "first": first }))
    }

    /// Why a part has ended, if one has.
    pub fn ended(&mut self) -> Option<String> {
        let serve = self.serve.as_mut().is_some_and(|part| !matches!(part.0.try_wait(), Ok(None)));
        let hall = !matches!(self.hall.0.try_wait(), Ok(None));
        if serve { Some(self.last_words("serve")) } else { hall.then(|| self.last_words("hall")) }
    }

    fn last_words(&self, part: &str) -> String {
        let words = std::fs::read_to_string(self.folder.0.join(format!("logs/{part}.log"))).unwrap_or_default();
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(no words)");
        format!("{part}: {last}")
    }

    /// Keeps the logs of a run that failed; answers where they are.
    pub fn keep_logs(&self, to: &Path) -> Done {
        at(to, std::fs::create_dir_all(to))?;
        for part in ["hall", "serve"] {
            let from = self.folder.0.join(format!("logs/{part}.log"));
            if from.exists() {
                at(&from, std::fs::copy(&from, to.join(format!("{part}.log"))))?;
            }
        }
        Ok(())
    }
}

/// Where the agents' bundles are looked for.
pub struct Bundles(BTreeMap<String, PathBuf>);
