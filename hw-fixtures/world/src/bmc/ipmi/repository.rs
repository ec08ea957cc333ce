//! The sensor data repository: which sensors there are and how to read them.
//! Must never list a sensor that cannot be read.

use super::app::SUPPORTS;
use super::events::VERSION;
use super::sensor::{FIRST_SUPPLY, OUTLET, POWER, POWER_UNIT, PROCESSOR, REDUNDANCY, SECOND_SUPPLY, TEMPERATURE, WATCHDOG};
use super::{Call, Told, code};
use crate::bmc::sensing::{COLD, UPPER_CRITICAL, UPPER_NON_CRITICAL, WARM};

/// Kinds of records.
const FULL: u8 = 0x01;
const COMPACT: u8 = 0x02;
const INVENTORY: u8 = 0x11;
const CONTROLLER: u8 = 0x12;
/// The BMC's address.
const BMC: u8 = 0x20;
/// It can be reserved; records are not changed.
const OPERATIONS: u8 = 0x02;
/// Its room, bytes; nothing can be added.
const ROOM: u16 = 0;
/// A text of 8-bit characters.
const TEXT: u8 = 0xc0;
/// Parts of a machine.
const SYSTEM_BOARD: u8 = 0x07;
const AIR_INLET: u8 = 0x37;
const FIRMWARE: u8 = 0x2e;
const THE_PROCESSOR: u8 = 0x03;
const THE_SUPPLY: u8 = 0x0a;
/// Units.
const CELSIUS: u8 = 0x01;
const WATTS: u8 = 0x06;

pub fn info(call: &Call<'_>) -> Told {
    let more = call.bmc.state().quirks.ipmi_more_sensors;
    let mut told = vec![VERSION];
    told.extend(u16::try_from(records(more).len()).unwrap_or(u16::MAX).to_le_bytes());
    told.extend(ROOM.to_le_bytes());
    // when it was added to; never erased
    told.extend([u8::from(more), 0, 0, 0, 0, 0, 0, 0]);
    told.push(OPERATIONS);
    Ok(told)
}

pub fn reserve(call: &Call<'_>) -> Told {
    let mut state = call.bmc.state();
    state.device.repository = state.device.repository.wrapping_add(1).max(1);
    state.device.repository_reads = 0;
    Ok(state.device.repository.to_le_bytes().to_vec())
}

pub fn get(call: &Call<'_>) -> Told {
    let [r, s, i, j, offset, count] = call.exactly()?;
    let (reservation, id) = (u16::from_le_bytes([r, s]), u16::from_le_bytes([i, j]));
    let mut state = call.bmc.state();
    if offset != 0 && (reservation == 0 || reservation != state.device.repository) {
        return Err(code::RESERVATION);
    }
    if offset != 0 && state.quirks.ipmi_reservation_reads > 0 {
        if state.device.repository_reads >= state.quirks.ipmi_reservation_reads {
            return Err(code::RESERVATION);
        }
        state.device.repository_reads += 1;
    }
    if count > state.quirks.ipmi_piece_max {
        return Err(code::TOO_MANY);
    }
    let records = records(state.quirks.ipmi_more_sensors);
    let at = match id {
        0 => 0,
        u16::MAX => records.len().saturating_sub(1),
        id => usize::from(id).saturating_sub(1),
    };
    let record = records.get(at).ok_or(code::ABSENT)?;
    let part = record.get(usize::from(offset)..).filter(|part| !part.is_empty()).ok_or(code::RANGE)?;
    let next = if at + 1 < records.len() { u16::try_from(at + 2).unwrap_or(u16::MAX) } else { u16::MAX };
    Ok(next.to_le_bytes().into_iter().chain(part.iter().take(usize::from(count)).copied()).collect())
}

fn records(more: bool) -> Vec<Vec<u8>> {
    let mut records = vec![
        record(1, COMPACT, &discrete(POWER_UNIT, SYSTEM_BOARD, 0x09, 0x0001, "Host Power")),
        record(2, FULL, &temperature()),
        record(3, COMPACT, &discrete(WATCHDOG, SYSTEM_BOARD, 0x23, 0x000f, "Watchdog")),
        // device 0 of the BMC, which is a logical one
        record(4, INVENTORY, &named(&[BMC, 0, 0x80, 0, 0, 0x10, 0, SYSTEM_BOARD, 1, 0], "System Board")),
        record(5, CONTROLLER, &named(&[BMC, 0, 0, SUPPORTS, 0, 0, 0, FIRMWARE, 1, 0], "BMC")),
        // 0.5 degrees a count, from -40 on: (5 x - 40 * 10) / 10
        record(6, FULL, &measured(PROCESSOR, THE_PROCESSOR, 0x01, CELSIUS, [5, 0, 0xd8, 0xc0, 0, 0xf1], "CPU1 Temp")),
        record(7, COMPACT, &discrete(FIRST_SUPPLY, THE_SUPPLY, 0x08, 0x000f, "PSU1 Status")),
        record(8, COMPACT, &discrete(SECOND_SUPPLY, THE_SUPPLY, 0x08, 0x000f, "PSU2 Status")),
        record(9, COMPACT, &discrete_of(0x0b, REDUNDANCY, THE_SUPPLY, 0x09, 0x0003, "PS Redundancy")),
        // four watts a count
        record(10, FULL, &measured(POWER, SYSTEM_BOARD, 0x0b, WATTS, [4, 0, 0, 0, 0, 0], "Pwr Consumption")),
    ];
    if more {
        let outlet = measured(OUTLET, SYSTEM_BOARD, 0x01, CELSIUS, [1, 0, 0, 0, 0, 0], "Ambient Outlet");
        records.push(record(11, FULL, &outlet));
    }
    records
}

fn record(id: u16, kind: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = id.to_le_bytes();
    [&[low, high, VERSION, kind, u8::try_from(body.len()).unwrap_or(0)], body].concat()
}

fn named(head: &[u8], name: &str) -> Vec<u8> {
    [head, &[TEXT | u8::try_from(name.len()).unwrap_or(0)], name.as_bytes()].concat()
}

/// A sensor whose states are those of its type.
fn discrete(number: u8, part: u8, kind: u8, states: u16, name: &str) -> Vec<u8> {
    discrete_of(0x6f, number, part, kind, states, name)
}

/// The same with states of this reading type.
fn discrete_of(reading_type: u8, number: u8, part: u8, kind: u8, states: u16, name: &str) -> Vec<u8> {
    let [low, high] = states.to_le_bytes();
    let mut head = vec![BMC, 0, number, part, 1];
    // scanned from the start, re-arms itself; the sensor's type names its states
    head.extend([0x63, 0x40, kind, reading_type]);
    // states that make events, the same for their end, states that can be read
    head.extend([low, high, low, high, low, high]);
    // no number to read; no sensor shares this record; hysteresis, reserved, maker's own
    head.extend([0xc0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 0]);
    named(&head, name)
}

/// A sensor that measures, without thresholds: factor, offset, accuracy and exponents as the record has them.
fn measured(number: u8, part: u8, kind: u8, unit: u8, formula: [u8; 6], name: &str) -> Vec<u8> {
    let mut head = vec![BMC, 0, number, part, 1];
    head.extend([0x7f, 0x40, kind, 0x01]);
    // no events, no thresholds; unsigned, linear
    head.extend([0, 0, 0, 0, 0, 0, 0x00, unit, 0x00, 0x00]);
    head.extend(formula);
    // nothing nominal; greatest and least possible; no thresholds, no hysteresis
    head.extend([0, 0, 0, 0, 0xff, 0x00]);
    head.extend([0; 11]);
    named(&head, name)
}

fn temperature() -> Vec<u8> {
    let mut head = vec![BMC, 0, TEMPERATURE, AIR_INLET, 1];
    // scanned from the start, re-arms itself, thresholds can be read; a temperature with thresholds
    head.extend([0x7f, 0x44, 0x01, 0x01]);
    // no events; the two upper thresholds can be read, none can be set
    head.extend([0, 0, 0, 0, 0x18, 0x00]);
    // an unsigned number of degrees Celsius, linear
    head.extend([0x00, 0x01, 0x00, 0x00]);
    // factor 1, offset 0, no exponents, accuracy not told
    head.extend([1, 0, 0, 0, 0, 0]);
    // nominal, highest and lowest normal reading are told; greatest and least possible
    head.extend([0x07, WARM, UPPER_NON_CRITICAL, COLD, 0xff, 0x00]);
    // thresholds from the highest to the lowest, hysteresis, reserved, maker's own
    head.extend([0, UPPER_CRITICAL, UPPER_NON_CRITICAL, 0, 0, 0, 2, 2, 0, 0, 0]);
    named(&head, "Inlet Temp")
}
