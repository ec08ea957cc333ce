//! A power distribution unit in memory, sound or with one fault.

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{self, OutletFixture};
use contract::outlet::Outlets;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};
use vocabulary::{OutletId, WallTime};

const LOAD_W: u32 = 180;
const METER_LAG: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    /// No fault: after a feed it is as before.
    ReturnsAsBefore,
    AnswersWhatWasAsked,
    AnswersTooEarly,
    Cached,
    ReturnsByItself,
    StaysOffForEver,
    FeedsHalf,
    NoWatts,
    NoLoad,
    TouchesNeighbour,
    NamesNeighbour,
    CutsOnce,
    UnknownIsUnreachable,
    UnknownIsAnother,
    UnknownIsFed,
}

#[derive(Clone)]
struct Socket {
    relay: Relay,
    on_return: OnReturn,
    /// Until then the meter shows what went through before.
    meter: Option<(Instant, u32)>,
}

struct Unit {
    fault: Fault,
    real: Mutex<BTreeMap<u16, Socket>>,
    cache: Mutex<BTreeMap<u16, OutletReading>>,
}

fn id(outlet: u16) -> OutletId {
    OutletId { pdu: "pdu1".parse().unwrap(), outlet }
}

impl Unit {
    fn new(fault: Fault) -> Unit {
        let socket = Socket { relay: Relay::On, on_return: OnReturn::TurnsOn, meter: None };
        let real = (1..=3).map(|number| (number, socket.clone())).collect();
        Unit { fault, real: Mutex::new(real), cache: Mutex::new(BTreeMap::new()) }
    }

    fn real(&self) -> MutexGuard<'_, BTreeMap<u16, Socket>> {
        self.real.lock().unwrap()
    }

    fn there(&self, number: u16) -> Result<u16, AgentError> {
        match (self.real().contains_key(&number), self.fault) {
            (true, _) => Ok(number),
            (false, Fault::UnknownIsUnreachable) => Err(AgentError::Unreachable { reason: "?".into() }),
            (false, Fault::UnknownIsAnother) => Ok(2),
            (false, _) => Err(AgentError::Rejected { reason: "no such outlet".into() }),
        }
    }

    fn socket(&self, number: u16) -> Socket {
        self.real().get(&number).unwrap().clone()
    }

    fn now(&self, number: u16) -> OutletReading {
        let socket = self.socket(number);
        let through = if socket.relay == Relay::On { LOAD_W } else { 0 };
        let watts = match (self.fault, socket.meter) {
            (Fault::NoWatts, _) => None,
            (Fault::NoLoad, _) => Some(0),
            (_, Some((until, before))) if Instant::now() < until => Some(before),
            _ => Some(through),
        };
        let named = if self.fault == Fault::NamesNeighbour { 3 } else { number };
        OutletReading { outlet: id(named), relay: socket.relay, watts, on_return: socket.on_return, read_at: WallTime(0) }
    }

    fn turn(&self, number: u16, on: bool) {
        let relay = if on { Relay::On } else { Relay::Off };
        let mut real = self.real();
        let socket = real.get_mut(&number).unwrap();
        if socket.relay != relay {
            socket.meter = Some((Instant::now() + METER_LAG, if on { 0 } else { LOAD_W }));
        }
        socket.relay = relay;
    }

    fn returns(&self, number: u16, on_return: OnReturn) {
        self.real().get_mut(&number).unwrap().on_return = on_return;
    }

    fn asked(&self, number: u16, on: bool) -> OutletReading {
        let relay = if on { Relay::On } else { Relay::Off };
        let on_return = if on { OnReturn::TurnsOn } else { OnReturn::StaysOff };
        OutletReading { outlet: id(number), relay, watts: Some(0), on_return, read_at: WallTime(0) }
    }

    /// Reads back until the meter has seen it too.
    async fn settled(&self, number: u16) -> OutletReading {
        while self.socket(number).meter.is_some_and(|(until, _)| Instant::now() < until) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.now(number)
    }
}

#[async_trait]
impl Outlets for Unit {
    async fn read(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        let number = self.there(outlet)?;
        if self.fault == Fault::Cached {
            let now = self.now(number);
            return Ok(self.cache.lock().unwrap().entry(number).or_insert(now).clone());
        }
        Ok(self.now(number))
    }

    async fn cut(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        let number = self.there(outlet)?;
        match self.fault {
            Fault::AnswersWhatWasAsked => return Ok(self.asked(number, false)),
            Fault::CutsOnce if self.now(number).is_cut() => return Err(AgentError::Rejected { reason: "it is cut".into() }),
            Fault::TouchesNeighbour => self.turn(2, false),
            _ => {}
        }
        if self.fault != Fault::ReturnsByItself {
            self.returns(number, OnReturn::StaysOff);
        }
        self.turn(number, false);
        let reading = if self.fault == Fault::AnswersTooEarly { self.now(number) } else { self.settled(number).await };
        self.cache.lock().unwrap().insert(number, reading.clone());
        Ok(reading)
    }

    async fn feed(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        if self.fault == Fault::UnknownIsFed {
            self.turn(1, true);
        }
        let number = self.there(outlet)?;
        match self.fault {
            Fault::StaysOffForEver => {}
            Fault::ReturnsAsBefore => self.returns(number, OnReturn::AsBefore),
            _ => self.returns(number, OnReturn::TurnsOn),
        }
        if self.fault == Fault::FeedsHalf {
            return Ok(self.asked(number, true));
        }
        self.turn(number, true);
        // what is kept is kept when it is settled, so that only its age is wrong
        let reading = if self.fault == Fault::Cached { self.settled(number).await } else { self.now(number) };
        self.cache.lock().unwrap().insert(number, reading.clone());
        Ok(reading)
    }
}

#[async_trait]
impl OutletFixture for Unit {
    fn outlets(&self) -> &dyn Outlets {
        self
    }
    fn outlet(&self) -> OutletId {
        id(1)
    }
    fn neighbours(&self) -> Vec<u16> {
        vec![2, 3]
    }
    fn no_such_outlet(&self) -> u16 {
        77
    }
    async fn press(&self, on: bool) -> Option<Result<(), String>> {
        self.turn(1, on);
        Some(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_an_outlet_is_found() {
    for sound in [Fault::None, Fault::ReturnsAsBefore] {
        let unit = Unit::new(sound);
        conformance::outlet(&unit).await.unwrap();
        assert!(unit.now(1).is_cut(), "the suite leaves it cut off");
    }
    for (fault, law) in [
        (Fault::AnswersWhatWasAsked, "after `cut` a reading shows"),
        (Fault::AnswersTooEarly, "`cut` answers only when"),
        (Fault::Cached, "what a foreign hand did"),
        (Fault::ReturnsByItself, "`cut` answers only when"),
        (Fault::StaysOffForEver, "not to stay off"),
        (Fault::FeedsHalf, "after `feed` a reading shows"),
        (Fault::NoWatts, "shows in its watts"),
        (Fault::NoLoad, "shows in its watts"),
        (Fault::TouchesNeighbour, "neighbours alone"),
        (Fault::NamesNeighbour, "names its outlet"),
        (Fault::CutsOnce, "also one that is cut"),
        (Fault::UnknownIsUnreachable, "not there is rejected"),
        (Fault::UnknownIsAnother, "not there is rejected"),
        (Fault::UnknownIsFed, "rejected switches nothing"),
    ] {
        let unit = Unit::new(fault);
        if fault == Fault::FeedsHalf {
            unit.turn(1, false);
        }
        let verdict = conformance::outlet(&unit).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
