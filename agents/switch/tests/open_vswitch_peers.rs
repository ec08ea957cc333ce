//! The driver of Open vSwitch against peers that are none: whoever listens on its sockets, every question ends in time, in an error that says
//! that nothing was learnt, and nothing panics. What a real one answers is tried in `open_vswitch.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use contract::AgentError;
use contract::switch::Switch;
use std::path::Path;
use std::time::{Duration, Instant};
use switch::open_vswitch::{OpenVswitch, OpenVswitchConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use vocabulary::{PortName, PortSetting, VlanId};

/// A reading ends within 4 s and a change within 10 s; a busy host may stand still for longer.
const PATIENCE: Duration = Duration::from_secs(30);
const NORMAL: &str = "duration=1s, n_packets=0, n_bytes=0, priority=0,actions=NORMAL\\n";

/// What a peer does with a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// As the real one would.
    Sound,
    /// Takes it and says nothing.
    Silent,
    /// Ends it at once.
    Closes,
    /// Says this once, and then nothing.
    Says(&'static str),
    /// Says this again and again, and does not listen.
    Floods(&'static str),
}

/// All that is wrong in JSON, and so in OpenFlow as well.
const BAD: [Manner; 15] = [
    Manner::Silent,
    Manner::Closes,
    Manner::Says("{\"id\":1,"),
    Manner::Says("{\"id\":1,\"result\":null,\"error\":null}"),
    Manner::Says("{\"id\":1,\"result\":[],\"error\":null}"),
    Manner::Says("{\"id\":1,\"result\":[{\"rows\":[]},{\"rows\":[]},{\"rows\":[]},{\"rows\":[{}]}],\"error\":null}"),
    Manner::Says("{\"id\":1,\"result\":[null,null,null,null],\"error\":null}"),
    Manner::Says("{\"id\":1,\"result\":\"\\ud800\",\"error\":null}"),
    Manner::Says("{\"id\":1,\"error\":{\"details\":[]}}"),
    Manner::Says("{\"id\":2,\"result\":\"\",\"error\":null}"),
    Manner::Says("[]"),
    Manner::Says("\u{1}\u{6}\0\u{7}\0\0\0\0"),
    Manner::Floods("{\"id\":null,\"method\":\"echo\",\"params\":[]}"),
    Manner::Floods(" "),
    Manner::Floods("[[[[[[[[{\"a\":\""),
];

async fn repeat(stream: &mut UnixStream, text: &str) {
    let piece = text.repeat(1000);
    while stream.write_all(piece.as_bytes()).await.is_ok() {}
}

/// A daemon's control socket: one rule, no addresses.
async fn sound_control(stream: &mut UnixStream) {
    let mut question = vec![0; 4096];
    let mut id = 0;
    while stream.read(&mut question).await.is_ok_and(|read| read > 0) {
        id += 1;
        let answer = format!("{{\"id\":{id},\"result\":\"{NORMAL}\",\"error\":null}}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// A bridge's OpenFlow socket: a greeting, and a bridge without ports.
async fn sound_bridge(stream: &mut UnixStream) {
    let _ = stream.write_all(&[1, 0, 0, 8, 0, 0, 0, 0]).await;
    let mut question = [0; 8];
    while stream.read_exact(&mut question).await.is_ok() {
        if question[1] == 5 {
            let mut answer = vec![1, 6, 0, 32];
            answer.extend(&question[4..]);
            answer.extend([0; 24]);
            let _ = stream.write_all(&answer).await;
        }
    }
}

fn listen(path: &Path, manner: Manner, bridge: bool) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                match manner {
                    Manner::Sound if bridge => sound_bridge(&mut stream).await,
                    Manner::Sound => sound_control(&mut stream).await,
                    Manner::Closes => return,
                    Manner::Silent => {}
                    Manner::Says(text) => drop(stream.write_all(text.as_bytes()).await),
                    Manner::Floods(text) => repeat(&mut stream, text).await,
                }
                // what is open stays open
                std::future::pending().await
            });
        }
    });
}

struct Bench {
    _folder: TempDir,
    driver: OpenVswitch,
}

fn bench(control: Manner, bridge: Manner, database: Manner) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("ovs-vswitchd.pid"), "7\n").unwrap();
    listen(&at("ovs-vswitchd.7.ctl"), control, false);
    listen(&at("br0.mgmt"), bridge, true);
    listen(&at("db.sock"), database, false);
    let config = OpenVswitchConfig {
        bridge: "br0".into(),
        ports: [port()].into(),
        run_dir: folder.path().to_owned(),
        database: None,
        system_id: None,
    };
    let driver = OpenVswitch::open("sw1".parse().unwrap(), config).unwrap();
    Bench { _folder: folder, driver }
}

fn port() -> PortName {
    "p1".parse().unwrap()
}

async fn nothing_is_learnt(control: Manner, bridge: Manner, database: Manner) {
    let bench = bench(control, bridge, database);
    let begun = Instant::now();
    let read = bench.driver.read(&port()).await;
    // a bridge, or a port, that the database does not list is one that is not there
    let absent = |error: &AgentError| matches!(error, AgentError::Rejected { reason } if reason.contains("has no "));
    let none = matches!(&read, Err(AgentError::Unreachable { .. })) || read.as_ref().is_err_and(absent);
    assert!(none, "{control:?} {bridge:?} {database:?}: {read:?}");
    let set = bench.driver.set(&port(), &PortSetting::access(VlanId::constant(10))).await;
    assert!(set.is_err(), "{control:?} {bridge:?} {database:?}: {set:?}");
    assert!(begun.elapsed() < PATIENCE, "{control:?} {bridge:?} {database:?}: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_nothing_is_learnt_from_what_is_no_answer() {
    let mut all = tokio::task::JoinSet::new();
    for bad in BAD {
        all.spawn(nothing_is_learnt(bad, Manner::Sound, Manner::Silent));
        all.spawn(nothing_is_learnt(Manner::Sound, bad, Manner::Silent));
        all.spawn(nothing_is_learnt(Manner::Sound, Manner::Sound, bad));
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused() {
    let sound = OpenVswitchConfig {
        bridge: "br0".into(),
        ports: [port()].into(),
        run_dir: "/run/openvswitch".into(),
        database: Some("tcp:127.0.0.1:6640".into()),
        system_id: None,
    };
    let open = |config: OpenVswitchConfig| OpenVswitch::open("sw1".parse().unwrap(), config);
    assert!(open(sound.clone()).is_ok());
    for wrong in [
        OpenVswitchConfig { bridge: String::new(), ..sound.clone() },
        OpenVswitchConfig { bridge: "../br0".into(), ..sound.clone() },
        OpenVswitchConfig { bridge: "p1".into(), ..sound.clone() },
        OpenVswitchConfig { ports: [].into(), ..sound.clone() },
        OpenVswitchConfig { run_dir: "run".into(), ..sound.clone() },
        OpenVswitchConfig { run_dir: format!("/{}", "a".repeat(200)).into(), ..sound.clone() },
        OpenVswitchConfig { database: Some("ssl:127.0.0.1:6640".into()), ..sound.clone() },
    ] {
        let told = open(wrong.clone()).err().map(|error| error.to_string());
        assert!(told.is_some_and(|told| told.contains("sw1")), "{wrong:?}");
    }
}
