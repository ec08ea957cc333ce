//! An account that may only read suffices for watching, and then no request that changes anything leaves the process: counted where they
//! would arrive. A session that is made and ended is the only POST and the only DELETE.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Bench, NAME, bench, honest};
use bmc::Driver;
use bmc::findings::Can;
use bmc_sim::Request;
use serde_json::{Value, json};
use vocabulary::estate::BmcAccess;
use vocabulary::power::{BootTarget, MachineReading, PowerState};
use vocabulary::request::AgentError;

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
/// An event is heard by then, on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// And what is not said is not heard within this.
const WHILE: Duration = Duration::from_millis(700);

/// Every request that was no reading: method, path, status.
async fn others(bench: &Bench) -> Vec<(String, String, u64)> {
    let state = bench.state().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let recent = state["recent"].as_array().unwrap();
    recent.iter().map(|r| (text(&r["method"]), text(&r["path"]), r["status"].as_u64().unwrap())).collect()
}

/// Those of them that are more than a session made or ended.
async fn mutating(bench: &Bench) -> usize {
    let is_session = |(method, path, _): &(String, String, u64)| match method.as_str() {
        "POST" => path == SESSIONS,
        "DELETE" => path.starts_with(&format!("{SESSIONS}/")),
        _ => false,
    };
    others(bench).await.iter().filter(|other| !is_session(other)).count()
}

/// Every command that there is.
async fn commands(driver: &Arc<dyn Driver>) -> [Result<MachineReading, AgentError>; 6] {
    [
        driver.power_off().await,
        driver.power_on().await,
        driver.shut_down().await,
        driver.set_boot_target(BootTarget::Pxe).await,
        driver.set_boot_target(BootTarget::UefiHttp).await,
        driver.set_restore_policy_off().await,
    ]
}

fn is_too_few_rights(outcome: &Result<MachineReading, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Rejected { reason }) if reason.starts_with("F1011: "))
}

#[tokio::test]
async fn all_of_watching_works_with_an_account_that_may_only_read_and_nothing_else_leaves() {
    for makes_sessions in [true, false] {
        let mut bench = bench(json!({ "privilege": "user", "redfish": { "makes_sessions": makes_sessions } })).await;
        bench.door.bmc.access = BmcAccess::Watch;
        let driver = bench.open();
        assert!(driver.read().await.unwrap().all_off());
        let begun = tokio::time::timeout(SOON, driver.changed()).await == Ok(Ok(()));
        assert_eq!(begun, makes_sessions, "the stream's beginning is the first reason to look");
        let listened = tokio::time::timeout(WHILE, driver.changed()).await;
        assert_ne!(listened, Ok(Ok(())), "nothing has happened yet");
        bench.switch_on().await;
        let told = tokio::time::timeout(SOON, driver.changed()).await == Ok(Ok(()));
        assert_eq!(told, makes_sessions, "without a session nobody listens");
        assert_eq!(driver.read().await.unwrap().system_power, PowerState::On);
        let found = bmc::probe(&bench.door, bmc::Scope::Facts).await.unwrap();
        assert!(found.matches && found.findings.abilities[..6].iter().all(|able| able.can == Can::No), "{found:?}");
        bench.lose_sessions().await;
        driver.read().await.unwrap();
        for refused in commands(&driver).await {
            assert!(is_too_few_rights(&refused), "{refused:?}");
        }
        driver.close().await;
        assert_eq!(mutating(&bench).await, 0, "{:?}", others(&bench).await);
        let logins = others(&bench).await.iter().filter(|(method, ..)| method == "POST").count();
        assert!(logins > 0, "the simulator counts what is no reading");
        assert!(bench.runs());
    }
}

#[tokio::test]
async fn what_the_estate_only_watches_gets_no_command_even_if_the_account_could() {
    let mut bench = bench(honest()).await;
    bench.door.bmc.access = BmcAccess::Watch;
    bench.switch_on().await;
    let driver = bench.open();
    for refused in commands(&driver).await {
        assert!(is_too_few_rights(&refused), "{refused:?}");
    }
    assert!(bench.runs());
    assert_eq!(others(&bench).await, [], "not even a session");
    bench.door.bmc.access = BmcAccess::Command;
    bench.open().power_off().await.unwrap();
    assert_eq!(mutating(&bench).await, 1, "what would leave is counted");
}

#[tokio::test]
async fn where_the_estate_does_not_say_so_the_bmc_does() {
    let bench = bench(json!({ "privilege": "user" })).await;
    bench.perform(Request::PowerOn { name: NAME.into() }).await;
    let driver = bench.open();
    for (at, refused) in commands(&driver).await.iter().enumerate() {
        // it is on already: nothing is asked
        let needless = at == 1;
        assert_eq!(is_too_few_rights(refused), !needless, "{at}: {refused:?}");
    }
    let refused: Vec<_> = others(&bench).await.into_iter().filter(|(.., status)| *status == 403).collect();
    assert!(refused.len() >= 5, "{refused:?}");
    assert!(bench.runs() && bench.state().await["restore_policy"] == "LastState");
}

#[tokio::test]
async fn one_word_is_the_same_over_ipmi() {
    let mut bench = crate::ipmi_common::bench(json!({ "privilege": "user" })).await;
    bench.switch_on().await;
    let asks_too_much = bench.open().read().await;
    assert!(is_too_few_rights(&asks_too_much), "a session for commands is more than this account may have: {asks_too_much:?}");
    bench.door.bmc.access = BmcAccess::Watch;
    let driver = bench.open();
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::On);
    for refused in commands(&driver).await {
        assert!(is_too_few_rights(&refused), "{refused:?}");
    }
    assert!(driver.found().unwrap().abilities[..6].iter().all(|able| able.can == Can::No));
    assert_eq!(others(&bench).await, [], "nothing that changes anything");
    assert!(bench.runs());
}
