//! What the tests of the tgt driver stand on: a real daemon in a folder of its own, and a small initiator that logs in as a server does.
//! Must never reach anything but loopback, and never leave a daemon behind.

pub mod initiator;
pub mod md5;

use contract::storage::Admission;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use storage::registry::Driver;
use storage::tgt::{Export, TgtConfig};
use storage::{Kept, StorageConfig};
use vocabulary::storage::InitiatorName;
use vocabulary::{Secret, VolumeName};

/// Daemons are told apart by their socket's folder, so they may share the control port.
const CONTROL_PORT: u16 = 7;
/// How long a daemon may take to listen.
const START: Duration = Duration::from_secs(10);

/// The folder with the unpacked packages of the lab.
pub fn packages() -> PathBuf {
    let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let tgtd = root.join("usr/sbin/tgtd");
    assert!(tgtd.exists(), "no target daemon at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", tgtd.display());
    root.canonicalize().unwrap()
}

/// A running daemon, ended when dropped.
pub struct Daemon {
    pub folder: tempfile::TempDir,
    pub port: u16,
    control: u16,
    root: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    pub fn start() -> Daemon {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Daemon { folder, port, control: CONTROL_PORT, root: packages(), child: None };
        daemon.again();
        daemon
    }

    /// Starts the daemon; empty, as it always is.
    pub fn again(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("tgtd.log")).unwrap();
        let child = Command::new(self.root.join("usr/sbin/tgtd"))
            .args(["-f", "-C", &self.control.to_string(), "--iscsi", &format!("portal=127.0.0.1:{}", self.port)])
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + START;
        let listens = || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        while !(self.adm(&["--mode", "sys", "--op", "show"]).is_ok_and(|said| said.contains("State: ready")) && listens()) {
            let log = std::fs::read_to_string(self.folder.path().join("tgtd.log")).unwrap_or_default();
            assert!(Instant::now() < until, "tgtd did not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the daemon as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends the daemon a signal, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id();
        assert!(Command::new("/bin/sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap().success());
    }

    /// The configuration with a tool that stops the daemon right before it asks it to admit anybody, and marks that it did.
    pub fn config_that_hangs_it(&self, mark: &Path) -> StorageConfig {
        let mut config = self.config();
        let Driver::Tgt(tgt) = &mut config.driver else { unreachable!() };
        let (real, mark, pid) = (tgt.tgtadm.display(), mark.display(), self.child.as_ref().expect("it runs").id());
        let stop = format!("[ -e {mark} ] || {{ kill -STOP {pid}; : > {mark}; }}");
        let script = format!("#!/bin/sh\ncase \"$*\" in *'--op bind'*--initiator-name*) {stop};; esac\nexec {real} \"$@\"\n");
        let tool = self.folder.path().join("tgtadm");
        std::fs::write(&tool, script).unwrap();
        std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        tgt.tgtadm = tool;
        config
    }

    fn environment(&self) -> Vec<(String, String)> {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu").display().to_string();
        let socket = self.folder.path().join("ipc").display().to_string();
        vec![("LD_LIBRARY_PATH".into(), libraries), ("TGT_IPC_SOCKET".into(), socket)]
    }

    /// A foreign hand at the daemon.
    pub fn adm(&self, arguments: &[&str]) -> Result<String, String> {
        let done = Command::new(self.root.join("usr/sbin/tgtadm"))
            .args(["-C", &self.control.to_string(), "--lld", "iscsi"])
            .args(arguments)
            .envs(self.environment())
            .output()
            .unwrap();
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.img"))
    }

    /// The configuration of an agent with volumes `a` and `b`; their files are made.
    pub fn config(&self) -> StorageConfig {
        let volumes = ["a", "b"].map(|name| {
            let file = self.file(name);
            std::fs::File::options().create(true).truncate(false).write(true).open(&file).unwrap().set_len(1 << 20).unwrap();
            (volume(name), Export { target: target(name), lun: 1, file })
        });
        StorageConfig {
            storage: "store1".parse().unwrap(),
            driver: Driver::Tgt(TgtConfig {
                tgtadm: self.root.join("usr/sbin/tgtadm"),
                control_port: self.control,
                environment: self.environment().into_iter().collect(),
                volumes: volumes.into(),
            }),
        }
    }

    /// The driver, with its state in the daemon's folder. A second one is the agent after a restart.
    pub fn driver(&self) -> std::sync::Arc<dyn Kept> {
        storage::open(&self.config(), self.folder.path()).unwrap()
    }

    /// The daemon's number of a target, as a foreign hand would look it up.
    pub fn tid(&self, name: &str) -> String {
        let shown = self.adm(&["--mode", "target", "--op", "show"]).unwrap();
        let line = shown.lines().find(|line| line.starts_with("Target ") && line.ends_with(name)).expect("the target is there");
        line.trim_start_matches("Target ").split(':').next().unwrap().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn volume(name: &str) -> VolumeName {
    name.parse().unwrap()
}

pub fn target(name: &str) -> String {
    format!("iqn.2026-01.lab.understudy:{name}")
}

pub fn initiator_name(n: u32) -> InitiatorName {
    InitiatorName(format!("iqn.2026-01.org.understudy:web1.e{n}"))
}

/// The admission of placement `n`.
pub fn admission(n: u32) -> Admission {
    Admission { initiator: initiator_name(n), user: format!("web1.e{n}"), secret: Secret::new(format!("secret-of-e{n}")) }
}
