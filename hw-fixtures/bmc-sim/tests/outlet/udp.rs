//! The driver as it is shipped, over a real socket, against a unit that is served by SNMP.

use crate::bench::{Fixture, LOAD_W, SERIAL, pdu, rejected, unit, unreachable};
use bmc_sim::pdu::{Access, PduServer, User, Weather};
use contract::conformance;
use contract::outlet::Outlets;
use outlet::limits::{GET_MAX, SET_MAX};
use outlet::{OutletConfig, open};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vocabulary::outlet::{OnReturn, Relay};
use world::outlet::mib::{Metered, Mib};
use world::outlet::{self as sim, Quirk};

const AUTHENTICATION: &str = "to be who one is";
const PRIVACY: &str = "to be read by nobody";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    V3,
    Clear,
}

/// A unit that is served, and the secrets of whoever asks.
struct Site {
    server: PduServer,
    unit: sim::Unit,
    folder: tempfile::TempDir,
}

fn access(may_write: bool) -> Access {
    let user = User { name: "understudy".into(), authentication: AUTHENTICATION.into(), privacy: PRIVACY.into() };
    Access { community: Some("the word".into()), user: Some(user), may_write }
}

impl Site {
    async fn of(mib: Mib, may_write: bool) -> Site {
        let access = access(may_write);
        let unit = mib.unit().clone();
        let server = PduServer::start(mib, &access).await.unwrap();
        let site = Site { server, unit, folder: tempfile::tempdir().unwrap() };
        for (name, secret) in [("authentication", AUTHENTICATION), ("privacy", PRIVACY), ("community", "the word")] {
            site.secret(name, secret);
        }
        site
    }

    async fn new() -> Site {
        Site::of(Mib::of(unit()), true).await
    }

    fn secret(&self, name: &str, secret: &str) {
        std::fs::write(self.folder.path().join(name), secret).unwrap();
    }

    fn driver(&self, kind: Kind) -> Arc<dyn Outlets> {
        self.driver_of(kind, "understudy", SERIAL)
    }

    fn driver_of(&self, kind: Kind, user: &str, serial: &str) -> Arc<dyn Outlets> {
        let file = |name: &str| format!("file:{}", self.folder.path().join(name).display());
        let access = match kind {
            Kind::V3 => serde_json::json!({"v3": {
                "user": user, "authentication": "sha256", "authentication-password": file("authentication"),
                "privacy": "aes128", "privacy-password": file("privacy")}}),
            Kind::Clear => serde_json::json!({"v2c-in-clear": {"community": file("community")}}),
        };
        let config = serde_json::json!({
            "pdu": pdu(), "outlets": [1, 2, 3], "serial": serial,
            "driver": {"snmp": {"address": self.server.address(), "table": "apc-rpdu2", "access": access}},
        });
        open(&serde_json::from_value::<OutletConfig>(config).unwrap()).unwrap()
    }
}

async fn keeps_the_laws(kind: Kind, weather: Weather) {
    let site = Site::new().await;
    site.server.weather(weather);
    site.unit.takes(2, Duration::from_millis(300));
    site.unit.has(2, Quirk::MeterLags(Duration::from_millis(900)));
    let driver = site.driver(kind);
    let verdict = conformance::outlet(&Fixture { driver: &*driver, unit: site.unit.clone() }).await;
    assert_eq!(verdict, Ok(()), "{kind:?} {weather:?}");
    assert_eq!(site.unit.relay(2), Some(false));
}

#[tokio::test]
async fn it_keeps_the_laws_by_both_versions_in_any_weather() {
    let weathers = [Weather::Fair, Weather::Late(Duration::from_millis(60)), Weather::Soiled];
    let all = [Kind::V3, Kind::Clear].into_iter().flat_map(|kind| weathers.map(|weather| keeps_the_laws(kind, weather)));
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn whoever_is_not_let_in_or_finds_another_unit_switches_nothing() {
    let site = Site::new().await;
    for kind in [Kind::V3, Kind::Clear] {
        let driver = site.driver_of(kind, "understudy", "5A9999E99999");
        for outcome in [driver.read(2).await, driver.cut(2).await, driver.feed(2).await] {
            assert!(rejected(&outcome) && outcome.unwrap_err().to_string().contains(SERIAL));
        }
    }
    let outcome = site.driver_of(Kind::V3, "stranger", SERIAL).cut(2).await;
    assert!(unreachable(&outcome) && outcome.as_ref().unwrap_err().to_string().contains("are user or"), "{outcome:?}");
    for (name, kind) in [("authentication", Kind::V3), ("privacy", Kind::V3), ("community", Kind::Clear)] {
        site.secret(name, "a wrong one");
        let outcome = site.driver(kind).cut(2).await;
        assert!(unreachable(&outcome), "{name}: {outcome:?}");
        assert!(!outcome.unwrap_err().to_string().contains("a wrong one"));
    }
    assert_eq!((site.server.sets(), site.unit.switchings(), site.unit.relay(2)), (0, 0, Some(true)));
}

#[tokio::test]
async fn whoever_may_only_read_is_refused() {
    let site = Site::of(Mib::of(unit()), false).await;
    for kind in [Kind::V3, Kind::Clear] {
        let driver = site.driver(kind);
        assert_eq!(driver.read(2).await.map(|seen| seen.watts), Ok(Some(LOAD_W)));
        let (cut, fed) = (driver.cut(2).await, driver.feed(2).await);
        assert!(rejected(&cut), "{cut:?}");
        // there is nothing to set before the switching
        assert!(rejected(&fed), "{fed:?}");
    }
    assert_eq!((site.server.sets(), site.unit.relay(2)), (0, Some(true)));
}

#[tokio::test]
async fn a_set_whose_reply_is_lost_is_sent_once() {
    for kind in [Kind::V3, Kind::Clear] {
        let site = Site::new().await;
        let driver = site.driver(kind);
        site.unit.set_on_return(2, sim::OnReturn::StaysOff).await.unwrap();
        site.server.weather(Weather::LosesSetReplies);
        let outcome = driver.cut(2).await;
        assert!(unreachable(&outcome) && outcome.unwrap_err().to_string().contains("whether it happened is unknown"));
        tokio::time::sleep(SET_MAX).await;
        assert_eq!((site.server.sets(), site.unit.switchings(), site.unit.relay(2)), (1, 1, Some(false)), "{kind:?}");
        site.server.weather(Weather::Fair);
        assert_eq!(driver.read(2).await.map(|seen| seen.is_cut()), Ok(true), "who reads finds that it was done");
    }
}

#[tokio::test]
async fn silence_is_no_answer_and_ends_in_time() {
    let site = Site::new().await;
    for kind in [Kind::V3, Kind::Clear] {
        let driver = site.driver(kind);
        driver.read(2).await.unwrap();
        for weather in [Weather::LosesRequests, Weather::LosesReplies] {
            site.server.weather(weather);
            let begun = Instant::now();
            assert!(unreachable(&driver.read(2).await), "{kind:?} {weather:?}");
            assert!(begun.elapsed() < GET_MAX + Duration::from_secs(1));
        }
        site.server.weather(Weather::Fair);
        driver.read(2).await.unwrap();
        site.unit.feed(false);
        assert!(unreachable(&driver.cut(2).await));
        site.unit.feed(true);
        assert_eq!(driver.read(2).await.map(|seen| seen.relay), Ok(Relay::On), "it went on by itself");
    }
    assert_eq!(site.server.sets(), 0);
}

#[tokio::test]
async fn a_unit_that_says_no_and_one_that_says_yes_and_does_nothing() {
    let site = Site::new().await;
    let driver = site.driver(Kind::V3);
    site.unit.has(2, Quirk::Refuses);
    let outcome = driver.cut(2).await;
    assert!(rejected(&outcome) && outcome.unwrap_err().to_string().contains("genErr"));
    site.unit.well(2);
    site.unit.has(2, Quirk::Ignores);
    let seen = driver.cut(2).await.unwrap();
    assert_eq!((seen.relay, seen.watts, seen.on_return), (Relay::On, Some(LOAD_W), OnReturn::TurnsOn));
    assert!(seen.not_cut().is_some(), "the gate calls that unconfirmed");
}

#[tokio::test]
async fn what_is_not_measured_is_not_zero() {
    for metered in [Metered::Amperes, Metered::Nothing] {
        let site = Site::of(Mib::of(unit()).measuring(metered), true).await;
        let seen = site.driver(Kind::V3).cut(2).await.unwrap();
        assert_eq!((seen.relay, seen.watts, seen.on_return, seen.is_cut()), (Relay::Off, None, OnReturn::StaysOff, false));
    }
}

#[tokio::test]
async fn a_unit_that_restarts_is_found_again_and_another_one_in_its_place_is_not_taken_for_it() {
    let mut site = Site::new().await;
    let (address, driver) = (site.server.address(), site.driver(Kind::V3));
    assert!(driver.cut(2).await.unwrap().is_cut());
    for serial in [SERIAL, "5A9999E99999"] {
        let unit = unit().with_serial(serial);
        // a server ends a moment after it was dropped, and nobody can take its port before
        site.server = PduServer::start(Mib::of(unit.clone()), &access(true)).await.unwrap();
        site.server = loop {
            match PduServer::start_at(Mib::of(unit.clone()), &access(true), address).await {
                Ok(server) => break server,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        // its engine is another one: the first question has no answer
        let first = driver.read(2).await;
        assert!(unreachable(&first), "{first:?}");
        let second = driver.cut(2).await;
        match serial {
            SERIAL => assert_eq!(second.map(|seen| seen.is_cut()), Ok(true)),
            _ => assert!(rejected(&second) && unit.switchings() == 0, "{second:?}"),
        }
    }
}
