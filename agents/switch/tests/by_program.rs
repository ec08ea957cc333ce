//! The driver whose hands are a program, with real processes and a switch that has a state of its own: a sound program passes the suite that
//! every driver passes, each bad one is found out, and what a bad one says is never taken for what it did.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use async_trait::async_trait;
use contract::conformance::{SwitchFixture, Verdict, switch};
use contract::switch::Switch;
use contract::{Action, AgentError, Answer, Device};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::{Kept, ProgramConfig, SwitchDevice, SwitchProgram};
use tempfile::TempDir;
use vocabulary::{PortId, PortName, PortSetting, VlanId};

const VLANS: [VlanId; 3] = [VlanId::constant(10), VlanId::constant(20), VlanId::constant(30)];
const QUARANTINE: VlanId = VlanId::constant(99);
/// Within this drift at a barred port must end.
const DRIFT_ENDS: Duration = Duration::from_secs(5);
/// A busy host may stand still for longer than that.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    folder: TempDir,
    driver: Arc<SwitchProgram>,
}

fn name(port: &str) -> PortName {
    port.parse().unwrap()
}

fn id(port: &str) -> PortId {
    PortId { switch: "sw1".parse().unwrap(), port: name(port) }
}

fn open(command: &[&str], environment: BTreeMap<String, String>) -> Arc<SwitchProgram> {
    let ports = ["p1", "p2", "p9"].map(name).into();
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Arc::new(SwitchProgram::open("sw1".parse().unwrap(), ProgramConfig { command, environment, ports }).unwrap())
}

impl Bench {
    fn new(manner: &str) -> Bench {
        Bench::that_saves(manner, true)
    }

    fn that_saves(manner: &str, saves: bool) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for port in ["p1", "p2"] {
            std::fs::write(folder.path().join(port), "true 40 [] 1500 7 [\"52:54:00:00:00:01\"]\n").unwrap();
        }
        let said = [("SWITCH", folder.path().display().to_string()), ("MANNER", manner.to_owned()), ("SAVED", saves.to_string())];
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/switch.sh");
        let driver = open(&["/bin/sh", script], said.map(|(name, value)| (name.to_owned(), value)).into());
        Bench { folder, driver }
    }

    fn by_hand(&self, port: &str, line: &str) {
        let (new, port) = (self.folder.path().join("by-hand"), self.folder.path().join(port));
        std::fs::write(&new, line).unwrap();
        std::fs::rename(new, port).unwrap();
    }

    fn state(&self, port: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(port)).unwrap().trim().to_owned()
    }
}

#[async_trait]
impl SwitchFixture for Bench {
    fn switch(&self) -> &dyn Switch {
        &*self.driver
    }
    fn ports(&self) -> [PortName; 2] {
        ["p1", "p2"].map(name)
    }
    /// Configured, so that the program is asked about it, and not there.
    fn no_such_port(&self) -> PortName {
        name("p9")
    }
    fn vlans(&self) -> [VlanId; 3] {
        VLANS
    }
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Verdict> {
        self.by_hand(port.as_str(), &format!("true {} [{vlan}] 1500 7 []\n", VLANS[0]));
        Some(Ok(()))
    }
    fn tells(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_sound_program_keeps_every_law_of_a_switch() {
    for manner in ["sound", "no-trunks"] {
        assert_eq!(switch(&Bench::new(manner)).await, Ok(()), "{manner}");
    }
}

#[tokio::test]
async fn every_bad_program_is_found_out() {
    for (manner, law) in [
        ("adds", "reads back as"),
        ("idle", "reads back as"),
        ("stays-down", "reads back as"),
        ("keeps-learnt", "`set` flushes the learnt addresses"),
        ("both", "setting one port leaves its neighbour alone"),
        ("half-trunks", "a rejected setting changes nothing"),
        ("stale", "reads back as"),
        ("any-port", "reading a port that is not there is rejected"),
        ("dies", "a port takes an access VLAN"),
    ] {
        let verdict = switch(&Bench::new(manner)).await;
        assert!(verdict.as_ref().is_err_and(|broken| broken.contains(law)), "{manner}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_change_that_nobody_saw_done_is_unconfirmed() {
    for manner in ["idle", "dies"] {
        let bench = Bench::new(manner);
        let outcome = bench.driver.set(&name("p1"), &PortSetting::access(VLANS[1])).await;
        assert!(matches!(outcome, Err(AgentError::Unconfirmed { .. })), "{manner}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_change_in_which_a_program_hangs_is_unconfirmed() {
    let bench = Bench::new("slow");
    let outcome = bench.driver.set(&name("p1"), &PortSetting::access(VLANS[1])).await;
    assert!(matches!(outcome, Err(AgentError::Unconfirmed { .. })), "{outcome:?}");
}

/// What a program says of a port, word for word.
async fn told(reading: &str) -> Result<vocabulary::network::PortReading, AgentError> {
    let number = r#"read -r x; id=${x##*\"id\":}; id=${id%%[,\}]*}"#;
    let script = format!(
        r#"echo '{{"understudy-driver":1,"kind":"switch"}}'; {number}; printf '{{"id":%s,"answer":%s}}\n' "$id" '{reading}'; cat"#
    );
    open(&["/bin/sh", "-c", &script], BTreeMap::new()).read(&name("p1")).await
}

#[tokio::test]
async fn a_reading_that_lacks_something_or_is_of_another_port_is_none() {
    let whole = "{\"port\":\"p1\",\"native\":null,\"tagged\":[],\"mtu\":null,\"leaks\":false,\"admin_up\":true,\"link_up\":true,\
                 \"learnt\":[],\"frames_in\":0,\"saved\":true}";
    let seen = told(whole).await.unwrap();
    assert!(seen.admin_up && seen.setting.native.is_none());
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(whole).unwrap();
    for field in fields.keys() {
        let mut less = fields.clone();
        less.remove(field);
        let outcome = told(&serde_json::to_string(&less).unwrap()).await;
        assert!(matches!(outcome, Err(AgentError::Unreachable { .. })), "without {field}: {outcome:?}");
    }
    for (from, to) in [("\"p1\"", "\"p2\""), ("\"tagged\":[]", "\"tagged\":[4095]"), ("\"saved\"", "\"more\":1,\"saved\"")] {
        let wrong = whole.replace(from, to);
        assert_ne!(wrong, whole);
        assert!(matches!(told(&wrong).await, Err(AgentError::Unreachable { .. })), "{to}");
    }
}

#[tokio::test]
async fn a_port_that_is_down_forwards_nothing() {
    let bench = Bench::new("sound");
    let shut = bench.driver.shut(&name("p1")).await.unwrap();
    assert!(!shut.admin_up && shut.setting.native.is_none() && shut.setting.tagged.is_empty());
    assert!(bench.state("p1").starts_with("false 40 "), "what it is configured for stays");
    bench.by_hand("p1", &format!("true {} [] 1500 7 []\n", VLANS[0]));
    assert_eq!(bench.driver.read(&name("p1")).await.unwrap().setting.native, Some(VLANS[0]));
}

fn device(bench: &Bench) -> Arc<SwitchDevice> {
    let driver: Arc<dyn Kept> = bench.driver.clone();
    Arc::new(SwitchDevice::new("sw1".parse().unwrap(), driver))
}

#[tokio::test]
async fn what_a_switch_that_restarts_alone_has_not_saved_is_not_saved() {
    for saves in [true, false] {
        let bench = Bench::that_saves("sound", saves);
        let bar = Action::BarPort { port: id("p1"), quarantine: QUARANTINE };
        let answer = device(&bench).perform(&bar).await;
        let Ok(Answer::Port(reading)) = answer else { panic!("{answer:?}") };
        assert_eq!((reading.setting, reading.saved), (PortSetting::access(QUARANTINE), saves));
    }
}

#[tokio::test]
async fn a_foreign_hand_at_a_barred_port_is_mended_in_time() {
    let bench = Bench::new("sound");
    let device = device(&bench);
    device.perform(&Action::BarPort { port: id("p1"), quarantine: QUARANTINE }).await.unwrap();
    assert!(bench.driver.watch_period() * 2 < DRIFT_ENDS);
    let keeper = tokio::spawn({
        let device = device.clone();
        async move { device.keep().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.by_hand("p1", "true 20 [] 1500 7 []\n");
    let begun = Instant::now();
    while !bench.state("p1").starts_with("true 99 []") {
        assert!(begun.elapsed() < PATIENCE, "{}", bench.state("p1"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    keeper.abort();
}
