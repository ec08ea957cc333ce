//! The event stream as a wake-up: what happens at the BMC is told at once, nothing of it is believed, and a stream that is absent, refused,
//! silent, a flood or noise costs nothing but itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Bench, NAME, bench, honest};
use bmc::findings::{Can, name};
use bmc::{Driver, limits};
use bmc_sim::Request;
use serde_json::json;
use vocabulary::power::PowerState;

/// An event is heard by then, on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// And what is not said is not heard within this.
const WHILE: Duration = Duration::from_millis(700);

/// A driver that has read its machine, and listens.
async fn listening(bench: &Bench) -> Arc<dyn Driver> {
    let driver = bench.open();
    driver.read().await.unwrap();
    assert!(heard(&driver, SOON).await, "what happened before the stream is not told, so its beginning is a reason to look");
    assert!(!heard(&driver, WHILE).await, "nothing has happened yet");
    driver
}

async fn heard(driver: &Arc<dyn Driver>, within: Duration) -> bool {
    let begun = tokio::time::Instant::now();
    match tokio::time::timeout_at(begun + within, driver.changed()).await {
        Ok(told) if told.is_ok() => true,
        // it says at once that it tells nothing
        _ => {
            tokio::time::sleep_until(begun + within).await;
            false
        }
    }
}

async fn press(bench: &Bench) {
    let name = NAME.to_owned();
    bench.perform(if bench.runs() { Request::Kill { name } } else { Request::PowerOn { name } }).await;
}

#[tokio::test]
async fn what_happens_is_told_at_once_and_what_is_said_while_nobody_waits_is_not_lost() {
    let bench = bench(honest()).await;
    let driver = listening(&bench).await;
    press(&bench).await;
    assert!(heard(&driver, SOON).await);
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::On);
    // while nobody waits
    press(&bench).await;
    bench.settles("system_power", "Off").await;
    tokio::time::sleep(WHILE).await;
    assert!(heard(&driver, SOON).await);
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    assert!(!heard(&driver, WHILE).await, "each is told once");
    assert_eq!(bench.state().await["sessions"], 1, "the stream is on the session of the readings");
    let tells = driver.found().unwrap().abilities.into_iter().find(|ability| ability.name == name::TELLS).unwrap();
    assert_eq!(tells.can, Can::Yes, "{tells:?}");
}

#[tokio::test]
async fn an_event_is_no_reading() {
    // it says that the machine is on, again and again, and it is off
    let bench = bench(json!({ "redfish": { "events": "floods" } })).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    // the first is the stream's beginning
    for _ in 0..2 {
        assert!(heard(&driver, SOON).await);
        assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    }
}

#[tokio::test]
async fn a_stream_that_ended_is_opened_again_and_follows_its_session() {
    let bench = bench(honest()).await;
    let driver = listening(&bench).await;
    bench.lose_sessions().await;
    assert!(!heard(&driver, WHILE).await, "its end is no event");
    driver.read().await.unwrap();
    // the pause after the first failures is short, and grows
    let again = async {
        loop {
            press(&bench).await;
            if heard(&driver, limits::STREAM_PAUSE).await {
                return;
            }
        }
    };
    tokio::time::timeout(limits::STREAM_PAUSE * 20, again).await.unwrap();
    assert_eq!(bench.state().await["sessions"], 1);
}

#[tokio::test]
async fn streams_that_are_none_cost_nothing_but_themselves() {
    futures::future::join_all(["absent", "refused", "stalls", "garbage", "closes", "floods"].map(watched)).await;
}

/// Reads and listens for a while.
async fn watched(events: &str) {
    let bench = bench(json!({ "redfish": { "events": events } })).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    let begun = Instant::now();
    let (mut wakes, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < limits::STREAM_PAUSE * 4 {
        wakes += u32::from(heard(&driver, Duration::from_millis(200)).await);
        let asked = Instant::now();
        assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off, "{events}");
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{events}: {slowest:?}");
    let tells = driver.found().unwrap().abilities.into_iter().find(|ability| ability.name == name::TELLS).unwrap();
    assert_eq!(tells.can, if events == "absent" { Can::No } else { Can::Yes });
    match events {
        // until it is known for what it is, each time; attempts at 0, 0.5 to 1, 1.5 to 3, 3.5 to 7 s
        "floods" => assert!(wakes > 4 && wakes <= 4 * (limits::WAKES_MAX + 1), "{wakes}"),
        // each beginning, and nothing more
        "stalls" => assert_eq!(wakes, 1),
        "garbage" | "closes" => assert!((1..=4).contains(&wakes), "{events}: {wakes}"),
        _ => assert_eq!(wakes, 0, "{events}"),
    }
}

#[tokio::test]
async fn a_bmc_that_refuses_the_stream_or_ends_it_is_asked_for_it_ever_more_seldom() {
    futures::future::join_all(["refused", "closes"].map(asked_ever_more_seldom)).await;
}

async fn asked_ever_more_seldom(events: &str) {
    let bench = bench(json!({ "redfish": { "events": events } })).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    let before = bench.requests().await;
    let listens = async {
        loop {
            driver.changed().await.unwrap();
        }
    };
    let _: Result<(), _> = tokio::time::timeout(limits::STREAM_PAUSE * 5, listens).await;
    let asked = bench.requests().await - before;
    assert!((3..=5).contains(&asked), "{events}: at 0, 0.5 to 1, 1.5 to 3, 3.5 to 7 seconds, and not more: {asked}");
}

#[tokio::test]
async fn where_each_request_carries_the_account_nobody_listens() {
    let bench = bench(json!({ "session_cap": 0 })).await;
    let driver = bench.open();
    driver.read().await.unwrap();
    press(&bench).await;
    assert!(driver.changed().await.is_err());
    let tells = driver.found().unwrap().abilities.into_iter().find(|ability| ability.name == name::TELLS).unwrap();
    assert_eq!(tells.can, Can::No);
}
