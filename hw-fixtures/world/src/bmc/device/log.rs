//! The event log: records of what really happened to the machine and its BMC, in the form of a System Event Log.
//! Must never grow without bound: a full log takes nothing more, or loses its oldest record, and says so.

use std::collections::VecDeque;

use super::Mishap;
use crate::bmc::limits;

/// Sensor types of the specification.
const PROCESSOR: u8 = 0x07;
const POWER_SUPPLY: u8 = 0x08;
const MEMORY: u8 = 0x0c;
const CRITICAL_INTERRUPT: u8 = 0x13;
const OS_STOP: u8 = 0x20;
const POWER_UNIT: u8 = 0x09;
const SYSTEM_BOOT: u8 = 0x1d;
const WATCHDOG: u8 = 0x23;
const MANAGEMENT: u8 = 0x28;
/// Sensors of this BMC; the first and the third stand in its repository.
pub const POWER_SENSOR: u8 = 0x01;
pub const WATCHDOG_SENSOR: u8 = 0x03;
const BOOT_SENSOR: u8 = 0x04;
const MEMORY_SENSOR: u8 = 0x09;
const PROCESSOR_SENSOR: u8 = 0x0a;
const SYSTEM_SENSOR: u8 = 0x0b;
const INTERRUPT_SENSOR: u8 = 0x0c;
pub const SUPPLY_SENSOR: u8 = 0x12;
const SELF_SENSOR: u8 = 0x05;
/// The event is described by the sensor's type; with this mark it has ended.
const SPECIFIC: u8 = 0x6f;
const ENDED: u8 = 0x80;
/// A record of the system, with a time.
const SYSTEM_RECORD: u8 = 0x02;
/// It comes from the BMC itself.
const BMC: u8 = 0x20;
/// Version of event messages.
const EVENT_VERSION: u8 = 0x04;
/// Length of a record, bytes.
pub const RECORD: usize = 16;

/// Something for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The machine's power went.
    PowerOff,
    /// The machine has power.
    PowerOn,
    /// Mains power was lost.
    MainsLost,
    /// The machine was reset by a command, or by its own system.
    Reset { by_system: bool },
    /// The BMC started.
    Started,
    /// The watchdog ran out with this action, used for that.
    WatchdogExpired { action: u8, timer_use: u8 },
    /// A part of the machine fails, or is well again.
    Mishap(Mishap),
}

impl Entry {
    /// Sensor type, sensor, direction and type, three bytes of data.
    fn bytes(self) -> [u8; 6] {
        let data = |first| [first, 0xff, 0xff];
        let (kind, sensor, direction, [a, b, c]) = match self {
            Entry::PowerOff => (POWER_UNIT, POWER_SENSOR, SPECIFIC, data(0x00)),
            Entry::PowerOn => (POWER_UNIT, POWER_SENSOR, SPECIFIC | ENDED, data(0x00)),
            Entry::MainsLost => (POWER_UNIT, POWER_SENSOR, SPECIFIC, data(0x04)),
            Entry::Reset { by_system: false } => (SYSTEM_BOOT, BOOT_SENSOR, SPECIFIC, data(0x01)),
            Entry::Reset { by_system: true } => (SYSTEM_BOOT, BOOT_SENSOR, SPECIFIC, data(0x06)),
            // "management controller off-line" has ended
            Entry::Started => (MANAGEMENT, SELF_SENSOR, SPECIFIC | ENDED, data(0x02)),
            // the second byte tells what the timer was used for
            Entry::WatchdogExpired { action, timer_use } => {
                (WATCHDOG, WATCHDOG_SENSOR, SPECIFIC, [0xc0 | action & 0x07, timer_use & 0x07, 0xff])
            }
            Entry::Mishap(mishap) => match mishap {
                Mishap::SupplyInputLost => (POWER_SUPPLY, SUPPLY_SENSOR, SPECIFIC, data(0x03)),
                Mishap::SupplyFailed => (POWER_SUPPLY, SUPPLY_SENSOR, SPECIFIC, data(0x01)),
                // "presence detected" has ended, or is
                Mishap::SupplyPulled => (POWER_SUPPLY, SUPPLY_SENSOR, SPECIFIC | ENDED, data(0x00)),
                Mishap::SupplyMended => (POWER_SUPPLY, SUPPLY_SENSOR, SPECIFIC, data(0x00)),
                Mishap::MemoryUncorrectable => (MEMORY, MEMORY_SENSOR, SPECIFIC, data(0x01)),
                Mishap::ProcessorError => (PROCESSOR, PROCESSOR_SENSOR, SPECIFIC, data(0x00)),
                Mishap::SystemPanic => (OS_STOP, SYSTEM_SENSOR, SPECIFIC, data(0x01)),
                Mishap::CriticalInterrupt => (CRITICAL_INTERRUPT, INTERRUPT_SENSOR, SPECIFIC, data(0x02)),
            },
        };
        [kind, sensor, direction, a, b, c]
    }
}

/// A record taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: u16,
    /// When, seconds of the BMC's clock.
    pub at: u32,
    /// Type of its sensor, by IPMI's numbers, and the sensor.
    pub kind: u8,
    /// See above.
    pub sensor: u8,
    /// The state has ended.
    pub ended: bool,
    /// The state.
    pub state: u8,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Log {
    records: VecDeque<[u8; RECORD]>,
    /// The newest record's number.
    newest: u16,
    /// Something was lost because it was full.
    pub overflowed: bool,
    /// When a record was added last, and when all were erased; seconds of the BMC's clock.
    pub added: u32,
    pub erased: u32,
    reservation: u16,
    reserved: bool,
}

impl Log {
    /// Writes a record at this time of the BMC's clock, seconds. A full log loses its oldest record if it wraps, else the new one.
    pub fn write(&mut self, entry: Entry, at: u32, wraps: bool) {
        if self.records.len() >= limits::LOG_MAX {
            self.overflowed = true;
            if !wraps {
                return;
            }
            self.records.pop_front();
        }
        // the highest number means "the last one"
        self.newest = if self.newest >= u16::MAX - 1 { 1 } else { self.newest + 1 };
        let id = self.newest;
        let ([i, j], [s, t, u, v], [a, b, c, d, e, f]) = (id.to_le_bytes(), at.to_le_bytes(), entry.bytes());
        self.records.push_back([i, j, SYSTEM_RECORD, s, t, u, v, BMC, 0, EVENT_VERSION, a, b, c, d, e, f]);
        self.added = at;
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The record at this place, the oldest at 0, taken apart.
    pub fn at(&self, place: usize) -> Option<Record> {
        let [i, j, _, s, t, u, v, _, _, _, kind, sensor, direction, state, ..] = *self.records.get(place)?;
        let (id, at) = (u16::from_le_bytes([i, j]), u32::from_le_bytes([s, t, u, v]));
        Some(Record { id, at, kind, sensor, ended: direction & ENDED != 0, state: state & 0x0f })
    }

    /// A record and the id of the one behind it; 0 means the first, 0xffff the last, also as an answer.
    pub fn record(&self, id: u16) -> Option<([u8; RECORD], u16)> {
        let at = match id {
            0 => 0,
            u16::MAX => self.records.len().checked_sub(1)?,
            id => self.records.iter().position(|record| number(record) == id)?,
        };
        let next = self.records.get(at + 1).map_or(u16::MAX, number);
        Some((*self.records.get(at)?, next))
    }

    /// A new reservation; those before it are void.
    pub fn reserve(&mut self) -> u16 {
        self.reservation = self.reservation.wrapping_add(1).max(1);
        self.reserved = true;
        self.reservation
    }

    /// True if this is the reservation in force.
    pub fn is_reserved(&self, reservation: u16) -> bool {
        self.reserved && self.reservation == reservation
    }

    /// Ends the reservation.
    pub fn unreserve(&mut self) {
        self.reserved = false;
    }

    /// Erases all records; the reservation ends with them.
    pub fn clear(&mut self, at: u32) {
        (self.records, self.newest) = (VecDeque::new(), 0);
        (self.overflowed, self.erased) = (false, at);
        self.unreserve();
    }
}

fn number(record: &[u8; RECORD]) -> u16 {
    let [low, high, ..] = *record;
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_in_their_order_and_end() {
        let mut log = Log::default();
        assert_eq!(log.record(0), None);
        log.write(Entry::PowerOn, 1, false);
        log.write(Entry::PowerOff, 2, false);
        let (first, next) = log.record(0).unwrap();
        assert_eq!((first[10], first[12], next), (POWER_UNIT, SPECIFIC | ENDED, 2));
        let (last, end) = log.record(next).unwrap();
        assert_eq!((last[12], end), (SPECIFIC, u16::MAX));
        assert_eq!(log.record(u16::MAX).unwrap().0, last);
        assert_eq!(log.record(3), None);
    }

    #[test]
    fn a_full_log_says_so_and_grows_no_more() {
        let mut log = Log::default();
        for _ in 0..limits::LOG_MAX {
            log.write(Entry::Started, 0, false);
        }
        assert!(!log.overflowed);
        log.write(Entry::Started, 0, false);
        assert!(log.overflowed && log.len() == limits::LOG_MAX && log.record(1).is_some());
        log.write(Entry::PowerOff, 3, true);
        assert!(log.len() == limits::LOG_MAX && log.record(1).is_none());
        let (last, _) = log.record(u16::MAX).unwrap();
        assert_eq!((usize::from(number(&last)), log.record(0).unwrap().1), (limits::LOG_MAX + 1, 3));
        let reservation = log.reserve();
        log.clear(5);
        assert!(!log.overflowed && log.len() == 0 && log.erased == 5 && !log.is_reserved(reservation));
    }
}
