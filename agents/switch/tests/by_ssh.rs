//! The example of a driver by SSH, with a real SSH server and a real bridge that filters VLANs, in a machine of its own: it passes the suite
//! that every driver passes; what it calls saved is there after a restart; and a switch that hangs, or is another one, ends no question badly.
//! Needs the lab's packages; opens one port of the loopback address, and touches nothing outside its own folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod machine;

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{SwitchFixture, Verdict, switch};
use contract::switch::Switch;
use machine::{Machine, Plan, SWITCH_BEGIN, SWITCH_MODULES, library_path, packages, said, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switch::{Kept, ProgramConfig, SwitchProgram};
use tempfile::TempDir;
use vocabulary::network::PortReading;
use vocabulary::{PortName, PortSetting, VlanId};

const VLANS: [VlanId; 3] = [VlanId::constant(10), VlanId::constant(20), VlanId::constant(30)];
/// It usually takes 15 s; an emulated machine on a busy host takes some times that.
const BOOT: Duration = Duration::from_secs(180);
/// Longer than the longest question may take.
const ANSWERED: Duration = Duration::from_secs(15);
/// The start-up configuration, a folder of the switch.
const START_UP: &str = "/etc/ports";
const THEN: &str = "ip link set eth3 up; ip addr add 10.0.2.15/24 dev eth3
mkdir -p /run/sshd /root /etc/ports
/usr/sbin/sshd -D -e
";
const SSHD: &str =
    "HostKey /etc/ssh/host\nAuthorizedKeysFile /etc/ssh/own.pub\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n";
const PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\nsshd:*:74:74::/run/sshd:/bin/false\n";

struct Bench {
    folder: TempDir,
    machine: Machine,
    port: u16,
    driver: SwitchProgram,
}

fn name(port: &str) -> PortName {
    port.parse().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Keys of the switch, of another one, and of the driver; and `ssh`, as the packages have it.
fn tools(root: &Path, folder: &Path) {
    for key in ["host", "other", "own"] {
        let mut keygen = Command::new(root.join("usr/bin/ssh-keygen"));
        keygen.env("LD_LIBRARY_PATH", library_path(root)).args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key]);
        assert!(keygen.current_dir(folder).status().unwrap().success());
    }
    std::fs::create_dir(folder.join("bin")).unwrap();
    let ssh = format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec {}/usr/bin/ssh -F none \"$@\"\n", library_path(root), root.display());
    std::fs::write(folder.join("bin/ssh"), ssh).unwrap();
    std::fs::set_permissions(folder.join("bin/ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn known(folder: &Path, port: u16, key: &str) {
    let key = std::fs::read_to_string(folder.join(key).with_extension("pub")).unwrap();
    std::fs::write(folder.join("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
}

fn options(folder: &Path, port: u16) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    vec![format!("-p{port}"), format!("-i{}", at("own")), format!("-oUserKnownHostsFile={}", at("known"))]
}

fn driver(folder: &Path, port: u16, bridge: &str) -> SwitchProgram {
    let root = packages();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/linux-by-ssh.py");
    let python = root.join("usr/bin/python3").display().to_string();
    let words = [&python, script, "root@127.0.0.1", bridge, START_UP].map(str::to_owned);
    let command = words.into_iter().chain(options(folder, port)).collect();
    let environment = [
        ("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display())),
        ("PYTHONHOME", root.join("usr").display().to_string()),
        ("PYTHONPYCACHEPREFIX", folder.display().to_string()),
        ("LD_LIBRARY_PATH", library_path(&root)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    // `p9` is owned, so that the program is asked about it, and not there
    let config = ProgramConfig { command, environment, ports: ["p1", "p2", "p9"].map(name).into() };
    SwitchProgram::open("sw1".parse().unwrap(), config).unwrap()
}

impl Bench {
    async fn boot() -> Bench {
        let (root, folder, port) = (packages(), tempfile::tempdir().unwrap(), free_port());
        tools(&root, folder.path());
        known(folder.path(), port, "host");
        let own = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let plan = Plan {
            root: &root,
            modules: SWITCH_MODULES,
            begin: SWITCH_BEGIN,
            then: THEN,
            // the shell is this host's: that of busybox knows an `ip` of its own
            programs: vec![
                ("bin/sh", "/bin/dash".into()),
                ("bin/ip", root.join("usr/sbin/ip")),
                ("bin/bridge", root.join("usr/sbin/bridge")),
                ("usr/sbin/sshd", root.join("usr/sbin/sshd")),
            ],
            files: vec![
                text("etc/passwd", 0o644, PASSWD),
                text("etc/ssh/sshd_config", 0o644, SSHD),
                text("etc/ssh/host", 0o600, &own("host")),
                text("etc/ssh/own.pub", 0o644, &own("own.pub")),
            ],
            more: [
                "-netdev",
                &format!("user,id=n4,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"),
                "-device",
                "virtio-net-pci,netdev=n4,mac=52:54:00:ee:02:04,romfile=",
            ]
            .map(str::to_owned)
            .into(),
        };
        let machine = plan.boot(folder.path());
        let driver = driver(folder.path(), port, "br0");
        let bench = Bench { folder, machine, port, driver };
        let until = Instant::now() + BOOT;
        while let Err(error) = bench.driver.read(&name("p1")).await {
            assert!(Instant::now() < until, "{error}\n{}", said(bench.folder.path()));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bench
    }

    /// A foreign hand.
    fn by_hand(&self, script: &str) -> Verdict {
        let mut ssh = Command::new(self.folder.path().join("bin/ssh"));
        ssh.args(options(self.folder.path(), self.port)).args(["-oBatchMode=yes", "root@127.0.0.1", script]);
        let output = ssh.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{script}: {}: {said}", output.status)) }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.machine.0.id().try_into().unwrap()), signal).unwrap();
    }

    async fn set(&self, port: &str, setting: &PortSetting) -> PortReading {
        let read = self.driver.set(&name(port), setting).await.unwrap();
        assert!(read.setting == *setting && read.saved && read.admin_up && !read.leaks, "{read:?}");
        read
    }

    async fn read(&self, port: &str) -> PortReading {
        self.driver.read(&name(port)).await.unwrap()
    }
}

#[async_trait]
impl SwitchFixture for Bench {
    fn switch(&self) -> &dyn Switch {
        &self.driver
    }
    fn ports(&self) -> [PortName; 2] {
        ["p1", "p2"].map(name)
    }
    fn no_such_port(&self) -> PortName {
        name("p9")
    }
    fn vlans(&self) -> [VlanId; 3] {
        VLANS
    }
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Verdict> {
        Some(self.by_hand(&format!("bridge vlan add dev {port} vid {vlan}")))
    }
    fn tells(&self) -> bool {
        false
    }
}

/// What is not the same at the next start, or is not as it was set, is not saved.
async fn saving(bench: &Bench) {
    let trunk = PortSetting { native: Some(VLANS[0]), tagged: VLANS[1..].iter().copied().collect(), mtu: Some(1400) };
    bench.set("p1", &trunk).await;
    for hand in
        ["bridge vlan add dev p1 vid 40", "echo '# by hand' >>/etc/ports/p1", "rm /etc/ports/p1", "ip link set dev p1 mtu 1300"]
    {
        bench.by_hand(hand).unwrap();
        assert!(!bench.read("p1").await.saved, "{hand}");
        bench.set("p1", &trunk).await;
    }
    let shut = bench.driver.shut(&name("p2")).await.unwrap();
    assert!(!shut.admin_up && shut.saved && shut.setting.native.is_none() && shut.setting.tagged.is_empty(), "{shut:?}");
    // the switch restarts: all that ran is gone, and its start-up configuration is run
    bench
        .by_hand("ip link del br0; ip link set p1 mtu 1500; ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 1")
        .unwrap();
    bench.by_hand("ip link set p1 master br0; ip link set p2 master br0; ip link set br0 up; ip link set p2 up").unwrap();
    let between = bench.read("p1").await;
    assert!(between.setting.native != Some(VLANS[0]) && !between.saved, "{between:?}");
    bench.by_hand("for port in /etc/ports/*; do sh $port || exit 1; done").unwrap();
    let (one, other) = (bench.read("p1").await, bench.read("p2").await);
    assert!((&one.setting, one.saved, one.admin_up) == (&trunk, true, true), "{one:?}");
    assert!(other.saved && !other.admin_up && other.setting.native.is_none(), "{other:?}");
    bench.set("p1", &PortSetting { mtu: Some(1500), ..PortSetting::access(VLANS[0]) }).await;
    bench.set("p2", &PortSetting::access(VLANS[0])).await;
}

async fn leaks_and_life(bench: &Bench) {
    bench.set("p1", &PortSetting::access(VLANS[0])).await;
    bench.by_hand("bridge vlan add dev p1 vid 20 pvid untagged").unwrap();
    let seen = bench.read("p1").await;
    assert!(seen.leaks && seen.setting.native == Some(VLANS[1]) && seen.setting.carries(VLANS[0]), "{seen:?}");
    let before = bench.set("p1", &PortSetting::access(VLANS[1])).await;
    bench.by_hand("ping -c 1 -W 1 192.0.2.77; true").unwrap();
    let after = bench.read("p1").await;
    assert!(after.frames_in > before.frames_in, "{before:?} {after:?}");
    assert_eq!(after.learnt, BTreeSet::from(["52:54:00:ee:02:03".parse().unwrap()]));
    let absurd = PortSetting { mtu: Some(67), ..PortSetting::access(VLANS[2]) };
    let refused = bench.driver.set(&name("p1"), &absurd).await;
    assert!(matches!(refused, Err(AgentError::Rejected { .. })), "{refused:?}");
    assert_eq!(bench.read("p1").await.setting, PortSetting::access(VLANS[1]), "nothing was done");
}

async fn many_vlans(bench: &Bench) {
    let tagged = (100..=1099).chain([2000, 2002, 4094]).filter_map(VlanId::new).collect();
    bench.set("p1", &PortSetting { native: Some(VLANS[0]), tagged, mtu: None }).await;
    bench.set("p1", &PortSetting::access(VLANS[0])).await;
}

/// A switch that hangs keeps nobody waiting, and is asked again when it is back.
async fn hanging(bench: &Bench) {
    bench.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let read = bench.driver.read(&name("p1")).await;
    assert!(matches!(&read, Err(AgentError::Unreachable { .. })) && begun.elapsed() < ANSWERED, "{read:?}");
    let set = bench.driver.set(&name("p1"), &PortSetting::access(VLANS[1])).await;
    assert!(matches!(&set, Err(AgentError::Unreachable { .. })), "it was never sent: {set:?}");
    bench.signal(Signal::SIGCONT);
    let until = Instant::now() + BOOT;
    while let Err(error) = bench.driver.read(&name("p1")).await {
        assert!(Instant::now() < until, "{error}");
    }
    bench.set("p1", &PortSetting::access(VLANS[1])).await;
}

async fn another_switch(bench: &Bench) {
    let folder = bench.folder.path();
    let no_bridge = driver(folder, bench.port, "br7").read(&name("p1")).await;
    assert!(matches!(no_bridge, Err(AgentError::Rejected { .. })), "{no_bridge:?}");
    bench.by_hand("echo 0 >/sys/class/net/br0/bridge/vlan_filtering").unwrap();
    let unfiltered = bench.driver.read(&name("p1")).await;
    assert!(matches!(unfiltered, Err(AgentError::Rejected { .. })), "{unfiltered:?}");
    bench.by_hand("echo 1 >/sys/class/net/br0/bridge/vlan_filtering").unwrap();
    known(folder, bench.port, "other");
    let stranger = driver(folder, bench.port, "br0");
    for outcome in [stranger.read(&name("p1")).await, stranger.set(&name("p1"), &PortSetting::access(VLANS[2])).await] {
        assert!(matches!(outcome, Err(AgentError::Unreachable { .. })), "{outcome:?}");
    }
    known(folder, bench.port, "host");
    assert_eq!(bench.read("p1").await.setting.native, Some(VLANS[1]), "who shows another key was told nothing");
}

#[tokio::test]
async fn the_driver_by_ssh_holds_its_laws_on_a_real_switch() {
    let bench = Bench::boot().await;
    assert_eq!(switch(&bench).await, Ok(()));
    saving(&bench).await;
    leaks_and_life(&bench).await;
    many_vlans(&bench).await;
    hanging(&bench).await;
    another_switch(&bench).await;
}
