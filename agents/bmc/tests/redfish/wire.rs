//! Behaviour on the wire that no healthy server has: connections that break on reuse, redirects, floods, late answers, odd headers.

use std::time::{Duration, Instant};

use crate::common::{SERIAL, UUID, door, impatient, is_rejected, is_unreachable};
use crate::replay::{self, Asked, Replay, Told};
use serde_json::{Value, json};
use vocabulary::power::PowerState;

const SYSTEM: &str = "/redfish/v1/Systems/1";

fn system() -> Value {
    json!({
        "UUID": UUID,
        "SerialNumber": SERIAL,
        "PowerState": "Off",
        "Actions": { "#ComputerSystem.Reset": { "target": "/redfish/v1/Systems/1/Actions/Reset" } },
    })
}

/// A small honest BMC.
fn honest(asked: &Asked) -> Told {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/redfish/v1/") => replay::json(200, &json!({})),
        ("GET", "/redfish/v1/Systems") => replay::json(200, &json!({ "Members": [{ "@odata.id": SYSTEM }] })),
        ("GET", SYSTEM) => replay::json(200, &system()),
        ("POST", path) if path.ends_with("/Sessions") => replay::session(),
        ("POST" | "DELETE", _) => Some((204, Vec::new(), String::new())),
        _ => replay::json(404, &Value::Null),
    }
}

fn resets(server: &Replay) -> usize {
    server.asked("POST").iter().filter(|asked| asked.path.ends_with("Reset")).count()
}

fn is_reset(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path.ends_with("Reset")
}

#[tokio::test]
async fn a_get_survives_connections_that_break_on_reuse() {
    // Each connection answers once and is cut at the next request, as if a firewall had forgotten it.
    let server = Replay::start(|asked, number| if number == 0 { honest(asked) } else { None }).await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    for _ in 0..5 {
        assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    }
    let sessions = server.asked("POST").len();
    assert_eq!(sessions, 1, "the session outlives its connections");
}

#[tokio::test]
async fn without_a_pin_the_first_contact_only_reads() {
    let server = Replay::start(|asked, _| honest(asked)).await;
    let driver = bmc::open(&door(server.address, None)).unwrap();
    let refused = [
        driver.power_off().await,
        driver.power_on().await,
        driver.shut_down().await,
        driver.set_boot_target(vocabulary::power::BootTarget::Pxe).await,
        driver.set_restore_policy_off().await,
    ];
    for outcome in refused {
        assert!(matches!(&outcome, Err(error) if error.to_string().contains("no certificate is pinned")), "{outcome:?}");
    }
    assert!(server.asked("GET").is_empty() && server.asked("POST").is_empty() && server.asked("PATCH").is_empty());
    let read = driver.read().await.unwrap();
    assert_eq!(read.certificate, Some(server.pin.clone()));
    driver.power_off().await.unwrap();
    assert_eq!(resets(&server), 1);
}

#[tokio::test]
async fn a_stranger_read_first_earns_no_command() {
    let server = Replay::start(|asked, _| honest(asked)).await;
    let mut door = door(server.address, None);
    door.identity = crate::common::identity("", "OTHER");
    let driver = bmc::open(&door).unwrap();
    assert!(is_rejected(&driver.read().await));
    assert!(is_rejected(&driver.power_off().await));
    assert_eq!(resets(&server), 0);
}

#[tokio::test]
async fn a_command_on_a_connection_that_breaks_is_not_repeated() {
    let server = Replay::start(|asked, _| if is_reset(asked) { None } else { honest(asked) }).await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    for sent in 1..=3 {
        assert!(is_unreachable(&driver.power_off().await));
        assert_eq!(resets(&server), sent);
    }
}

#[tokio::test]
async fn a_command_that_is_answered_too_late_is_not_repeated() {
    let server = Replay::start(|asked, _| {
        if is_reset(asked) { Some((204, vec![(replay::LATE_MS.into(), "2000".into())], String::new())) } else { honest(asked) }
    })
    .await;
    let mut door = door(server.address, Some(server.pin.clone()));
    door.patience = impatient();
    let driver = bmc::open(&door).unwrap();
    driver.read().await.unwrap();
    let begun = Instant::now();
    assert!(is_unreachable(&driver.power_off().await));
    assert!(begun.elapsed() < Duration::from_millis(1900), "given up before the answer came: {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(resets(&server), 1);
}

#[tokio::test]
async fn redirects_are_not_followed_and_absolute_links_stay_on_the_host() {
    let elsewhere = Replay::start(|asked, _| honest(asked)).await;
    let target = format!("https://{}{SYSTEM}", elsewhere.address);
    let redirect = target.clone();
    let server = Replay::start(move |asked, _| match asked.path.as_str() {
        SYSTEM => Some((307, vec![("Location".into(), redirect.clone())], String::new())),
        _ => honest(asked),
    })
    .await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    assert!(is_rejected(&driver.read().await));
    assert!(is_rejected(&driver.power_off().await));
    let linked = Replay::start(move |asked, _| match asked.path.as_str() {
        "/redfish/v1/Systems" => replay::json(200, &json!({ "Members": [{ "@odata.id": target.clone() }] })),
        _ => honest(asked),
    })
    .await;
    let driver = bmc::open(&door(linked.address, Some(linked.pin.clone()))).unwrap();
    driver.read().await.unwrap();
    assert!(elsewhere.asked("GET").is_empty() && elsewhere.asked("POST").is_empty());
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let server = Replay::start(|asked, _| match asked.path.as_str() {
        SYSTEM => Some((200, Vec::new(), format!("{{\"PowerState\": \"Off\", \"x\": \"{}\"}}", "x".repeat(3 * 1024 * 1024)))),
        _ => honest(asked),
    })
    .await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    let refused = driver.read().await.unwrap_err().to_string();
    assert!(refused.contains("larger than"), "{refused}");
}

#[tokio::test]
async fn a_survey_keeps_no_more_than_it_has_room_for() {
    const CHASSIS: &str = "/redfish/v1/Chassis/1";
    const MEMBERS: usize = 64;
    let server = Replay::start(|asked, _| match asked.path.strip_prefix(CHASSIS) {
        _ if asked.path == SYSTEM => {
            let mut system = system();
            system["Links"] = json!({ "Chassis": [{ "@odata.id": CHASSIS }] });
            replay::json(200, &system)
        }
        Some("") => replay::json(200, &json!({ "Id": "1", "Sensors": { "@odata.id": format!("{CHASSIS}/Sensors") } })),
        Some("/Sensors") => {
            let link = |n: usize| json!({ "@odata.id": format!("{CHASSIS}/Sensors/{n}") });
            replay::json(200, &json!({ "Members": (0..MEMBERS).map(link).collect::<Vec<_>>() }))
        }
        // each within the bounds of one body
        Some(_) => replay::json(200, &json!({ "ReadingType": "Temperature", "Reading": 20, "x": "x".repeat(1_000_000) })),
        None => honest(asked),
    })
    .await;
    let found = bmc::probe(&door(server.address, Some(server.pin.clone())), bmc::Scope::Facts).await.unwrap();
    let told = |name: &str| found.survey.facts.iter().filter(|fact| fact.name.starts_with(name)).count();
    let broken = found.survey.facts.iter().find(|fact| fact.name == "survey").unwrap_or_else(|| panic!("{:?}", found.survey));
    assert!(broken.value.contains("more than there is room for"), "{broken:?}");
    let asked = server.asked("GET").iter().filter(|asked| asked.path.contains("/Sensors/")).count();
    assert!(told("temperature") >= 30 && asked < MEMBERS, "{} told of {asked}: what had room is told", told("temperature"));
}

#[tokio::test]
async fn nesting_without_end_is_no_answer() {
    let server = Replay::start(|asked, _| match asked.path.as_str() {
        SYSTEM => Some((200, Vec::new(), "[".repeat(500_000))),
        _ => honest(asked),
    })
    .await;
    assert!(is_rejected(&bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap().read().await));
}

#[tokio::test]
async fn a_login_without_a_usable_token_falls_back_to_the_account() {
    let odd = [Vec::new(), vec![("X-Auth-Token".to_owned(), "t".repeat(5000))]];
    for headers in odd {
        let server = Replay::start(move |asked, _| match asked.path.as_str() {
            path if path.ends_with("/Sessions") => Some((201, headers.clone(), String::new())),
            _ => honest(asked),
        })
        .await;
        let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
        driver.read().await.unwrap();
        let asked = server.asked("GET").pop().unwrap();
        assert!(asked.headers.iter().any(|(name, value)| name == "authorization" && value.starts_with("Basic ")));
    }
}

#[tokio::test]
async fn a_power_on_that_meets_a_settling_machine_is_asked_for_again() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Replay::start(move |asked, _| {
        if is_reset(asked) && count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return replay::json(409, &json!({ "error": { "message": "still settling" } }));
        }
        honest(asked)
    })
    .await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    driver.power_on().await.unwrap();
    assert_eq!(resets(&server), 2);
}

#[tokio::test]
async fn a_platform_that_wants_settings_gets_them_there() {
    let boot = json!({ "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" });
    let server = Replay::start(move |asked, _| {
        let (mut system, settings) = (system(), format!("{SYSTEM}/SD"));
        system["@Redfish.Settings"] = json!({ "SettingsObject": { "@odata.id": settings } });
        system["Boot"] = json!({ "BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled" });
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/redfish/v1/") => replay::json(200, &json!({ "Vendor": "AMI" })),
            ("GET", SYSTEM) => replay::json(200, &system),
            ("GET", path) if path == settings => {
                Some((200, vec![("ETag".into(), "\"42\"".into())], json!({ "Boot": boot }).to_string()))
            }
            ("PATCH", path) if path == settings => Some((204, Vec::new(), String::new())),
            ("PATCH", _) => replay::json(400, &Value::Null),
            _ => honest(asked),
        }
    })
    .await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    driver.set_boot_target(vocabulary::power::BootTarget::Pxe).await.unwrap();
    let patches = server.asked("PATCH");
    assert_eq!(patches.len(), 1);
    assert!(patches[0].path.ends_with("/SD"));
    assert!(patches[0].headers.contains(&("if-match".to_owned(), "\"42\"".to_owned())));
}

#[tokio::test]
async fn the_off_of_a_bmc_that_just_started_is_not_told() {
    const MANAGER: &str = "/redfish/v1/Managers/1";
    let starts = std::sync::Arc::new(std::sync::Mutex::new("2026-01-01T00:00:00+00:00"));
    let told = starts.clone();
    let server = Replay::start(move |asked, _| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", SYSTEM) => {
            let mut system = system();
            system["Links"] = json!({ "ManagedBy": [{ "@odata.id": MANAGER }] });
            replay::json(200, &system)
        }
        ("GET", MANAGER) => replay::json(200, &json!({ "LastResetTime": *told.lock().unwrap() })),
        _ => honest(asked),
    })
    .await;
    let driver = bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap();
    assert!(driver.read().await.unwrap().all_off());
    *starts.lock().unwrap() = "2026-01-01T09:00:00+00:00";
    let young = driver.read().await.unwrap();
    assert_eq!((young.system_power, young.all_off()), (PowerState::Unknown, false));
    assert!(!driver.power_off().await.unwrap().all_off(), "nor after a command");
}
