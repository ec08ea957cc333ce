//! The simulated target against the daemon that it was learnt from: the same commands, the same answers, letter by letter.
//! Needs the lab's packages. Must never reach anything but loopback, and never leave a daemon behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the real daemon is a process in the machine's time")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use world::Dice;
use world::target::{Ended, Target};

/// How long the daemon may take to listen.
const START: Duration = Duration::from_secs(10);
const COMMANDS: u32 = 300;
/// An empty place before a full one among a target's accounts.
const LAST: [&str; 6] = [
    "--mode target --op new --tid 500 --targetname iqn.t:last",
    "--mode account --op new --user first --password secret-of-first",
    "--mode account --op new --user second --password secret-of-second",
    "--mode account --op bind --tid 500 --user first",
    "--mode account --op bind --tid 500 --user second",
    "--mode account --op unbind --tid 500 --user first",
];
const FILE_BYTES: u64 = 3 << 20;

/// A running daemon, ended when dropped.
struct Daemon {
    root: PathBuf,
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn environment(root: &Path, folder: &Path) -> [(&'static str, PathBuf); 2] {
    [("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu")), ("TGT_IPC_SOCKET", folder.join("ipc"))]
}

fn listen(root: &Path, folder: &Path) -> Child {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(root.join("usr/sbin/tgtd"))
        .args(["-f", "-C", "7", "--iscsi", &format!("portal=127.0.0.1:{port}")])
        .envs(environment(root, folder))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Daemon {
    fn start() -> Daemon {
        let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
        let tgtd = root.join("usr/sbin/tgtd");
        assert!(
            tgtd.exists(),
            "no target daemon at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES",
            tgtd.display()
        );
        let (root, folder) = (root.canonicalize().unwrap(), tempfile::tempdir().unwrap());
        let child = listen(&root, folder.path());
        let daemon = Daemon { root, folder, child };
        daemon.ready();
        daemon
    }

    /// Another one where one has died.
    fn again(&mut self) {
        self.child.wait().unwrap();
        self.child = listen(&self.root, self.folder.path());
        self.ready();
    }

    fn ready(&self) {
        let until = Instant::now() + START;
        while !self.tgtadm(&["--mode", "sys", "--op", "show"]).printed.contains("State: ready") {
            assert!(Instant::now() < until, "tgtd did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tgtadm(&self, arguments: &[&str]) -> Ended {
        let done = Command::new(self.root.join("usr/sbin/tgtadm"))
            .args(["-C", "7", "--lld", "iscsi"])
            .args(arguments)
            .envs(environment(&self.root, self.folder.path()))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: done.status.code(), printed: text(done.stdout), said: text(done.stderr) }
    }

    fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(FILE_BYTES).unwrap();
        path.display().to_string()
    }
}

/// One command, of few names and numbers, so that many are refused.
fn command(dice: &Dice, files: &[String]) -> String {
    let one = |of: &[&str]| dice.pick(of).copied().unwrap_or_default().to_owned();
    let (tid, unit) = (one(&["1", "2", "3", "300"]), one(&["0", "1", "2", "17"]));
    let (user, name) = (one(&["u1", "u2", "u3"]), one(&["iqn.t:a", "iqn.t:b", "iqn.t:c"]));
    let file = dice.pick(files).cloned().unwrap_or_default();
    let (by_name, by_address) = (one(&["iqn.i:1", "iqn.i:2"]), one(&["ALL", "10.0.0.1", "10.0.0.0/8"]));
    let who = one(&[&format!("--initiator-name {by_name}"), &format!("--initiator-address {by_address}")]);
    match dice.between(0, 15) {
        0 => format!("--mode target --op new --tid {} --targetname {name}", one(&["0", "1", "2", "3", "300"])),
        1 | 2 => format!("--mode target --op new --tid {tid} --targetname {name}"),
        3 => format!("--mode target --op delete --tid {tid}"),
        4 => format!("--mode logicalunit --op new --tid {tid} --lun {unit} --backing-store {file}"),
        5 => format!("--mode logicalunit --op delete --tid {tid} --lun {unit}"),
        6 => format!("--mode logicalunit --op update --tid {tid} --lun {unit} --params scsi_id=abcdef,scsi_sn=123456"),
        7 | 8 => format!("--mode target --op bind --tid {tid} {who}"),
        9 => format!("--mode target --op unbind --tid {tid} {who}"),
        10 => format!("--mode account --op new --user {user} --password secret-of-{user}"),
        11 => format!("--mode account --op delete --user {user}"),
        12 => format!("--mode account --op bind --tid {tid} --user {user}"),
        13 => format!("--mode account --op unbind --tid {tid} --user {user}"),
        14 => format!("--mode conn --op {} --tid {tid} --sid 1 --cid 0", one(&["show", "delete"])),
        _ => format!("--mode target --op stat --tid {tid}"),
    }
}

#[test]
fn it_answers_as_the_daemon_does() {
    let mut daemon = Daemon::start();
    let files: Vec<String> = ["f", "g"].iter().map(|name| daemon.file(name)).chain(["/nowhere/h".to_owned()]).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let dice = Dice::of(7, "commands");
        let target = Target::start(Dice::of(7, "target"));
        files.iter().take(2).for_each(|file| target.add_object(file, FILE_BYTES));
        let (mut refused, mut deaths) = (0, 0);
        let show = ["--mode account --op show", "--mode target --op show"].map(str::to_owned);
        let random = (0..COMMANDS).flat_map(|_| [command(&dice, &files)].into_iter().chain(show.clone()));
        // at the end both die of their listing, whatever stood there before
        for line in random.chain(LAST.map(str::to_owned)).chain(show.clone()) {
            let arguments: Vec<&str> = line.split(' ').collect();
            let (theirs, ours) = (daemon.tgtadm(&arguments), target.tgtadm(&arguments).await);
            assert_eq!(ours, theirs, "{line}");
            refused += u32::from(theirs.code != Some(0));
            if !target.runs() {
                deaths += 1;
                tokio::time::sleep(Duration::from_secs(2)).await;
                daemon.again();
            }
        }
        assert!(refused > COMMANDS / 10 && deaths > 0, "refused {refused}, died {deaths}");
    });
}
