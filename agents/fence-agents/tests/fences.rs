//! The driver with real processes: fence agents that are sound, lie, are slow, hang and talk nonsense, and real ones of the lab's packages. A sound
//! one passes the suite that every driver passes; what a bad one says is never taken for what it did.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{OutletFixture, Verdict, outlet};
use contract::outlet::Outlets;
use outlet::OutletsProgram;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vocabulary::OutletId;
use vocabulary::outlet::Relay;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
/// Longer than a question takes that is ended by its deadline, on a busy host.
const ENDED: Duration = Duration::from_secs(30);

struct Bench {
    folder: TempDir,
    driver: OutletsProgram,
}

fn config(folder: &Path, agent: &str) -> Value {
    json!({
        "agent": format!("{HERE}/{agent}"), "address": "192.0.2.7", "secrets": {"passwd": format!("file:{}/secret", folder.display())},
        "outlets": {"1": "b1", "2": "b2", "3": "b3"},
        "reader": {"command": ["/bin/sh", concat!(env!("CARGO_MANIFEST_DIR"), "/../outlet/tests/unit.sh")],
                   "environment": {"UNIT": folder.display().to_string()}},
    })
}

impl Bench {
    fn new(fake: &str) -> Bench {
        Bench::with(fake, "fence_fake", &[], |_| {})
    }

    fn with(fake: &str, agent: &str, more: &[(&str, String)], change: impl FnOnce(&mut Value)) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for outlet in ["1", "2", "3"] {
            std::fs::write(folder.path().join(outlet), "on turns-on\n").unwrap();
        }
        std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
        let mut config = config(folder.path(), agent);
        change(&mut config);
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut environment: std::collections::BTreeMap<String, String> =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        environment.insert("UNIT".to_owned(), folder.path().display().to_string());
        environment.insert("FAKE".to_owned(), fake.to_owned());
        let command = vec![env!("CARGO_BIN_EXE_fence-agents").to_owned(), file.display().to_string()];
        let driver = OutletsProgram::open("pdu1".parse().unwrap(), "U-7", program::Config { command, environment }).unwrap();
        Bench { folder, driver }
    }

    /// With a real fence agent, whose hands are a script.
    fn real(name: &str, fake: &str) -> Bench {
        let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
            .map_or_else(|| Path::new(HERE).join("../../../target/lab/packages/root"), PathBuf::from);
        let agent = root.join("usr/sbin").join(name);
        assert!(agent.exists(), "no {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", agent.display());
        let more = [("ROOT", root.canonicalize().unwrap().display().to_string()), ("NAME", name.to_owned())];
        Bench::with(fake, "packaged", &more, |config| {
            config["secrets"] = json!({});
            if name == "fence_powerman" {
                config["options"] = json!({"powerman_path": format!("{HERE}/powerman")});
            }
        })
    }

    fn state(&self, outlet: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(outlet)).unwrap_or_default().trim().to_owned()
    }
}

#[async_trait]
impl OutletFixture for Bench {
    fn outlets(&self) -> &dyn Outlets {
        &self.driver
    }
    fn outlet(&self) -> OutletId {
        OutletId { pdu: "pdu1".parse().unwrap(), outlet: 2 }
    }
    fn neighbours(&self) -> Vec<u16> {
        vec![1, 3]
    }
    fn no_such_outlet(&self) -> u16 {
        77
    }
    async fn press(&self, on: bool) -> Option<Verdict> {
        let (new, outlet) = (self.folder.path().join("pressed"), self.folder.path().join("2"));
        let line = if on { "on stays-off\n" } else { "off stays-off\n" };
        std::fs::write(&new, line).and_then(|()| std::fs::rename(new, outlet)).unwrap();
        Some(Ok(()))
    }
}

#[tokio::test]
async fn a_sound_fence_agent_keeps_every_law_of_a_unit() {
    let bench = Bench::new("sound");
    assert_eq!(outlet(&bench).await, Ok(()));
    let lines = bench.state("command-lines");
    assert!(lines.contains("fence_fake") && !lines.contains("hunter2") && !lines.contains("192.0.2.7"), "{lines}");
}

#[tokio::test]
async fn a_bad_fence_agent_is_found_out() {
    for fake in ["idle", "says-off", "garbage", "denies"] {
        let verdict = outlet(&Bench::new(fake)).await;
        assert!(verdict.is_err(), "{fake}");
    }
}

#[tokio::test]
async fn its_yes_is_not_believed_nor_its_status_alone() {
    let cut = Bench::new("idle").driver.cut(2).await.unwrap();
    assert!(!cut.is_cut() && cut.relay == Relay::On, "{cut:?}");
    let read = Bench::new("says-off").driver.read(2).await.unwrap();
    assert_eq!(read.relay, Relay::Unknown, "the reader sees it on");
    let read = Bench::new("garbage").driver.read(2).await.unwrap();
    assert_eq!(read.relay, Relay::Unknown);
}

#[tokio::test]
async fn its_no_is_not_believed_either() {
    let bench = Bench::new("denies");
    let cut = bench.driver.cut(2).await;
    assert!(matches!(cut, Err(AgentError::Unconfirmed { .. })), "{cut:?}");
    assert!(bench.driver.read(2).await.unwrap().is_cut());
}

#[tokio::test]
async fn one_that_is_slow_is_waited_for() {
    assert!(Bench::new("slow").driver.cut(2).await.unwrap().is_cut());
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_all_that_it_started() {
    for (fake, lost) in [("hangs-off", true), ("hangs-status", false)] {
        let (bench, begun) = (Bench::new(fake), Instant::now());
        let outcome = if lost { bench.driver.cut(2).await } else { bench.driver.read(2).await };
        let fits = if lost {
            matches!(outcome, Err(AgentError::Unconfirmed { .. }))
        } else {
            matches!(outcome, Err(AgentError::Unreachable { .. }))
        };
        assert!(fits && begun.elapsed() < ENDED, "{fake}: {outcome:?}");
        let child = PathBuf::from("/proc").join(bench.state("hung"));
        let gone = |path: &Path| std::fs::read_to_string(path.join("stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone(&child) {
            assert!(begun.elapsed() < ENDED, "{fake}: what it started lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // the first question after it may meet the program that ends
        let mut read = bench.driver.read(2).await;
        if read.is_err() {
            read = bench.driver.read(2).await;
        }
        assert_eq!(read.unwrap().relay, Relay::On, "{fake}");
    }
}

#[tokio::test]
async fn a_secret_is_never_repeated() {
    let told = Bench::new("tells").driver.read(2).await.unwrap_err().to_string();
    assert!(told.contains("login with *** failed") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn nothing_is_done_with_options_that_it_does_not_know() {
    let bench =
        Bench::with("sound", "fence_fake", &[], |config| config["options"] = json!({"ipport": "23", "login_timeot": "3"}));
    for outcome in [bench.driver.read(2).await, bench.driver.cut(2).await] {
        assert!(matches!(&outcome, Err(AgentError::Rejected { reason }) if reason.contains("login_timeot")), "{outcome:?}");
    }
    assert_eq!(bench.state("2"), "on turns-on");
}

#[tokio::test]
async fn without_a_reader_that_knows_the_unit_nothing_is_switched() {
    for manner in ["nameless", "another"] {
        let bench = Bench::with("sound", "fence_fake", &[], |config| config["reader"]["environment"]["MANNER"] = json!(manner));
        let outcome = bench.driver.cut(2).await;
        assert!(matches!(outcome, Err(AgentError::Rejected { .. })), "{manner}: {outcome:?}");
        assert_eq!(bench.state("2"), "on turns-on", "{manner}");
    }
    let bench = Bench::with("sound", "fence_fake", &[], |config| config["reader"]["environment"]["MANNER"] = json!("no-meter"));
    let cut = bench.driver.cut(2).await.unwrap();
    assert_eq!((cut.relay, cut.watts, cut.is_cut()), (Relay::Off, None, false), "it is off, and nothing is proven");
}

#[tokio::test]
async fn a_real_fence_agent_keeps_every_law_and_its_lie_is_seen() {
    assert_eq!(outlet(&Bench::real("fence_powerman", "sound")).await, Ok(()));
    let lied = Bench::real("fence_powerman", "idle").driver.cut(2).await;
    assert!(!matches!(&lied, Ok(reading) if reading.relay == Relay::Off), "{lied:?}");
}

#[tokio::test]
async fn a_real_fence_agent_that_switches_no_outlets_is_refused() {
    let outcome = Bench::real("fence_dummy", "sound").driver.read(2).await;
    assert!(
        matches!(&outcome, Err(AgentError::Rejected { reason }) if reason.contains("does not switch outlets")),
        "{outcome:?}"
    );
}
