//! The chassis: what its power reads, what it is commanded, what it does when mains power returns.
//! Must never read Off where Redfish would not: both ask the same state.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Told, code};
use crate::bmc::Bmc;
use crate::bmc::command::{Answered, Reset};
use crate::bmc::device::Light;
use crate::bmc::limits;
use crate::bmc::machine::RestorePolicy;
use crate::bmc::quirks::{Indicator, SettingBehaviour};
use crate::bmc::reading::Reading;
use crate::clock::now;

/// Restore policies that exist.
const POLICIES: u8 = 0x07;
/// What is told of a policy that cannot be set.
const POLICY_UNKNOWN: u8 = 0x03;
/// The last power-on came by command.
const ON_BY_COMMAND: u8 = 0x10;
/// The last power-off came by loss of mains power.
const OFF_BY_MAINS: u8 = 0x01;
/// The light can be told.
const LIGHT_TOLD: u8 = 0x40;

pub fn capabilities(_: &Call<'_>) -> Told {
    // inventory, repository, event log and system management: all at the BMC's own address
    Ok(vec![0x00, 0x20, 0x20, 0x20, 0x20])
}

pub fn status(call: &Call<'_>) -> Told {
    let state = call.bmc.state();
    let power = match state.system_power() {
        Reading::Is("Off") => 0,
        Reading::Is(_) => 1,
        Reading::Null | Reading::Missing => return Err(code::NO_ANSWER),
        Reading::Unavailable => return Err(code::STARTING),
    };
    let policy = match (state.quirks.restore_policy, state.policy) {
        (SettingBehaviour::Unsupported, _) => POLICY_UNKNOWN,
        (_, RestorePolicy::AlwaysOff) => 0,
        (_, RestorePolicy::LastState) => 1,
        (_, RestorePolicy::AlwaysOn) => 2,
    };
    let event = match state.last_reset {
        Some((_, "ManagementCommand")) => ON_BY_COMMAND,
        Some((_, "PowerRestorePolicy")) => OFF_BY_MAINS,
        _ => 0,
    };
    Ok(vec![power | policy << 5, event, LIGHT_TOLD | state.device.light_state() << 4, 0])
}

/// The name of a command to the chassis, in Redfish's words where it has one.
pub fn word(control: u8) -> &'static str {
    reset(control).map_or("Unknown", Reset::word)
}

fn reset(control: u8) -> Option<Reset> {
    Some(match control {
        0 => Reset::ForceOff,
        1 => Reset::On,
        2 => Reset::PowerCycle,
        3 => Reset::ForceRestart,
        5 => Reset::GracefulShutdown,
        _ => return None,
    })
}

/// Chassis Control: its completion code.
pub async fn control(bmc: &Arc<Bmc>, control: u8) -> u8 {
    let Some(reset) = reset(control) else { return code::FIELD };
    match bmc.command(reset).await {
        Answered::Accepted => code::DONE,
        Answered::Conflict => code::STATE,
        Answered::Refused => code::FIELD,
        Answered::Failed => code::UNSPECIFIED,
    }
}

pub fn identify(call: &Call<'_>) -> Told {
    let (seconds, steady) = match call.data() {
        [] => (limits::IDENTIFY, false),
        [seconds] => (Duration::from_secs(u64::from(*seconds)), false),
        [_, _] if !call.bmc.state().quirks.ipmi_steady_light => return Err(code::LENGTH),
        [seconds, force] => (Duration::from_secs(u64::from(*seconds)), force & 0x01 != 0),
        _ => return Err(code::LENGTH),
    };
    let mut state = call.bmc.state();
    match state.quirks.indicator {
        Indicator::Location | Indicator::Led => {}
        Indicator::Ignored => return Ok(Vec::new()),
        Indicator::Missing => return Err(code::UNKNOWN_COMMAND),
    }
    state.device.light = match (steady, seconds.is_zero()) {
        (true, _) => Some(Light::Steady),
        (false, true) => None,
        (false, false) => Some(Light::Until(now() + seconds)),
    };
    Ok(Vec::new())
}

pub fn set_restore_policy(call: &Call<'_>) -> Told {
    let [wanted] = call.exactly()?;
    let mut state = call.bmc.state();
    let behaviour = state.quirks.restore_policy;
    if behaviour == SettingBehaviour::Unsupported {
        return Err(code::UNKNOWN_COMMAND);
    }
    let policy = match wanted & 0x07 {
        0 => RestorePolicy::AlwaysOff,
        1 => RestorePolicy::LastState,
        2 => RestorePolicy::AlwaysOn,
        // only asks which there are
        3 => return Ok(vec![POLICIES]),
        _ => return Err(code::FIELD),
    };
    match behaviour {
        SettingBehaviour::Obeys => state.policy = policy,
        SettingBehaviour::Pending => state.policy_pending = Some(policy),
        SettingBehaviour::Ignored | SettingBehaviour::Unsupported => {}
    }
    Ok(vec![POLICIES])
}

pub fn restart_cause(call: &Call<'_>) -> Told {
    let cause = match call.bmc.state().last_reset {
        Some((_, "ManagementCommand")) => 0x01,
        Some((_, "PowerButtonPress")) => 0x03,
        Some((_, "WatchdogExpiration")) => 0x04,
        Some((_, "PowerRestorePolicy")) => 0x06,
        Some((_, "OSSoftRestart")) => 0x0a,
        _ => 0x00,
    };
    Ok(vec![cause, 0x01])
}
