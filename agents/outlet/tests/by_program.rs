//! The unit whose hands are a program, with real processes and outlets that have a state of their own: a sound program passes the suite that
//! every driver passes; a bad one is found out; and what a program or a unit does not tell is never a proof.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{OutletFixture, Verdict, outlet};
use contract::outlet::Outlets;
use outlet::OutletsProgram;
use tempfile::TempDir;
use vocabulary::OutletId;
use vocabulary::outlet::{OnReturn, Relay};

struct Bench {
    folder: TempDir,
    driver: OutletsProgram,
}

impl Bench {
    fn new(manner: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for outlet in ["1", "2", "3"] {
            std::fs::write(folder.path().join(outlet), "on turns-on\n").unwrap();
        }
        let said = [("UNIT", folder.path().display().to_string()), ("MANNER", manner.to_owned())];
        let environment = said.map(|(name, value)| (name.to_owned(), value)).into();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unit.sh");
        let config = program::Config { command: vec!["/bin/sh".to_owned(), script.to_owned()], environment };
        let driver = OutletsProgram::open("pdu1".parse().unwrap(), "U-7", config).unwrap();
        Bench { folder, driver }
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default().replace('\n', " ")
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
async fn a_sound_program_keeps_every_law_of_a_unit() {
    assert_eq!(outlet(&Bench::new("sound")).await, Ok(()));
}

#[tokio::test]
async fn every_bad_program_is_found_out() {
    for manner in ["idle", "forgets", "neighbour", "next", "other-load", "no-meter", "nameless", "another"] {
        let verdict = outlet(&Bench::new(manner)).await;
        assert!(verdict.is_err(), "{manner}");
    }
}

#[tokio::test]
async fn a_unit_that_does_not_say_who_it_is_is_told_nothing() {
    for manner in ["nameless", "another"] {
        let bench = Bench::new(manner);
        for outcome in [bench.driver.cut(2).await, bench.driver.feed(2).await] {
            assert!(matches!(outcome, Err(AgentError::Rejected { .. })), "{manner}: {outcome:?}");
        }
        assert_eq!(bench.told().trim(), "read read", "{manner}");
    }
}

#[tokio::test]
async fn a_unit_without_a_meter_is_cut_and_proves_nothing() {
    let bench = Bench::new("no-meter");
    let cut = bench.driver.cut(2).await.unwrap();
    assert_eq!((cut.relay, cut.on_return, cut.is_cut()), (Relay::Off, OnReturn::StaysOff, false));
    assert_eq!(bench.told().trim(), "read stay-off read off read");
}

#[tokio::test]
async fn a_program_that_does_nothing_is_not_believed() {
    let cut = Bench::new("idle").driver.cut(2).await.unwrap();
    assert!(!cut.is_cut() && cut.relay == Relay::On, "{cut:?}");
}
