//! What a BMC is asked, and how its answers read: device, GUID, chassis, restore policy, boot options.
//! Total functions over any answer. Must never read Off out of an answer that is cut short, and never cycle or reset.

use ipmi_rs_core::app::{DeviceId, GetDeviceId};
use ipmi_rs_core::connection::{CompletionErrorCode, IpmiCommand as _};
use vocabulary::light::LightReading;
use vocabulary::power::{BootTarget, PowerState, RestorePolicy};

use super::session::{Reply, Request};
use crate::fault::Kind;

const CHASSIS: u8 = 0x00;
const APP: u8 = 0x06;

const GET_CHASSIS_STATUS: u8 = 0x01;
const CHASSIS_CONTROL: u8 = 0x02;
const CHASSIS_IDENTIFY: u8 = 0x04;
const SET_RESTORE_POLICY: u8 = 0x06;
const SET_BOOT_OPTION: u8 = 0x08;
const GET_BOOT_OPTION: u8 = 0x09;
const GET_DEVICE_ID: u8 = 0x01;
const GET_SYSTEM_GUID: u8 = 0x37;

/// Boot option 3: what clears the "valid" mark of the boot flags.
const VALID_CLEARING: u8 = 0x03;
/// Boot option 5: the boot flags.
const BOOT_FLAGS: u8 = 0x05;
/// Do not clear the mark when 60 s have passed without a start: the power-on may come later.
const KEEP_WITHOUT_START: u8 = 0x08;
/// The chassis status tells of the identify light.
const LIGHT_TOLD: u8 = 0x40;
const FLAGS_VALID: u8 = 0x80;
const FLAGS_PERSISTENT: u8 = 0x40;
const FLAGS_UEFI: u8 = 0x20;
const DEVICE_MASK: u8 = 0x3c;
const DEVICE_PXE: u8 = 0x04;

/// What this driver ever does to a chassis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// Cuts power.
    Down,
    /// Gives power.
    Up,
    /// Asks the operating system to stop.
    SoftShutdown,
}

impl Control {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Control::Down => "power down",
            Control::Up => "power up",
            Control::SoftShutdown => "soft shutdown",
        }
    }
}

/// What the chassis says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChassisStatus {
    /// Host power.
    pub power: PowerState,
    /// What happens when power returns.
    pub restore_policy: RestorePolicy,
    /// The worst fault it tells, in the words of a health roll-up.
    pub health: Option<&'static str>,
    /// The identify light.
    pub light: LightReading,
}

/// The boot flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootFlags {
    first: u8,
    device: u8,
}

fn question(netfn: u8, command: u8, data: &[u8]) -> Request {
    Request { netfn, command, data: data.to_vec(), repeatable: true }
}

/// Get Device ID.
pub fn device_id() -> Request {
    question(APP, GET_DEVICE_ID, &[])
}

/// Get System GUID.
pub fn system_guid() -> Request {
    question(APP, GET_SYSTEM_GUID, &[])
}

/// Get Chassis Status.
pub fn chassis_status() -> Request {
    question(CHASSIS, GET_CHASSIS_STATUS, &[])
}

/// Chassis Control: goes out once, whatever becomes of the reply.
pub fn chassis_control(control: Control) -> Request {
    let data = match control {
        Control::Down => 0x00,
        Control::Up => 0x01,
        Control::SoftShutdown => 0x05,
    };
    Request { repeatable: false, ..question(CHASSIS, CHASSIS_CONTROL, &[data]) }
}

/// Chassis Identify: the light for so many seconds, 0 for off.
pub fn identify(seconds: u8) -> Request {
    question(CHASSIS, CHASSIS_IDENTIFY, &[seconds])
}

/// Chassis Identify: the light until it is switched off. BMCs of IPMI 1.5 do not know the second byte.
pub fn identify_steady() -> Request {
    question(CHASSIS, CHASSIS_IDENTIFY, &[u8::MAX, 0x01])
}

/// Set Power Restore Policy to "stays off".
pub fn restore_policy_off() -> Request {
    question(CHASSIS, SET_RESTORE_POLICY, &[0x00])
}

/// Lets the boot flags outlive the 60 s within which the machine would have to start. Not every BMC has it.
pub fn keep_boot_flags() -> Request {
    question(CHASSIS, SET_BOOT_OPTION, &[VALID_CLEARING, KEEP_WITHOUT_START])
}

/// Sets the next boot, and only that, to the network; `None` for a target that the boot flags cannot name.
pub fn boot_flags(target: BootTarget, uefi: bool) -> Option<Request> {
    match target {
        BootTarget::Pxe => {
            let first = FLAGS_VALID | if uefi { FLAGS_UEFI } else { 0 };
            Some(question(CHASSIS, SET_BOOT_OPTION, &[BOOT_FLAGS, first, DEVICE_PXE, 0, 0, 0]))
        }
        BootTarget::UefiHttp => None,
    }
}

/// Reads the boot flags.
pub fn read_boot_flags() -> Request {
    question(CHASSIS, GET_BOOT_OPTION, &[BOOT_FLAGS, 0, 0])
}

/// The data of a good answer, or what its completion code means.
pub fn good(reply: &Reply) -> Result<&[u8], CompletionErrorCode> {
    CompletionErrorCode::try_from(reply.code).map_or(Ok(&reply.data), Err)
}

/// True for a command that this BMC does not have.
pub fn is_unknown_command(code: CompletionErrorCode) -> bool {
    matches!(code, CompletionErrorCode::InvalidCommand | CompletionErrorCode::InvalidCommandForLun)
}

/// True if the BMC was not able to do it now, and did nothing.
pub fn is_not_ready(code: CompletionErrorCode) -> bool {
    use CompletionErrorCode::{NodeBusy, OutOfSpace, ResponseUnavailable};
    matches!(code, NodeBusy | OutOfSpace | ResponseUnavailable { .. })
}

/// True if nothing was done because the present state does not allow it, which may pass.
pub fn is_not_yet(code: CompletionErrorCode) -> bool {
    matches!(code, CompletionErrorCode::CannotExecuteCommandInCurrentState | CompletionErrorCode::NodeBusy)
}

/// True if a code leaves open whether it was done.
pub fn is_doubtful(code: CompletionErrorCode) -> bool {
    use CompletionErrorCode::{ProcessingTimeout, Unspecified};
    matches!(code, ProcessingTimeout | Unspecified | CompletionErrorCode::ResponseUnavailable { .. })
}

/// What a no means to a person.
pub fn kind(code: CompletionErrorCode) -> Kind {
    if code == CompletionErrorCode::InsufficientPrivilege { Kind::TooFewRights } else { Kind::Answer }
}

/// A completion code for people.
pub fn explained(code: CompletionErrorCode) -> String {
    use CompletionErrorCode as C;
    let known = match code {
        C::NodeBusy => "node busy",
        C::InvalidCommand | C::InvalidCommandForLun => "the BMC does not have this command",
        C::ProcessingTimeout => "the BMC timed out inside",
        C::OutOfSpace => "out of space",
        C::ParameterOutOfRange | C::InvalidDataFieldInRequest => "the BMC does not take this value",
        C::ResponseUnavailable { .. } => "the BMC is starting, updates itself, or cannot answer now",
        C::DestinationUnavailable => "destination unavailable",
        C::InsufficientPrivilege => "the user's rights do not suffice",
        C::CannotExecuteCommandInCurrentState => "not possible in the present state",
        C::SubFunctionDisabled => "this function is switched off on the BMC",
        C::Unspecified => "unspecified error",
        other => return format!("completion code {other:?}"),
    };
    known.to_owned()
}

/// The device, from the data of a good answer.
pub fn read_device_id(data: &[u8]) -> Option<DeviceId> {
    GetDeviceId::parse_success_response(data).ok()
}

/// The GUID, byte by byte as it came.
pub fn read_guid(data: &[u8]) -> Option<[u8; 16]> {
    data.first_chunk().copied()
}

/// The chassis, from the data of a good answer: three bytes, or four (IPMI 2.0, section 28.2). What is longer is no chassis status, however it
/// begins: of noise every second would say Off.
pub fn read_chassis(data: &[u8]) -> Option<ChassisStatus> {
    let ([now, _, misc] | [now, _, misc, _]) = data else { return None };
    let power = if now & 0x01 == 0 { PowerState::Off } else { PowerState::On };
    let restore_policy = match (now >> 5) & 0x03 {
        0 => RestorePolicy::AlwaysOff,
        1 => RestorePolicy::LastState,
        2 => RestorePolicy::AlwaysOn,
        _ => RestorePolicy::Unknown,
    };
    // overload, power fault, power control fault | drive fault, cooling fault
    let health = match (now & 0x1a, misc & 0x0c) {
        (0, 0) => None,
        (0, _) => Some("Warning"),
        _ => Some("Critical"),
    };
    let light = match (misc & LIGHT_TOLD != 0, misc >> 4 & 0x03) {
        (true, 0) => LightReading::Off,
        (true, 1) => LightReading::ForAWhile,
        (true, 2) => LightReading::Steady,
        _ => LightReading::Unknown,
    };
    Some(ChassisStatus { power, restore_policy, health, light })
}

/// The boot flags, from the data of a good answer.
pub fn read_flags(data: &[u8]) -> Option<BootFlags> {
    let [_, number, first, device] = data.first_chunk::<4>()?;
    // the highest bit says that the option is locked or invalid
    (*number == BOOT_FLAGS).then_some(BootFlags { first: *first, device: *device })
}

impl BootFlags {
    /// True if a boot of the UEFI kind is asked for.
    pub fn is_uefi(self) -> bool {
        self.first & FLAGS_UEFI != 0
    }

    /// True if the next boot, and only that, will use the target.
    pub fn is_set(self, target: BootTarget, uefi: bool) -> bool {
        let once = self.first & (FLAGS_VALID | FLAGS_PERSISTENT) == FLAGS_VALID;
        target == BootTarget::Pxe && once && self.is_uefi() == uefi && self.device & DEVICE_MASK == DEVICE_PXE
    }

    /// For people.
    pub fn shown(self) -> String {
        format!("flags {:#04x}, device {:#04x}", self.first, self.device & DEVICE_MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_that_is_cut_short_is_no_status() {
        assert_eq!(read_chassis(&[]), None);
        assert_eq!(read_chassis(&[0x00, 0x00]), None);
        assert_eq!(read_chassis(&[0x00; 5]), None, "noise");
        let off = read_chassis(&[0x00, 0x00, 0x00]).unwrap();
        assert_eq!((off.power, off.restore_policy, off.health), (PowerState::Off, RestorePolicy::AlwaysOff, None));
        let on = read_chassis(&[0x61, 0x00, 0x08, 0x00]).unwrap();
        assert_eq!((on.power, on.restore_policy, on.health), (PowerState::On, RestorePolicy::Unknown, Some("Warning")));
    }

    #[test]
    fn a_light_is_told_only_by_a_bmc_that_says_so() {
        let light = |misc| read_chassis(&[0, 0, misc]).unwrap().light;
        assert_eq!(
            [0x40, 0x50, 0x60, 0x70].map(light),
            [LightReading::Off, LightReading::ForAWhile, LightReading::Steady, LightReading::Unknown]
        );
        assert_eq!(light(0x10), LightReading::Unknown);
    }

    #[test]
    fn boot_flags_are_for_one_boot_and_of_the_asked_kind() {
        let asked = boot_flags(BootTarget::Pxe, true).unwrap();
        assert_eq!(asked.data, [0x05, 0xa0, 0x04, 0, 0, 0]);
        assert_eq!(boot_flags(BootTarget::UefiHttp, true), None);
        let read = |first, device| read_flags(&[0x01, 0x05, first, device, 0, 0, 0]).unwrap();
        assert!(read(0xa0, 0x04).is_set(BootTarget::Pxe, true));
        for (first, device) in [(0x80, 0x04), (0xe0, 0x04), (0x20, 0x04), (0xa0, 0x08), (0xa0, 0x00)] {
            assert!(!read(first, device).is_set(BootTarget::Pxe, true), "{first:#x} {device:#x}");
        }
        assert_eq!(read_flags(&[0x01, 0x85, 0xa0, 0x04, 0, 0, 0]), None);
    }

    #[test]
    fn only_questions_and_settings_go_out_twice() {
        for control in [Control::Down, Control::Up, Control::SoftShutdown] {
            assert!(!chassis_control(control).repeatable);
        }
        assert!(chassis_status().repeatable && restore_policy_off().repeatable);
    }

    proptest! {
        #[test]
        fn reading_is_total(data in proptest::collection::vec(any::<u8>(), 0..40), code: u8) {
            let _ = (read_guid(&data), read_device_id(&data), read_flags(&data).map(BootFlags::shown));
            if let Some(status) = read_chassis(&data) {
                prop_assert!((3..=4).contains(&data.len()) && (status.power == PowerState::Off) == (data[0] & 1 == 0));
            }
            let reply = Reply { code, data };
            if let Err(code) = good(&reply) {
                prop_assert!(!explained(code).is_empty());
            }
        }
    }
}
