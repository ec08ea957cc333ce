//! Does what was read back confirm what was asked? A driver's `Ok` alone is not believed: the reading it brings must say so.

use vocabulary::network::{PortReading, PortSetting};
use vocabulary::outlet::{OnReturn, Relay};
use vocabulary::request::{Action, AgentError, Answer};
use vocabulary::storage::{InitiatorName, VolumeReading};

fn unconfirmed(reason: impl Into<String>) -> AgentError {
    AgentError::Unconfirmed { reason: reason.into() }
}

/// Turns an answer that does not confirm its action into `Unconfirmed`.
pub(crate) fn confirmed(action: &Action, answer: Answer) -> Result<Answer, AgentError> {
    match (action, &answer) {
        (Action::BarPort { quarantine, port }, Answer::Port(reading)) if reading.port == *port => {
            cut_off(reading, &PortSetting::access(*quarantine))?;
        }
        (Action::ParkPort { parking, port }, Answer::Port(reading)) if reading.port == *port => {
            cut_off(reading, &PortSetting::access(*parking))?;
        }
        (Action::JoinPort { setting, port, .. }, Answer::Port(reading)) if reading.port == *port => exactly(reading, setting)?,
        (Action::RevokeVolume { keep, volume }, Answer::Volume(reading)) if reading.volume == *volume => {
            only(reading, keep.as_ref())?;
        }
        (Action::GrantVolume { initiator, volume, .. }, Answer::Volume(reading)) if reading.volume == *volume => {
            only(reading, Some(initiator))?;
            if reading.allowed.is_empty() {
                return Err(unconfirmed(format!("{initiator} is not admitted to {volume} after the grant")));
            }
        }
        (Action::RevokePermit { machine }, Answer::Permit(reading)) if reading.machine == *machine => {
            if let Some((server, epoch)) = &reading.standing {
                return Err(unconfirmed(format!("{machine} may still boot {server} ({epoch}) after the revocation")));
            }
        }
        (Action::GrantPermit { permit }, Answer::Permit(reading)) if reading.machine == permit.machine => {
            if reading.standing != Some((permit.server.clone(), permit.epoch)) {
                return Err(unconfirmed(format!("{} has another permit than the granted one", permit.machine)));
            }
        }
        (Action::CutOutlet { outlet }, Answer::Outlet(reading)) if reading.outlet == *outlet => {
            if let Some(why) = reading.not_cut() {
                return Err(unconfirmed(why));
            }
        }
        (Action::FeedOutlet { outlet }, Answer::Outlet(reading)) if reading.outlet == *outlet => {
            if reading.relay != Relay::On || reading.on_return == OnReturn::StaysOff {
                return Err(unconfirmed(format!(
                    "{outlet} reads {:?}, and {:?} when its unit returns",
                    reading.relay, reading.on_return
                )));
            }
        }
        (
            Action::PowerOff { .. }
            | Action::PowerOn { .. }
            | Action::ShutDown { .. }
            | Action::SetBootTarget { .. }
            | Action::SetRestorePolicyOff { .. },
            Answer::Machine(_),
        ) => {}
        _ => return Err(unconfirmed("the driver's answer is not about what was asked; read the device")),
    }
    Ok(answer)
}

/// Nothing but this one VLAN, or nothing at all.
fn cut_off(reading: &PortReading, wanted: &PortSetting) -> Result<(), AgentError> {
    let shut = !reading.admin_up || (reading.setting.native.is_none() && reading.setting.tagged.is_empty());
    if shut && !reading.leaks { Ok(()) } else { exactly(reading, wanted) }
}

fn exactly(reading: &PortReading, wanted: &PortSetting) -> Result<(), AgentError> {
    let same_vlans = reading.setting.native == wanted.native && reading.setting.tagged == wanted.tagged;
    let same_mtu = wanted.mtu.is_none() || reading.setting.mtu == wanted.mtu;
    if same_vlans && same_mtu && !reading.leaks {
        Ok(())
    } else {
        Err(unconfirmed(format!("{} reads {:?} (leaks: {}), not {wanted:?}", reading.port, reading.setting, reading.leaks)))
    }
}

/// Nobody but this initiator may log in or is logged in, and nothing is left in flight.
pub(crate) fn only(reading: &VolumeReading, keep: Option<&InitiatorName>) -> Result<(), AgentError> {
    let volume = &reading.volume;
    if reading.open_to_others {
        return Err(unconfirmed(format!("{volume} admits initiators by something else than an exact name with a secret")));
    }
    if let Some(other) = reading.allowed.iter().find(|name| Some(*name) != keep) {
        return Err(unconfirmed(format!("{volume} still admits {other}")));
    }
    if let Some(other) = reading.sessions.iter().find(|session| Some(&session.initiator) != keep) {
        return Err(unconfirmed(format!("{volume} still has session {} of {}", other.number, other.initiator)));
    }
    match reading.in_flight {
        None | Some(0) => Ok(()),
        Some(n) => Err(unconfirmed(format!("{volume} still has {n} operations in flight from sessions that are gone"))),
    }
}
