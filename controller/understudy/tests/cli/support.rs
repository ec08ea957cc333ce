//! Runs the binary; makes a lab estate on the loopback interface; holds a controller that ends with its test.

use assert_cmd::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

/// The command, with an environment of its own.
pub fn understudy() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("understudy"));
    command.env_remove("UNDERSTUDY_ADDRESS").env_remove("NO_COLOR").timeout(std::time::Duration::from_secs(60));
    command
}

/// What a run gave.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
    /// The fault on standard error, as programs read it.
    pub fn fault(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", self.stderr))
    }
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lab's example.
pub fn lab_example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/catalogue/examples/lab")
}

/// A copy of the lab's example in which every address is on the loopback interface, where nothing answers.
pub fn loopback_lab(to: &Path) {
    copy(&lab_example(), to);
    std::fs::create_dir_all(to.join("secrets")).unwrap();
    std::fs::write(to.join("secrets/bmc"), "hunter2\n").unwrap();
    std::fs::set_permissions(to.join("secrets/bmc"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = text.replace("10.254.0.", "127.254.0.").replace("10.255.0.", "127.255.0.");
            std::fs::write(target, text.replace("http://10.20.0.", "http://127.20.0.")).unwrap();
        }
    }
}

/// A running controller.
pub struct Controller {
    child: Child,
    folder: tempfile::TempDir,
}

impl Controller {
    /// A fresh lab, served.
    pub fn start() -> Controller {
        Controller::start_with(|_| ())
    }

    /// A fresh lab whose files were changed first, served.
    pub fn start_with(change: impl FnOnce(&Path)) -> Controller {
        let folder = tempfile::tempdir().unwrap();
        loopback_lab(&folder.path().join("estate"));
        change(&folder.path().join("estate"));
        let (estate, state) = (folder.path().join("estate"), folder.path().join("state"));
        run(understudy().args(["estate", "init"]).arg(&estate).arg("--state").arg(&state).arg("--lab")).expect(0);
        let child = serve(folder.path());
        Controller { child, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A verb for this controller.
    pub fn ask(&self, words: &[&str]) -> Command {
        let mut command = understudy();
        command.env("UNDERSTUDY_ADDRESS", format!("unix:{}", self.path("api.sock").display())).args(words);
        command
    }

    /// The same, run to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        run(&mut self.ask(words))
    }

    pub fn signal(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        self.child.wait().unwrap()
    }

    /// After its end: another one on the same store.
    pub fn again(&mut self) {
        self.child = serve(self.folder.path());
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `serve` and waits for its one line.
fn serve(folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("understudy"))
        .env_remove("UNDERSTUDY_ADDRESS")
        .arg("serve")
        .args(["--state".as_ref(), folder.join("state").as_os_str(), "--estate".as_ref(), folder.join("estate").as_os_str()])
        .args(["--socket".as_ref(), folder.join("api.sock").as_os_str()])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(line.starts_with("ready: estate lab ("), "{line}{log}");
    assert!(line.contains("2 servers, 3 machines, listening on unix:"), "{line}");
    child
}
