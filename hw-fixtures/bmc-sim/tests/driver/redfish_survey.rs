//! What a BMC tells by Redfish beyond its readings, over real TLS sockets: facts, event log, and every quirk in the way.

use std::time::{Duration, Instant};

use bmc::limits::{LOG_ENTRIES_MAX, LOG_KEPT};
use bmc::{Door, Driver, Patience, Scope, Survey};
use bmc_sim::{Mishap, Request};
use serde_json::{Value, json};

use crate::common::{Bench, NAME, bench, door, fingerprint, honest};

/// What is told under this name.
fn told(survey: &Survey, name: &str) -> String {
    let found = survey.facts.iter().find(|fact| fact.name == name);
    found.unwrap_or_else(|| panic!("nothing is told of {name}: {survey:?}")).value.clone()
}

async fn quirks(bench: &Bench, quirks: Value) {
    bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
    bench.quirks(json!({ "redfish": quirks })).await;
}

async fn happens(bench: &Bench, what: Mishap) {
    bench.perform(Request::Mishap { name: NAME.into(), what }).await;
}

#[tokio::test]
async fn facts_follow_the_machine_and_its_power_supplies_in_both_forms() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let facts = async || driver.survey(Scope::Facts).await.unwrap();
    for (form, temperatures, second, input) in [
        ("full", ["temperature InletTemp", "temperature CPU1Temp"], "power supply Bay.2", ", input LossOfInput"),
        ("older", ["temperature Inlet Temp", "temperature CPU1 Temp"], "power supply 1", ""),
    ] {
        quirks(&bench, json!({ "inventory": form })).await;
        let off = facts().await;
        assert_eq!(
            (told(&off, "product").as_str(), told(&off, "BIOS").as_str()),
            ("Understudy Laboratory Lab 1U, serial LAB0001", "1.0.0"),
            "{form}"
        );
        assert!(told(&off, "BMC").starts_with("bmc-sim, firmware ") && told(&off, "memory").ends_with(" GiB"), "{off:?}");
        assert!(told(&off, "processors").ends_with(" threads"), "{off:?}");
        assert_eq!((told(&off, "power drawn"), told(&off, "health by sensors")), ("12 W".into(), "OK".into()), "{form}");
        assert!(told(&off, "fans").starts_with("not told: "), "{off:?}");
        bench.switch_on().await;
        let on = facts().await;
        assert_eq!(told(&on, "power drawn"), "212 W", "{form}");
        assert_eq!(temperatures.map(|name| told(&on, name)), ["22 °C", "46 °C"], "{form}");
        let lost = format!("present{input}, Critical");
        let redundancy = "N".to_owned() + if form == "full" { "PlusM" } else { "+m" } + ", at least 1 needed";
        for (mishap, supply, health) in [
            (Mishap::SupplyInputLost, lost.as_str(), format!("Critical: {second} {lost}")),
            (Mishap::SupplyFailed, "present, Critical", format!("Critical: {second} present, Critical")),
            (Mishap::SupplyPulled, "absent", format!("Warning: power redundancy {redundancy}, Warning")),
            (Mishap::SupplyMended, "present", "OK".to_owned()),
        ] {
            happens(&bench, mishap).await;
            let seen = facts().await;
            assert_eq!((told(&seen, second).as_str(), told(&seen, "health by sensors")), (supply, health), "{form}");
        }
        assert_eq!(told(&facts().await, "power redundancy"), format!("{redundancy}, OK"));
        bench.perform(Request::Kill { name: NAME.into() }).await;
        bench.settles("power", "off").await;
    }
    assert!(crate::common::nothing_was_sent(&bench).await);
}

#[tokio::test]
async fn what_is_not_told_breaks_nothing_else() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    quirks(&bench, json!({ "inventory": "none" })).await;
    let survey = driver.survey(Scope::FactsAndLog).await.unwrap();
    assert_eq!(told(&survey, "product"), "Understudy Laboratory Lab 1U, serial LAB0001");
    for missing in ["temperatures", "fans", "power supplies", "power drawn"] {
        assert_eq!(told(&survey, missing), "not told: no chassis of it tells any");
    }
    // a resource that cannot be read says why
    quirks(&bench, honest()).await;
    bench.quirks(json!({ "redfish": { "fails": "ThermalSubsystem" } })).await;
    let survey = driver.survey(Scope::Facts).await.unwrap();
    assert!(told(&survey, "fans").contains("503") && told(&survey, "power drawn") == "12 W", "{survey:?}");
    assert_eq!(told(&survey, "temperature Inlet Temp"), "22 °C", "by its sensor");
    // a session that is lost in between is made anew
    quirks(&bench, honest()).await;
    bench.lose_sessions().await;
    assert_eq!(told(&driver.survey(Scope::Facts).await.unwrap(), "power drawn"), "12 W");
}

#[tokio::test]
async fn a_survey_ends_in_time_and_tells_what_it_has() {
    let mut bench = bench(honest()).await;
    bench.door.patience.survey = Duration::from_millis(1500);
    let driver = bench.open();
    driver.read().await.unwrap();
    // readings, manager, chassis, log services, log, entries: six steps, and then some more for the sensors
    bench.quirks(json!({ "delay_ms": 200 })).await;
    let begun = Instant::now();
    let survey = driver.survey(Scope::FactsAndLog).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert_eq!(told(&survey, "survey"), "broken off: not all was told within 1.5s", "{survey:?}");
    assert!(!told(&survey, "product").is_empty() && told(&survey, "event log") == "SEL, 0 entries", "{survey:?}");
    // one that falls silent in its midst
    let patience = Patience { request: Duration::from_millis(300), reading: Duration::from_secs(1), ..Patience::default() };
    let hangs = Door { patience, ..bench.door.clone() };
    bench.quirks(honest()).await;
    bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
    let driver = bmc::open(&hangs).unwrap();
    let first = driver.read().await.unwrap();
    bench.quirks(json!({ "redfish": { "hangs": "ThermalSubsystem" } })).await;
    let survey = driver.survey(Scope::Facts).await.unwrap();
    assert!(told(&survey, "survey").starts_with("broken off: no answer to GET"), "{survey:?}");
    assert!(told(&survey, "temperatures").contains("no answer") && !told(&survey, "product").is_empty(), "{survey:?}");
    assert_ne!(driver.read().await.unwrap().session, first.session, "a silence breaks the session");
}

/// The log as it is shown, and what is said of it.
async fn log(driver: &dyn Driver) -> (Vec<String>, String) {
    let survey = driver.survey(Scope::FactsAndLog).await.unwrap();
    let shown = survey.log.iter().map(|entry| format!("{} {}: {}", entry.severity, entry.kind, entry.what)).collect();
    (shown, told(&survey, "event log"))
}

const PANIC: &str = "Critical OS Stop/Shutdown, sensor 0x0b: Critical stop at run time";
const MEMORY: &str = "Critical Memory, sensor 0x09: Uncorrectable error";

#[tokio::test]
async fn the_event_log_tells_what_killed_a_machine_however_it_is_told() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    bench.switch_on().await;
    for mishap in [Mishap::SupplyPulled, Mishap::MemoryUncorrectable, Mishap::SystemPanic] {
        happens(&bench, mishap).await;
    }
    let expected = [
        "OK PowerUnit, sensor 0x01: ended: Power off",
        "OK Power Supply / Converter, sensor 0x12: ended: Presence detected",
        MEMORY,
        PANIC,
    ];
    for form in [
        honest(),
        json!({ "log_at": "manager" }),
        json!({ "log_newest_first": true, "log_page": 3 }),
        json!({ "log_page": 2 }),
        json!({ "log": "links" }),
        json!({ "log": "links", "log_newest_first": true, "log_page": 3 }),
    ] {
        quirks(&bench, form.clone()).await;
        let (shown, remark) = log(&*driver).await;
        assert_eq!(shown, expected, "{form}");
        assert_eq!(remark, "SEL, 4 entries", "{form}");
    }
    let survey = driver.survey(Scope::FactsAndLog).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let at = u128::from(survey.log.last().unwrap().at.unwrap().0);
    assert!((now - 60_000..=now).contains(&at), "{at} is not now, {now}");
    assert!(driver.survey(Scope::Facts).await.unwrap().log.is_empty(), "it was not asked for");
    // a poll asks for none of it, and nothing was changed
    let before = bench.requests().await;
    driver.read().await.unwrap();
    assert_eq!(bench.requests().await - before, 3);
    assert!(crate::common::nothing_was_sent(&bench).await);
}

#[tokio::test]
async fn both_protocols_tell_one_story() {
    let bench = crate::ipmi_common::bench(honest()).await;
    let by_ipmi = bench.open();
    let by_redfish = bmc::open(&door(bench.sim.address, Some(fingerprint(&bench.sim.certificate_pem)))).unwrap();
    bench.switch_on().await;
    for mishap in [Mishap::SupplyFailed, Mishap::ProcessorError, Mishap::CriticalInterrupt] {
        happens(&bench, mishap).await;
    }
    let story = async |driver: &dyn Driver| {
        let log = driver.survey(Scope::FactsAndLog).await.unwrap().log;
        log.into_iter().map(|entry| (entry.id, entry.at, entry.severity)).collect::<Vec<_>>()
    };
    let (first, second) = (story(&*by_ipmi).await, story(&*by_redfish).await);
    assert!(first == second && first.len() == 4, "{first:?} {second:?}");
}

#[tokio::test]
async fn a_huge_log_is_read_as_far_as_it_is_worth_it() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    happens(&bench, Mishap::MemoryUncorrectable).await;
    happens(&bench, Mishap::SystemPanic).await;
    for form in [
        json!({ "log_padding": 2000, "log_newest_first": true, "log_page": 50 }),
        json!({ "log_padding": 2000, "log": "links" }),
        json!({ "log_padding": 400, "log_page": 50 }),
    ] {
        quirks(&bench, form.clone()).await;
        let before = bench.requests().await;
        let (shown, remark) = log(&*driver).await;
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (LOG_KEPT, Some(PANIC)), "{form}");
        assert_eq!(shown[LOG_KEPT - 2], MEMORY, "{form}");
        assert!(!remark.contains(';'), "{form}: {remark}");
        let asked = bench.requests().await - before;
        assert!(asked < 50, "{form}: {asked} requests");
    }
    // the newest are behind more than is read: that is said
    quirks(&bench, json!({ "log_padding": 2000, "log_page": 50 })).await;
    let before = bench.requests().await;
    let (shown, remark) = log(&*driver).await;
    assert!(shown.len() == LOG_KEPT && shown.iter().all(|entry| entry.contains("Padding")), "{shown:?}");
    assert!(remark.contains("newer entries may be missing"), "{remark}");
    assert!(bench.requests().await - before < 40 + u64::try_from(LOG_ENTRIES_MAX / 50).unwrap());
}

#[tokio::test]
async fn a_log_that_is_absent_or_full_of_nonsense_hides_nothing_else() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    happens(&bench, Mishap::SystemPanic).await;
    quirks(&bench, json!({ "log": "absent" })).await;
    let (shown, remark) = log(&*driver).await;
    assert_eq!((shown, remark.as_str()), (Vec::new(), "not told: it offers none"));
    quirks(&bench, json!({ "log": "nonsense" })).await;
    let (shown, remark) = log(&*driver).await;
    assert_eq!(shown[0], PANIC);
    assert!(shown.len() <= LOG_KEPT && shown.iter().all(|entry| entry.chars().count() < 400 && !entry.contains('\u{1b}')));
    for word in ["4 members of it are no entries", "are not told", "its pages go in a circle"] {
        assert!(remark.contains(word), "{remark}");
    }
    quirks(&bench, honest()).await;
    bench.perform(Request::ClearLog { name: NAME.into() }).await;
    assert_eq!(log(&*driver).await, (Vec::new(), "SEL, 0 entries".to_owned()));
}
