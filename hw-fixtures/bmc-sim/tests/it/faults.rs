//! Each fault is seen by a client as the real one would be. Must never conclude a fault from the quirk's own setting.

use std::time::{Duration, Instant};

use bmc_sim::Request;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::{CHASSIS, MANAGER, SESSIONS, SYSTEM, client, client_within, exists, rig};

/// The patience of a client that is to give up.
const BRIEF: Duration = Duration::from_secs(3);
/// How long a lie lasts that several requests must see, on a busy machine too.
const LIE: Duration = Duration::from_millis(2500);
const LIE_MS: u64 = 2500;

fn name() -> String {
    "m1".into()
}

#[tokio::test]
async fn unreachable_means_silence_and_ends() {
    let mut rig = rig().await;
    rig.client = client_within(&rig.simulator.certificate_pem, BRIEF);
    rig.reset("On").await;
    rig.quirk(json!({ "reach": "unreachable" })).await;
    let error = rig.try_get(SYSTEM).await.unwrap_err();
    assert!(error.is_timeout(), "an open connection must fall silent, not close: {error:?}");
    let fresh = client_within(&rig.simulator.certificate_pem, BRIEF);
    let error = fresh.get(rig.url(SYSTEM)).send().await.unwrap_err();
    assert!(error.is_timeout(), "a new connection must time out: {error:?}");
    // The queue is full, so the kernel drops the SYN of every further connection.
    let dark = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(rig.simulator.address)).await;
    assert!(dark.is_err(), "connected to a BMC that is unreachable");
    assert!(exists(rig.pid().unwrap()), "the machine runs on");
    rig.quirk(json!({ "reach": "answering" })).await;
    assert_eq!(rig.power().await, "On");
}

#[tokio::test]
async fn a_reset_sent_into_the_dark_is_lost() {
    let mut rig = rig().await;
    rig.client = client_within(&rig.simulator.certificate_pem, BRIEF);
    assert_eq!(rig.power().await, "Off");
    rig.quirk(json!({ "reach": "unreachable" })).await;
    let url = rig.url(crate::support::RESET);
    let lost = rig.client.post(url).basic_auth("controller", Some("lab")).json(&json!({ "ResetType": "On" })).send().await;
    assert!(lost.is_err());
    rig.quirk(json!({ "reach": "answering" })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.power().await, "Off");
    assert_eq!(rig.pid(), None);
}

#[tokio::test]
async fn refused_means_refused() {
    let rig = rig().await;
    assert_eq!(rig.power().await, "Off");
    rig.quirk(json!({ "reach": "refuse" })).await;
    let error = TcpStream::connect(rig.simulator.address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(rig.try_get(SYSTEM).await.unwrap_err().is_connect());
    rig.quirk(json!({ "reach": "answering" })).await;
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn garbage_on_the_wire_and_in_the_body() {
    let rig = rig().await;
    rig.quirk(json!({ "reach": "garbage" })).await;
    let mut stream = TcpStream::connect(rig.simulator.address).await.unwrap();
    let mut noise = Vec::new();
    stream.read_to_end(&mut noise).await.unwrap();
    assert_eq!(noise.len(), 64);
    assert!(rig.try_get(SYSTEM).await.is_err());
    rig.quirk(json!({ "reach": "answering", "garbage_body": true })).await;
    let answer = rig.try_get(SYSTEM).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.json::<Value>().await.is_err());
}

#[tokio::test]
async fn slow_requests_late_replies_and_no_replies() {
    let mut rig = rig().await;
    rig.client = client_within(&rig.simulator.certificate_pem, BRIEF);
    rig.quirk(json!({ "delay_ms": 300 })).await;
    let start = Instant::now();
    rig.power().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    rig.quirk(json!({ "delay_ms": 0, "drop_reply": true })).await;
    let url = rig.url(crate::support::RESET);
    let post =
        |kind: &str| rig.client.post(&url).basic_auth("controller", Some("lab")).json(&json!({ "ResetType": kind })).send();
    assert!(post("On").await.is_err(), "a reply came");
    assert_eq!(rig.power().await, "On", "the work is done all the same");
    rig.quirk(json!({ "drop_reply": false, "reply_delay_ms": 60_000 })).await;
    assert!(post("ForceOff").await.unwrap_err().is_timeout());
    rig.quirk(json!({ "reply_delay_ms": 0 })).await;
    rig.until_power("Off").await;
}

#[tokio::test]
async fn identity_can_be_wrong() {
    let rig = rig().await;
    rig.quirk(json!({ "serial": "OTHER", "uuid": "11111111-2222-4333-8444-555555555555" })).await;
    let system = rig.get(SYSTEM).await;
    assert_eq!(system["SerialNumber"], "OTHER");
    assert_eq!(system["UUID"], "11111111-2222-4333-8444-555555555555");
    assert_eq!(rig.get(CHASSIS).await["SerialNumber"], "OTHER");
}

#[tokio::test]
async fn power_states_lie_as_told() {
    let rig = rig().await;
    rig.reset("On").await;
    rig.quirk(json!({ "power_state": "null" })).await;
    let system = rig.get(SYSTEM).await;
    assert!(system.as_object().unwrap().contains_key("PowerState") && system["PowerState"].is_null());
    rig.quirk(json!({ "power_state": "missing" })).await;
    assert!(!rig.get(SYSTEM).await.as_object().unwrap().contains_key("PowerState"));
    rig.quirk(json!({ "power_state": "off" })).await;
    assert_eq!(rig.power().await, "Off");
    assert_eq!(rig.rail().await, "On");
    rig.quirk(json!({ "power_state": "truthful" })).await;
    rig.quirk(json!({ "power_state": "stuck", "chassis_power": "stuck" })).await;
    rig.simulator.control.perform(Request::PowerOff { name: name() }).await.unwrap();
    assert_eq!(rig.pid(), None);
    assert_eq!(rig.power().await, "On");
    assert_eq!(rig.rail().await, "On");
    rig.quirk(json!({ "power_state": "truthful", "chassis_power": "truthful" })).await;
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn powering_off_takes_its_time() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid().unwrap();
    rig.quirk(json!({ "powering_off_ms": LIE_MS, "chassis_leads": true })).await;
    let start = Instant::now();
    assert_eq!(rig.reset("ForceOff").await, StatusCode::NO_CONTENT);
    assert_eq!(rig.power().await, "PoweringOff");
    assert_eq!(rig.rail().await, "Off", "the chassis leads");
    assert!(exists(pid));
    assert_eq!(rig.reset("On").await, StatusCode::CONFLICT);
    rig.until_power("Off").await;
    assert!(start.elapsed() >= LIE);
    assert!(!exists(pid));
}

#[tokio::test]
async fn off_can_come_too_early_and_a_power_on_then_is_lost() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid().unwrap();
    rig.quirk(json!({ "off_early_ms": LIE_MS })).await;
    rig.reset("ForceOff").await;
    assert_eq!(rig.power().await, "Off");
    assert!(exists(pid), "the lie is that it still runs");
    assert_eq!(rig.reset("On").await, StatusCode::NO_CONTENT);
    for _ in 0..2000 {
        if rig.pid().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!exists(pid));
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn the_chassis_can_lag() {
    let rig = rig().await;
    rig.quirk(json!({ "chassis_lag_ms": LIE_MS })).await;
    tokio::time::sleep(LIE).await;
    rig.reset("On").await;
    assert_eq!((rig.power().await, rig.rail().await), (json!("On"), json!("Off")));
    tokio::time::sleep(LIE).await;
    assert_eq!(rig.rail().await, "On");
}

#[tokio::test]
async fn resets_can_be_ignored_delayed_or_fail() {
    let rig = rig().await;
    rig.quirk(json!({ "reset": "ignored" })).await;
    assert_eq!(rig.reset("On").await, StatusCode::NO_CONTENT);
    assert_eq!(rig.power().await, "Off");
    rig.quirk(json!({ "reset": "fails" })).await;
    assert_eq!(rig.reset("On").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(rig.power().await, "Off");
    rig.quirk(json!({ "reset": "fails_afterwards" })).await;
    assert_eq!(rig.reset("On").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(rig.power().await, "On");
    rig.quirk(json!({ "reset": "obeys", "reset_delay_ms": LIE_MS })).await;
    assert_eq!(rig.reset("ForceOff").await, StatusCode::NO_CONTENT);
    assert_eq!(rig.power().await, "On");
    rig.until_power("Off").await;
}

#[tokio::test]
async fn servers_fail_as_told() {
    let rig = rig().await;
    rig.quirk(json!({ "error_status": 500, "error_scope": "writes" })).await;
    assert_eq!(rig.power().await, "Off");
    assert_eq!(rig.reset("On").await, StatusCode::INTERNAL_SERVER_ERROR);
    rig.quirk(json!({ "error_status": 503, "error_scope": "all" })).await;
    assert_eq!(rig.try_get(SYSTEM).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let refused = rig.simulator.control.set_quirks("m1", json!({ "error_status": 200 })).await;
    assert!(refused.is_err());
    assert!(rig.simulator.control.set_quirks("m1", json!({ "no_such_quirk": 1 })).await.is_err());
    assert!(rig.simulator.control.set_quirks("m9", json!({})).await.is_err());
}

#[tokio::test]
async fn settings_can_stay_pending_or_be_forgotten() {
    let rig = rig().await;
    rig.quirk(json!({ "restore_policy": "pending", "boot_override": "ignored" })).await;
    let boot = json!({ "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" });
    assert_eq!(rig.patch(json!({ "PowerRestorePolicy": "AlwaysOff", "Boot": boot })).await.status(), StatusCode::OK);
    let system = rig.get(SYSTEM).await;
    assert_eq!(system["PowerRestorePolicy"], "LastState");
    assert_eq!(system["Boot"]["BootSourceOverrideTarget"], "None");
    rig.quirk(json!({ "restore_policy": "obeys", "boot_override": "obeys" })).await;
    let system = rig.get(SYSTEM).await;
    assert_eq!(system["PowerRestorePolicy"], "AlwaysOff");
    assert_eq!(system["Boot"]["BootSourceOverrideTarget"], "None");
    rig.quirk(json!({ "restore_policy": "unsupported" })).await;
    assert!(rig.get(SYSTEM).await.get("PowerRestorePolicy").is_none());
    assert_eq!(rig.patch(json!({ "PowerRestorePolicy": "AlwaysOn" })).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn sessions_get_lost_and_certificates_change() {
    let rig = rig().await;
    let login = json!({ "UserName": "controller", "Password": "lab" });
    let opened = rig.client.post(rig.url(SESSIONS)).json(&login).send().await.unwrap();
    let token = opened.headers()["x-auth-token"].to_str().unwrap().to_owned();
    rig.simulator.control.perform(Request::LoseSessions { name: name() }).await.unwrap();
    let after = rig.client.get(rig.url(SYSTEM)).header("X-Auth-Token", token).send().await.unwrap();
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
    rig.simulator.control.perform(Request::ChangeCertificate { name: name() }).await.unwrap();
    let pinned = client(&rig.simulator.certificate_pem).get(rig.url("/redfish/v1")).send().await;
    assert!(pinned.is_err(), "the old certificate is still shown");
    let fresh = client(&rig.simulator.certificate_of("m1").unwrap()).get(rig.url("/redfish/v1")).send().await.unwrap();
    assert_eq!(fresh.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_bmc_reboot_leaves_the_machine_alone_and_reads_wrong_at_first() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid();
    rig.quirk(json!({ "bmc_reboot_ms": LIE_MS, "bmc_early_ms": LIE_MS })).await;
    let mut changes = rig.simulator.control.watch();
    let path = format!("{MANAGER}/Actions/Manager.Reset");
    assert_eq!(rig.post(&path, json!({ "ResetType": "ForceRestart" })).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(changes.recv().await.unwrap().what, "bmc_down");
    let dark = tokio::time::timeout(Duration::from_millis(300), rig.try_get(SYSTEM)).await;
    assert!(dark.is_err(), "answered while restarting");
    assert_eq!(changes.recv().await.unwrap().what, "bmc_up");
    let up = Instant::now();
    assert_eq!(rig.power().await, "Off", "the first readings are wrong");
    assert_eq!(rig.rail().await, "Off", "the first readings are wrong");
    let uptime = rig.get(&format!("{MANAGER}/ManagerDiagnosticData")).await["ServiceRootUptimeSeconds"].as_f64().unwrap();
    assert!(uptime <= up.elapsed().as_secs_f64() + 0.1, "uptime {uptime} s is older than the restart");
    rig.until_power("On").await;
    assert_eq!(rig.pid(), pid);
}
