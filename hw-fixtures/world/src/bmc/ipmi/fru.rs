//! The inventory: who made the machine, its name and its serial number, in the format of FRU information storage.
//! Must never tell another serial number than Redfish does.

use super::{Call, Told, code};
use crate::bmc::Bmc;
use crate::bmc::quirks::InventoryReading;

/// Longest text of a field, bytes.
const TEXT_MAX: usize = 63;
/// Most bytes in one answer.
const PIECE_MAX: u8 = 200;
/// Version of the format.
const VERSION: u8 = 0x01;
/// Areas are multiples of this, bytes.
const UNIT: usize = 8;
/// A text of 8-bit characters; the length goes into the other bits.
const TEXT: u8 = 0xc0;
/// No more fields.
const END: u8 = 0xc1;
const ENGLISH: u8 = 25;
/// A chassis that is mounted in a rack.
const RACK_MOUNT: u8 = 0x17;

pub fn area_info(call: &Call<'_>) -> Told {
    if behaviour(call) == InventoryReading::Unsupported {
        return Err(code::UNKNOWN_COMMAND);
    }
    if call.exactly()? != [0] {
        return Err(code::ABSENT);
    }
    let size = u16::try_from(inventory(call.bmc).len()).unwrap_or(u16::MAX);
    // counted in bytes
    Ok(size.to_le_bytes().into_iter().chain([0]).collect())
}

pub fn read(call: &Call<'_>) -> Told {
    let behaviour = behaviour(call);
    if behaviour == InventoryReading::Unsupported {
        return Err(code::UNKNOWN_COMMAND);
    }
    let [id, low, high, count] = call.exactly()?;
    if id != 0 {
        return Err(code::ABSENT);
    }
    let from = usize::from(u16::from_le_bytes([low, high]));
    let all = inventory(call.bmc);
    let part = all.get(from..).filter(|part| !part.is_empty()).ok_or(code::RANGE)?;
    if count > call.bmc.state().quirks.ipmi_piece_max {
        return Err(code::RANGE);
    }
    let count = if behaviour == InventoryReading::Short { count.div_ceil(2) } else { count };
    let part: Vec<u8> = part.iter().take(usize::from(count.min(PIECE_MAX))).copied().collect();
    Ok(u8::try_from(part.len()).into_iter().chain(part).collect())
}

fn behaviour(call: &Call<'_>) -> InventoryReading {
    call.bmc.state().quirks.ipmi_inventory
}

/// The whole of it.
fn inventory(bmc: &Bmc) -> Vec<u8> {
    let (serial, behaviour) = {
        let state = bmc.state();
        (state.quirks.serial.clone().unwrap_or_else(|| bmc.config.serial.clone()), state.quirks.ipmi_inventory)
    };
    let hardware = &bmc.config.hardware;
    let (maker, model) = (hardware.manufacturer.as_str(), hardware.model.as_str());
    let product_serial = match behaviour {
        InventoryReading::NoProductSerial => "",
        InventoryReading::FillerProductSerial => "Default string",
        _ => serial.as_str(),
    };
    let board_serial = if behaviour == InventoryReading::OtherBoardSerial { "BOARD-1" } else { serial.as_str() };
    let chassis = area(&[RACK_MOUNT], &[model, &serial]);
    // the date of making is not told
    let board = area(&[ENGLISH, 0, 0, 0], &[maker, model, board_serial, "", ""]);
    let product = area(&[ENGLISH], &[maker, model, "", "", product_serial, "", ""]);
    let at = |bytes: usize| u8::try_from(bytes / UNIT).unwrap_or(0);
    let (first, second) = (UNIT, UNIT + chassis.len());
    let third = second + board.len();
    let mut all = vec![VERSION, 0, at(first), at(second), at(third), 0, 0];
    all.push(checksum(&all));
    let mut areas = [chassis, board, product];
    if behaviour == InventoryReading::Broken {
        areas.iter_mut().filter_map(|area| area.last_mut()).for_each(|sum| *sum = sum.wrapping_add(1));
    }
    [all, areas.concat()].concat()
}

/// One area: its head, its texts, filled up, with its checksum.
fn area(head: &[u8], texts: &[&str]) -> Vec<u8> {
    let mut body = head.to_vec();
    for text in texts {
        // one byte alone would read as the end of all fields
        let text = if text.len() == 1 { format!("{text} ") } else { (*text).to_owned() };
        let bytes: Vec<u8> = text.bytes().take(TEXT_MAX).collect();
        body.push(TEXT | u8::try_from(bytes.len()).unwrap_or(0));
        body.extend(bytes);
    }
    body.push(END);
    // version, length and checksum count too
    let whole = (body.len() + 3).next_multiple_of(UNIT);
    body.resize(whole - 3, 0);
    let mut area = vec![VERSION, u8::try_from(whole / UNIT).unwrap_or(u8::MAX)];
    area.extend(body);
    area.push(checksum(&area));
    area
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_whole_units_and_sum_to_nothing() {
        let long = "x".repeat(100);
        for texts in [&["", "A", "LAB0001"][..], &[&long, &long, &long, &long], &[]] {
            let area = area(&[ENGLISH], texts);
            assert_eq!((area.len() % UNIT, area.len() / UNIT), (0, usize::from(area[1])));
            assert_eq!(checksum(&area), 0);
        }
    }
}
