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
    Ok(Reading { on, watts, switching: false })
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
    assert_eq!(unit.read(3).await, Ok(Reading { on: true, watts: 200, switching: true }), "accepted is not done");
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

#[test]
fn quirks_can_be_written_down() {
    let all = [Quirk::Refuses, Quirk::Ignores, Quirk::Another, Quirk::ReadsWish, Quirk::ReadsZero, Quirk::Late(ms(1_500))];
    for quirk in all {
        assert_eq!(quirk.to_string().parse(), Ok(quirk));
    }
    assert_eq!(["", "late", "late 5s", "lies"].map(|text| text.parse::<Quirk>()), [Err(NoQuirk); 4]);
}
