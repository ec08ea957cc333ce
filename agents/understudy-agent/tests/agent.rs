//! The binary as it is run: with a real target daemon behind it and a controller's client before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../storage/tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the storage driver's tests, which use more of it")]
mod support;

use contract::wire::{Authority, WireClient};
use contract::{Client, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::initiator::Initiator;
use support::{Daemon, initiator_name, target, volume};
use vocabulary::check::{Check, CheckOutcome, ExecCheck, TcpCheck};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, Holder, Token};
use vocabulary::{Epoch, EstateUuid, Lineage, OpId, PlanId, Secret, Span, VolumeId};

const PATIENCE: Duration = Duration::from_secs(20);

/// The agent's process, killed when dropped.
struct Agent {
    child: Child,
    log: Receiver<String>,
}

impl Agent {
    fn start(config: &std::path::Path) -> Agent {
        let mut child = Command::new(env!("CARGO_BIN_EXE_understudy-agent"))
            .arg("--config")
            .arg(config)
            .env("UNDERSTUDY_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Agent { child, log }
    }

    /// Waits for a line of the log that contains this; every line is JSON.
    fn says(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            serde_json::from_str::<serde_json::Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if line.contains(text) {
                return line;
            }
            all.push(line);
        }
        panic!("it never said `{text}`: {all:#?}");
    }

    fn ends(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A controller, a daemon, and an agent's configuration in a folder of their own.
struct Site {
    daemon: Daemon,
    config: PathBuf,
    state: PathBuf,
    authority: Authority,
    address: SocketAddr,
    _plugins: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let daemon = Daemon::start();
        let folder = daemon.folder.path().to_owned();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let authority = Authority::create(EstateUuid("estate".into()), Lineage("lineage".into())).unwrap();
        let bundle = authority.issue_agent(&"store1".parse().unwrap()).unwrap();
        bundle.store(&folder.join("bundle.json")).unwrap();
        // below `/tmp` a plugin sees a folder of its own
        let plugins = tempfile::Builder::new().prefix("plugins-").tempdir_in("/var/tmp").unwrap();
        let plugin = plugins.path().join("check_it");
        std::fs::write(&plugin, "#!/bin/sh\necho \"IT $1\"; exit $2\n").unwrap();
        for path in [plugins.path(), &plugin] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let user = if nix::unistd::geteuid().is_root() { "nobody" } else { "self" };
        let storage::registry::Driver::Tgt(tgt) = daemon.config().driver else { unreachable!() };
        let volumes: serde_json::Map<String, serde_json::Value> = tgt
            .volumes
            .iter()
            .map(|(name, export)| {
                let export = serde_json::json!({"target": export.target, "lun": export.lun, "file": export.file});
                (name.to_string(), export)
            })
            .collect();
        let config = serde_json::json!({
            "bundle": folder.join("bundle.json"), "listen": address, "state_dir": folder.join("state"),
            "devices": {
                "storage": {"storage": "store1", "driver": {"tgt": {
                    "tgtadm": tgt.tgtadm, "control_port": tgt.control_port, "environment": tgt.environment, "volumes": volumes}}},
                "vantage": true,
                "vantage_source": {"plugins": {"folder": plugins.path(), "names": ["check_it"], "user": user}},
            },
        });
        let path = folder.join("agent.json");
        std::fs::write(&path, config.to_string()).unwrap();
        Site { daemon, config: path, state: folder.join("state"), authority, address, _plugins: plugins }
    }

    fn client(&self) -> WireClient {
        let identity = self.authority.issue_controller().unwrap();
        WireClient::connect(self.address, &"store1".parse().unwrap(), &identity).unwrap()
    }
}

/// Hears it, and says that its memory is current, as every controller does.
async fn hello(client: &WireClient) -> AgentHello {
    let Answer::Hello(hello) = client.call(Request { token: None, action: Action::Hello }).await.unwrap() else {
        panic!("another answer")
    };
    let (estate, lineage) = (EstateUuid("estate".into()), Lineage("lineage".into()));
    let vouch = Action::Vouch {
        boot: hello.boot.clone(),
        estate,
        lineage,
        controller: vocabulary::ControllerLife::default(),
        current: true,
    };
    client.call(Request { token: None, action: vouch }).await.unwrap();
    hello
}

async fn order(client: &WireClient, epoch: u64, action: Action) -> Result<Answer, AgentError> {
    let hello = hello(client).await;
    let token = Token {
        estate: EstateUuid("estate".into()),
        lineage: Lineage("lineage".into()),
        controller: vocabulary::ControllerLife::default(),
        plan: PlanId(Epoch(epoch)),
        step: "test".into(),
        epoch: Epoch(epoch),
        op: OpId { epoch: Epoch(epoch), number: hello.tick },
        agent_boot: hello.boot,
        expires_tick: hello.tick + 60_000,
    };
    client.call(Request { token: Some(token), action }).await
}

fn volume_a() -> VolumeId {
    VolumeId { storage: "store1".parse().unwrap(), volume: volume("a") }
}

fn grant(epoch: u32) -> Action {
    Action::GrantVolume {
        volume: volume_a(),
        initiator: initiator_name(epoch),
        user: format!("web1.e{epoch}"),
        secret: Secret::new(format!("secret-of-e{epoch}")),
        holder: Holder { server: "web1".parse().unwrap(), machine: "m1".parse().unwrap(), plan: PlanId(Epoch(u64::from(epoch))) },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_serves_survives_a_kill_and_ends_cleanly() {
    let mut site = Site::new();
    let mut agent = Agent::start(&site.config);
    assert!(agent.says("waiting").contains("the state directory"), "a directory that is not mounted yet is not made");
    assert!(!site.state.exists());
    std::fs::create_dir(&site.state).unwrap();
    agent.says("\"serving\"");
    let client = site.client();
    assert!(hello(&client).await.trusted);

    let check = Check::Tcp(TcpCheck { address: site.address, deadline: Span::seconds(1) });
    let checked = client.call(Request { token: None, action: Action::RunCheck { check } }).await;
    assert!(matches!(checked, Ok(Answer::Check { outcome: CheckOutcome::Healthy })), "{checked:?}");
    for (code, wanted) in [("0", CheckOutcome::Healthy), ("2", CheckOutcome::Failed("check_it: IT web1".into()))] {
        let (plugin, arguments) = ("check_it".to_owned(), vec!["web1".to_owned(), code.to_owned()]);
        let check = Check::Exec(ExecCheck { plugin, arguments, every: Span::seconds(30), deadline: Span::seconds(5) });
        let checked = client.call(Request { token: None, action: Action::RunCheck { check } }).await;
        assert!(matches!(&checked, Ok(Answer::Check { outcome }) if *outcome == wanted), "{checked:?}");
    }
    let none = client.call(Request { token: None, action: Action::ReadContacts { after: 0 } }).await;
    assert!(matches!(none, Err(AgentError::Rejected { .. })));

    order(&client, 1, grant(1)).await.unwrap();
    let mut server = Initiator::login(site.daemon.port, &target("a"), 1, 1).unwrap();
    server.write(1, b'1').unwrap();
    let Answer::Volume(reading) =
        client.call(Request { token: None, action: Action::ReadVolume { volume: volume_a() } }).await.unwrap()
    else {
        panic!("no reading")
    };
    assert_eq!((reading.sessions.len(), reading.persistent), (1, true));

    let mut second = Agent::start(&site.config);
    assert!(second.says("\"ERROR\"").contains("in use by another process"), "one device, one agent instance");
    assert_eq!(second.ends(), Some(1));

    agent.signal(Signal::SIGKILL);
    agent.ends();
    site.daemon.kill();
    site.daemon.again();
    let mut agent = Agent::start(&site.config);
    agent.says("\"serving\"");
    let client = site.client();
    let memory = hello(&client).await;
    assert!(memory.trusted && memory.entries.iter().any(|entry| entry.epoch == Epoch(1)), "the gate remembers");
    agent.says("what was set before stands again");
    Initiator::login(site.daemon.port, &target("a"), 1, 2).unwrap().write(2, b'2').unwrap();
    assert!(
        matches!(order(&client, 2, grant(2)).await, Err(AgentError::Refused { .. })),
        "another holder's volume is not granted"
    );
    order(&client, 2, Action::RevokeVolume { volume: volume_a(), keep: None }).await.unwrap();
    assert!(Initiator::login(site.daemon.port, &target("a"), 1, 3).is_err());
    assert!(matches!(order(&client, 1, grant(1)).await, Err(AgentError::LowerEpoch { .. })), "an old plan is too late");

    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ends(), Some(0), "SIGTERM ends it cleanly");
    agent.says("\"ended\"");
}

#[test]
fn a_configuration_that_is_not_understood_ends_it_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.json");
    std::fs::write(&path, r#"{"bundle": "b", "listen": "127.0.0.1:1", "state_dir": "s", "devices": {"swich": {}}}"#).unwrap();
    let mut agent = Agent::start(&path);
    assert!(agent.says("\"ERROR\"").contains("unknown field `swich`"));
    assert_eq!(agent.ends(), Some(1));
    let usage = Command::new(env!("CARGO_BIN_EXE_understudy-agent")).output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "usage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_gets_its_exports_back_within_seconds() {
    let mut site = Site::new();
    std::fs::create_dir(&site.state).unwrap();
    let agent = Agent::start(&site.config);
    agent.says("\"serving\"");
    order(&site.client(), 1, grant(1)).await.unwrap();
    site.daemon.kill();
    agent.says("cannot be kept as decided");
    site.daemon.again();
    let since = Instant::now();
    while Initiator::login(site.daemon.port, &target("a"), 1, 1).is_err() {
        assert!(since.elapsed() < Duration::from_secs(5), "the exports are back within 5 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
