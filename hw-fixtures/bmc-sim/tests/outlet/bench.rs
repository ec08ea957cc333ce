//! A simulated unit behind the driver's seam, without sockets: the world's table, and a wire that can lose, twist and keep.

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::OutletFixture;
use contract::outlet::Outlets;
use outlet::snmp::{Oid, SnmpOutlets, TableName, Talk, TalkError, Value};
use std::sync::{Arc, Mutex};
use vocabulary::{OutletId, PduId, WallTime};
use world::outlet::mib::{self, Mib, SetError};
use world::outlet::{Load, Unit};

pub const SERIAL: &str = "5A1234E00001";
pub const LOAD_W: u32 = 240;

/// What the wire does to what passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Sound,
    /// No GET is answered.
    LosesGets,
    /// The reply to the SET of this number, from 1, is lost.
    LosesReply(usize),
    /// The SET of this number never arrives.
    LosesSet(usize),
    /// The last object of every answer is missing.
    Shortens,
    /// The first two objects of every answer change places.
    Swaps,
    /// Every answer is about the next outlet.
    Shifts,
}

struct Heater;

impl Load for Heater {
    fn fed(&self, _: usize, _: bool) {}
    fn watts(&self, _: usize) -> u32 {
        LOAD_W
    }
}

/// The unit and the wire to it.
pub struct Bench {
    mib: Mib,
    wire: Mutex<Wire>,
    /// Every SET that arrived: object and value.
    pub sets: Mutex<Vec<(Oid, i32)>>,
    gets: Mutex<u32>,
}

pub fn pdu() -> PduId {
    "pdu1".parse().unwrap()
}

pub fn id(outlet: u16) -> OutletId {
    OutletId { pdu: pdu(), outlet }
}

/// With loads in all its outlets.
pub fn unit() -> Unit {
    let unit = Unit::new("pdu1", 1..=4).with_serial(SERIAL);
    assert!((1..=4).all(|number| unit.plug(number, Arc::new(Heater), 0)));
    unit
}

pub fn unreachable<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Unreachable { .. }))
}

pub fn rejected<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Rejected { .. }))
}

impl Bench {
    pub fn new() -> Arc<Bench> {
        Bench::of(Mib::of(unit()))
    }

    pub fn of(mib: Mib) -> Arc<Bench> {
        Arc::new(Bench { mib, wire: Mutex::new(Wire::Sound), sets: Mutex::default(), gets: Mutex::new(0) })
    }

    pub fn unit(&self) -> &Unit {
        self.mib.unit()
    }

    pub fn wire(&self, wire: Wire) {
        *self.wire.lock().unwrap() = wire;
    }

    pub fn gets(&self) -> u32 {
        *self.gets.lock().unwrap()
    }

    /// The SETs so far, each by its column and its value.
    pub fn told(&self) -> Vec<(&'static str, i32)> {
        let column = |oid: &Oid| match oid[10..15] {
            [9, 2, 1, 1, 5] => "on-time",
            [9, 2, 4, 1, 5] => "command",
            _ => panic!("{oid:?}"),
        };
        self.sets.lock().unwrap().iter().map(|(oid, value)| (column(oid), *value)).collect()
    }

    pub fn driver(self: &Arc<Bench>) -> SnmpOutlets {
        self.driver_of(SERIAL)
    }

    /// One that expects this serial number.
    pub fn driver_of(self: &Arc<Bench>, serial: &str) -> SnmpOutlets {
        SnmpOutlets::open_on(pdu(), serial, TableName::ApcRpdu2, self.clone())
    }

    fn silent() -> TalkError {
        TalkError::Silent("no answer".into())
    }
}

#[async_trait]
impl Talk for Bench {
    async fn get(&self, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, TalkError> {
        *self.gets.lock().unwrap() += 1;
        let wire = *self.wire.lock().unwrap();
        if wire == Wire::LosesGets {
            return Err(Bench::silent());
        }
        let mut answer = Vec::new();
        for oid in oids {
            let mut named = oid.clone();
            if wire == Wire::Shifts {
                *named.last_mut().unwrap() += 1;
            }
            let value = match self.mib.get(oid).await.map_err(|_| Bench::silent())? {
                mib::Value::Integer(value) => Value::Integer(value),
                mib::Value::Text(text) => Value::Text(text.into_bytes()),
                mib::Value::Ticks(_) => Value::Other,
                mib::Value::NoObject | mib::Value::NoInstance => Value::Missing,
            };
            answer.push((named, value));
        }
        match wire {
            Wire::Shortens => drop(answer.pop()),
            Wire::Swaps => answer.swap(0, 1),
            _ => {}
        }
        Ok(answer)
    }

    async fn set(&self, oid: &Oid, value: &Value) -> Result<(), TalkError> {
        let Value::Integer(number) = value else { panic!("{value:?}") };
        let wire = *self.wire.lock().unwrap();
        let count = {
            let mut sets = self.sets.lock().unwrap();
            sets.push((oid.clone(), *number));
            sets.len()
        };
        if wire == Wire::LosesSet(count) {
            return Err(Bench::silent());
        }
        let done = self.mib.set(oid, &mib::Value::Integer(*number)).await;
        if wire == Wire::LosesReply(count) {
            return Err(Bench::silent());
        }
        done.map_err(|error| match error {
            SetError::Dark => Bench::silent(),
            other => TalkError::Refused(format!("{other:?}")),
        })
    }

    fn now(&self) -> WallTime {
        WallTime(7)
    }
}

/// The driver and the unit that it drives, for the suite.
pub struct Fixture<'a> {
    pub driver: &'a dyn Outlets,
    pub unit: Unit,
}

#[async_trait]
impl OutletFixture for Fixture<'_> {
    fn outlets(&self) -> &dyn Outlets {
        self.driver
    }
    fn outlet(&self) -> OutletId {
        id(2)
    }
    fn neighbours(&self) -> Vec<u16> {
        vec![1, 3]
    }
    fn no_such_outlet(&self) -> u16 {
        77
    }
    async fn press(&self, on: bool) -> Option<Result<(), String>> {
        Some(self.unit.by_hand(2, on).then_some(()).ok_or_else(|| "no such button".to_owned()))
    }
}
