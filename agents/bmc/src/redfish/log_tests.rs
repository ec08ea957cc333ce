//! Logs as platforms tell them, by example and by law.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn candidate(id: &str, kind: Option<&str>) -> Option<Rank> {
    let mut service = json!({ "Id": id, "Entries": { "@odata.id": format!("/l/{id}/Entries") } });
    if let Some(kind) = kind {
        service["LogEntryType"] = kind.into();
    }
    Candidate::of(&service, 0).map(|candidate| candidate.rank)
}

#[test]
fn the_system_event_log_is_preferred_and_what_is_no_event_log_is_none() {
    assert_eq!([candidate("Sel", None), candidate("Log9", Some("SEL"))], [Some(Rank::System); 2]);
    assert_eq!(
        [candidate("EventLog", None), candidate("IML", None), candidate("Lclog", Some("Multiple"))],
        [Some(Rank::Events); 3]
    );
    assert_eq!(candidate("Log1", Some("OEM")), Some(Rank::Other));
    for other in ["PostCodes", "AuditLog", "SL", "Dump", "FaultList", "HostLogger", "Journal"] {
        assert_eq!(candidate(other, Some("Event")), None, "{other}");
    }
    assert_eq!(Candidate::of(&json!({ "Id": "SEL" }), 0), None, "without entries it is none");
    let of = |id: &str, owner| Candidate::of(&json!({ "Id": id, "Entries": { "@odata.id": "/e" } }), owner).unwrap();
    assert!(of("SEL", 1) < of("EventLog", 0) && of("EventLog", 0) < of("EventLog", 1) && of("EventLog", 1) < of("Log1", 0));
}

#[test]
fn an_entry_is_told_in_its_own_words() {
    let told = entry(&json!({
        "Id": "7", "Created": "2026-01-01T02:00:01+02:00", "EntryType": "SEL", "SensorType": "Memory", "SensorNumber": 9,
        "EntryCode": "Assert", "Severity": "Critical", "Message": "Uncorrectable\u{7} error",
    }));
    assert_eq!((told.id.as_str(), told.kind.as_str(), told.what.as_str()), ("7", "Memory, sensor 0x09", "Uncorrectable error"));
    assert_eq!((told.at, told.severity.as_str()), (Some(WallTime(1_767_225_601_000)), "Critical"));
    let ended = entry(&json!({ "EntryType": "Event", "EntryCode": "State Deasserted", "Message": "Power off" }));
    assert_eq!(
        (ended.what.as_str(), ended.kind.as_str(), ended.severity.as_str(), ended.at),
        ("ended: Power off", "Event", "unknown", None)
    );
    let unset = entry(
        &json!({ "@odata.id": "/e/12", "Created": "1970-01-01T00:00:10Z", "Severity": "critical", "MessageId": "Base.1.0" }),
    );
    assert_eq!((unset.id.as_str(), unset.at, unset.severity.as_str(), unset.what.as_str()), ("12", None, "unknown", "Base.1.0"));
    assert_eq!(entry(&Value::Null).what, "says nothing");
}

/// Entries with these times; 0: with none.
fn page(times: &[u32]) -> Value {
    let member = |(at, time): (usize, &u32)| match time {
        0 => json!({ "Id": format!("e{at}") }),
        time => json!({ "Id": format!("e{at}"), "Created": format!("2026-01-01T{:02}:{:02}:00Z", time / 60 % 24, time % 60) }),
    };
    json!({ "Members": times.iter().enumerate().map(member).collect::<Vec<_>>() })
}

fn newest(times: &[u32]) -> (Option<bool>, Vec<String>) {
    let mut window = Window::default();
    window.take(&page(times));
    let falls = window.newest_first();
    (falls, window.newest(falls.unwrap_or(false)).iter().map(id).collect())
}

#[test]
fn a_clock_that_was_set_wrong_once_does_not_turn_a_log_round() {
    assert_eq!(newest(&[10, 20, 5, 6, 7]), (Some(false), ["e0", "e1", "e2", "e3", "e4"].map(str::to_owned).to_vec()));
    assert_eq!(newest(&[70, 60, 0, 90, 50, 40]).0, Some(true));
    assert_eq!(newest(&[1, 1, 0]).0, None);
    let mut window = Window::default();
    window.take(&json!({ "Members": [{ "@odata.id": "/e/9" }, 7, { "@odata.id": "/e/8" }] }));
    assert_eq!((window.newest_first(), window.seen, window.strange), (Some(true), 2, 1));
    assert!(!window.is_enough());
}

proptest! {
    /// However a log is cut into pages, whichever end is the newer one: its newest entries come out, the oldest of them first.
    #[test]
    fn the_newest_come_out_whatever_the_pages(length in 0usize..80, falls: bool, cut in 1usize..40) {
        let mut numbers: Vec<u32> = (1..=u32::try_from(length).unwrap()).collect();
        if falls {
            numbers.reverse();
        }
        let mut window = Window::default();
        for part in numbers.chunks(cut) {
            let mut page = page(part);
            for (member, number) in page["Members"].as_array_mut().unwrap().iter_mut().zip(part) {
                member["Id"] = number.to_string().into();
            }
            window.take(&page);
        }
        prop_assert_eq!(window.seen, length);
        prop_assert!(window.head.len() <= limits::LOG_KEPT && window.tail.len() <= limits::LOG_KEPT);
        prop_assert_eq!(window.is_enough(), falls && length >= limits::LOG_KEPT);
        let direction = window.newest_first();
        prop_assert!(length < 2 || direction == Some(falls));
        let told: Vec<usize> = window.newest(direction.unwrap_or(false)).iter().map(|entry| id(entry).parse().unwrap()).collect();
        let wanted: Vec<usize> = (1..=length).skip(length.saturating_sub(limits::LOG_KEPT)).collect();
        prop_assert_eq!(told, wanted);
    }
}
