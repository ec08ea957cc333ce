//! The event log over Redfish: the same records that IPMI tells as its System Event Log, in the standard's words.
//! Must never hold an entry of its own, but for those that a quirk asks for: the machine's story is one.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::body::{collection, link, put, status};
use crate::bmc::State;
use crate::bmc::device::Record;
use crate::bmc::limits;
use crate::bmc::machine::Machine;
use crate::bmc::quirks::{LogForm, LogPlace, Quirks};
use crate::bmc::stamp::rfc3339;

/// The only log.
const LOG: &str = "SEL";

/// A resource of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Collection of log services.
    Services,
    /// The event log.
    Service,
    /// Collection of its entries, from this one on.
    Entries(usize),
    /// One of them, by its name.
    Entry(String),
}

/// The part at a path below its system or manager.
pub fn below(rest: &[&str], place: LogPlace, quirks: &Quirks) -> Option<Part> {
    match rest {
        _ if quirks.redfish.log == LogForm::Absent || quirks.redfish.log_at != place => None,
        ["LogServices"] => Some(Part::Services),
        ["LogServices", LOG] => Some(Part::Service),
        ["LogServices", LOG, "Entries"] => Some(Part::Entries(0)),
        ["LogServices", LOG, "Entries", id] => Some(Part::Entry((*id).to_owned())),
        _ => None,
    }
}

/// The same part with the query of a request: a page that was handed out, and no other query; `None` is refused.
pub fn asked(part: &Part, query: Option<&str>, quirks: &Quirks) -> Option<Part> {
    let page = usize::try_from(quirks.redfish.log_page).ok()?;
    match (part, query) {
        (_, None) => Some(part.clone()),
        (Part::Entries(_), Some(query)) => {
            let skip = query.strip_prefix("$skip=")?.parse::<usize>().ok()?;
            (skip > 0 && skip.checked_rem(page) == Some(0)).then_some(Part::Entries(skip))
        }
        (_, Some(_)) => None,
    }
}

/// The link from the system or the manager to its logs.
pub fn put_link(body: &mut Value, path: &str, place: LogPlace, quirks: &Quirks) {
    if quirks.redfish.log != LogForm::Absent && quirks.redfish.log_at == place {
        put(body, "LogServices", link(&format!("{path}/LogServices")));
    }
}

/// The body of a part.
pub fn view(part: &Part, state: &State, machine: &Machine) -> Option<Value> {
    let ids = &machine.hardware;
    let services = match state.quirks.redfish.log_at {
        LogPlace::System => format!("Systems/{}/LogServices", ids.system_id),
        LogPlace::Manager => format!("Managers/{}/LogServices", ids.manager_id),
    };
    let path = format!("{services}/{LOG}");
    Some(match part {
        Part::Services => collection("LogServiceCollection", &services, "Log Services", &[LOG.to_owned()]),
        Part::Service => json!({
            "@odata.id": format!("/redfish/v1/{path}"),
            "@odata.type": "#LogService.v1_4_0.LogService",
            "Id": LOG,
            "Name": "System Event Log",
            "LogEntryType": "SEL",
            "MaxNumberOfRecords": limits::LOG_MAX,
            "OverWritePolicy": if state.quirks.ipmi_log_wraps { "WrapsWhenFull" } else { "NeverOverWrites" },
            "ServiceEnabled": true,
            "Status": status("Enabled"),
            "Entries": link(&format!("{path}/Entries")),
        }),
        Part::Entries(skip) => entries(&path, *skip, state),
        Part::Entry(id) => {
            let at = (0..length(state)).find(|at| name(*at, state) == *id)?;
            entry(&path, at, state)
        }
    })
}

fn padding(state: &State) -> usize {
    usize::try_from(state.quirks.redfish.log_padding).unwrap_or(0)
}

fn length(state: &State) -> usize {
    padding(state) + state.device.log.len()
}

/// A page of entries, in the order and form that quirks ask for.
fn entries(path: &str, skip: usize, state: &State) -> Value {
    let quirks = &state.quirks.redfish;
    let all = length(state);
    let end = match usize::try_from(quirks.log_page) {
        Ok(page) if page > 0 => skip.saturating_add(page).min(all),
        _ => all,
    };
    let page: Range<usize> = skip.min(all)..end;
    let place = |at: usize| if quirks.log_newest_first { all - 1 - at } else { at };
    let mut members: Vec<Value> = page.map(|at| entry(path, place(at), state)).collect();
    match quirks.log {
        LogForm::Links => members.iter_mut().for_each(|member| *member = json!({ "@odata.id": member.get("@odata.id") })),
        LogForm::Nonsense => members.extend(nonsense()),
        LogForm::Told | LogForm::Absent => {}
    }
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{path}/Entries"),
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Name": "Log Entries",
        "Members@odata.count": all,
        "Members": members,
    });
    if quirks.log == LogForm::Nonsense {
        put(&mut body, "Members@odata.nextLink", json!(format!("https://elsewhere.example/redfish/v1/{path}/Entries")));
    } else if end < all {
        put(&mut body, "Members@odata.nextLink", json!(format!("/redfish/v1/{path}/Entries?$skip={end}")));
    }
    body
}

/// What no entry should look like.
fn nonsense() -> Vec<Value> {
    let long = "long ".repeat(4 * limits::TEXT_MAX);
    vec![
        json!(7),
        Value::Null,
        json!("entry"),
        json!([]),
        json!({}),
        json!({ "Id": null, "Created": "yesterday", "Severity": 7, "Message": ["?"], "SensorNumber": -1, "EntryCode": {} }),
        json!({ "Id": "x\n", "Created": "0000-00-00T00:00:00Z", "Severity": "Fatal", "Message": format!("\u{1b}[31m{long}") }),
        json!({ "@odata.id": "//elsewhere.example/1" }),
        json!({ "@odata.id": "/redfish/v1/not/there" }),
    ]
}

/// The name of the entry at this place: its own number where nothing is before it, so that both protocols call it the same.
fn name(at: usize, state: &State) -> String {
    let own = state.device.log.at(at).filter(|_| padding(state) == 0).map(|record| usize::from(record.id));
    own.unwrap_or(at + 1).to_string()
}

/// The entry at this place of the log, the oldest first. Those that a quirk put before the first one are of the year 2000.
fn entry(path: &str, at: usize, state: &State) -> Value {
    /// The first of January 2000.
    const LONG_AGO: u64 = 946_684_800;
    let id = name(at, state);
    let Some(record) = at.checked_sub(padding(state)).and_then(|at| state.device.log.at(at)) else {
        let seconds = u64::try_from(at).unwrap_or(0);
        return body(path, &id, LONG_AGO + seconds, &Words { severity: "OK", sensor: "System Event", what: "Padding" });
    };
    let words = words(&record);
    let mut told = body(path, &id, u64::from(record.at), &words);
    put(&mut told, "EntryCode", json!(if record.ended { "Deassert" } else { "Assert" }));
    put(&mut told, "SensorNumber", json!(record.sensor));
    if record.ended {
        put(&mut told, "Severity", json!("OK"));
    }
    told
}

/// What an entry says in words.
struct Words {
    severity: &'static str,
    sensor: &'static str,
    what: &'static str,
}

fn body(path: &str, id: &str, seconds: u64, words: &Words) -> Value {
    json!({
        "@odata.id": format!("/redfish/v1/{path}/Entries/{id}"),
        "@odata.type": "#LogEntry.v1_15_0.LogEntry",
        "Id": id,
        "Name": format!("Log Entry {id}"),
        "EntryType": "SEL",
        "Created": rfc3339(UNIX_EPOCH + Duration::from_secs(seconds), 0),
        "Severity": words.severity,
        "SensorType": words.sensor,
        "Message": words.what,
    })
}

/// Sensor types by the standard's names for those of IPMI, and what their states mean.
fn words(record: &Record) -> Words {
    let of = |severity, sensor, what| Words { severity, sensor, what };
    match (record.kind, record.state) {
        (0x09, 0x00) => of("OK", "PowerUnit", "Power off"),
        (0x09, _) => of("Critical", "PowerUnit", "AC lost"),
        (0x1d, 0x01) => of("OK", "SystemBoot/Restart", "Initiated by hard reset"),
        (0x1d, _) => of("OK", "SystemBoot/Restart", "Initiated by warm reset of the operating system"),
        (0x28, _) => of("Warning", "Management Subsystem Health", "Management controller off-line"),
        (0x23, _) => of("Critical", "Watchdog", "Timer expired"),
        (0x08, 0x00) => of("OK", "Power Supply / Converter", "Presence detected"),
        (0x08, 0x01) => of("Critical", "Power Supply / Converter", "Failure detected"),
        (0x08, _) => of("Critical", "Power Supply / Converter", "Input lost"),
        (0x0c, _) => of("Critical", "Memory", "Uncorrectable error"),
        (0x07, _) => of("Critical", "Processor", "Internal error"),
        (0x20, _) => of("Critical", "OS Stop/Shutdown", "Critical stop at run time"),
        (0x13, _) => of("Critical", "Critical Interrupt", "I/O channel check NMI"),
        _ => of("OK", "System Event", "Another event"),
    }
}
