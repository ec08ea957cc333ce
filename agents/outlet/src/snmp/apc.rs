//! The rPDU2 tables of APC's rack units: objects and meanings, by their names in PowerNet-MIB 4.2.3. The unit is the first of its chain, so
//! that an outlet's index is its number; a unit further down a chain needs an address of its own. Must never take two objects' numberings
//! for one: what is 1 in the status table is off, and in the control table on.

use super::table::Table;
use super::talk::{Oid, Value};
use crate::limits::WATTS_MAX;
use crate::unit::Row;
use vocabulary::outlet::{OnReturn, Relay};

/// rPDU2: enterprises.apc.products.hardware.26.
const RPDU2: [u32; 10] = [1, 3, 6, 1, 4, 1, 318, 1, 1, 26];
/// rPDU2IdentSerialNumber, of the first unit.
const SERIAL: [u32; 4] = [2, 1, 9, 1];
/// rPDU2OutletSwitchedConfigPowerOnTime, s: from the return of power until the outlet goes on.
const POWER_ON_TIME: [u32; 5] = [9, 2, 1, 1, 5];
const NEVER: i32 = -1;
const AT_ONCE: i32 = 0;
const DELAY_MAX_S: i32 = 300;
/// rPDU2OutletSwitchedStatusNumber.
const NUMBER: [u32; 5] = [9, 2, 3, 1, 4];
/// rPDU2OutletSwitchedStatusState.
const STATE: [u32; 5] = [9, 2, 3, 1, 5];
const STATE_OFF: i32 = 1;
const STATE_ON: i32 = 2;
/// rPDU2OutletSwitchedStatusCommandPending. Its third value is unknown, by name.
const PENDING: [u32; 5] = [9, 2, 3, 1, 6];
const COMMAND_PENDING: i32 = 1;
const NO_COMMAND_PENDING: i32 = 2;
/// rPDU2OutletSwitchedControlCommand.
const COMMAND: [u32; 5] = [9, 2, 4, 1, 5];
const IMMEDIATE_ON: i32 = 1;
const IMMEDIATE_OFF: i32 = 2;
/// rPDU2OutletMeteredStatusNumber.
const METERED_NUMBER: [u32; 5] = [9, 4, 3, 1, 4];
/// rPDU2OutletMeteredStatusPower, W. Negative where the model does not measure it.
const POWER: [u32; 5] = [9, 4, 3, 1, 7];

/// The table.
pub(super) struct Apc;

fn of_unit(tail: &[u32]) -> Oid {
    RPDU2.iter().chain(tail).copied().collect()
}

fn of_outlet(column: [u32; 5], outlet: u16) -> Oid {
    of_unit(&column).into_iter().chain([u32::from(outlet)]).collect()
}

fn integer(value: Option<&Value>) -> Option<i32> {
    match value? {
        Value::Integer(value) => Some(*value),
        Value::Text(_) | Value::Missing | Value::Other => None,
    }
}

/// Padding and a closing zero belong to no serial number.
fn text(value: Option<&Value>) -> Option<String> {
    let Value::Text(bytes) = value? else { return None };
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

fn relay(state: Option<i32>, pending: Option<i32>) -> Relay {
    match (state, pending) {
        (_, Some(COMMAND_PENDING)) => Relay::Switching,
        (Some(STATE_OFF), Some(NO_COMMAND_PENDING)) => Relay::Off,
        (Some(STATE_ON), Some(NO_COMMAND_PENDING)) => Relay::On,
        _ => Relay::Unknown,
    }
}

fn on_return(seconds: Option<i32>) -> OnReturn {
    match seconds {
        Some(NEVER) => OnReturn::StaysOff,
        Some(AT_ONCE..=DELAY_MAX_S) => OnReturn::TurnsOn,
        _ => OnReturn::Unknown,
    }
}

impl Table for Apc {
    fn asked(&self, outlet: u16) -> Vec<Oid> {
        let columns = [NUMBER, STATE, PENDING, POWER_ON_TIME, METERED_NUMBER, POWER];
        [of_unit(&SERIAL)].into_iter().chain(columns.map(|column| of_outlet(column, outlet))).collect()
    }

    fn row(&self, outlet: u16, values: &[Value]) -> Row {
        let number = |place: usize| integer(values.get(place));
        let own = Some(i32::from(outlet));
        // the metered table has an index of its own: a row of another number is another outlet's
        let metered = number(5) == own;
        let watts = number(6).filter(|watts| metered && *watts <= WATTS_MAX).and_then(|watts| u32::try_from(watts).ok());
        Row {
            serial: text(values.first()),
            there: number(1) == own,
            relay: relay(number(2), number(3)),
            watts,
            on_return: on_return(number(4)),
        }
    }

    fn to_stay_off(&self, outlet: u16) -> (Oid, Value) {
        (of_outlet(POWER_ON_TIME, outlet), Value::Integer(NEVER))
    }

    fn to_return(&self, outlet: u16) -> (Oid, Value) {
        (of_outlet(POWER_ON_TIME, outlet), Value::Integer(AT_ONCE))
    }

    fn to_go_off(&self, outlet: u16) -> (Oid, Value) {
        (of_outlet(COMMAND, outlet), Value::Integer(IMMEDIATE_OFF))
    }

    fn to_go_on(&self, outlet: u16) -> (Oid, Value) {
        (of_outlet(COMMAND, outlet), Value::Integer(IMMEDIATE_ON))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(state: i32, pending: i32, on_time: i32, power: i32) -> Vec<Value> {
        let integers = [3, state, pending, on_time, 3, power].map(Value::Integer);
        [Value::Text(b"5A1234E00001".to_vec())].into_iter().chain(integers).collect()
    }

    #[test]
    fn every_value_means_what_the_table_says_or_is_unknown() {
        let row = |values: &[Value]| Apc.row(3, values);
        let cut = row(&values(1, 2, -1, 0));
        let serial = Some("5A1234E00001".to_owned());
        assert_eq!(cut, Row { serial, there: true, relay: Relay::Off, watts: Some(0), on_return: OnReturn::StaysOff });
        for (state, pending, relay) in [
            (2, 2, Relay::On),
            (1, 1, Relay::Switching),
            (2, 1, Relay::Switching),
            (1, 3, Relay::Unknown),
            (0, 2, Relay::Unknown),
            (3, 2, Relay::Unknown),
            (i32::MIN, i32::MAX, Relay::Unknown),
        ] {
            assert_eq!(row(&values(state, pending, -1, 0)).relay, relay, "{state} {pending}");
        }
        for (seconds, on_return) in
            [(0, OnReturn::TurnsOn), (300, OnReturn::TurnsOn), (301, OnReturn::Unknown), (-2, OnReturn::Unknown)]
        {
            assert_eq!(row(&values(1, 2, seconds, 0)).on_return, on_return);
        }
        for (power, watts) in [(240, Some(240)), (-1, None), (i32::MIN, None), (WATTS_MAX + 1, None)] {
            assert_eq!(row(&values(1, 2, -1, power)).watts, watts);
        }
    }

    #[test]
    fn what_is_missing_of_another_type_or_of_another_outlet_is_unknown() {
        let unknown = Row { serial: None, there: false, relay: Relay::Unknown, watts: None, on_return: OnReturn::Unknown };
        assert_eq!(Apc.row(3, &[]), unknown);
        for value in [Value::Missing, Value::Other, Value::Text(vec![0xff, 0]), Value::Text(vec![])] {
            assert_eq!(Apc.row(3, &vec![value; 7]), unknown);
        }
        let mut others = values(1, 2, -1, 0);
        others[5] = Value::Integer(4);
        assert_eq!(Apc.row(3, &others).watts, None, "another outlet's meter");
        others[1] = Value::Integer(4);
        assert!(!Apc.row(3, &others).there);
        others[0] = Value::Text(b"5A1 \0\0".to_vec());
        assert_eq!(Apc.row(3, &others).serial.as_deref(), Some("5A1"));
    }

    #[test]
    fn on_and_off_are_numbered_the_other_way_round_in_the_two_tables() {
        assert_eq!((STATE_OFF, STATE_ON, IMMEDIATE_OFF, IMMEDIATE_ON), (1, 2, 2, 1));
        assert_eq!(Apc.to_go_off(7), (vec![1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 2, 4, 1, 5, 7], Value::Integer(2)));
        assert_eq!(Apc.to_stay_off(7), (vec![1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 2, 1, 1, 5, 7], Value::Integer(-1)));
    }
}
