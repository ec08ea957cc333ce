//! What BMCs do otherwise with commands and settings, each a quirk of the simulator: the driver copes, or says that it does not know.
//! Over real TLS sockets. Must never judge a setting by an answer alone: what the machine would do is asked of the simulator.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::{Bench, NAME, SERIAL, UUID, bench, bench_of, is_rejected, is_unconfirmed, nothing_was_sent};
use bmc_sim::{MachineConfig, Request};
use serde_json::{Value, json};
use vocabulary::boot::Firmware;
use vocabulary::power::{BootTarget, PowerState, RestorePolicy};

const SYSTEM: &str = "/redfish/v1/Systems/System-1";

/// A machine that boots by UEFI, with these quirks of Redfish.
async fn uefi(quirks: Value) -> Bench {
    let mut machine = MachineConfig::for_test(NAME);
    (machine.uuid, machine.serial) = (UUID.to_uppercase(), SERIAL.into());
    machine.hardware.boot_mode = "UEFI".into();
    let bench = bench_of(machine).await;
    bench.quirks(json!({ "redfish": quirks })).await;
    bench
}

/// What the machine boots from when it is switched on now.
async fn boots(bench: &Bench) -> Value {
    bench.switch_on().await;
    bench.state().await["boot_taken"].clone()
}

/// A PATCH by somebody else.
async fn foreign_patch(bench: &Bench, body: Value) {
    // another test of this process may have been first
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = reqwest::Certificate::from_pem(bench.sim.certificate_pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([pem]).build().unwrap();
    let url = format!("https://{}{SYSTEM}", bench.sim.address);
    let patched = client.patch(url).basic_auth("controller", Some("lab")).json(&body).send().await.unwrap();
    assert_eq!(patched.status(), 200);
}

/// Statuses of the PATCHes that reached the BMC.
async fn patches(bench: &Bench) -> Vec<u64> {
    bench.sent("PATCH").await.into_iter().map(|(_, status)| status).collect()
}

#[tokio::test]
async fn reset_types_are_read_from_the_action_info_where_the_action_lists_none() {
    let bench = bench(json!({ "redfish": { "inline_values": false, "reset_types": ["On", "ForceOff"] } })).await;
    bench.switch_on().await;
    let driver = bench.open();
    let refused = driver.shut_down().await;
    assert!(is_rejected(&refused) && nothing_was_sent(&bench).await, "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("it has: On, ForceOff"), "the list is told");
    driver.power_off().await.unwrap();
    let before = bench.requests().await;
    driver.read().await.unwrap();
    assert_eq!(bench.requests().await - before, 3, "the list is fetched at discovery, not with each reading");
}

#[tokio::test]
async fn a_power_on_that_meets_a_settling_machine_is_asked_for_again() {
    let bench = bench(json!({ "redfish": { "settling_ms": 1500 } })).await;
    bench.switch_on().await;
    bench.perform(Request::PowerOff { name: NAME.into() }).await;
    let on = bench.open().power_on().await.unwrap();
    assert_eq!(on.system_power, PowerState::On);
    assert_eq!(bench.resets("On").await, 3, "two conflicts, one second apart");
    bench.quirks(json!({ "redfish": { "settling_ms": 60_000 } })).await;
    bench.perform(Request::PowerOff { name: NAME.into() }).await;
    assert!(is_rejected(&bench.open().power_on().await), "not for ever");
    assert_eq!(bench.resets("On").await, 6);
}

#[tokio::test]
async fn a_boot_override_is_for_one_boot_whether_or_not_there_is_another_kind() {
    for continuous in [true, false] {
        let bench = bench(json!({ "redfish": { "continuous": continuous } })).await;
        bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
        assert_eq!(patches(&bench).await, [200], "continuous {continuous}");
        let taken = boots(&bench).await;
        assert_eq!((&taken["target"], &taken["enabled"]), (&json!("Pxe"), &json!("Once")));
        assert_eq!(bench.state().await["boot"]["target"], "None", "used up");
    }
}

#[tokio::test]
async fn what_a_bmc_forgets_unless_it_is_sent_is_sent() {
    let bench = uefi(json!({ "boot_resets_unsent": true })).await;
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(patches(&bench).await, [200], "right at once, nothing to be mended");
    let taken = boots(&bench).await;
    assert_eq!((&taken["target"], &taken["mode"]), (&json!("Pxe"), &json!("UEFI")));
}

#[tokio::test]
async fn a_bmc_without_a_boot_mode_or_that_refuses_it_gets_the_rest() {
    for (mode, sent) in [("missing", vec![200]), ("refused", vec![400, 200])] {
        let bench = uefi(json!({ "boot_mode": mode })).await;
        let driver = bench.open();
        driver.set_boot_target(BootTarget::Pxe).await.unwrap_or_else(|e| panic!("{mode}: {e}"));
        assert_eq!(patches(&bench).await, sent, "{mode}");
        assert_eq!(boots(&bench).await["target"], "Pxe", "{mode}");
    }
}

#[tokio::test]
async fn a_bmc_that_refuses_what_is_in_force_already_gets_what_changes() {
    let bench = uefi(json!({ "refuses_unchanged": true })).await;
    let driver = bench.open();
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(patches(&bench).await, [400, 200], "the mode is the same");
    // now nothing at all changes: every form is refused, and it reads as wanted
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    assert!(patches(&bench).await.iter().skip(2).all(|status| *status == 400));
    let taken = boots(&bench).await;
    assert_eq!((&taken["target"], &taken["mode"]), (&json!("Pxe"), &json!("UEFI")));
}

#[tokio::test]
async fn where_the_system_refuses_an_override_its_settings_resource_takes_it() {
    let bench = uefi(json!({ "boot_place": "settings" })).await;
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(bench.state().await["boot"]["target"], "None", "the system reads as before until the next start");
    let taken = boots(&bench).await;
    assert_eq!((&taken["target"], &taken["mode"]), (&json!("Pxe"), &json!("UEFI")));
}

#[tokio::test]
async fn a_platform_whose_system_only_seems_to_take_an_override_gets_it_at_the_settings_resource() {
    // the record that says so names the maker
    let mut machine = MachineConfig::for_test(NAME);
    (machine.uuid, machine.serial) = (UUID.to_uppercase(), SERIAL.into());
    machine.hardware.manufacturer = "AMI".into();
    let known = bench_of(machine).await;
    known.quirks(json!({ "redfish": { "boot_place": "settings_in_silence" } })).await;
    known.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(patches(&known).await, [200]);
    assert_eq!(boots(&known).await["target"], "Pxe");
    // of others it is found out by reading, and nothing is claimed
    let unknown = bench(json!({ "redfish": { "boot_place": "settings_in_silence" } })).await;
    assert!(is_unconfirmed(&unknown.open().set_boot_target(BootTarget::Pxe).await));
    assert_eq!(boots(&unknown).await["target"], "None");
}

#[tokio::test]
async fn an_override_that_is_refused_in_post_is_set_after_it() {
    let bench = uefi(json!({ "post_ms": 2000 })).await;
    bench.switch_on().await;
    let begun = Instant::now();
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let sent = patches(&bench).await;
    assert!(sent.len() >= 2 && sent.ends_with(&[200]) && sent[..sent.len() - 1].iter().all(|status| *status == 400), "{sent:?}");
    assert_eq!(bench.state().await["boot"], json!({ "enabled": "Once", "target": "Pxe", "mode": "UEFI" }), "the whole form");
}

#[tokio::test]
async fn an_override_that_is_refused_in_post_is_not_sent_for_ever() {
    let bench = uefi(json!({ "post_ms": 3_600_000 })).await;
    bench.switch_on().await;
    let refused = bench.open().set_boot_target(BootTarget::Pxe).await;
    assert!(is_rejected(&refused), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("in POST"), "the BMC's own words");
    assert!(patches(&bench).await.len() <= 12);
}

#[tokio::test]
async fn a_mode_that_flips_with_the_device_is_set_again_or_not_confirmed() {
    let bench = uefi(json!({ "flips_mode": "with_device" })).await;
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(patches(&bench).await, [200, 200]);
    let taken = boots(&bench).await;
    assert_eq!((&taken["target"], &taken["mode"]), (&json!("Pxe"), &json!("UEFI")));
    // a machine that can boot in one mode alone gets that one, whatever the BMC says at first
    let mut bench = bench_of(MachineConfig { uuid: UUID.into(), serial: SERIAL.into(), ..MachineConfig::for_test(NAME) }).await;
    bench.door.firmware = BTreeSet::from([Firmware::Uefi]);
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(boots(&bench).await["mode"], "UEFI");
    for quirks in [json!({ "flips_mode": "always" }), json!({ "boot_mode": "refused", "flips_mode": "with_device" })] {
        let outcome = uefi(quirks).await.open().set_boot_target(BootTarget::Pxe).await;
        assert!(is_unconfirmed(&outcome), "the mode cannot be set again: {outcome:?}");
    }
}

#[tokio::test]
async fn an_address_that_somebody_else_left_is_not_booted_from() {
    let foreign = json!({ "Boot": { "HttpBootUri": "http://192.0.2.1/other.efi" } });
    let bench = uefi(json!({})).await;
    foreign_patch(&bench, foreign.clone()).await;
    bench.open().set_boot_target(BootTarget::UefiHttp).await.unwrap();
    let taken = boots(&bench).await;
    assert_eq!((&taken["target"], &taken["http_boot_uri"]), (&json!("UefiHttp"), &json!("")));
    let stubborn = uefi(json!({})).await;
    foreign_patch(&stubborn, foreign).await;
    stubborn.quirks(json!({ "redfish": { "keeps_uri": true } })).await;
    let driver = stubborn.open();
    let outcome = driver.set_boot_target(BootTarget::UefiHttp).await;
    assert!(is_unconfirmed(&outcome) && outcome.unwrap_err().to_string().contains("192.0.2.1"), "it is told whose it is");
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
}

#[tokio::test]
async fn a_setting_that_goes_on_as_a_task_is_done_when_the_task_is() {
    // by its body, by the list alone, found late, and gone at its end: never by its monitor, whose look would delete it
    for quirks in [
        json!({ "task": "completes", "task_ms": 2500 }),
        json!({ "task": "completes", "task_ms": 2500, "task_in_body": false }),
        json!({ "task": "completes", "task_ms": 2500, "task_hidden_ms": 1500 }),
        json!({ "task": "completes", "task_ms": 2500, "task_goes": true }),
    ] {
        let bench = uefi(quirks.clone()).await;
        bench.quirks(json!({ "redfish": { "monitor_deletes": true } })).await;
        let begun = Instant::now();
        bench.open().set_boot_target(BootTarget::Pxe).await.unwrap_or_else(|e| panic!("{quirks}: {e}"));
        assert!(begun.elapsed() >= Duration::from_millis(2500), "{quirks}: not before it was done");
        assert_eq!(patches(&bench).await, [202], "{quirks}");
        assert_eq!(boots(&bench).await["target"], "Pxe", "{quirks}");
    }
}

#[tokio::test]
async fn a_job_that_is_not_scheduled_yet_is_no_success_whatever_reads_as_set() {
    let bench = uefi(json!({ "task": "schedules", "task_ms": 1500 })).await;
    bench.open().set_boot_target(BootTarget::Pxe).await.unwrap();
    let taken = boots(&bench).await;
    assert_eq!(taken["target"], "Pxe", "scheduled before the answer, so that the start finds it");
    let mut bench = uefi(json!({ "task": "schedules", "task_ms": 60_000 })).await;
    bench.door.patience.task = Duration::from_secs(1);
    let outcome = bench.open().set_boot_target(BootTarget::Pxe).await;
    assert_eq!(bench.state().await["boot"]["target"], "Pxe", "it reads as set");
    assert!(is_unconfirmed(&outcome) && outcome.as_ref().unwrap_err().to_string().contains("New"), "{outcome:?}");
    assert_eq!(boots(&bench).await["target"], "None", "and would have booted from the wrong device");
}

#[tokio::test]
async fn a_task_that_fails_is_a_no_and_one_that_does_not_end_says_nothing() {
    let bench = uefi(json!({ "task": "fails", "task_ms": 300 })).await;
    let refused = bench.open().set_boot_target(BootTarget::Pxe).await;
    assert!(is_rejected(&refused), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("was not updated"), "the task's own words");
    for quirks in [json!({ "task": "stalls" }), json!({ "task": "completes", "task_hidden_ms": 3_600_000 })] {
        let mut bench = uefi(quirks.clone()).await;
        bench.door.patience.task = Duration::from_secs(2);
        let begun = Instant::now();
        let outcome = bench.open().set_boot_target(BootTarget::Pxe).await;
        assert!(is_unconfirmed(&outcome), "{quirks}: {outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{quirks}");
        assert_eq!(patches(&bench).await, [202], "{quirks}: sent once");
    }
}

#[tokio::test]
async fn a_reset_is_judged_by_the_machine_and_not_by_its_task() {
    for task in ["fails", "stalls", "completes"] {
        let bench = bench(json!({ "redfish": { "task": task, "task_ms": 3_600_000 } })).await;
        let driver = bench.open();
        let begun = Instant::now();
        driver.power_on().await.unwrap();
        driver.power_off().await.unwrap();
        bench.settles("system_power", "Off").await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{task}: nobody waits for it");
        assert_eq!(bench.sent("POST").await.into_iter().map(|(_, status)| status).collect::<Vec<_>>(), [202, 202], "{task}");
    }
}

/// A machine of this maker, whose restore policy is a BIOS attribute.
async fn maker(vendor: &str, attribute: &str) -> Bench {
    let mut machine = MachineConfig { uuid: UUID.into(), serial: SERIAL.into(), ..MachineConfig::for_test(NAME) };
    machine.hardware.manufacturer = vendor.into();
    let bench = bench_of(machine).await;
    bench.quirks(json!({ "redfish": { "policy_attribute": attribute } })).await;
    bench
}

#[tokio::test]
async fn a_restore_policy_in_the_bios_is_pending_until_the_next_start_and_active_after_it() {
    for (vendor, attribute, off) in [("Dell", "dell", "Off"), ("HPE", "hpe", "AlwaysPowerOff")] {
        let bench = maker(vendor, attribute).await;
        let driver = bench.open();
        for _ in 0..2 {
            let told = driver.set_restore_policy_off().await;
            assert!(is_unconfirmed(&told), "{vendor}: {told:?}");
            assert!(told.unwrap_err().to_string().contains(&format!("{off} is pending")), "{vendor}");
        }
        assert_eq!(patches(&bench).await, [200], "{vendor}: what is pending is not written again");
        assert_eq!(bench.state().await["restore_policy"], "LastState", "{vendor}: it would return by itself");
        bench.switch_on().await;
        let reading = driver.set_restore_policy_off().await.unwrap_or_else(|e| panic!("{vendor}: {e}"));
        assert_eq!(reading.restore_policy, RestorePolicy::AlwaysOff, "{vendor}");
        assert_eq!(bench.state().await["restore_policy"], "AlwaysOff", "{vendor}: and it is");
        assert_eq!(patches(&bench).await, [200], "{vendor}");
        assert_eq!(
            driver.read().await.unwrap().restore_policy,
            RestorePolicy::Unknown,
            "{vendor}: not looked at with each reading"
        );
    }
}

#[tokio::test]
async fn a_job_for_a_bios_attribute_is_followed_too() {
    let bench = maker("Dell", "dell").await;
    bench.quirks(json!({ "redfish": { "task": "fails", "task_ms": 300 } })).await;
    let refused = bench.open().set_restore_policy_off().await;
    assert!(is_rejected(&refused), "{refused:?}");
    bench.quirks(json!({ "redfish": { "task": "schedules", "task_ms": 600 } })).await;
    assert!(is_unconfirmed(&bench.open().set_restore_policy_off().await), "scheduled is pending");
    bench.switch_on().await;
    bench.open().set_restore_policy_off().await.unwrap();
}

#[tokio::test]
async fn no_attribute_is_guessed() {
    for (vendor, attribute) in [("Nobody", "dell"), ("HPE", "dell"), ("Dell", "hpe")] {
        let bench = maker(vendor, attribute).await;
        let refused = bench.open().set_restore_policy_off().await;
        assert!(is_rejected(&refused) && nothing_was_sent(&bench).await, "{vendor} {attribute}: {refused:?}");
    }
}

#[tokio::test]
async fn bodies_are_asked_for_as_they_are_and_a_bmc_that_refuses_to_hear_that_is_not_told() {
    let bench = bench(json!({ "redfish": { "compresses": true }, "etag": "required" })).await;
    let driver = bench.open();
    assert!(driver.read().await.unwrap().all_off(), "a compressed body could not be read");
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    assert_eq!(patches(&bench).await, [200], "with the strong ETag of a body that is not compressed");
    bench.quirks(json!({ "redfish": { "compresses": false, "refuses_identity": true } })).await;
    for driver in [driver, bench.open()] {
        assert!(driver.read().await.unwrap().all_off(), "the three requests of a reading meet it at once");
        let before = bench.requests().await;
        driver.read().await.unwrap();
        assert_eq!(bench.requests().await - before, 3, "it is not said again");
        driver.power_on().await.unwrap();
        driver.power_off().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_when_it_is_used_again_costs_a_get_and_no_command() {
    let bench = bench(json!({ "redfish": { "idle_cut_ms": 100 } })).await;
    bench.switch_on().await;
    let driver = bench.open();
    let first = driver.read().await.unwrap().session;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(driver.read().await.unwrap().session, first, "asked again on a new connection");
    }
    driver.set_boot_target(BootTarget::Pxe).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    driver.power_off().await.unwrap();
    assert_eq!(bench.resets("ForceOff").await, 1);
}
