//! The device behind the gate: which outlets it owns, what it keeps cut, and what it never touches.

use crate::bench::{Bench, LOAD_W, Wire, id, rejected, unreachable};
use contract::{Action, AgentError, Answer, Device, Standing};
use outlet::OutletDevice;
use outlet::limits::{SETTLE_MAX, WATCH_PERIOD};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use vocabulary::Epoch;
use vocabulary::outlet::{OutletReading, Relay};
use vocabulary::request::{GateEntry, Resource};
use world::outlet::{OnReturn, Quirk};

fn device(bench: &Arc<Bench>) -> Arc<OutletDevice> {
    Arc::new(OutletDevice::new(crate::bench::pdu(), &BTreeSet::from([1, 2, 3]), Arc::new(bench.driver())))
}

fn standing(outlet: u16, barred: bool) -> Standing {
    let entry = GateEntry {
        resource: Resource::Outlet(id(outlet)),
        epoch: Epoch(4),
        plan: None,
        holder: None,
        barred: barred.then_some(Epoch(4)),
        done: Some(0),
    };
    Standing { entry, action: None }
}

fn keeps(device: &Arc<OutletDevice>) {
    let device = device.clone();
    tokio::spawn(async move { device.keep().await });
}

async fn reading(device: &OutletDevice, action: Action) -> Result<OutletReading, AgentError> {
    match device.perform(&action).await? {
        Answer::Outlet(reading) => Ok(reading),
        other => panic!("{other:?}"),
    }
}

async fn a_while() {
    tokio::time::sleep(WATCH_PERIOD * 3 + SETTLE_MAX).await;
}

#[tokio::test(start_paused = true)]
async fn it_owns_its_outlets_and_does_what_is_said() {
    let bench = Bench::new();
    let device = device(&bench);
    let other = vocabulary::OutletId { pdu: "pdu2".parse().unwrap(), outlet: 1 };
    assert!(device.owns(&Resource::Outlet(id(1))) && device.owns(&Resource::Outlet(id(3))));
    assert!(!device.owns(&Resource::Outlet(id(4))) && !device.owns(&Resource::Outlet(other.clone())));
    assert_eq!(reading(&device, Action::ReadOutlet { outlet: id(2) }).await.unwrap().watts, Some(LOAD_W));
    assert!(reading(&device, Action::CutOutlet { outlet: id(2) }).await.unwrap().is_cut());
    assert_eq!(reading(&device, Action::FeedOutlet { outlet: id(2) }).await.unwrap().relay, Relay::On);
    let (gets, told) = (bench.gets(), bench.told());
    for outlet in [id(4), id(77), other] {
        for action in [
            Action::ReadOutlet { outlet: outlet.clone() },
            Action::CutOutlet { outlet: outlet.clone() },
            Action::FeedOutlet { outlet: outlet.clone() },
        ] {
            assert!(rejected(&device.perform(&action).await), "{action:?}");
        }
    }
    assert!(rejected(&device.perform(&Action::ReadContacts { after: 0 }).await));
    assert_eq!((bench.gets(), bench.told()), (gets, told), "what it does not own it does not even ask about");
}

#[tokio::test(start_paused = true)]
async fn a_barred_outlet_is_cut_again_and_no_other_is_touched() {
    let bench = Bench::new();
    let device = device(&bench);
    keeps(&device);
    device.perform(&Action::CutOutlet { outlet: id(1) }).await.unwrap();
    bench.unit().by_hand(3, false);
    for _ in 0..3 {
        bench.unit().by_hand(1, true);
        tokio::time::sleep(WATCH_PERIOD + Duration::from_secs(1)).await;
        assert_eq!((bench.unit().relay(1), bench.unit().relay(3)), (Some(false), Some(false)));
    }
    bench.unit().set_on_return(1, OnReturn::GoesOn).await.unwrap();
    a_while().await;
    assert_eq!(bench.unit().on_return(1), Some(OnReturn::StaysOff));
    let told = bench.told().len();
    a_while().await;
    assert_eq!(bench.told().len(), told, "what is cut is only looked at");
    assert_eq!((bench.unit().relay(2), bench.unit().relay(4)), (Some(true), Some(true)));
    // the gate lets a feed pass only after its bar was lifted
    device.perform(&Action::FeedOutlet { outlet: id(1) }).await.unwrap();
    bench.unit().by_hand(1, false);
    bench.unit().by_hand(1, true);
    a_while().await;
    assert_eq!(bench.unit().relay(1), Some(true), "it is not barred any more");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_gates_bars_are_kept_and_nothing_else() {
    let bench = Bench::new();
    let device = device(&bench);
    let gets = bench.gets();
    device.restore(&[standing(2, true), standing(3, false), standing(4, true)]).await.unwrap();
    assert_eq!([1, 2, 3, 4].map(|number| bench.unit().relay(number).unwrap()), [true, false, true, true]);
    assert!(bench.gets() > gets);
    keeps(&device);
    bench.unit().by_hand(2, true);
    a_while().await;
    assert_eq!(bench.unit().relay(2), Some(false));
    // what is given now replaces what was held
    device.restore(&[standing(3, true)]).await.unwrap();
    bench.unit().by_hand(2, true);
    a_while().await;
    assert_eq!([2, 3].map(|number| bench.unit().relay(number).unwrap()), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_restored_is_kept_later() {
    let bench = Bench::new();
    let device = device(&bench);
    bench.unit().feed(false);
    assert!(unreachable(&device.restore(&[standing(1, true), standing(2, true)]).await));
    keeps(&device);
    a_while().await;
    bench.unit().feed(true);
    a_while().await;
    assert_eq!([1, 2, 3].map(|number| bench.unit().relay(number).unwrap()), [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_failed_is_a_bar_all_the_same() {
    let bench = Bench::new();
    let device = device(&bench);
    bench.wire(Wire::LosesSet(2));
    assert!(unreachable(&device.perform(&Action::CutOutlet { outlet: id(1) }).await));
    assert_eq!(bench.unit().relay(1), Some(true));
    bench.wire(Wire::Sound);
    keeps(&device);
    a_while().await;
    assert_eq!(bench.unit().relay(1), Some(false), "the gate holds the bar from its intent on");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_obey_keeps_no_other_waiting_and_is_not_worn_out() {
    let bench = Bench::new();
    let device = device(&bench);
    bench.unit().has(1, Quirk::Ignores);
    bench.unit().has(1, Quirk::ReadsWish);
    bench.unit().has(1, Quirk::ReadsZero);
    bench.unit().set_on_return(2, OnReturn::StaysOff).await.unwrap();
    device.restore(&[standing(1, true), standing(2, true)]).await.unwrap();
    bench.unit().well(1);
    bench.unit().has(1, Quirk::Ignores);
    keeps(&device);
    for _ in 0..5 {
        bench.unit().by_hand(2, true);
        tokio::time::sleep(WATCH_PERIOD + SETTLE_MAX + Duration::from_secs(1)).await;
        assert_eq!(bench.unit().relay(2), Some(false));
    }
    // off, and its restart state cannot be set: cut again, but ever more seldom
    bench.unit().by_hand(1, false);
    let told = bench.told().len();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let again = bench.told().len() - told;
    assert!((10..=60).contains(&again), "{again} SETs in an hour");
}
