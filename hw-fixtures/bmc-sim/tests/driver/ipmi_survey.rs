//! What a BMC tells by IPMI beyond its readings, over real UDP sockets: inventory, sensors, watchdog, event log, and every quirk in the way.

use std::num::NonZeroU8;

use bmc::{Door, Driver, Scope, Survey};
use bmc_sim::{Mishap, Request};
use serde_json::{Value, json};
use vocabulary::estate::{CipherSuite, IpmiPrivilege};
use vocabulary::light::{Light, LightReading};

use crate::common::{Bench, NAME, SERIAL, UUID, honest, identity, is_rejected, is_unconfirmed};
use crate::ipmi_common::{bench, commands, controls};

/// The door to a machine that the estate tells by this UUID and serial.
fn named(bench: &Bench, uuid: &str, serial: &str) -> Door {
    Door { identity: identity(uuid, serial), ..bench.door.clone() }
}

/// What is told under this name.
fn told(survey: &Survey, name: &str) -> String {
    let found = survey.facts.iter().find(|fact| fact.name == name);
    found.unwrap_or_else(|| panic!("nothing is told of {name}: {survey:?}")).value.clone()
}

async fn clear(bench: &Bench, quirks: Value) {
    bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
    bench.quirks(quirks).await;
}

#[tokio::test]
async fn a_machine_without_a_usable_guid_is_known_by_its_serial_number() {
    let bench = bench(honest()).await;
    let ours = named(&bench, UUID, SERIAL);
    for quirks in [
        json!({ "ipmi_guid": "unknown" }),
        json!({ "uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff" }),
        json!({ "uuid": "03000200-0400-0500-0006-000700080009" }),
        json!({ "ipmi_guid": "unknown", "ipmi_piece_max": 4 }),
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "short" }),
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "no_product_serial" }),
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "filler_product_serial" }),
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "other_board_serial" }),
    ] {
        clear(&bench, quirks.clone()).await;
        let driver = bmc::open(&ours).unwrap();
        // the second one reads where the first has found it
        for outcome in [driver.power_on().await, driver.power_off().await] {
            let seen = outcome.unwrap_or_else(|error| panic!("{quirks}: {error}"));
            assert_eq!(seen.identity.serial, SERIAL, "{quirks}");
        }
        bench.settles("power", "off").await;
        let before = controls(&bench, "On").await;
        // another box is put behind the address
        bench.quirks(json!({ "serial": "LAB0009" })).await;
        assert!(is_rejected(&driver.power_on().await), "{quirks}");
        assert_eq!(controls(&bench, "On").await, before, "{quirks}");
    }
}

#[tokio::test]
async fn no_serial_number_is_taken_from_a_broken_inventory_nor_one_that_contradicts_the_uuid() {
    let bench = bench(honest()).await;
    let ours = named(&bench, UUID, SERIAL);
    for quirks in [
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "broken" }),
        json!({ "ipmi_guid": "unknown", "ipmi_inventory": "unsupported" }),
        json!({ "ipmi_guid": "unknown", "ipmi_piece_max": 3 }),
        json!({ "ipmi_guid": "unknown", "serial": "To be filled by O.E.M." }),
        // the serial number is right, the UUID is another machine's
        json!({ "uuid": "99999999-9999-4999-8999-999999999999" }),
    ] {
        clear(&bench, quirks.clone()).await;
        let driver = bmc::open(&ours).unwrap();
        assert!(is_rejected(&driver.read().await) && is_rejected(&driver.power_on().await), "{quirks}");
    }
    assert_eq!(controls(&bench, "On").await, 0);
    clear(&bench, honest()).await;
    let by_serial = bmc::open(&named(&bench, "", SERIAL)).unwrap();
    assert_eq!(by_serial.read().await.unwrap().identity, identity(UUID, SERIAL));
    assert!(bmc::open(&named(&bench, "", "Default string")).is_err(), "a filler names no machine");
    assert!(is_rejected(&bmc::open(&named(&bench, "", "LAB0002")).unwrap().read().await));
}

#[tokio::test]
async fn the_inventory_is_told_whatever_pieces_it_comes_in() {
    let bench = bench(honest()).await;
    for (quirks, words) in [
        (honest(), "serial LAB0001"),
        (json!({ "ipmi_piece_max": 5 }), "serial LAB0001"),
        (json!({ "ipmi_inventory": "short" }), "serial LAB0001"),
        (json!({ "ipmi_inventory": "broken" }), "its checksum is wrong"),
    ] {
        clear(&bench, quirks.clone()).await;
        let found = bmc::probe(&bench.door, Scope::Facts).await.unwrap();
        let product = told(&found.survey, "product");
        assert!(product.contains(words), "{quirks}: {product}");
        assert_eq!(found.reading.identity.serial == SERIAL, words.contains(SERIAL), "{quirks}");
    }
    clear(&bench, json!({ "ipmi_inventory": "unsupported" })).await;
    let found = bmc::probe(&bench.door, Scope::Facts).await.unwrap();
    assert!(told(&found.survey, "inventory").contains("does not have this command"));
}

async fn happens(bench: &Bench, what: Mishap) {
    bench.perform(Request::Mishap { name: NAME.into(), what }).await;
}

/// A survey, and how many requests it took.
async fn counted(bench: &Bench, driver: &dyn Driver) -> (Survey, u64) {
    let before = bench.requests().await;
    let survey = driver.survey(Scope::Facts).await.unwrap();
    (survey, bench.requests().await - before)
}

#[tokio::test]
async fn sensors_follow_the_machine_and_its_power_supplies() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let off = driver.survey(Scope::Facts).await.unwrap();
    assert_eq!((told(&off, "sensor Pwr Consumption"), told(&off, "power drawn")), ("12 W".into(), "12 W".into()));
    assert_eq!(told(&off, "sensor Host Power"), "power off");
    bench.switch_on().await;
    let on = driver.survey(Scope::Facts).await.unwrap();
    assert_eq!((told(&on, "sensor Pwr Consumption"), told(&on, "power drawn")), ("212 W".into(), "212 W".into()));
    assert_eq!((told(&on, "sensor Inlet Temp"), told(&on, "sensor CPU1 Temp")), ("22 °C".into(), "46 °C".into()));
    assert_eq!((told(&on, "sensor PS Redundancy"), told(&on, "health by sensors")), ("fully redundant".into(), "OK".into()));
    assert!(on.facts.iter().all(|fact| fact.name != "sensor Watchdog"), "not a sensor that is wanted");
    for (mishap, supply, health) in [
        (Mishap::SupplyInputLost, "present, AC lost", "Critical: PSU2 Status present, AC lost"),
        (Mishap::SupplyFailed, "present, failed", "Critical: PSU2 Status present, failed"),
        (Mishap::SupplyPulled, "absent", "Warning: PS Redundancy redundancy lost"),
        (Mishap::SupplyMended, "present", "OK"),
    ] {
        happens(&bench, mishap).await;
        let seen = driver.survey(Scope::Facts).await.unwrap();
        assert_eq!((told(&seen, "sensor PSU2 Status").as_str(), told(&seen, "health by sensors").as_str()), (supply, health));
        assert_eq!(told(&seen, "sensor PSU1 Status"), "present");
    }
    bench.quirks(json!({ "ipmi_dcmi": false, "chassis_power": "null" })).await;
    let seen = driver.survey(Scope::Facts).await.unwrap();
    assert!(told(&seen, "power drawn").starts_with("not told: "));
    assert_eq!(told(&seen, "sensor Host Power"), "no reading");
}

#[tokio::test]
async fn the_repository_is_read_once_as_long_as_it_does_not_change() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let (_, first) = counted(&bench, &*driver).await;
    let (again, second) = counted(&bench, &*driver).await;
    assert!(second + 20 < first, "{first} requests, then {second}");
    assert!(again.facts.iter().all(|fact| fact.name != "sensor Ambient Outlet"));
    bench.quirks(json!({ "ipmi_more_sensors": true })).await;
    let (more, third) = counted(&bench, &*driver).await;
    assert!(third > first, "{first} requests, then {third}");
    assert!(told(&more, "sensor Ambient Outlet").ends_with(" °C"));
    // a poll asks for none of it
    let before = bench.requests().await;
    driver.read().await.unwrap();
    assert!(bench.requests().await - before <= 3);
}

#[tokio::test]
async fn lost_reservations_and_small_pieces_do_not_keep_sensors_from_being_read() {
    let bench = bench(honest()).await;
    for quirks in [json!({ "ipmi_reservation_reads": 5 }), json!({ "ipmi_piece_max": 9 }), json!({ "ipmi_piece_max": 5 })] {
        clear(&bench, quirks.clone()).await;
        let survey = bench.open().survey(Scope::Facts).await.unwrap();
        assert_eq!(told(&survey, "sensor PSU2 Status"), "present", "{quirks}");
    }
    // one that is lost every time ends, too
    clear(&bench, json!({ "ipmi_reservation_reads": 1 })).await;
    let survey = bench.open().survey(Scope::Facts).await.unwrap();
    assert!(told(&survey, "sensors").contains("somebody else keeps changing"), "{survey:?}");
    assert!(!told(&survey, "product").is_empty(), "what can be told is told all the same");
}

/// What the log tells now, and whether something is missing.
async fn log(driver: &dyn Driver) -> (Vec<String>, bool) {
    let survey = driver.survey(Scope::FactsAndLog).await.unwrap();
    let lost = survey.facts.iter().any(|fact| fact.name == "event log" && fact.value.contains("cleared or wrapped"));
    (survey.log.iter().map(|entry| format!("{} {}: {}", entry.severity, entry.kind, entry.what)).collect(), lost)
}

#[tokio::test]
async fn the_event_log_is_followed_and_tells_what_killed_a_machine() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    bench.switch_on().await;
    let (entries, lost) = log(&*driver).await;
    assert_eq!((entries, lost), (vec!["OK power unit, sensor 0x01: ended: power off".to_owned()], false));
    for mishap in [
        Mishap::SupplyInputLost,
        Mishap::SupplyFailed,
        Mishap::MemoryUncorrectable,
        Mishap::ProcessorError,
        Mishap::SystemPanic,
        Mishap::CriticalInterrupt,
    ] {
        happens(&bench, mishap).await;
    }
    let before = bench.requests().await;
    let (entries, _) = log(&*driver).await;
    let told = [
        "OK power unit, sensor 0x01: ended: power off",
        "Critical power supply, sensor 0x12: AC lost",
        "Critical power supply, sensor 0x12: failed",
        "Critical memory, sensor 0x09: uncorrectable error",
        "Critical processor, sensor 0x0a: internal error",
        "Critical operating system, sensor 0x0b: critical stop at run time (panic)",
        "Critical critical interrupt, sensor 0x0c: I/O channel check NMI",
    ];
    assert_eq!(entries, told);
    let whole = bench.requests().await - before;
    let before = bench.requests().await;
    assert_eq!(log(&*driver).await.0, told, "what was read is kept");
    let nothing_new = bench.requests().await - before;
    assert_eq!(whole - nothing_new, 7, "the mark and six new ones");
    // none of it is evidence: the machine is on
    assert_eq!(driver.read().await.unwrap().system_power, vocabulary::power::PowerState::On);
}

#[tokio::test]
async fn a_log_that_was_cleared_or_has_wrapped_is_told_and_its_end_is_found() {
    let bench = bench(json!({ "ipmi_log_wraps": true, "ipmi_piece_max": 7 })).await;
    let driver = bench.open();
    happens(&bench, Mishap::SupplyFailed).await;
    assert_eq!(log(&*driver).await, (vec!["Critical power supply, sensor 0x12: failed".into()], false));
    // more than it holds
    for _ in 0..600 {
        happens(&bench, Mishap::MemoryUncorrectable).await;
    }
    happens(&bench, Mishap::SystemPanic).await;
    let (entries, lost) = log(&*driver).await;
    assert!(lost && entries.len() == bmc::limits::LOG_KEPT, "{entries:?}");
    assert!(entries.last().unwrap().ends_with("(panic)"), "{entries:?}");
    bench.perform(Request::ClearLog { name: NAME.into() }).await;
    happens(&bench, Mishap::ProcessorError).await;
    let (entries, lost) = log(&*driver).await;
    assert!(lost && entries.last().unwrap().ends_with("internal error"), "{entries:?}");
    assert!(!log(&*driver).await.1, "told once");
}

#[tokio::test]
async fn a_watchdog_that_will_cycle_the_machine_is_told() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let watchdog = async || told(&driver.survey(Scope::Facts).await.unwrap(), "watchdog");
    assert_eq!(watchdog().await, "not running");
    bench.switch_on().await;
    bench.perform(Request::Watchdog { name: NAME.into(), period_s: 600 }).await;
    let shown = watchdog().await;
    assert!(shown.contains("running for the operating system") && shown.contains("may return by itself"), "{shown}");
    driver.power_off().await.unwrap();
    bench.settles("power", "off").await;
    assert_eq!(watchdog().await, "not running");
}

#[tokio::test]
async fn the_light_is_switched_on_the_right_machine_and_read_back() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let lit = async || bench.state().await["identify"] == true;
    let seconds = |number| Light::Seconds(NonZeroU8::new(number).unwrap());
    assert_eq!(driver.identify(Light::Steady).await, Ok(LightReading::Steady));
    assert!(lit().await);
    assert_eq!(driver.identify(Light::Off).await, Ok(LightReading::Off));
    assert!(!lit().await);
    assert_eq!(driver.identify(seconds(30)).await, Ok(LightReading::ForAWhile));
    driver.identify(Light::Off).await.unwrap();
    // one that knows no steady light
    bench.quirks(json!({ "ipmi_steady_light": false })).await;
    assert_eq!(driver.identify(Light::Steady).await, Ok(LightReading::ForAWhile));
    driver.identify(Light::Off).await.unwrap();
    bench.quirks(json!({ "uuid": "99999999-9999-4999-8999-999999999999" })).await;
    assert!(is_rejected(&driver.identify(Light::Steady).await));
    assert!(!lit().await, "another machine's light stays out");
    clear(&bench, honest()).await;
    let sent = async || commands(&bench, "chassis_identify").await.len();
    let before = sent().await;
    let watcher = crate::ipmi_common::access(&bench, IpmiPrivilege::User, CipherSuite::Three);
    assert!(is_rejected(&bmc::open(&watcher).unwrap().identify(Light::Steady).await));
    assert_eq!((sent().await, lit().await), (before, false), "nothing leaves for who may only watch");
}

#[tokio::test]
async fn a_light_that_is_refused_or_forgotten_is_not_told_as_lit() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    let sent = async || commands(&bench, "chassis_identify").await.len();
    bench.quirks(json!({ "indicator": "ignored" })).await;
    assert!(is_unconfirmed(&driver.identify(Light::Steady).await), "it is read back");
    bench.quirks(json!({ "indicator": "missing" })).await;
    let before = sent().await;
    assert!(is_rejected(&driver.identify(Light::Steady).await));
    assert_eq!(sent().await, before + 2, "the older form is tried, and its refusal counts");
    assert!(is_rejected(&driver.identify(Light::Off).await), "a refusal is one, though it reads as wanted");
    // rights that are taken away while the session is open
    clear(&bench, json!({ "privilege": "user" })).await;
    let before = sent().await;
    let said = driver.identify(Light::Steady).await.unwrap_err().to_string();
    assert!(said.contains("F1011: "), "{said}");
    assert_eq!(sent().await, before + 1, "the older form would be refused, too");
}
