//! The binary as a process: control socket, machines die with it. Must never kill by name, only what it started itself.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{SYSTEM, client, exists};

const SOON: Duration = Duration::from_secs(30);

struct Lab {
    simulator: Child,
    directory: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.simulator.kill();
        let _ = self.simulator.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lab() -> Lab {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("password"), "lab\n").unwrap();
    let machine = |name: &str| {
        json!({ "name": name, "listen": "127.0.0.1:0", "uuid": "00000000-0000-4000-8000-000000000001", "serial": name,
            "user": "controller", "password_file": at("password"), "certificate": at(&format!("{name}.crt")),
            "nics": [{ "role": "provisioning", "mac": "52:54:00:0c:01:01" }], "argv": ["sleep", "infinity"], "env": { "A": "b" } })
    };
    let config = json!({ "control": at("control.sock"), "machines": [machine("m1"), machine("m2")] });
    std::fs::write(at("config.json"), config.to_string()).unwrap();
    let simulator = Command::new(env!("CARGO_BIN_EXE_bmc-sim"))
        .arg("--config")
        .arg(at("config.json"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lab = Lab { simulator, directory };
    until("control socket", || lab.path().join("control.sock").exists());
    lab
}

impl Lab {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ask(&self, request: &Value) -> Value {
        let socket = self.path().join("control.sock");
        let mut ask = Command::new(env!("CARGO_BIN_EXE_bmc-sim"));
        let output = ask.arg("--control").arg(socket).arg(request.to_string()).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), answer["ok"] == true, "exit code and answer differ: {answer}");
        answer
    }

    fn power_on(&self, name: &str) -> i32 {
        assert_eq!(self.ask(&json!({ "verb": "power_on", "name": name }))["ok"], true);
        i32::try_from(self.ask(&json!({ "verb": "pids" }))[name].as_i64().unwrap()).unwrap()
    }
}

#[test]
fn machines_die_when_the_simulator_is_killed() {
    let mut lab = lab();
    let pids = [lab.power_on("m1"), lab.power_on("m2")];
    // Longer than an idle thread of the runtime lives: the kernel ties the children to the thread that started them.
    std::thread::sleep(Duration::from_secs(12));
    assert!(pids.iter().all(|pid| exists(*pid)), "a machine died while the simulator lived");
    lab.simulator.kill().unwrap();
    lab.simulator.wait().unwrap();
    // Reaped by init or a subreaper: a zombie is the most that may be left.
    let dead = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    until("machines dead", || pids.iter().all(dead));
}

#[test]
fn sigterm_reaps_every_machine_and_removes_the_socket() {
    let mut lab = lab();
    let pid = lab.power_on("m1");
    let simulator = nix::unistd::Pid::from_raw(i32::try_from(lab.simulator.id()).unwrap());
    nix::sys::signal::kill(simulator, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(lab.simulator.wait().unwrap().success());
    assert!(!exists(pid));
    assert!(!lab.path().join("control.sock").exists());
}

#[test]
fn a_machine_killed_from_outside_is_told_and_reads_off() {
    let lab = lab();
    let pid = lab.power_on("m1");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("off", || lab.ask(&json!({ "verb": "state", "name": "m1" }))["power"] == "off");
    assert!(!exists(pid));
    assert!(lab.ask(&json!({ "verb": "pids" }))["m1"].is_null());
    assert_eq!(lab.ask(&json!({ "verb": "freeze", "name": "m1" }))["ok"], false);
    assert_eq!(lab.ask(&json!({ "verb": "freeze", "name": "m9" }))["ok"], false);
    assert_eq!(lab.ask(&json!({ "verb": "nothing" }))["ok"], false);
}

#[test]
fn a_watcher_is_told_every_change() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let lab = lab();
    let mut stream = std::os::unix::net::UnixStream::connect(lab.path().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"{\"verb\":\"watch\"}\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["ok"], true);
    let pid = lab.power_on("m1");
    for verb in ["freeze", "thaw", "kill"] {
        assert_eq!(lab.ask(&json!({ "verb": verb, "name": "m1" }))["ok"], true);
    }
    let mut last = 0;
    for wanted in ["on", "frozen", "thawed", "off"] {
        let change = next();
        assert_eq!((&change["what"], &change["name"], &change["pid"]), (&json!(wanted), &json!("m1"), &json!(pid)));
        let at = change["monotonic_ns"].as_u64().unwrap();
        assert!(at > last);
        last = at;
    }
}

#[tokio::test]
async fn the_certificate_file_is_the_one_shown() {
    let lab = lab();
    let pem = std::fs::read_to_string(lab.path().join("m1.crt")).unwrap();
    let address = lab.ask(&json!({ "verb": "state", "name": "m1" }))["address"].as_str().unwrap().to_owned();
    let url = format!("https://{address}{SYSTEM}");
    let answer = client(&pem).get(&url).basic_auth("controller", Some("lab")).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["SerialNumber"], "m1");
    let other = std::fs::read_to_string(lab.path().join("m2.crt")).unwrap();
    assert!(client(&other).get(&url).send().await.is_err(), "another BMC's certificate was taken");
}
