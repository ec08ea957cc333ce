//! An honest BMC: readings, commands, sessions, costs. Over real TLS sockets.

use std::time::{Duration, Instant};

use crate::common::{NAME, SERIAL, UUID, bench, fingerprint, honest, identity, is_rejected, is_unconfirmed};
use bmc::{Fleet, Patience};
use bmc_sim::Request;
use contract::Device as _;
use serde_json::json;
use vocabulary::light::{Light, LightReading};
use vocabulary::power::{BootTarget, PowerState, RestorePolicy};
use vocabulary::request::{Action, Answer, Resource};
use vocabulary::{MachineId, PortId};

#[tokio::test]
async fn a_reading_tells_everything_from_one_session() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let off = driver.read().await.unwrap();
    assert_eq!(off.identity, identity(UUID, SERIAL));
    assert_eq!(off.certificate.as_deref(), Some(fingerprint(&bench.sim.certificate_pem).as_str()));
    assert_eq!((off.system_power, off.chassis_power), (PowerState::Off, Some(PowerState::Off)));
    assert!(off.all_off());
    assert!(off.bmc_started.is_some());
    assert_eq!(off.restore_policy, RestorePolicy::LastState);
    assert_eq!(off.health.as_deref(), Some("OK"));
    assert_eq!(off.boot_progress.as_deref(), Some("None"));
    bench.switch_on().await;
    let on = driver.read().await.unwrap();
    assert_eq!((on.system_power, on.chassis_power), (PowerState::On, Some(PowerState::On)));
    assert!(on.last_reset.is_some());
    assert_eq!((on.session, on.bmc_started), (off.session, off.bmc_started));
    assert!(on.read_at >= off.read_at);
    assert_eq!(bench.state().await["sessions"], 1);
}

#[tokio::test]
async fn a_reading_costs_three_requests_and_a_command_five() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    let before = bench.requests().await;
    for _ in 0..10 {
        driver.read().await.unwrap();
    }
    assert_eq!(bench.requests().await - before, 30);
    bench.switch_on().await;
    let before = bench.requests().await;
    driver.power_off().await.unwrap();
    assert_eq!(bench.requests().await - before, 5);
}

#[tokio::test]
async fn power_goes_off_and_on() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let on = driver.power_on().await.unwrap();
    assert_eq!(on.system_power, PowerState::On);
    assert!(bench.runs());
    driver.power_on().await.unwrap();
    assert_eq!(bench.resets("On").await, 1, "a machine that is on is left alone");
    driver.power_off().await.unwrap();
    while !driver.read().await.unwrap().all_off() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!bench.runs());
    driver.shut_down().await.unwrap();
    assert_eq!(bench.resets("GracefulShutdown").await, 0, "a machine that is off is left alone");
    assert_eq!(bench.resets("ForceOff").await, 1);
}

#[tokio::test]
async fn a_graceful_stop_is_asked_for_as_such() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    driver.shut_down().await.unwrap();
    assert_eq!(bench.resets("GracefulShutdown").await, 1);
    assert_eq!(bench.resets("ForceOff").await, 0);
}

#[tokio::test]
async fn boot_target_and_restore_policy_are_set_and_read_back() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    let boot = bench.state().await["boot"].clone();
    assert_eq!(boot, json!({ "enabled": "Once", "target": "Pxe", "mode": "Legacy" }));
    driver.set_boot_target(BootTarget::UefiHttp).await.unwrap();
    let boot = bench.state().await["boot"].clone();
    assert_eq!(boot, json!({ "enabled": "Once", "target": "UefiHttp", "mode": "UEFI" }));
    let reading = driver.set_restore_policy_off().await.unwrap();
    assert_eq!(reading.restore_policy, RestorePolicy::AlwaysOff);
    assert_eq!(bench.state().await["restore_policy"], "AlwaysOff");
    let patches = bench.sent("PATCH").await.len();
    driver.set_restore_policy_off().await.unwrap();
    assert_eq!(bench.sent("PATCH").await.len(), patches, "what is set already is not written again");
}

#[tokio::test]
async fn a_session_is_ended_by_close_and_by_drop() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    assert_eq!(bench.state().await["sessions"], 1);
    driver.close().await;
    assert_eq!(bench.state().await["sessions"], 0);
    driver.read().await.unwrap();
    assert_eq!(bench.state().await["sessions"], 1);
    drop(driver);
    let begun = Instant::now();
    while bench.state().await["sessions"] != 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the session was left behind");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn many_readings_at_once_share_one_session() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let readings = futures::future::join_all((0..20).map(|_| driver.read())).await;
    let first = readings[0].as_ref().unwrap().session;
    assert!(readings.iter().all(|reading| reading.as_ref().unwrap().session == first));
    assert_eq!(bench.state().await["sessions"], 1);
}

#[tokio::test]
async fn a_probe_tells_who_is_there_and_sends_nothing() {
    let mut bench = bench(honest()).await;
    bench.door.pin = None;
    let found = bmc::probe(&bench.door, bmc::Scope::Facts).await.unwrap();
    assert!(found.matches);
    assert_eq!(found.certificate, Some(fingerprint(&bench.sim.certificate_pem)));
    assert_eq!(found.reading.certificate, found.certificate);
    let findings = &found.findings;
    assert!(findings.platform.contains("Understudy Laboratory") && findings.quirks == ["laboratory"], "{findings:?}");
    let able = |ability: &bmc::findings::Ability| ability.can == bmc::findings::Can::Yes;
    assert!(findings.abilities.len() == 9 && findings.abilities.iter().all(able), "{findings:?}");
    bench.door.identity = identity("", "OTHER");
    let other = bmc::probe(&bench.door, bmc::Scope::Facts).await.unwrap();
    assert!(!other.matches);
    assert_eq!(other.reading.identity, identity(UUID, SERIAL));
    assert!(crate::common::nothing_was_sent(&bench).await);
    assert_eq!(bench.state().await["sessions"], 0);
}

#[tokio::test]
async fn the_certificate_of_the_document_is_a_pin_too() {
    let mut bench = bench(honest()).await;
    bench.door.bmc.certificate = bench.door.pin.take().unwrap().to_uppercase();
    bench.open().read().await.unwrap();
    bench.door.bmc.certificate = "ab".repeat(32);
    assert!(is_rejected(&bench.open().read().await));
}

#[tokio::test]
async fn a_door_that_could_check_nothing_does_not_open() {
    let bench = bench(honest()).await;
    let mut door = bench.door.clone();
    door.identity = identity("00000000-0000-0000-0000-000000000000", "Default string");
    assert!(is_rejected(&bmc::open(&door)));
    let mut door = bench.door.clone();
    door.pin = Some("no fingerprint".into());
    assert!(is_rejected(&bmc::open(&door)));
}

#[tokio::test]
async fn a_fleet_performs_actions_on_its_machines_alone() {
    let bench = bench(honest()).await;
    let (m1, m2): (MachineId, MachineId) = (NAME.parse().unwrap(), "m2".parse().unwrap());
    let fleet = Fleet::new();
    fleet.admit(m1.clone(), &bench.door).unwrap();
    assert!(fleet.owns(&Resource::Machine(m1.clone())));
    assert!(!fleet.owns(&Resource::Machine(m2.clone())) && !fleet.owns(&Resource::Permit(m1.clone())));
    for action in [
        Action::SetBootTarget { machine: m1.clone(), target: BootTarget::Pxe },
        Action::SetRestorePolicyOff { machine: m1.clone() },
        Action::PowerOn { machine: m1.clone() },
        Action::ShutDown { machine: m1.clone() },
        Action::PowerOff { machine: m1.clone() },
        Action::ReadMachine { machine: m1.clone() },
    ] {
        let answer = fleet.perform(&action).await.unwrap();
        assert!(matches!(answer, Answer::Machine(reading) if reading.identity.serial == SERIAL), "{action:?}");
    }
    let port = PortId { switch: "sw1".parse().unwrap(), port: "p1".parse().unwrap() };
    for action in [Action::ReadMachine { machine: m2 }, Action::ReadPort { port }, Action::Hello] {
        assert!(fleet.perform(&action).await.is_err(), "{action:?}");
    }
    fleet.close().await;
    assert!(fleet.machines().is_empty());
    assert_eq!(bench.state().await["sessions"], 0);
}

#[tokio::test]
async fn a_dead_machine_reads_off_and_a_frozen_one_on() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    bench.perform(Request::Freeze { name: NAME.into() }).await;
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::On);
    bench.perform(Request::Kill { name: NAME.into() }).await;
    let begun = Instant::now();
    while !driver.read().await.unwrap().all_off() {
        assert!(begun.elapsed() < Patience::default().reading, "still not off");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_identify_light_is_switched_in_the_form_that_the_bmc_has() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    for indicator in ["location", "led"] {
        bench.quirks(json!({ "indicator": indicator })).await;
        assert_eq!(driver.identify(Light::Steady).await, Ok(LightReading::Steady), "{indicator}");
        assert_eq!(bench.state().await["identify"], true, "{indicator}");
        assert_eq!(driver.identify(Light::Off).await, Ok(LightReading::Off), "{indicator}");
        assert_eq!(bench.state().await["identify"], false, "{indicator}");
    }
    bench.quirks(json!({ "indicator": "ignored" })).await;
    assert!(is_unconfirmed(&driver.identify(Light::Steady).await), "what is not read back is not told");
    bench.quirks(json!({ "indicator": "missing" })).await;
    assert!(is_rejected(&driver.identify(Light::Steady).await));
    bench.quirks(json!({ "indicator": "location", "serial": "OTHER" })).await;
    assert!(is_rejected(&driver.identify(Light::Steady).await));
    assert_eq!(bench.state().await["identify"], false);
}
