//! A real Open vSwitch in user space, in a folder and a network namespace of its own, and the hands that others lay on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program of Open vSwitch may take to begin; it usually takes 50 ms.
const START: Duration = Duration::from_secs(20);
/// The daemon's control socket appears before it serves.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The switch's own name.
pub const SYSTEM: &str = "lab-1";
/// Where its database listens as well.
pub const TCP: &str = "127.0.0.1:6640";

/// Hands that others lay on the switch.
#[derive(Clone)]
pub struct Hands {
    root: PathBuf,
    folder: PathBuf,
}

/// The switch.
pub struct Lab {
    hands: Hands,
    database: Option<Child>,
    daemon: Option<Child>,
}

fn ended(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        ended(&mut self.daemon);
        ended(&mut self.database);
    }
}

impl Lab {
    /// Starts it, with a bridge `br0` and the ports, which are interfaces of this host.
    pub fn start(root: &Path, folder: &Path, ports: &[&str]) -> Result<Lab, String> {
        let hands = Hands { root: root.to_owned(), folder: folder.to_owned() };
        let mut lab = Lab { hands, database: None, daemon: None };
        let schema = root.join("usr/share/openvswitch/vswitch.ovsschema");
        lab.hands.run("usr/bin/ovsdb-tool", &["create", &lab.at("conf.db"), &schema.display().to_string()])?;
        lab.start_database()?;
        lab.by_hand("--no-wait init")?;
        lab.by_hand(&format!("--no-wait set Open_vSwitch . external_ids:system-id={SYSTEM}"))?;
        lab.start_daemon()?;
        lab.by_hand("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        for port in ports {
            // never a trunk of everything, not even before anybody owns it
            lab.by_hand(&format!("add-port br0 {port} tag=4000 vlan_mode=access -- set interface {port} type=internal"))?;
        }
        Ok(lab)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.hands.folder
    }

    fn at(&self, name: &str) -> String {
        self.hands.folder.join(name).display().to_string()
    }

    fn begin(&self, program: &str, words: &[&str], socket: impl Fn(u32) -> PathBuf) -> Result<Child, String> {
        let log =
            File::options().create(true).append(true).open(self.hands.folder.join("log")).map_err(|error| error.to_string())?;
        let copy = log.try_clone().map_err(|error| error.to_string())?;
        let child = self.hands.command(program).args(words).stdout(log).stderr(copy).spawn();
        let child = child.map_err(|error| format!("{program}: {error}"))?;
        let (socket, until) = (socket(child.id()), Instant::now() + START);
        let mut began = Some(child);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if Instant::now() > until {
                ended(&mut began);
                let log = std::fs::read_to_string(self.hands.folder.join("log")).unwrap_or_default();
                return Err(format!("{program} does not begin within {} s: {log}", START.as_secs()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        began.ok_or_else(|| "it has ended".to_owned())
    }

    /// Starts the database.
    pub fn start_database(&mut self) -> Result<(), String> {
        let (socket, listen) = (self.hands.folder.join("db.sock"), format!("--remote=ptcp:{}", TCP.replace("127.0.0.1:", "")));
        let words = [self.at("conf.db"), format!("--remote=punix:{}", socket.display()), format!("{listen}:127.0.0.1")];
        let words: Vec<&str> =
            words.iter().map(String::as_str).chain(["--pidfile", "--log-file=/dev/null", "--no-chdir"]).collect();
        self.database = Some(self.begin("usr/sbin/ovsdb-server", &words, |_| socket.clone())?);
        Ok(())
    }

    /// Starts the daemon.
    pub fn start_daemon(&mut self) -> Result<(), String> {
        let database = format!("unix:{}", self.at("db.sock"));
        let words = [database.as_str(), "--disable-system", "--pidfile", "--log-file=/dev/null", "--no-chdir"];
        let control = |pid: u32| self.hands.folder.join(format!("ovs-vswitchd.{pid}.ctl"));
        self.daemon = Some(self.begin("usr/lib/openvswitch-switch/ovs-vswitchd", &words, control)?);
        Ok(())
    }

    /// Kills the database.
    pub fn kill_database(&mut self) {
        ended(&mut self.database);
    }

    /// Kills the daemon.
    pub fn kill_daemon(&mut self) {
        ended(&mut self.daemon);
    }

    /// Stops the daemon, or lets it go on.
    pub fn hold_daemon(&self, hold: bool) -> Result<(), String> {
        use nix::sys::signal::{Signal, kill};
        let pid = self.daemon.as_ref().and_then(|daemon| i32::try_from(daemon.id()).ok()).ok_or("no daemon")?;
        let signal = if hold { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(nix::unistd::Pid::from_raw(pid), signal).map_err(|error| error.to_string())
    }

    /// Hands that act beside.
    pub fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// A hand that changes the database past the driver.
    pub fn by_hand(&self, line: &str) -> Result<String, String> {
        self.hands.by_hand(line)
    }

    /// A hand that changes the bridge past its database.
    pub fn by_rule(&self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split(' ').collect();
        self.hands.run("usr/bin/ovs-ofctl", &words)
    }
}

impl Hands {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join(program));
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|name| self.root.join(name).display().to_string());
        command.env("LD_LIBRARY_PATH", libraries.join(":")).stdin(Stdio::null());
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, &self.folder);
        }
        command
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(text) } else { Err(format!("{program} {words:?}: {complaints}")) }
    }

    /// See [`Lab::by_hand`].
    pub fn by_hand(&self, line: &str) -> Result<String, String> {
        let socket = format!("--db=unix:{}", self.folder.join("db.sock").display());
        let words: Vec<&str> = [socket.as_str(), "--timeout=20"].into_iter().chain(line.split(' ')).collect();
        self.run("usr/bin/ovs-vsctl", &words)
    }
}
