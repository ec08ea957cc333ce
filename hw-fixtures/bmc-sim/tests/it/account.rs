//! The account of a BMC is one, whatever it speaks: its states, its rights, its lock. Must never conclude them from the quirk's own setting.

use bmc_sim::{MachineConfig, RestorePolicy, Simulator};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{SYSTEM, key, rig};

#[tokio::test]
async fn locked_disabled_and_otherwise_kept_accounts_are_refused() {
    let rig = rig().await;
    for account in ["other_password", "locked", "disabled"] {
        rig.quirk(json!({ "account": account })).await;
        assert_eq!(rig.try_get(SYSTEM).await.unwrap().status(), StatusCode::UNAUTHORIZED, "{account}");
    }
    rig.quirk(json!({ "account": "usable" })).await;
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let rig = rig().await;
    rig.quirk(json!({ "privilege": "user" })).await;
    assert_eq!(rig.power().await, "Off");
    assert_eq!(rig.reset("On").await, StatusCode::FORBIDDEN);
    let refused = rig.patch(json!({ "PowerRestorePolicy": "AlwaysOff" })).await;
    assert_eq!((refused.status(), key(refused).await.as_str()), (StatusCode::FORBIDDEN, "InsufficientPrivilege"));
    assert_eq!((rig.pid(), rig.get(SYSTEM).await["PowerRestorePolicy"].clone()), (None, json!("LastState")));
    rig.quirk(json!({ "privilege": "operator" })).await;
    assert_eq!(rig.reset("On").await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn wrong_passwords_in_a_row_lock_the_account_and_time_unlocks_it() {
    let rig = rig().await;
    rig.quirk(json!({ "lockout_after": 2, "lockout_ms": 1500 })).await;
    let wrong = || rig.client.get(rig.url(SYSTEM)).basic_auth("controller", Some("wrong")).send();
    assert_eq!(wrong().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rig.power().await, "Off", "one is no row");
    assert_eq!(wrong().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rig.power().await, "Off", "a right one ends it");
    for _ in 0..2 {
        wrong().await.unwrap();
    }
    assert_eq!(rig.try_get(SYSTEM).await.unwrap().status(), StatusCode::UNAUTHORIZED, "locked");
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn a_bmc_must_speak_something_and_its_key_must_fit() {
    let mut mute = MachineConfig::for_test("m1");
    mute.redfish = false;
    assert!(Simulator::start_one(mute.clone()).await.unwrap_err().to_string().contains("speaks nothing"));
    mute.ipmi = Some(([127, 0, 0, 1], 0).into());
    for bad in ["", "0x", "0x1", "0xzz", "123456789012345678901"] {
        mute.ipmi_key = Some(bad.into());
        assert!(Simulator::start_one(mute.clone()).await.is_err(), "{bad}");
    }
    mute.ipmi_key = None;
    mute.restore_policy = RestorePolicy::AlwaysOff;
    let simulator = Simulator::start_one(mute).await.unwrap();
    assert!(simulator.certificate_pem.is_empty() && simulator.ipmi_address_of("m1").unwrap().port() != 0);
    assert!(simulator.control.perform(bmc_sim::Request::ChangeCertificate { name: "m1".into() }).await.is_err());
    simulator.control.set_quirks("m1", json!({ "reach": "refuse" })).await.unwrap();
    simulator.shutdown().await;
}
