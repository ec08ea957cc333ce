//! Thin typed views on what a BMC said. Total: any JSON at all is a view, and whatever is missing, null or strange is `Unknown` or `None`.
//! Must never turn anything but the text `Off` into Off.

use serde_json::Value;
use vocabulary::power::{Identity, PowerState, RestorePolicy};

use crate::limits;

/// Power as a resource tells it.
pub fn power(resource: &Value) -> PowerState {
    match resource.get("PowerState").and_then(Value::as_str) {
        Some("On") => PowerState::On,
        Some("Off") => PowerState::Off,
        Some("PoweringOn") => PowerState::PoweringOn,
        Some("PoweringOff") => PowerState::PoweringOff,
        Some("Paused") => PowerState::Paused,
        _ => PowerState::Unknown,
    }
}

/// A text with control characters removed and of bounded length; `None` if it is not one, or empty.
pub fn text(resource: &Value, key: &str) -> Option<String> {
    let text = clean(resource.get(key)?.as_str()?, limits::TEXT_MAX);
    (!text.is_empty()).then_some(text)
}

/// What may be shown of a foreign text.
pub fn clean(text: &str, characters_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(characters_max).collect::<String>().trim().to_owned()
}

/// A time in the BMC's words; `None` where the BMC has no idea (missing, all zero, or from before its clock was set).
pub fn time(resource: &Value, key: &str) -> Option<String> {
    /// No server BMC with a clock that is set tells a year before this.
    const FIRST_YEAR: u32 = 2000;
    let text = text(resource, key)?;
    let year: u32 = text.get(..4)?.parse().ok()?;
    (year >= FIRST_YEAR).then_some(text)
}

/// Seconds since 1970 of a time in the BMC's words (RFC 3339); fractions are dropped, without an offset it is UTC.
pub fn seconds(time: &str) -> Option<i64> {
    let number = |part: Option<&str>| part.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse::<i64>().ok();
    let at = |from: usize, to: usize| number(time.get(from..to));
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let clock = (at(11, 13)? * 60 + at(14, 16)?) * 60 + at(17, 19)?;
    let rest = time.get(19..)?;
    let zone = rest.find(['+', '-']).and_then(|sign| rest.get(sign..));
    let ahead = match zone {
        None => 0,
        Some(zone) => {
            let minutes = number(zone.get(1..3))? * 60 + number(zone.get(4..6))?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    // years begin in March: the leap day comes last
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + clock - ahead * 60)
}

/// Who the system says it is: UUID in lower case; what a factory writes when nobody filled it in counts as not told.
pub fn identity(system: &Value) -> Identity {
    told(text(system, "UUID").as_deref().unwrap_or_default(), text(system, "SerialNumber").as_deref().unwrap_or_default())
}

/// An identity in the form in which two are compared.
pub fn told(uuid: &str, serial: &str) -> Identity {
    /// Written by factories into thousands of boxes.
    const NO_SERIAL: [&str; 9] = [
        "none",
        "n/a",
        "na",
        "not specified",
        "default string",
        "to be filled by o.e.m.",
        "system serial number",
        "0123456789",
        "123456789",
    ];
    /// The sample in a BIOS vendor's source.
    const NO_UUID: &str = "03000200-0400-0500-0006-000700080009";
    let uuid = uuid.trim().to_ascii_lowercase();
    let same = |digit: char| uuid.chars().all(|c| c == digit || c == '-');
    let uuid = if same('0') || same('f') || uuid == NO_UUID { String::new() } else { uuid };
    let serial = serial.trim();
    let filler = NO_SERIAL.contains(&serial.to_ascii_lowercase().as_str()) || serial.chars().all(|c| c == '0');
    Identity { uuid, serial: if filler { String::new() } else { serial.to_owned() } }
}

/// The active restore policy.
pub fn restore_policy(system: &Value) -> RestorePolicy {
    match system.get("PowerRestorePolicy").and_then(Value::as_str) {
        Some("AlwaysOff") => RestorePolicy::AlwaysOff,
        Some("AlwaysOn") => RestorePolicy::AlwaysOn,
        Some("LastState") => RestorePolicy::LastState,
        _ => RestorePolicy::Unknown,
    }
}

/// Health roll-up; the resource's own health where it rolls nothing up.
pub fn health(system: &Value) -> Option<String> {
    let status = system.get("Status")?;
    text(status, "HealthRollup").or_else(|| text(status, "Health"))
}

/// Where the boot stands.
pub fn boot_progress(system: &Value) -> Option<String> {
    text(system.get("BootProgress")?, "LastState")
}

/// How the firmware boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As a BIOS.
    Legacy,
    /// As UEFI.
    Uefi,
}

impl Mode {
    /// In the words of the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Legacy => "Legacy",
            Mode::Uefi => "UEFI",
        }
    }
}

/// The property with the mode of a boot override.
pub const BOOT_MODE: &str = "BootSourceOverrideMode";

/// The mode of a Boot object.
pub fn boot_mode(boot: &Value) -> Option<Mode> {
    let told = boot.get(BOOT_MODE).and_then(Value::as_str)?;
    [Mode::Legacy, Mode::Uefi].into_iter().find(|mode| mode.word() == told)
}

/// The values a property or parameter may take, where the BMC tells them.
pub fn allowable(resource: &Value, key: &str) -> Option<Vec<String>> {
    values(resource.get(format!("{key}@Redfish.AllowableValues"))?)
}

/// The allowable values of a parameter as an ActionInfo resource tells them.
pub fn action_info(info: &Value, parameter: &str) -> Option<Vec<String>> {
    let parameters = info.get("Parameters")?.as_array()?;
    let named = parameters.iter().find(|p| p.get("Name").and_then(Value::as_str) == Some(parameter))?;
    values(named.get("AllowableValues")?)
}

/// An empty list says nothing: it is taken as not told. They are kept as long as the session, so a text that no value has is none.
fn values(list: &Value) -> Option<Vec<String>> {
    let texts = list.as_array()?.iter().take(limits::ALLOWABLE_MAX).filter_map(Value::as_str);
    let texts = texts.filter(|text| text.len() <= limits::TEXT_MAX).map(str::to_owned);
    Some(texts.collect::<Vec<_>>()).filter(|values| !values.is_empty())
}

/// The path that a reference object names.
pub fn link(reference: &Value) -> Option<String> {
    path(reference.get("@odata.id")?.as_str()?)
}

/// The settings resource that a resource names: where what is written takes effect later.
pub fn settings(resource: &Value) -> Option<String> {
    link(resource.get("@Redfish.Settings")?.get("SettingsObject")?)
}

/// The first of the references in a list (or the only one, where it is not a list).
pub fn first_link(list: Option<&Value>) -> Option<String> {
    links(list).into_iter().next()
}

/// All links of a list, bounded.
pub fn links(list: Option<&Value>) -> Vec<String> {
    match list {
        Some(Value::Array(list)) => list.iter().filter_map(link).take(limits::LINKS_MAX).collect(),
        single => single.and_then(link).into_iter().collect(),
    }
}

/// The chassis that a system says it is in, bounded.
pub fn chassis(system: &Value) -> Vec<String> {
    let mut chassis = links(system.get("Links").and_then(|links| links.get("Chassis")));
    chassis.truncate(limits::SYSTEMS_MAX);
    chassis
}

/// The Id of the resource behind a path: its last part, by the specification.
pub fn id(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The members of a collection, bounded.
pub fn members(collection: &Value) -> Vec<String> {
    let list = collection.get("Members").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(link).take(limits::SYSTEMS_MAX).collect()
}

/// A path on this BMC. Host and port of an absolute link are dropped: no link leads to another host. Anything odd is no path.
pub fn path(link: &str) -> Option<String> {
    let path = match link.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => link,
    };
    let fits = path.len() <= limits::PATH_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains("://")
        && !path.split('/').any(|part| part == "." || part == "..")
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"#?\\%<>\"{}|^`".contains(&b));
    fits.then(|| path.to_owned())
}

/// The next page of a collection, as its BMC hands it out: a path with the query that it wrote there itself. No query is ever made here:
/// there are BMCs that refuse all but their own (OpenStack Ironic, Redfish driver).
pub fn next_page(collection: &Value) -> Option<String> {
    // the second is not the standard's name for it, and is what the DMTF's own mock-ups have
    let link = ["Members@odata.nextLink", "@odata.nextLink"].iter().find_map(|key| collection.get(key)?.as_str())?;
    let Some((before, query)) = link.split_once('?') else { return path(link) };
    let fits = query.len() <= limits::PATH_MAX && query.bytes().all(|b| b.is_ascii_graphic() && !b"#\\<>\"{}|^`".contains(&b));
    path(before).filter(|_| fits).map(|path| format!("{path}?{query}"))
}

/// What an error body says, for people.
pub fn explanation(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    let extended = error.get("@Message.ExtendedInfo").and_then(Value::as_array).and_then(|list| list.first());
    let said = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let text = extended
        .and_then(|info| said(info, "Message").or_else(|| said(info, "MessageId")))
        .or_else(|| said(error, "message"))
        .or_else(|| said(error, "code"))?;
    let text = clean(&text, limits::EXPLANATION_MAX);
    (!text.is_empty()).then_some(text)
}

/// Everything that an error body says, in lower case and bounded: keys and texts, for telling one refusal from another.
pub fn said(body: &Value) -> String {
    let Some(error) = body.get("error") else { return String::new() };
    let extended = error.get("@Message.ExtendedInfo").and_then(Value::as_array).into_iter().flatten().take(limits::LINKS_MAX);
    let of = |value: &Value, keys: [&str; 2]| {
        let texts = keys.into_iter().filter_map(|key| value.get(key).and_then(Value::as_str));
        texts.map(|text| clean(text, limits::EXPLANATION_MAX)).collect::<Vec<_>>().join(" ")
    };
    let head = of(error, ["code", "message"]);
    extended.map(|info| of(info, ["MessageId", "Message"])).fold(head, |all, one| all + " " + &one).to_lowercase()
}

#[cfg(test)]
#[path = "view_tests.rs"]
pub(super) mod tests;
