//! BMCs that lie, stall, lose things and die: what the driver answers then, and what it never sends. Over real TLS sockets.

use std::time::{Duration, Instant};

use crate::common::{NAME, bench, honest, identity, impatient, is_rejected, is_unconfirmed, is_unreachable, nothing_was_sent};
use bmc::Patience;
use bmc_sim::Request;
use serde_json::json;
use vocabulary::power::{BootTarget, PowerState, RestorePolicy};

/// What a time-out may take longer on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_wrong_box_gets_no_command() {
    let bench = bench(json!({ "serial": "OTHER", "uuid": "11111111-2222-3333-4444-555555555555" })).await;
    let driver = bench.open();
    assert!(is_rejected(&driver.read().await));
    assert!(is_rejected(&driver.power_off().await));
    assert!(is_rejected(&driver.power_on().await));
    assert!(is_rejected(&driver.set_boot_target(BootTarget::Pxe).await));
    assert!(is_rejected(&driver.set_restore_policy_off().await));
    assert!(is_rejected(&driver.shut_down().await));
    assert!(nothing_was_sent(&bench).await);
    assert_eq!(bench.state().await["sessions"], 1, "a wrong box costs it no session per call");
}

#[tokio::test]
async fn a_box_that_becomes_another_gets_no_command_either() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    driver.read().await.unwrap();
    for quirks in [json!({ "serial": "OTHER" }), json!({ "serial": "", "uuid": "" })] {
        bench.quirks(quirks).await;
        assert!(is_rejected(&driver.power_off().await));
        assert!(is_rejected(&driver.read().await));
    }
    assert!(nothing_was_sent(&bench).await && bench.runs());
    bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
    driver.power_off().await.unwrap();
    assert_eq!(bench.resets("ForceOff").await, 1);
}

#[tokio::test]
async fn one_half_of_an_identity_is_enough_if_the_other_is_silent() {
    let bench = bench(json!({ "serial": "" })).await;
    assert_eq!(bench.open().read().await.unwrap().identity, identity(crate::common::UUID, ""));
    bench.quirks(json!({ "serial": crate::common::SERIAL, "uuid": "" })).await;
    assert_eq!(bench.open().read().await.unwrap().identity, identity("", crate::common::SERIAL));
}

#[tokio::test]
async fn another_certificate_is_another_box() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    driver.read().await.unwrap();
    bench.perform(Request::ChangeCertificate { name: NAME.into() }).await;
    bench.perform(Request::RebootBmc { name: NAME.into(), away_ms: Some(50), early_ms: None }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = driver.power_off().await.unwrap_err().to_string();
    assert!(refused.starts_with("rejected") && refused.contains("certificate"), "{refused}");
    assert!(is_rejected(&driver.read().await));
    assert!(nothing_was_sent(&bench).await && bench.runs());
}

#[tokio::test]
async fn an_enrolment_holds_to_the_certificate_it_saw_first() {
    let mut bench = bench(honest()).await;
    bench.door.pin = None;
    let driver = bench.open();
    let first = driver.read().await.unwrap().certificate;
    assert!(first.is_some());
    bench.perform(Request::ChangeCertificate { name: NAME.into() }).await;
    bench.perform(Request::RebootBmc { name: NAME.into(), away_ms: Some(50), early_ms: None }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_rejected(&driver.read().await));
}

#[tokio::test]
async fn nothing_but_off_is_off() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    for (quirk, state) in [
        ("null", PowerState::Unknown),
        ("missing", PowerState::Unknown),
        ("powering_off", PowerState::PoweringOff),
        ("powering_on", PowerState::PoweringOn),
        ("paused", PowerState::Paused),
        ("on", PowerState::On),
    ] {
        bench.quirks(json!({ "power_state": quirk, "chassis_power": "truthful" })).await;
        let reading = driver.read().await.unwrap();
        assert_eq!((reading.system_power, reading.all_off()), (state, false), "system {quirk}");
        bench.quirks(json!({ "power_state": "truthful", "chassis_power": quirk })).await;
        let reading = driver.read().await.unwrap();
        assert_eq!((reading.chassis_power, reading.all_off()), (Some(state), false), "chassis {quirk}");
    }
}

#[tokio::test]
async fn a_lost_session_is_made_anew_under_another_number() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    let first = driver.read().await.unwrap().session;
    assert_eq!(driver.read().await.unwrap().session, first);
    bench.lose_sessions().await;
    let second = driver.read().await.unwrap().session;
    assert_ne!(second, first);
    bench.lose_sessions().await;
    let third = driver.power_off().await.unwrap().session;
    assert!(third != second && third != first);
    assert_eq!(bench.resets("ForceOff").await, 1);
    assert_eq!(bench.state().await["sessions"], 1);
}

#[tokio::test]
async fn a_silence_breaks_the_session_even_if_its_token_holds() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    let first = driver.read().await.unwrap().session;
    bench.quirks(json!({ "delay_ms": 2000 })).await;
    assert!(is_unreachable(&driver.read().await));
    bench.quirks(json!({ "delay_ms": 0 })).await;
    let second = driver.read().await.unwrap().session;
    assert_ne!(second, first);
    assert_eq!(bench.state().await["sessions"], 1, "the same token, no second session");
}

#[tokio::test]
async fn a_bmc_that_restarts_shows_it() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let before = driver.read().await.unwrap();
    bench.perform(Request::RebootBmc { name: NAME.into(), away_ms: Some(50), early_ms: None }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = driver.read().await.unwrap();
    assert_ne!(after.session, before.session);
    assert_ne!(after.bmc_started, before.bmc_started);
    assert_eq!((before.system_power, before.chassis_power), (PowerState::Off, Some(PowerState::Off)));
    assert_eq!((after.system_power, after.chassis_power), (PowerState::Unknown, Some(PowerState::Unknown)), "not believed yet");
}

#[tokio::test]
async fn an_unreachable_bmc_is_known_as_such_within_the_named_time() {
    let bench = bench(json!({ "reach": "unreachable" })).await;
    let begun = Instant::now();
    assert!(is_unreachable(&bench.open().read().await));
    assert!(begun.elapsed() < Patience::default().connect + SLACK, "{:?}", begun.elapsed());
    bench.quirks(json!({ "reach": "refuse" })).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    assert!(is_unreachable(&bench.open().power_off().await));
    assert!(begun.elapsed() < SLACK);
    bench.quirks(json!({ "reach": "answering" })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(nothing_was_sent(&bench).await);
    bench.open().read().await.unwrap();
}

#[tokio::test]
async fn a_bmc_that_falls_silent_on_kept_connections_is_unreachable() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    let before = driver.read().await.unwrap();
    bench.quirks(json!({ "reach": "unreachable" })).await;
    let begun = Instant::now();
    assert!(is_unreachable(&driver.read().await));
    assert!(is_unreachable(&driver.power_off().await));
    assert!(begun.elapsed() < bench.door.patience.request * 4 + SLACK);
    bench.quirks(json!({ "reach": "answering" })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = driver.read().await.unwrap();
    assert_ne!(after.session, before.session);
    assert!(nothing_was_sent(&bench).await);
}

#[tokio::test]
async fn slow_is_not_dead_and_garbage_is_no_answer() {
    let bench = bench(json!({ "delay_ms": 150 })).await;
    let driver = bench.open();
    let begun = Instant::now();
    assert!(driver.read().await.unwrap().all_off());
    let first = begun.elapsed();
    let begun = Instant::now();
    driver.read().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(150), "a fresh reading cannot be faster than the BMC");
    assert!(begun.elapsed() < first, "the session and the way are kept");
    bench.quirks(json!({ "delay_ms": 0, "garbage_body": true })).await;
    assert!(is_rejected(&driver.read().await));
    assert!(is_rejected(&driver.power_off().await));
    bench.quirks(json!({ "garbage_body": false, "reach": "garbage" })).await;
    assert!(is_unreachable(&bench.open().read().await));
    assert!(nothing_was_sent(&bench).await);
}

#[tokio::test]
async fn errors_are_no_readings() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    for status in [400, 403, 404, 500, 503] {
        bench.quirks(json!({ "error_status": status })).await;
        assert!(is_rejected(&driver.read().await), "{status}");
        assert!(is_rejected(&driver.power_off().await), "{status}");
    }
    bench.quirks(json!({ "error_status": null })).await;
    assert!(nothing_was_sent(&bench).await);
    driver.read().await.unwrap();
}

#[tokio::test]
async fn a_reset_that_does_nothing_is_told_by_the_reading() {
    let bench = bench(json!({ "reset": "ignored" })).await;
    bench.switch_on().await;
    let driver = bench.open();
    let reading = driver.power_off().await.unwrap();
    assert_eq!((reading.system_power, reading.all_off()), (PowerState::On, false));
    assert_eq!(bench.resets("ForceOff").await, 1);
}

#[tokio::test]
async fn an_error_answer_is_judged_by_the_state() {
    let bench = bench(json!({ "reset": "fails" })).await;
    bench.switch_on().await;
    let driver = bench.open();
    assert!(is_unconfirmed(&driver.power_off().await), "a 500 with the machine on");
    bench.quirks(json!({ "error_status": 400, "error_scope": "writes" })).await;
    assert!(is_rejected(&driver.power_off().await), "a 400 with the machine on");
    bench.quirks(json!({ "reset": "fails_afterwards", "error_status": null })).await;
    // It is killed although the answer is 500; whether that is seen at once depends on how soon it is reaped.
    let outcome = driver.power_off().await;
    assert!(outcome.as_ref().is_ok_and(|r| r.all_off()) || is_unconfirmed(&outcome), "{outcome:?}");
    assert_eq!(bench.resets("ForceOff").await, 3);
}

#[tokio::test]
async fn already_off_is_off_whatever_the_code() {
    for answer in ["no_content", "conflict", "bad_request"] {
        let bench = bench(json!({ "force_off_when_off": answer })).await;
        let reading = bench.open().power_off().await.unwrap();
        assert!(reading.all_off(), "{answer}");
        assert_eq!(bench.resets("ForceOff").await, 1, "an Off that is read may be a lie: ForceOff is sent all the same");
    }
}

#[tokio::test]
async fn a_command_whose_reply_is_lost_is_not_sent_again() {
    let bench = bench(honest()).await;
    bench.switch_on().await;
    let driver = bench.open();
    driver.read().await.unwrap();
    bench.quirks(json!({ "drop_reply": true })).await;
    assert!(is_unreachable(&driver.power_off().await));
    bench.settles("system_power", "Off").await;
    assert!(is_unreachable(&driver.set_boot_target(BootTarget::Pxe).await));
    assert!(is_unreachable(&driver.set_restore_policy_off().await));
    bench.settles("restore_policy", "AlwaysOff").await;
    assert!(is_unreachable(&driver.power_on().await));
    bench.settles("system_power", "On").await;
    assert_eq!((bench.resets("ForceOff").await, bench.sent("PATCH").await.len(), bench.resets("On").await), (1, 2, 1));
    bench.quirks(json!({ "drop_reply": false })).await;
    let reading = driver.read().await.unwrap();
    assert_eq!((reading.system_power, reading.restore_policy), (PowerState::On, RestorePolicy::AlwaysOff), "all of it was done");
}

#[tokio::test]
async fn a_command_that_is_not_answered_in_time_is_not_sent_again() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    bench.switch_on().await;
    let driver = bench.open();
    driver.read().await.unwrap();
    bench.quirks(json!({ "reset_delay_ms": 0, "reply_delay_ms": 250 })).await;
    // Each answer comes late, the command's as well, but within the patience: slow is not dead.
    driver.power_off().await.unwrap();
    bench.quirks(json!({ "reply_delay_ms": 1500 })).await;
    assert!(is_unreachable(&driver.power_off().await));
    assert_eq!(bench.resets("ForceOff").await, 1, "the identity could not be checked in time, so nothing was sent");
}

#[tokio::test]
async fn etags_of_every_kind_are_met() {
    for etag in ["strong", "weak", "none", "required", "always_fails", "raced", "empty"] {
        let bench = bench(json!({ "etag": etag })).await;
        let driver = bench.open();
        driver.set_boot_target(BootTarget::Pxe).await.unwrap_or_else(|e| panic!("{etag}: {e}"));
        assert_eq!(bench.state().await["boot"]["target"], "Pxe", "{etag}");
        driver.set_restore_policy_off().await.unwrap_or_else(|e| panic!("{etag}: {e}"));
        let statuses: Vec<u64> = bench.sent("PATCH").await.into_iter().map(|(_, status)| status).collect();
        let refused = statuses.iter().filter(|status| **status >= 400).count();
        let expected = match etag {
            // with the first ETag, with the one that was read again, and then without
            "always_fails" => 4,
            // with the ETag that another hand made old, and then with the new one
            "raced" => 2,
            _ => 0,
        };
        assert_eq!(refused, expected, "{etag}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_setting_that_does_not_take_is_unconfirmed_and_one_that_is_not_there_rejected() {
    for behaviour in ["pending", "ignored", "unsupported"] {
        let bench = bench(json!({ "restore_policy": behaviour, "boot_override": behaviour })).await;
        let driver = bench.open();
        let (policy, boot) = tokio::join!(driver.set_restore_policy_off(), driver.set_boot_target(BootTarget::Pxe));
        if behaviour == "unsupported" {
            assert!(is_rejected(&policy) && is_rejected(&boot), "{policy:?} {boot:?}");
            assert!(nothing_was_sent(&bench).await);
            assert_eq!(driver.read().await.unwrap().restore_policy, RestorePolicy::Unknown);
        } else {
            assert!(is_unconfirmed(&policy) && is_unconfirmed(&boot), "{behaviour}: {policy:?} {boot:?}");
            assert_eq!(bench.sent("PATCH").await.len(), 2, "{behaviour}");
        }
    }
}

#[tokio::test]
async fn without_a_free_session_the_account_does_it_but_nothing_is_unbroken() {
    let bench = bench(json!({ "session_cap": 0 })).await;
    bench.switch_on().await;
    let driver = bench.open();
    let (first, second) = (driver.read().await.unwrap(), driver.read().await.unwrap());
    assert_ne!(first.session, second.session);
    driver.power_off().await.unwrap();
    assert_eq!(bench.resets("ForceOff").await, 1);
}

#[tokio::test]
async fn a_refused_account_is_not_tried_again_and_again() {
    let mut bench = bench(honest()).await;
    bench.door.password = vocabulary::Secret::new("not the password");
    let driver = bench.open();
    let refused = driver.read().await.unwrap_err().to_string();
    assert!(refused.contains("account") && !refused.contains("not the password"), "{refused}");
    let before = bench.requests().await;
    for _ in 0..5 {
        assert!(is_rejected(&driver.read().await));
    }
    assert_eq!(bench.requests().await, before);
}

#[tokio::test]
async fn values_the_bmc_does_not_list_are_not_tried_but_a_missing_list_is_no_hindrance() {
    let bench = bench(json!({ "allowable_values": false })).await;
    let driver = bench.open();
    driver.power_on().await.unwrap();
    driver.power_off().await.unwrap();
    assert_eq!((bench.resets("On").await, bench.resets("ForceOff").await), (1, 1));
}
