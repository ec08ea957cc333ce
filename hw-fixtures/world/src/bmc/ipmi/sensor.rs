//! Sensors that follow the machine: the power unit (the rail), air and processor temperature, power supplies, power drawn, watchdog.
//! Must never read warm for a machine that has been off for long, nor a rail that the chassis would not tell.

use super::{Call, Told, code};
use crate::bmc::device::Supply;
use crate::bmc::reading::Reading;
use crate::bmc::sensing::{DRAWN_OFF, DRAWN_ON, UPPER_CRITICAL, UPPER_NON_CRITICAL, processor, temperature, watts};
use crate::clock::now;

pub const POWER_UNIT: u8 = 0x01;
pub const TEMPERATURE: u8 = 0x02;
pub const WATCHDOG: u8 = 0x03;
pub const PROCESSOR: u8 = 0x10;
pub const FIRST_SUPPLY: u8 = 0x11;
pub const SECOND_SUPPLY: u8 = 0x12;
pub const REDUNDANCY: u8 = 0x13;
pub const POWER: u8 = 0x14;
pub const OUTLET: u8 = 0x15;

/// Events and scanning are on.
const SCANNING: u8 = 0xc0;
/// Scanning is on, but there is no reading.
const NO_READING: u8 = 0xe0;
/// The byte of the higher states has this bit set always.
const HIGH: u8 = 0x80;

pub fn reading(call: &Call<'_>) -> Told {
    let [number] = call.exactly()?;
    let state = call.bmc.state();
    match number {
        POWER_UNIT => Ok(match state.chassis_power() {
            // state 0: power off
            Reading::Is("Off") => vec![0, SCANNING, 0x01, HIGH],
            Reading::Is(_) => vec![0, SCANNING, 0x00, HIGH],
            Reading::Null | Reading::Missing | Reading::Unavailable => vec![0, NO_READING, 0x00, HIGH],
        }),
        TEMPERATURE => Ok(vec![temperature(&state, now()), SCANNING, 0x00, HIGH]),
        WATCHDOG => Ok(vec![0, SCANNING, 0x00, HIGH]),
        // by the formula of its record: 0.5 degrees a count, from -40 on
        PROCESSOR => Ok(vec![2 * processor(&state) + 80, SCANNING, 0x00, HIGH]),
        FIRST_SUPPLY => Ok(vec![0, SCANNING, 0x01, HIGH]),
        SECOND_SUPPLY => Ok(vec![0, SCANNING, supply(state.device.second_supply), HIGH]),
        REDUNDANCY if state.device.second_supply == Supply::Well => Ok(vec![0, SCANNING, 0x01, HIGH]),
        REDUNDANCY => Ok(vec![0, SCANNING, 0x02, HIGH]),
        // four watts a count
        POWER => Ok(vec![u8::try_from(watts(&state) / 4).unwrap_or(u8::MAX), SCANNING, 0x00, HIGH]),
        OUTLET if state.quirks.ipmi_more_sensors => Ok(vec![temperature(&state, now()), SCANNING, 0x00, HIGH]),
        _ => Err(code::ABSENT),
    }
}

pub fn thresholds(call: &Call<'_>) -> Told {
    match call.exactly()? {
        // which can be read, then from the lowest to the highest
        [TEMPERATURE] => Ok(vec![0x18, 0, 0, 0, UPPER_NON_CRITICAL, UPPER_CRITICAL, 0]),
        [PROCESSOR | POWER | OUTLET] => Ok(vec![0; 7]),
        [POWER_UNIT | WATCHDOG | FIRST_SUPPLY | SECOND_SUPPLY | REDUNDANCY] => Err(code::STATE),
        _ => Err(code::ABSENT),
    }
}

/// The states of a power supply: present, failed, input lost.
fn supply(supply: Supply) -> u8 {
    match supply {
        Supply::Well => 0x01,
        Supply::Failed => 0x03,
        Supply::InputLost => 0x09,
        Supply::Absent => 0x00,
    }
}

/// DCMI Get Power Reading: what the whole system draws now.
pub fn drawn(call: &Call<'_>) -> Told {
    const DCMI: u8 = 0xdc;
    const SYSTEM_STATISTICS: u8 = 0x01;
    const MEASURES: u8 = 0x40;
    let [group, mode, ..] = call.exactly::<4>()?;
    let state = call.bmc.state();
    if !state.quirks.ipmi_dcmi || group != DCMI {
        return Err(code::UNKNOWN_COMMAND);
    }
    if mode != SYSTEM_STATISTICS {
        return Err(code::FIELD);
    }
    // now, least, most, average; then a time and a period, which are not kept
    let watts = watts(&state);
    let told = [watts, DRAWN_OFF, DRAWN_ON, watts].into_iter().flat_map(u16::to_le_bytes);
    Ok(std::iter::once(DCMI).chain(told).chain([0; 8]).chain([MEASURES]).collect())
}
