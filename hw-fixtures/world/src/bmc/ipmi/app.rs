//! Who the BMC is, which sessions and suites it offers, and what a session may do to itself.
//! Must never raise a session above its account.

use std::time::Duration;

use super::{Call, Told, code};
use crate::bmc::quirks::{GuidOrder, Quirks, StrongSuite};
use crate::bmc::rmcp;
use crate::clock::now;

/// The device: id, revision with the mark of a sensor repository.
const DEVICE: [u8; 2] = [0x20, 0x81];
/// Firmware 1.02, IPMI 2.0.
const FIRMWARE: [u8; 3] = [0x01, 0x02, 0x02];
/// Chassis, inventory, event log, sensor repository, sensors.
pub const SUPPORTS: u8 = 0x8f;
/// Manufacturer (none), product, auxiliary revision.
const PRODUCT: [u8; 9] = [0, 0, 0, 0x01, 0x00, 0, 0, 0, 0];
/// The channel to which all of this BMC's consoles come: a LAN.
const CHANNEL: u8 = 0x01;
/// "The channel on which this came."
const THIS_CHANNEL: u8 = 0x0e;
/// An account with a name exists; nothing of IPMI 1.5.
const NAMED_USERS: u8 = 0x04;
/// The BMC key is set.
const KEY_SET: u8 = 0x20;
const EXTENDED: u8 = 0x80;
/// IPMI 2.0 connections.
const TWO_ZERO: u8 = 0x02;

pub fn device_id(_: &Call<'_>) -> Told {
    Ok([&DEVICE[..], &FIRMWARE, &[SUPPORTS], &PRODUCT].concat())
}

pub fn self_test(_: &Call<'_>) -> Told {
    Ok(vec![0x55, 0x00])
}

/// The GUID, in the order of bytes of the moment; zeros where the BMC's UUID is none.
pub fn guid(own: &str, quirks: &Quirks) -> [u8; 16] {
    let text = quirks.uuid.as_deref().unwrap_or(own);
    let uuid = uuid::Uuid::parse_str(text.trim()).unwrap_or_default();
    match quirks.ipmi_guid {
        GuidOrder::Smbios => uuid.to_bytes_le(),
        GuidOrder::Text => *uuid.as_bytes(),
        GuidOrder::Reversed => {
            let mut bytes = *uuid.as_bytes();
            bytes.reverse();
            bytes
        }
        GuidOrder::Unknown => [0; 16],
    }
}

pub fn system_guid(call: &Call<'_>) -> Told {
    let state = call.bmc.state();
    match state.quirks.ipmi_guid {
        GuidOrder::Unknown => Err(code::UNKNOWN_COMMAND),
        GuidOrder::Smbios | GuidOrder::Text | GuidOrder::Reversed => Ok(guid(&call.bmc.config.uuid, &state.quirks).to_vec()),
    }
}

/// The BMC's own number: that of its machine with one bit changed, so that nobody takes one for the other.
pub fn device_guid(call: &Call<'_>) -> Told {
    let told = system_guid(call)?;
    Ok(told.into_iter().enumerate().map(|(at, byte)| if at == 15 { byte ^ 0x80 } else { byte }).collect())
}

fn is_our_channel(channel: u8) -> bool {
    matches!(channel & 0x0f, CHANNEL | THIS_CHANNEL)
}

pub fn channel_authentication(call: &Call<'_>) -> Told {
    let [channel, privilege] = call.exactly()?;
    if !is_our_channel(channel) || !(1..=rmcp::ADMINISTRATOR).contains(&(privilege & 0x0f)) {
        return Err(code::FIELD);
    }
    let extended = channel & EXTENDED;
    let key = if call.bmc.secrets.key.is_some() { KEY_SET } else { 0 };
    let connections = if extended == 0 { 0 } else { TWO_ZERO };
    Ok(vec![CHANNEL, extended, NAMED_USERS | key, connections, 0, 0, 0, 0])
}

pub fn cipher_suites(call: &Call<'_>) -> Told {
    /// Bytes of the list in one answer.
    const PIECE: usize = 16;
    /// By suite, not by algorithm.
    const BY_SUITE: u8 = 0x80;
    let [channel, _, index] = call.exactly()?;
    if !is_our_channel(channel) {
        return Err(code::FIELD);
    }
    let strong = call.bmc.state().quirks.ipmi_suite_17 == StrongSuite::Taken;
    let list: &[u8] = match (index & BY_SUITE != 0, strong) {
        // a suite: mark, number, authentication, integrity, confidentiality
        (true, true) => &[0xc0, 3, 0x01, 0x41, 0x81, 0xc0, 17, 0x03, 0x44, 0x81],
        (true, false) => &[0xc0, 3, 0x01, 0x41, 0x81],
        (false, true) => &[0x01, 0x03, 0x41, 0x44, 0x81],
        (false, false) => &[0x01, 0x41, 0x81],
    };
    let from = usize::from(index & 0x3f) * PIECE;
    Ok(std::iter::once(CHANNEL).chain(list.iter().skip(from).take(PIECE).copied()).collect())
}

pub fn set_privilege(call: &Call<'_>) -> Told {
    let [wanted] = call.exactly()?;
    let id = call.asked.session().ok_or(code::STATE)?;
    let mut state = call.bmc.state();
    let limit = rmcp::level(state.quirks.privilege);
    state.rmcp.set_level(id, wanted & 0x0f, limit).map(|level| vec![level])
}

pub fn close_session(call: &Call<'_>) -> Told {
    /// "Invalid session id in request".
    const NO_SUCH_SESSION: u8 = 0x87;
    let id = u32::from_le_bytes(call.exactly()?);
    let asking = call.asked.session();
    // ending another's session is an administrator's business
    if asking != Some(id) && call.asked.privilege < rmcp::ADMINISTRATOR {
        return Err(code::RIGHTS);
    }
    if call.bmc.state().rmcp.close(id, asking) { Ok(Vec::new()) } else { Err(NO_SUCH_SESSION) }
}

pub fn session_info(call: &Call<'_>) -> Told {
    let mut state = call.bmc.state();
    let timeout = Duration::from_millis(state.quirks.ipmi_session_timeout_ms);
    let open = state.rmcp.count(now(), timeout);
    let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX).min(0x3f);
    Ok(vec![0x01, count(state.quirks.ipmi_session_cap), count(open)])
}

pub fn channel_info(call: &Call<'_>) -> Told {
    let [channel] = call.exactly()?;
    if !is_our_channel(channel) {
        return Err(code::FIELD);
    }
    // 802.3 LAN, IPMB, several sessions, the specification's own vendor number
    Ok(vec![CHANNEL, 0x04, 0x01, 0x80, 0xf2, 0x1b, 0x00, 0, 0])
}
