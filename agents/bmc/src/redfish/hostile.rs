//! The decoders of Redfish under hostile bytes, a line each, with the laws that hold whatever comes. For tests and fuzzers alone.
//! Must never let anything but the text `Off` be Off, nor a link lead elsewhere than to a path on the same BMC.

use std::time::Instant;

use hostile::{Group, Numbers, decoder};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use vocabulary::power::{BootTarget, Identity, PowerState};

use super::events::Decoder as Events;
use super::http::{self, Reply};
use super::layout::{self, Choice};
use super::trouble::{self, Trouble};
use super::youth::Youth;
use super::{abilities, boot, facts, identity, lldp, log, view};
use crate::limits;

/// What a BMC answers over HTTPS, from the bytes to what is believed.
pub const DOCUMENTS: Group = Group {
    name: "redfish",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 16 * 1024,
    memory_max: 2 * 1024 * 1024,
    words: &[
        b"null",
        b"{}",
        b"[]",
        b"\"\"",
        b"-1",
        b"1e999",
        b"\"Off\"",
        b"\"PowerState\":\"Off\",",
        b"\\u0000",
        b"\\ud800",
        b"[[[[[[[[",
        b"{\"\":{\"\":{\"\":",
        b"//",
        b"..",
        b"https://other/",
        b"@odata.id",
        b"W/\"",
        b"\r\n",
        b"\xff",
        b"\xe2\x80\xae",
    ],
    decoders: &[
        decoder("document", |input| serde_json::from_slice(input).is_ok_and(|document| believed(&document))),
        decoder("grown tree", |input| believed(&grown(input))),
        decoder("answer", answer),
        decoder("event stream", stream),
        decoder("neighbour", |input| serde_json::from_slice(input).is_ok_and(|told| lldp::neighbour(&told).is_some())),
        decoder("log", |input| serde_json::from_slice(input).is_ok_and(|page| logged(&page))),
        decoder("grown log", |input| {
            logged(&serde_json::json!({ "Members": [grown(input), grown(input.get(1..).unwrap_or_default())] }))
        }),
        decoder("facts", |input| serde_json::from_slice(input).is_ok_and(|told| surveyed(&told))),
        decoder("grown facts", |input| surveyed(&grown(input))),
        decoder("link", |input| std::str::from_utf8(input).is_ok_and(link)),
        decoder("time", |input| std::str::from_utf8(input).is_ok_and(|text| view::seconds(text).is_some())),
    ],
};

/// An answer: status, header lines, an empty line, the body.
fn answer(input: &[u8]) -> bool {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = (input.get(..end).unwrap_or_default(), input.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()).and_then(|line| line.parse().ok());
    let Some(status) = status.filter(|status| (100..1000).contains(status)) else { return false };
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let name = HeaderName::from_bytes(line.get(..colon).unwrap_or_default());
        let value = HeaderValue::from_bytes(line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let Ok(reply) = http::understood(status, &headers, body) else { return false };
    assert_eq!(reply.status, status);
    assert!(reply.etag.as_ref().is_none_or(|etag| HeaderValue::from_str(etag).is_ok() && etag.len() <= limits::TEXT_MAX));
    assert!(reply.token.as_ref().is_none_or(|token| token.expose().len() <= limits::TOKEN_MAX));
    assert!(reply.location.as_deref().is_none_or(|location| link(location) || view::path(location).is_none()));
    explained(&reply);
    believed(&reply.body)
}

/// A stream cut anywhere says the same as whole.
fn stream(input: &[u8]) -> bool {
    let whole = Events::default().feed(input);
    let (first, second) = input.split_at(input.len() / 3);
    let mut decoder = Events::default();
    let cut = decoder.feed(first).and_then(|before| decoder.feed(second).map(|after| before + after));
    assert_eq!(whole.as_ref().ok(), cut.as_ref().ok());
    whole.is_ok_and(|events| events > 0)
}

/// A resource of which a survey makes facts.
fn surveyed(told: &Value) -> bool {
    let parts = [
        facts::machine(told, told, std::slice::from_ref(told)),
        facts::temperatures(told),
        facts::fans(told),
        facts::metrics(told),
        facts::redundancy("power", told, "Redundancy"),
        [facts::sensor(told), facts::fan(told), facts::supply(told), facts::consumed(told), facts::drawn(told)]
            .into_iter()
            .flatten()
            .collect(),
    ]
    .concat();
    assert!(parts.len() <= 4 * limits::SENSORS_READ_MAX + 16, "{}", parts.len());
    let facts: Vec<_> = parts.iter().map(facts::Part::fact).chain([facts::health(&parts)]).collect();
    for fact in &facts {
        for text in [&fact.name, &fact.value] {
            assert!(
                !text.is_empty() && text.chars().count() <= 8 * limits::TEXT_MAX && !text.chars().any(char::is_control),
                "{text:?}"
            );
        }
    }
    facts.len() > 1
}

/// A page of a log: what is kept of it, what its entries say, where the next page is.
fn logged(page: &Value) -> bool {
    let mut window = log::Window::default();
    window.take(page);
    let whole = |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
    let entries = window.newest(window.newest_first().unwrap_or(false));
    assert!(entries.len() <= limits::LOG_KEPT);
    for told in entries.iter().map(log::entry) {
        assert!(whole(&told.id, limits::TEXT_MAX) && whole(&told.kind, limits::TEXT_MAX + 16));
        assert!(!told.what.is_empty() && whole(&told.what, limits::EXPLANATION_MAX + 16));
        assert!(["OK", "Warning", "Critical", "unknown"].contains(&told.severity.as_str()));
    }
    let next = view::next_page(page);
    assert!(next.as_ref().is_none_or(|next| view::path(next.split('?').next().unwrap_or_default()).is_some()), "{next:?}");
    assert!(
        next.as_ref().is_none_or(|next| format!("https://127.0.0.1:1{next}")
            .parse::<reqwest::Url>()
            .is_ok_and(|url| url.port() == Some(1)))
    );
    let candidate = log::Candidate::of(page, 0);
    assert!(candidate.is_none() || page.get("Entries").and_then(view::link).is_some());
    !entries.is_empty() || candidate.is_some()
}

/// What is told to people and what is made of a refusal.
fn explained(reply: &Reply) {
    let text = reply.explained();
    assert!(text.chars().count() <= limits::EXPLANATION_MAX + 16 && !text.chars().any(char::is_control), "{text:?}");
    if let Some(trouble) = Trouble::of_login(reply.status, &reply.body, text) {
        assert!(matches!(trouble, Trouble::Account(..)) && matches!(reply.status, 401 | 403));
    }
}

/// All that is ever read out of a document. True for one that tells anything.
fn believed(document: &Value) -> bool {
    let power = view::power(document);
    let said = document.get("PowerState").and_then(Value::as_str);
    assert_eq!(power == PowerState::Off, said == Some("Off"), "nothing but Off is Off");
    let who = view::identity(document);
    let whole = |text: &str| text.chars().count() <= limits::TEXT_MAX && !text.chars().any(char::is_control);
    assert!(whole(&who.uuid) && whole(&who.serial));
    let nobody = Identity { uuid: String::new(), serial: String::new() };
    assert!(identity::check(&nobody, &who).is_err(), "who expects nobody finds nobody");
    let texts = [view::health(document), view::boot_progress(document), view::time(document, "LastResetTime")];
    assert!(texts.iter().flatten().all(|text| whole(text) && !text.is_empty()));
    for links in [view::members(document), view::links(Some(document)), view::links(document.get("Members"))] {
        assert!(links.len() <= limits::LINKS_MAX && links.iter().all(|one| link(one)));
    }
    for values in [view::allowable(document, "ResetType"), view::action_info(document, "ResetType")].into_iter().flatten() {
        assert!(!values.is_empty() && values.len() <= limits::ALLOWABLE_MAX);
        assert!(values.iter().all(|value| value.len() <= limits::TEXT_MAX), "a value is kept as long as its BMC");
    }
    let able = abilities::of(document, None, None);
    assert!(able.iter().all(|one| !one.detail.is_empty() && one.detail.chars().count() <= 2 * limits::EXPLANATION_MAX));
    let override_set = boot::reads(document, BootTarget::Pxe, None) == boot::Reads::Set;
    assert!(!override_set || document.get("BootSourceOverrideEnabled").is_some());
    let _ = (trouble::is_full(document), view::restore_policy(document));
    let mut youth = Youth::default();
    let started = view::time(document, "LastResetTime");
    assert!(!youth.is_young(started.as_deref(), None, Instant::now()) || started.is_some());
    let systems = vec![("/a".to_owned(), document.clone()), ("/b".to_owned(), Value::Null)];
    let chosen = layout::choose(systems, &Choice::Expected(who.clone()));
    assert_eq!(chosen.is_ok(), who != nobody, "the system is found by what it tells of itself, and by nothing else");
    power != PowerState::Unknown || who != nobody || view::explanation(document).is_some() || texts.iter().any(Option::is_some)
}

/// A link leads to a path on this BMC, or nowhere.
fn link(text: &str) -> bool {
    let Some(path) = view::path(text) else { return false };
    assert!(path.starts_with('/') && !path.starts_with("//") && path.len() <= limits::PATH_MAX, "{path:?}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()) && text.ends_with(&path), "{path:?}");
    assert!(format!("https://127.0.0.1:1{path}").parse::<reqwest::Url>().is_ok_and(|url| url.path() == path), "{path:?}");
    assert!(!view::id(&path).contains('/'));
    true
}

/// Keys and texts that lead deep into what is read.
const WORDS: [&str; 72] = [
    "PowerState",
    "Off",
    "On",
    "off",
    "PoweringOff",
    "UUID",
    "SerialNumber",
    "Status",
    "HealthRollup",
    "Health",
    "BootProgress",
    "LastState",
    "LastResetTime",
    "2026-01-01T00:00:00+02:00",
    "Members",
    "@odata.id",
    "/redfish/v1/X",
    "//other/x",
    "https://h/p",
    "Links",
    "Chassis",
    "Parameters",
    "Name",
    "ResetType",
    "AllowableValues",
    "ResetType@Redfish.AllowableValues",
    "Actions",
    "#ComputerSystem.Reset",
    "Boot",
    "BootSourceOverrideTarget",
    "BootSourceOverrideEnabled",
    "Once",
    "Pxe",
    "PowerRestorePolicy",
    "error",
    "@Message.ExtendedInfo",
    "Message",
    "MessageId",
    "Base.1.8.SessionLimitExceeded",
    "00112233-4455-6677-8899-aabbccddeeff",
    "Id",
    "Created",
    "Severity",
    "Critical",
    "SensorType",
    "SensorNumber",
    "EntryCode",
    "Deassert",
    "Entries",
    "LogEntryType",
    "SEL",
    "Members@odata.nextLink",
    "/l/Entries?$skip=50",
    "https://h/l?a#b",
    "EntryType",
    "Reading",
    "State",
    "Absent",
    "Temperatures",
    "ReadingCelsius",
    "Fans",
    "ReadingUnits",
    "Redundancy",
    "PowerControl",
    "PowerConsumedWatts",
    "SpeedPercent",
    "ReadingType",
    "Temperature",
    "TemperatureReadingsCelsius",
    "MemorySummary",
    "Model",
    "LineInputStatus",
];

/// A tree that grows out of the input: each byte says what comes next. Byte changes change the tree and never break its syntax.
fn grown(input: &[u8]) -> Value {
    let mut rest = input.iter().copied();
    branch(&mut rest, 0)
}

fn branch(rest: &mut impl Iterator<Item = u8>, depth: u8) -> Value {
    const DEEPEST: u8 = 8;
    let Some(what) = rest.next() else { return Value::Null };
    let count = usize::from(what >> 5);
    match what % 8 {
        0 => Value::Null,
        1 => Value::Bool(count > 3),
        2 => Value::from(Numbers::new(u64::from(rest.next().unwrap_or(0))).draw().cast_signed()),
        3 | 4 => Value::String(text(rest)),
        5 if depth < DEEPEST => (0..count).map(|_| branch(rest, depth + 1)).collect::<Vec<_>>().into(),
        _ if depth < DEEPEST => Value::Object(Map::from_iter((0..count).map(|_| (text(rest), branch(rest, depth + 1))))),
        _ => Value::Null,
    }
}

fn text(rest: &mut impl Iterator<Item = u8>) -> String {
    let which = usize::from(rest.next().unwrap_or(0));
    match WORDS.get(which) {
        Some(word) => (*word).to_owned(),
        // now and then a long one, now and then an odd one
        None => char::from_u32(0x20 + Numbers::new(which as u64).draw() as u32 % 0x3000)
            .unwrap_or('\u{0}')
            .to_string()
            .repeat(which % 64 * 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_under_hostile_bytes() {
        hostile::run(&DOCUMENTS);
    }

    /// The dearest bodies that are still taken, and the first that is not.
    #[test]
    fn few_bytes_do_not_become_much_memory() {
        for (value, times) in
            [("{\"\":0},", limits::VALUES_MAX / 2 - 2), ("[],", limits::VALUES_MAX / 2 - 2), ("0,", limits::VALUES_MAX - 2)]
        {
            let body = |times: usize| format!("[{}0]", value.repeat(times));
            let taken = http::understood(200, &HeaderMap::new(), body(times).as_bytes()).unwrap();
            assert_eq!(taken.body.as_array().unwrap().len(), times + 1);
            let refused = http::understood(200, &HeaderMap::new(), body(times + 2).as_bytes()).unwrap_err();
            assert!(refused.contains("values"), "{refused}");
        }
    }
}
