//! The driver behind its seam: what it asks in which order, what it believes, and what it does not do.

use crate::bench::{Bench, Fixture, LOAD_W, SERIAL, Wire, id, rejected, unit, unreachable};
use contract::conformance;
use contract::outlet::Outlets;
use outlet::limits::{ACT_MAX, GET_MAX, SETTLE_MAX};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::WallTime;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};
use world::outlet::mib::{Metered, Mib};
use world::outlet::{self as pdu, Quirk};

const NEVER: (&str, i32) = ("on-time", -1);
const AT_ONCE: (&str, i32) = ("on-time", 0);
const OFF: (&str, i32) = ("command", 2);
const ON: (&str, i32) = ("command", 1);

fn reading(relay: Relay, watts: Option<u32>, on_return: OnReturn) -> OutletReading {
    OutletReading { outlet: id(2), relay, watts, on_return, read_at: WallTime(7) }
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_laws_also_of_a_slow_unit() {
    for (takes, lags) in [(0, 0), (1_500, 3_000)] {
        let bench = Bench::new();
        assert!(bench.unit().takes(2, Duration::from_millis(takes)));
        assert!(bench.unit().has(2, Quirk::MeterLags(Duration::from_millis(lags))));
        conformance::outlet(&Fixture { driver: &bench.driver(), unit: bench.unit().clone() }).await.unwrap();
        assert_eq!((bench.unit().relay(2), bench.unit().on_return(2)), (Some(false), Some(pdu::OnReturn::StaysOff)));
        assert!([1, 3, 4].iter().all(|number| bench.unit().relay(*number) == Some(true)));
    }
}

#[tokio::test(start_paused = true)]
async fn it_tells_the_restart_state_first_and_only_where_it_differs() {
    let bench = Bench::new();
    let driver = bench.driver();
    assert_eq!(driver.read(2).await, Ok(reading(Relay::On, Some(LOAD_W), OnReturn::TurnsOn)));
    assert_eq!(driver.cut(2).await, Ok(reading(Relay::Off, Some(0), OnReturn::StaysOff)));
    assert_eq!(driver.cut(2).await.map(|seen| seen.is_cut()), Ok(true));
    assert_eq!(driver.feed(2).await, Ok(reading(Relay::On, Some(LOAD_W), OnReturn::TurnsOn)));
    assert_eq!(bench.told(), [NEVER, OFF, OFF, AT_ONCE, ON]);
    bench.unit().set_on_return(2, pdu::OnReturn::AsBefore).await.unwrap();
    assert_eq!(driver.read(2).await.unwrap().on_return, OnReturn::Unknown, "what the table cannot say");
    assert!(driver.cut(2).await.unwrap().is_cut());
    assert!(bench.unit().feed(false) && unreachable(&driver.read(2).await) && bench.unit().feed(true));
    assert!(driver.read(2).await.unwrap().is_cut(), "it stays off when the unit returns");
}

#[tokio::test(start_paused = true)]
async fn another_unit_at_the_address_is_never_switched() {
    let bench = Bench::new();
    for driver in [bench.driver_of("5A1234E00002"), bench.driver_of("5A1234E0000"), bench.driver_of("5a1234e00001")] {
        for outcome in [driver.read(2).await, driver.cut(2).await, driver.feed(2).await] {
            assert!(rejected(&outcome), "{outcome:?}");
            assert!(outcome.unwrap_err().to_string().contains(SERIAL));
        }
    }
    assert_eq!((bench.told(), bench.unit().switchings()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_reply_it_says_so_and_sends_nothing_again() {
    for (wire, told, relay, on_return) in [
        (Wire::LosesReply(1), vec![NEVER], true, pdu::OnReturn::StaysOff),
        (Wire::LosesSet(1), vec![NEVER], true, pdu::OnReturn::GoesOn),
        (Wire::LosesReply(2), vec![NEVER, OFF], false, pdu::OnReturn::StaysOff),
        (Wire::LosesSet(2), vec![NEVER, OFF], true, pdu::OnReturn::StaysOff),
    ] {
        let bench = Bench::new();
        bench.wire(wire);
        let outcome = bench.driver().cut(2).await;
        assert!(unreachable(&outcome) && outcome.unwrap_err().to_string().contains("unknown"), "{wire:?}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((bench.told(), bench.unit().relay(2)), (told, Some(relay)), "{wire:?}");
        assert_eq!(bench.unit().on_return(2), Some(on_return), "{wire:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_fit_is_no_answer() {
    let bench = Bench::new();
    let driver = bench.driver();
    for wire in [Wire::LosesGets, Wire::Shortens, Wire::Swaps, Wire::Shifts] {
        bench.wire(wire);
        for outcome in [driver.read(2).await, driver.cut(2).await, driver.feed(2).await] {
            assert!(unreachable(&outcome), "{wire:?}: {outcome:?}");
        }
    }
    assert_eq!((bench.told(), bench.unit().switchings()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_says_no_or_says_yes_and_does_nothing() {
    let bench = Bench::new();
    let driver = bench.driver();
    bench.unit().has(2, Quirk::Refuses);
    assert!(rejected(&driver.cut(2).await) && rejected(&driver.feed(2).await));
    assert_eq!(bench.told(), [NEVER, OFF, ON], "it is cut though it cannot be told to stay off");
    bench.unit().well(2);
    bench.unit().has(2, Quirk::Ignores);
    let begun = Instant::now();
    let seen = driver.cut(2).await.unwrap();
    assert_eq!(seen, reading(Relay::On, Some(LOAD_W), OnReturn::TurnsOn), "what was read back, not what was asked");
    assert!((SETTLE_MAX..SETTLE_MAX * 2).contains(&begun.elapsed()));
    bench.unit().has(2, Quirk::ReadsWish);
    let seen = driver.cut(2).await.unwrap();
    assert_eq!(seen, reading(Relay::Off, Some(LOAD_W), OnReturn::StaysOff), "its meter tells on it");
    assert!(seen.not_cut().is_some_and(|why| why.contains("240 W")));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_refuses_one_thing_is_cut_all_the_same() {
    // its restart state is taken, and not kept: only the relay obeys
    let bench = Bench::new();
    bench.unit().has(1, Quirk::Another);
    let seen = bench.driver().cut(1).await.unwrap();
    assert!(seen.not_cut().is_some() && bench.unit().relay(1) == Some(true), "another one was switched: {seen:?}");
    assert_eq!(bench.unit().relay(2), Some(false));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_measured_is_not_zero() {
    for metered in [Metered::Amperes, Metered::Nothing] {
        let bench = Bench::of(Mib::of(unit()).measuring(metered));
        let begun = Instant::now();
        let seen = bench.driver().cut(2).await.unwrap();
        assert_eq!(seen, reading(Relay::Off, None, OnReturn::StaysOff));
        assert!(!seen.is_cut() && begun.elapsed() < SETTLE_MAX, "no waiting makes a meter");
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_late_or_dark_is_given_up_in_time() {
    let bench = Bench::new();
    let driver = bench.driver();
    bench.unit().has(2, Quirk::Late(Duration::from_secs(60)));
    for acts in [false, true] {
        let begun = Instant::now();
        let outcome = if acts { driver.cut(2).await } else { driver.read(2).await };
        assert!(unreachable(&outcome), "{outcome:?}");
        assert!(begun.elapsed() <= GET_MAX + Duration::from_millis(10) && begun.elapsed() < ACT_MAX);
    }
    bench.unit().well(2);
    bench.unit().feed(false);
    assert!(unreachable(&driver.read(2).await) && unreachable(&driver.cut(2).await) && unreachable(&driver.feed(2).await));
    assert_eq!(bench.told(), []);
    bench.unit().feed(true);
    bench.unit().takes(2, Duration::from_secs(4));
    assert_eq!(driver.cut(2).await.map(|seen| seen.is_cut()), Ok(true), "a slow relay is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_goes_silent_after_the_switching_has_confirmed_nothing() {
    let bench = Bench::new();
    let driver = bench.driver();
    bench.unit().takes(2, Duration::from_secs(1));
    let cut = tokio::spawn(async move { driver.cut(2).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.wire(Wire::LosesGets);
    let outcome = cut.await.unwrap();
    assert!(unreachable(&outcome) && bench.unit().relay(2) == Some(false), "{outcome:?}");
}
