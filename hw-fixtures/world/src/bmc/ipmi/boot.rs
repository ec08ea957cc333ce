//! System boot options: the same override that Redfish sets, in the bytes of the boot flags, with their "valid" mark and its end.
//! Must never keep flags longer than 60 s unless boot option 3 says so.

use std::time::Duration;

use super::{Call, Told, code};
use crate::bmc::Boot;
use crate::bmc::quirks::SettingBehaviour;
use crate::clock::now;

/// Version of the parameters.
const VERSION: u8 = 0x01;
/// The number of a parameter; the rest of its byte locks it.
const NUMBER: u8 = 0x7f;
const SET_IN_PROGRESS: u8 = 0;
const VALID_CLEARING: u8 = 3;
const ACKNOWLEDGE: u8 = 4;
const FLAGS: u8 = 5;
/// "Parameter not supported".
const NO_PARAMETER: u8 = 0x80;
/// In option 3: the mark is not cleared when no start has followed in time.
const KEEP_WITHOUT_START: u8 = 0x08;
const VALID: u8 = 0x80;
const PERSISTENT: u8 = 0x40;
const UEFI: u8 = 0x20;
/// Targets and their numbers in the boot flags.
const DEVICES: [(&str, u8); 6] = [("None", 0x00), ("Pxe", 0x04), ("Hdd", 0x08), ("Cd", 0x14), ("BiosSetup", 0x18), ("Usb", 0x3c)];
const DEVICE: u8 = 0x3c;

pub fn set(call: &Call<'_>) -> Told {
    let (number, data) = call.data().split_first().ok_or(code::LENGTH)?;
    let mut state = call.bmc.state();
    match number & NUMBER {
        SET_IN_PROGRESS => state.device.set_in_progress = data.first().ok_or(code::LENGTH)? & 0x03,
        VALID_CLEARING if state.quirks.ipmi_valid_clearing => {
            let marks = data.first().ok_or(code::LENGTH)? & 0x1f;
            state.device.valid_clearing = marks;
            if marks & KEEP_WITHOUT_START != 0 {
                state.boot.expires = None;
            }
        }
        // who has taken note of boot options: nobody asks for it here
        ACKNOWLEDGE if data.len() >= 2 => {}
        FLAGS if state.quirks.boot_override != SettingBehaviour::Unsupported => {
            let keeps = state.device.valid_clearing & KEEP_WITHOUT_START != 0;
            let valid = Duration::from_millis(state.quirks.ipmi_boot_valid_ms);
            let boot = read(data, keeps, valid)?;
            match state.quirks.boot_override {
                SettingBehaviour::Obeys => state.boot = boot,
                SettingBehaviour::Pending => state.boot_pending = Some(boot),
                SettingBehaviour::Ignored | SettingBehaviour::Unsupported => {}
            }
        }
        _ => return Err(NO_PARAMETER),
    }
    Ok(Vec::new())
}

/// The override that boot flags ask for.
fn read(data: &[u8], keeps: bool, valid: Duration) -> Result<Boot, u8> {
    let [first, device, ..] = data else { return Err(code::LENGTH) };
    let (target, _) = DEVICES.iter().find(|(_, number)| device & DEVICE == *number).ok_or(code::FIELD)?;
    let mut boot = Boot::none(if first & UEFI == 0 { "Legacy" } else { "UEFI" });
    if first & VALID != 0 {
        boot.enabled = if first & PERSISTENT == 0 { "Once" } else { "Continuous" }.into();
        boot.target = (*target).into();
        boot.expires = (!keeps).then(|| now() + valid);
    }
    Ok(boot)
}

pub fn get(call: &Call<'_>) -> Told {
    let [number, _, _] = call.exactly()?;
    let state = call.bmc.state();
    let mut told = vec![VERSION, number & NUMBER];
    match number & NUMBER {
        SET_IN_PROGRESS => told.push(state.device.set_in_progress),
        VALID_CLEARING if state.quirks.ipmi_valid_clearing => told.push(state.device.valid_clearing),
        ACKNOWLEDGE => told.extend([0, 0]),
        FLAGS if state.quirks.boot_override != SettingBehaviour::Unsupported => {
            let boot = &state.boot;
            let marks = match boot.enabled.as_str() {
                "Once" => VALID,
                "Continuous" => VALID | PERSISTENT,
                _ => 0,
            };
            let uefi = if boot.mode == "UEFI" { UEFI } else { 0 };
            // a target that only Redfish can name reads as none
            let device = DEVICES.iter().find(|(target, _)| *target == boot.target).map_or(0, |(_, number)| *number);
            told.extend([marks | uefi, device, 0, 0, 0]);
        }
        _ => return Err(NO_PARAMETER),
    }
    Ok(told)
}
