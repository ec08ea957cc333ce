//! The IPMI driver against a simulated BMC over real UDP sockets: readings, commands, and every quirk that a driver must see through.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bmc::Patience;
use bmc_sim::Request;
use serde_json::json;
use vocabulary::boot::Firmware;
use vocabulary::estate::{CipherSuite, IpmiPrivilege};
use vocabulary::power::{BootTarget, PowerState, RestorePolicy};

use crate::common::{NAME, UUID, honest, identity, impatient, is_rejected, is_unconfirmed, is_unreachable};
use crate::ipmi_common::{access, bench, bench_under, bench_with, commands, controls};

/// Patience enough for a bad line: many small waits.
fn stubborn() -> Patience {
    let (connect, request) = (Duration::from_millis(400), Duration::from_secs(8));
    Patience { connect, request, reading: Duration::from_secs(30), ..Patience::default() }
}

#[tokio::test]
async fn power_boot_and_policy_are_the_same_by_both_protocols() {
    let mut bench = bench(honest()).await;
    bench.door.firmware = BTreeSet::from([Firmware::Uefi]);
    let driver = bench.open();
    let off = driver.read().await.unwrap();
    assert_eq!((off.system_power, off.restore_policy), (PowerState::Off, RestorePolicy::LastState));
    assert_eq!(off.identity, identity(UUID, ""));
    assert_eq!(driver.set_restore_policy_off().await.unwrap().restore_policy, RestorePolicy::AlwaysOff);
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    let state = bench.state().await;
    assert_eq!(state["restore_policy"], "AlwaysOff");
    assert_eq!(state["boot"], json!({ "enabled": "Once", "target": "Pxe", "mode": "UEFI" }));
    assert_eq!(driver.power_on().await.unwrap().system_power, PowerState::On);
    assert!(bench.runs());
    assert_eq!(bench.state().await["boot"]["enabled"], "Disabled", "a start uses it up");
    let pin = Some(crate::common::fingerprint(&bench.sim.certificate_pem));
    let other = bmc::open(&crate::common::door(bench.sim.address, pin)).unwrap();
    let reading = other.read().await.unwrap();
    assert_eq!((reading.system_power, reading.restore_policy), (PowerState::On, RestorePolicy::AlwaysOff));
    driver.shut_down().await.unwrap();
    driver.power_off().await.unwrap();
    bench.settles("power", "off").await;
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    assert_eq!((controls(&bench, "On").await, controls(&bench, "GracefulShutdown").await), (1, 1));
    assert_eq!(bench.state().await["ipmi_sessions"], 1);
    driver.close().await;
    bench.settles_at("ipmi_sessions", 0).await;
}

#[tokio::test]
async fn every_suite_and_the_key_open_a_session() {
    let bench = bench_with(honest(), Some("0x00112233445566778899aabbccddeeff00112233")).await;
    for suite in [CipherSuite::Three, CipherSuite::Seventeen] {
        let door = access(&bench, IpmiPrivilege::Operator, suite);
        bmc::open(&door).unwrap().read().await.unwrap();
    }
    bench.quirks(json!({ "ipmi_suite_17": "refused" })).await;
    bench.open().read().await.unwrap();
    assert!(is_rejected(&bmc::open(&access(&bench, IpmiPrivilege::Operator, CipherSuite::Seventeen)).unwrap().read().await));
    let mut door = bench.door.clone();
    door.key = None;
    let said = bmc::open(&door).unwrap().read().await.unwrap_err().to_string();
    assert!(said.contains("K_G"), "{said}");
}

#[tokio::test]
async fn the_ways_of_known_platforms_are_seen_through() {
    let mut bench = bench(honest()).await;
    bench.door.patience = Patience { connect: Duration::from_millis(400), ..Patience::default() };
    for quirks in [
        json!({ "ipmi_role": "as_opened" }),
        json!({ "ipmi_role": "maximum", "lockout_after": 1 }),
        json!({ "ipmi_cipher_query": false }),
        json!({ "ipmi_ping": false }),
        json!({ "ipmi_suite_17": "dropped" }),
        json!({ "ipmi_guid": "text" }),
        json!({ "ipmi_guid": "reversed" }),
        json!({ "power_state": "on" }),
    ] {
        bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
        bench.quirks(quirks.clone()).await;
        let reading = bench.open().read().await.unwrap_or_else(|error| panic!("{quirks}: {error}"));
        assert_eq!(reading.identity, identity(UUID, ""), "{quirks}");
    }
    bench.quirks(json!({ "ipmi_guid": "unknown" })).await;
    assert!(is_rejected(&bench.open().read().await), "who tells no GUID is nobody");
}

#[tokio::test]
async fn each_trouble_with_the_account_has_its_own_words() {
    let bench = bench(honest()).await;
    for (quirks, words) in [
        (json!({ "account": "other_password" }), "another password"),
        (json!({ "account": "locked" }), "locked"),
        (json!({ "account": "disabled" }), "disabled"),
        (json!({ "privilege": "user" }), "rights"),
        (json!({ "ipmi_session_cap": 0 }), "no free session"),
    ] {
        bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
        bench.quirks(quirks.clone()).await;
        let outcome = bench.open().read().await;
        assert!(is_rejected(&outcome), "{quirks}: {outcome:?}");
        let said = outcome.unwrap_err().to_string();
        assert!(said.contains(words), "{quirks}: {said}");
    }
    bench.quirks(json!({ "privilege": "user", "ipmi_session_cap": 16 })).await;
    let watcher = bmc::open(&access(&bench, IpmiPrivilege::User, CipherSuite::Three)).unwrap();
    watcher.read().await.unwrap();
    // rights that are taken away while the session is open
    bench.quirks(honest()).await;
    bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
    bench.switch_on().await;
    let driver = bench.open();
    driver.read().await.unwrap();
    bench.quirks(json!({ "privilege": "user" })).await;
    let said = driver.power_off().await.unwrap_err().to_string();
    assert!(said.contains("rights"), "{said}");
    assert_eq!(commands(&bench, "chassis_control").await, [(Some("ForceOff".into()), 0xd4)]);
}

#[tokio::test]
async fn boot_flags_may_lack_option_3_be_dropped_or_be_missing() {
    let bench = bench(json!({ "ipmi_valid_clearing": false })).await;
    let driver = bench.open();
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(bench.state().await["boot"]["target"], "Pxe");
    bench.quirks(json!({ "boot_override": "ignored" })).await;
    bench.perform(Request::PowerOn { name: NAME.into() }).await;
    assert!(is_unconfirmed(&driver.set_boot_target(BootTarget::Pxe).await));
    bench.quirks(json!({ "boot_override": "unsupported" })).await;
    assert!(is_rejected(&driver.set_boot_target(BootTarget::Pxe).await));
    bench.quirks(json!({ "restore_policy": "ignored" })).await;
    assert!(is_unconfirmed(&driver.set_restore_policy_off().await));
    bench.quirks(json!({ "restore_policy": "unsupported" })).await;
    assert!(is_rejected(&driver.set_restore_policy_off().await));
}

#[tokio::test]
async fn a_bad_line_costs_time_and_never_a_command_twice() {
    let mut bench = bench(honest()).await;
    bench.door.patience = stubborn();
    let driver = bench.open();
    driver.power_on().await.unwrap();
    for seed in 1..4 {
        bench
            .quirks(json!({
                "ipmi_seed": seed, "ipmi_loss_percent": 10, "ipmi_duplicate_percent": 40,
                "ipmi_reorder_percent": 30, "ipmi_late_percent": 30, "ipmi_late_ms": 250,
            }))
            .await;
        for _ in 0..10 {
            // a session that broke is young: On is still On
            assert_eq!(driver.read().await.unwrap().system_power, PowerState::On, "seed {seed}");
        }
    }
    let before = controls(&bench, "ForceOff").await;
    // whether the answer comes is a matter of luck, how often it is done is not
    let _ = driver.power_off().await;
    bench.settles("power", "off").await;
    assert!(controls(&bench, "ForceOff").await <= before + 1);
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_the_answer_to_nothing() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    bench.quirks(json!({ "ipmi_late_ms": 900 })).await;
    assert!(is_unreachable(&driver.read().await));
    bench.switch_on().await;
    bench.quirks(json!({ "ipmi_late_ms": 0 })).await;
    // the late ones arrive meanwhile and say Off
    let until = Instant::now() + Duration::from_millis(1200);
    while Instant::now() < until {
        assert_eq!(driver.read().await.unwrap().system_power, PowerState::On);
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_command_leaves_open_whether_it_was_done() {
    let mut bench = bench(json!({ "drop_reply": true })).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    assert!(is_unreachable(&driver.power_on().await));
    assert_eq!(controls(&bench, "On").await, 1);
    assert!(bench.runs());
}

#[tokio::test]
async fn a_bmc_that_restarts_forgets_sessions_and_is_busy_at_first() {
    let mut bench = bench(json!({ "ipmi_busy_ms": 700 })).await;
    bench.door.patience = impatient();
    bench.switch_on().await;
    let driver = bench.open();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let before = driver.read().await.unwrap();
    bench.perform(Request::RebootBmc { name: NAME.into(), away_ms: Some(50), early_ms: None }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.state().await["ipmi_sessions"], 0);
    // it is read again within the time that it is busy and the patience that the driver has
    let until = Instant::now() + Duration::from_secs(10);
    let after = loop {
        match driver.read().await {
            Ok(reading) => break reading,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    assert_ne!(after.session, before.session);
    assert_eq!(after.system_power, PowerState::On);
}

#[tokio::test]
async fn off_may_come_late_early_or_never() {
    let bench = bench(json!({ "powering_off_ms": 600 })).await;
    let driver = bench.open();
    driver.power_on().await.unwrap();
    assert_eq!(driver.power_off().await.unwrap().system_power, PowerState::On, "not off yet");
    bench.settles("power", "off").await;
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    bench.quirks(json!({ "powering_off_ms": 0, "reset": "ignored" })).await;
    bench.switch_on().await;
    assert_eq!(driver.power_off().await.unwrap().system_power, PowerState::On);
    assert!(bench.runs());
    bench.quirks(json!({ "reset": "fails" })).await;
    assert!(is_unconfirmed(&driver.power_off().await));
    bench.quirks(json!({ "reset": "obeys", "power_state": "missing" })).await;
    assert!(is_rejected(&driver.read().await) || is_unreachable(&driver.read().await));
}

/// What thousands of machines cost every few seconds is one question each; whatever commands or proves asks who answers first.
#[tokio::test]
async fn a_routine_look_asks_who_answers_once_a_session_and_a_reading_each_time() {
    let bench = bench(honest()).await;
    let driver = bench.open();
    let asked = async || bench.state().await["requests"].as_u64().unwrap();
    let (first, before) = (driver.watch().await.unwrap(), asked().await);
    for _ in 0..3 {
        let look = driver.watch().await.unwrap();
        assert_eq!((look.session, &look.identity), (first.session, &first.identity));
    }
    assert_eq!(asked().await, before + 3, "how it is");
    driver.read().await.unwrap();
    assert_eq!(asked().await, before + 5, "who it is, and how it is");
    // on a new session it is asked again: another box may have taken the address
    driver.close().await;
    assert_ne!(driver.watch().await.unwrap().session, first.session);
    // a stranger that a reading met is one to the looks after it, too
    bench.quirks(json!({ "uuid": "00000000-0000-4000-8000-00000000dead" })).await;
    assert!(is_rejected(&driver.read().await) && is_rejected(&driver.watch().await));
    driver.close().await;
    assert!(is_rejected(&driver.watch().await));
}

#[tokio::test]
async fn silence_garbage_and_a_closed_port_are_no_answer() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    driver.read().await.unwrap();
    for quirks in [
        json!({ "reach": "unreachable" }),
        json!({ "reach": "garbage" }),
        json!({ "reach": "refuse" }),
        json!({ "ipmi_off": true }),
    ] {
        bench.quirks(quirks.clone()).await;
        assert!(is_unreachable(&driver.read().await), "{quirks}");
        bench.perform(Request::ClearQuirks { name: NAME.into() }).await;
        driver.read().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_never_tried_to_the_end_so_no_account_is_locked() {
    let bench = bench(json!({ "lockout_after": 2, "lockout_ms": 60_000 })).await;
    let mut door = bench.door.clone();
    door.password = vocabulary::Secret::new("wrong");
    for _ in 0..4 {
        // it is the BMC that proves first: a wrong password is never tried to the end
        assert!(is_rejected(&bmc::open(&door).unwrap().read().await));
    }
    bench.open().read().await.unwrap();
}

#[tokio::test]
async fn boot_flags_outlive_their_minute_where_the_bmc_can_be_told_so() {
    let bench = bench(json!({ "ipmi_boot_valid_ms": 150 })).await;
    let driver = bench.open();
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.state().await["boot"]["target"], "Pxe", "a machine that is started later still boots from the network");
}

#[tokio::test]
async fn a_password_that_ipmi_would_cut_is_told_and_nothing_is_sent() {
    let bench = bench(honest()).await;
    let mut door = bench.door.clone();
    door.password = vocabulary::Secret::new("a password of 21 byte");
    let said = bmc::open(&door).map(drop).unwrap_err().to_string();
    assert!(said.contains("longer than the 20 bytes"), "{said}");
    door.password = vocabulary::Secret::new("lab");
    door.bmc.user = "a-user-of-17-byte".into();
    let said = bmc::open(&door).map(drop).unwrap_err().to_string();
    assert!(said.contains("longer than the 16 bytes"), "{said}");
    assert_eq!(bench.requests().await, 0);
}

#[tokio::test]
async fn a_bmc_that_keeps_16_bytes_of_a_password_is_told_from_one_with_another_password() {
    let password = "a password of 20 byt";
    // honest: all of it counts
    let bench = bench_under(password, honest()).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    driver.close().await;
    bench.settles_at("ipmi_sessions", 0).await;
    bench.quirks(json!({ "account": "short_password", "lockout_after": 1, "lockout_ms": 60_000 })).await;
    for length in [20, 17] {
        let before = bench.requests().await;
        let mut door = bench.door.clone();
        door.password = vocabulary::Secret::new(&password[..length]);
        let driver = bmc::open(&door).unwrap();
        for outcome in [driver.read().await, driver.power_on().await, driver.power_off().await, driver.read().await] {
            assert!(is_rejected(&outcome), "{length}: {outcome:?}");
            let said = outcome.unwrap_err().to_string();
            assert!(said.contains("F1009: ") && said.contains("the first 16 bytes"), "{length}: {said}");
            assert!(said.contains("no longer than what the BMC keeps") && !said.contains(&password[..16]), "{length}: {said}");
        }
        assert_eq!(bench.requests().await, before + 1, "one greeting, and no session in which anything was asked");
    }
    let mut door = bench.door.clone();
    door.password = vocabulary::Secret::new("another one of 20 by");
    let said = bmc::open(&door).unwrap().read().await.unwrap_err().to_string();
    assert!(said.contains("F1009: ") && said.contains("another password"), "{said}");
    // nobody was locked out, and the remedy is one
    door.password = vocabulary::Secret::new(&password[..16]);
    bmc::open(&door).unwrap().read().await.unwrap();
    // a BMC that was given more than IPMI has, and Redfish, which has no such end
    let password = "a password of 21 bytes";
    let bench = bench_under(password, json!({ "account": "short_password" })).await;
    let said = bmc::open(&bench.door).map(drop).unwrap_err().to_string();
    assert!(said.contains("longer than the 20 bytes"), "{said}");
    let mut door = crate::common::door(bench.sim.address, None);
    door.password = bench.door.password.clone();
    bmc::open(&door).unwrap().read().await.unwrap();
}

#[tokio::test]
async fn a_bmc_that_dies_of_two_questions_at_once_is_asked_one_at_a_time() {
    let bench = bench(json!({ "delay_ms": 20, "ipmi_flood": 2 })).await;
    let driver = bench.open();
    let all = (0..8).map(|_| driver.read());
    for outcome in futures::future::join_all(all).await {
        outcome.unwrap();
    }
    driver.power_on().await.unwrap();
    driver.survey(bmc::Scope::FactsAndLog).await.unwrap();
    let state = bench.state().await;
    assert_eq!((&state["bmc_starting"], &state["ipmi_sessions"]), (&json!(false), &json!(1)));
    // whoever asks more at once kills it
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for tag in 0..4 {
        socket.send_to(&bmc::ipmi::wire::ping(tag), bench.door.bmc.address).unwrap();
    }
    let restarted = async {
        while bench.state().await["ipmi_sessions"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), restarted).await.expect("it can be killed");
}
