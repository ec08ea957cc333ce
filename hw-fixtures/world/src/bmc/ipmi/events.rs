//! The event log as consoles read it, and the clock that stamps it.
//! Must never erase anything without the reservation in force.

use super::{Call, Told, code};
use crate::bmc::limits;
use crate::bmc::stamp;

/// Version of the log, and of the sensor repository.
pub const VERSION: u8 = 0x51;
/// Length of a record, bytes.
const RECORD: u8 = 16;
/// It can be reserved, and tells how much room there is.
const OPERATIONS: u8 = 0x03;
const OVERFLOWED: u8 = 0x80;

fn room(taken: usize) -> u16 {
    u16::try_from(limits::LOG_MAX.saturating_sub(taken)).unwrap_or(u16::MAX)
}

pub fn info(call: &Call<'_>) -> Told {
    let state = call.bmc.state();
    let log = &state.device.log;
    let mut told = vec![VERSION];
    told.extend(u16::try_from(log.len()).unwrap_or(u16::MAX).to_le_bytes());
    told.extend(room(log.len()).saturating_mul(u16::from(RECORD)).to_le_bytes());
    told.extend(log.added.to_le_bytes());
    told.extend(log.erased.to_le_bytes());
    told.push(OPERATIONS | if log.overflowed { OVERFLOWED } else { 0 });
    Ok(told)
}

pub fn allocation(call: &Call<'_>) -> Told {
    let free = room(call.bmc.state().device.log.len());
    let mut told = u16::try_from(limits::LOG_MAX).unwrap_or(u16::MAX).to_le_bytes().to_vec();
    for number in [u16::from(RECORD), free, free] {
        told.extend(number.to_le_bytes());
    }
    told.push(1);
    Ok(told)
}

pub fn reserve(call: &Call<'_>) -> Told {
    Ok(call.bmc.state().device.log.reserve().to_le_bytes().to_vec())
}

pub fn get(call: &Call<'_>) -> Told {
    let [r, s, i, j, offset, count] = call.exactly()?;
    let (reservation, id) = (u16::from_le_bytes([r, s]), u16::from_le_bytes([i, j]));
    let state = call.bmc.state();
    let log = &state.device.log;
    if offset != 0 && !log.is_reserved(reservation) {
        return Err(code::RESERVATION);
    }
    if count != u8::MAX && count > state.quirks.ipmi_piece_max {
        return Err(code::TOO_MANY);
    }
    let (record, next) = log.record(id).ok_or(code::ABSENT)?;
    let part = record.get(usize::from(offset)..).filter(|part| !part.is_empty()).ok_or(code::RANGE)?;
    Ok(next.to_le_bytes().into_iter().chain(part.iter().take(usize::from(count)).copied()).collect())
}

pub fn clear(call: &Call<'_>) -> Told {
    /// What must be said so that nothing is erased by mistake.
    const WORD: [u8; 3] = *b"CLR";
    const ERASE: u8 = 0xaa;
    const ASK: u8 = 0x00;
    /// Everything is erased.
    const COMPLETE: u8 = 0x01;
    let [r, s, c, l, x, what] = call.exactly()?;
    let mut state = call.bmc.state();
    if !state.device.log.is_reserved(u16::from_le_bytes([r, s])) {
        return Err(code::RESERVATION);
    }
    match what {
        _ if [c, l, x] != WORD => return Err(code::FIELD),
        ERASE => {
            let now = stamp::seconds(state.wall.now(), state.quirks.clock_offset_s);
            state.device.log.clear(now);
        }
        ASK => {}
        _ => return Err(code::FIELD),
    }
    Ok(vec![COMPLETE])
}

pub fn time(call: &Call<'_>) -> Told {
    let state = call.bmc.state();
    Ok(stamp::seconds(state.wall.now(), state.quirks.clock_offset_s).to_le_bytes().to_vec())
}

pub fn set_time(call: &Call<'_>) -> Told {
    let wanted = u32::from_le_bytes(call.exactly()?);
    let mut state = call.bmc.state();
    state.quirks.clock_offset_s = i64::from(wanted) - i64::from(stamp::seconds(state.wall.now(), 0));
    Ok(Vec::new())
}

pub fn time_offset(_: &Call<'_>) -> Told {
    // minutes from UTC
    Ok(vec![0, 0])
}
