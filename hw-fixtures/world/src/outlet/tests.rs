//! Tests of the unit: what its relays do to what hangs there, and how far what it says can be from that.

use super::*;

/// Two power supplies, 200 W in all.
struct Server(Mutex<Mains>);

impl Server {
    fn mains(&self) -> MutexGuard<'_, Mains> {
        self.0.lock().unwrap()
    }

    fn has_power(&self) -> bool {
        self.mains().are_there()
    }
}

impl Load for Server {
    fn fed(&self, supply: usize, live: bool) {
        self.mains().cord(supply, live);
    }

    fn watts(&self, supply: usize) -> u32 {
        let mains = self.mains();
        if mains.bears(supply) { 200 / u32::try_from(mains.bearing()).unwrap() } else { 0 }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn read(on: bool, watts: u32) -> Result<Reading, Error> {
    Ok(Reading { on, watts, switching: false, on_return: OnReturn::GoesOn })
}

/// A server with two cords in outlets 1 and 2, one with a single cord in outlet 3; nothing in outlet 4.
fn hall() -> (Unit, Arc<Server>, Arc<Server>) {
    let unit = Unit::new("pdu1", 1..=4);
    let (two, one) = (Arc::new(Server(Mutex::new(Mains::new(2)))), Arc::new(Server(Mutex::new(Mains::new(1)))));
    assert!(unit.plug(1, two.clone(), 0) && unit.plug(2, two.clone(), 1) && unit.plug(3, one.clone(), 0));
    assert!(!unit.plug(9, one.clone(), 0));
    (unit, two, one)
}

#[tokio::test(start_paused = true)]
async fn a_load_has_power_until_its_last_cord_is_dead() {
    let (unit, two, one) = hall();
    assert_eq!((unit.read(1).await, unit.read(2).await, unit.read(3).await), (read(true, 100), read(true, 100), read(true, 200)));
    unit.switch(1, false).await.unwrap();
    assert_eq!((unit.read(1).await, unit.read(2).await), (read(false, 0), read(true, 200)), "the other one carries all");
    assert!(two.has_power());
    unit.switch(2, false).await.unwrap();
    assert!(!two.has_power() && one.has_power());
    unit.switch(1, true).await.unwrap();
    assert!(two.has_power());
    two.mains().breaker(false);
    assert_eq!((two.has_power(), unit.read(1).await), (false, read(true, 0)), "zero watts through an outlet that is on");
    assert_eq!((unit.read(4).await, unit.read(5).await), (read(true, 0), Err(Error::NoOutlet)));
    assert_eq!((unit.switch(5, false).await, unit.calls()), (Err(Error::NoOutlet), 12));
}

#[tokio::test(start_paused = true)]
async fn a_switching_takes_its_time_and_a_later_one_stands_in_its_place() {
    let (unit, _, one) = hall();
    unit.takes(3, ms(4_000));
    unit.switch(3, false).await.unwrap();
    let coming = Reading { on: true, watts: 200, switching: true, on_return: OnReturn::GoesOn };
    assert_eq!(unit.read(3).await, Ok(coming), "accepted is not done");
    tokio::time::sleep(ms(3_999)).await;
    assert!(one.has_power());
    tokio::time::sleep(ms(2)).await;
    assert_eq!((one.has_power(), unit.read(3).await), (false, read(false, 0)));
    unit.switch(3, true).await.unwrap();
    tokio::time::sleep(ms(2_000)).await;
    unit.switch(3, false).await.unwrap();
    tokio::time::sleep(ms(60_000)).await;
    assert!(!one.has_power(), "the first one never came");
    unit.switch(3, true).await.unwrap();
    unit.by_hand(3, false);
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(unit.relay(3), Some(false), "nor does one that a finger has overtaken");
}

#[tokio::test(start_paused = true)]
async fn it_says_no_or_says_yes_and_lies() {
    let (unit, two, one) = hall();
    unit.has(3, Quirk::Refuses);
    assert_eq!((unit.switch(3, false).await, unit.relay(3)), (Err(Error::Refused), Some(true)));
    unit.well(3);
    unit.has(3, Quirk::Ignores);
    assert_eq!((unit.switch(3, false).await, unit.read(3).await), (Ok(()), read(true, 200)));
    unit.has(3, Quirk::ReadsWish);
    assert_eq!(unit.read(3).await, read(false, 200), "the meter tells on it");
    unit.has(3, Quirk::ReadsZero);
    assert_eq!((unit.read(3).await, one.has_power()), (read(false, 0), true), "now nothing does");
    unit.well(3);
    assert_eq!(unit.read(3).await, read(true, 200));
    unit.has(1, Quirk::Another);
    unit.switch(1, false).await.unwrap();
    assert_eq!((unit.relay(1), unit.relay(2), two.has_power()), (Some(true), Some(false), true));
    unit.has(4, Quirk::Another);
    unit.switch(4, false).await.unwrap();
    assert_eq!((unit.relay(1), two.has_power()), (Some(false), false), "behind the last comes the first");
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_done_whether_or_not_somebody_waits() {
    let (unit, _, one) = hall();
    unit.has(3, Quirk::Late(ms(30_000)));
    assert!(tokio::time::timeout(ms(1_000), unit.switch(3, false)).await.is_err());
    assert!(one.has_power());
    let begun = crate::clock::now();
    assert_eq!(unit.read(3).await, read(false, 0));
    assert_eq!((crate::clock::since(begun), one.has_power()), (ms(30_000), false));
    let late = tokio::spawn({
        let unit = unit.clone();
        async move { unit.switch(3, false).await }
    });
    tokio::time::sleep(ms(1)).await;
    unit.by_hand(3, true);
    assert_eq!((late.await.unwrap(), one.has_power()), (Err(Error::Refused), true), "a finger comes before what is late");
}

#[tokio::test(start_paused = true)]
async fn without_its_own_power_a_unit_feeds_nobody_and_answers_nobody() {
    let (unit, two, one) = hall();
    unit.set_on_return(1, OnReturn::StaysOff).await.unwrap();
    unit.set_on_return(3, OnReturn::AsBefore).await.unwrap();
    unit.takes(4, ms(60_000));
    unit.switch(4, false).await.unwrap();
    let calls = unit.calls();
    assert!(unit.feed(false) && !unit.feed(false) && !unit.has_feed());
    assert!(!two.has_power() && !one.has_power());
    assert_eq!((unit.read(1).await, unit.switch(9, true).await), (Err(Error::Dark), Err(Error::Dark)));
    assert_eq!((unit.set_on_return(1, OnReturn::GoesOn).await, unit.calls()), (Err(Error::Dark), calls));
    assert!(!unit.by_hand(1, true) && unit.relay(1) == Some(false), "there is nothing to move a relay with");
    tokio::time::sleep(ms(30_000)).await;
    assert!(unit.feed(true) && !unit.feed(true));
    assert_eq!(unit.uptime(), Duration::ZERO);
    assert_eq!([1, 2, 3, 4].map(|number| unit.relay(number)), [Some(false), Some(true), Some(true), Some(true)]);
    assert!(two.has_power() && one.has_power());
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(unit.relay(4), Some(true), "what was still to come is forgotten");
    unit.switch(3, false).await.unwrap();
    assert!(unit.feed(false) && unit.feed(true));
    assert_eq!((unit.relay(3), one.has_power()), (Some(false), false), "as before is off too");
    assert_eq!(unit.read(3).await, Ok(Reading { on: false, watts: 0, switching: false, on_return: OnReturn::AsBefore }));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_when_the_power_goes_is_not_done_and_not_answered() {
    let (unit, _, _) = hall();
    unit.has(3, Quirk::Late(ms(5_000)));
    let late = |on_return| {
        let unit = unit.clone();
        tokio::spawn(async move {
            if on_return { unit.set_on_return(3, OnReturn::StaysOff).await } else { unit.switch(3, false).await }
        })
    };
    let (switching, setting) = (late(false), late(true));
    tokio::time::sleep(ms(1_000)).await;
    assert!(unit.feed(false) && unit.feed(true));
    assert_eq!((switching.await.unwrap(), setting.await.unwrap()), (Err(Error::Dark), Err(Error::Dark)));
    assert_eq!((unit.relay(3), unit.on_return(3)), (Some(true), Some(OnReturn::GoesOn)));
}

#[tokio::test(start_paused = true)]
async fn what_an_outlet_does_on_return_can_be_refused_ignored_and_lied_about() {
    let (unit, _, _) = hall();
    unit.has(3, Quirk::Refuses);
    assert_eq!(unit.set_on_return(3, OnReturn::StaysOff).await, Err(Error::Refused));
    unit.well(3);
    unit.has(3, Quirk::Ignores);
    assert_eq!(unit.set_on_return(3, OnReturn::StaysOff).await, Ok(()));
    assert_eq!((unit.on_return(3), unit.read(3).await.unwrap().on_return), (Some(OnReturn::GoesOn), OnReturn::GoesOn));
    unit.has(3, Quirk::ReadsWish);
    assert_eq!((unit.on_return(3), unit.read(3).await.unwrap().on_return), (Some(OnReturn::GoesOn), OnReturn::StaysOff));
    unit.has(2, Quirk::Another);
    unit.well(3);
    unit.set_on_return(2, OnReturn::AsBefore).await.unwrap();
    assert_eq!((unit.on_return(2), unit.on_return(3)), (Some(OnReturn::GoesOn), Some(OnReturn::AsBefore)));
    assert_eq!((unit.set_on_return(9, OnReturn::StaysOff).await, unit.switchings()), (Err(Error::NoOutlet), 0));
}

#[tokio::test(start_paused = true)]
async fn a_meter_lags_behind_its_relay() {
    let (unit, _, one) = hall();
    unit.has(3, Quirk::MeterLags(ms(3_000)));
    unit.switch(3, false).await.unwrap();
    tokio::time::sleep(ms(2_999)).await;
    assert_eq!((unit.read(3).await, one.has_power()), (read(false, 200), false), "it shows what was");
    tokio::time::sleep(ms(1)).await;
    assert_eq!(unit.read(3).await, read(false, 0));
    unit.switch(3, true).await.unwrap();
    assert_eq!((unit.read(3).await, one.has_power()), (read(true, 0), true));
    tokio::time::sleep(ms(3_000)).await;
    assert_eq!(unit.read(3).await, read(true, 200));
}

#[test]
fn quirks_can_be_written_down() {
    let all = [
        Quirk::Refuses,
        Quirk::Ignores,
        Quirk::Another,
        Quirk::ReadsWish,
        Quirk::ReadsZero,
        Quirk::MeterLags(ms(2_500)),
        Quirk::Late(ms(1_500)),
    ];
    for quirk in all {
        assert_eq!(quirk.to_string().parse(), Ok(quirk));
    }
    assert_eq!(["", "late", "late 5s", "lies", "lies 5ms", "meter-lags"].map(|text| text.parse::<Quirk>()), [Err(NoQuirk); 6]);
}
