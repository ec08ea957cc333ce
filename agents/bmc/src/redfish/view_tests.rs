//! The views against arbitrary JSON: they are total, and nothing but `Off` is Off.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, json};

/// Keys that lead deep into the views, so that random trees reach them.
const KEYS: [&str; 24] = [
    "PowerState",
    "UUID",
    "SerialNumber",
    "PowerRestorePolicy",
    "Status",
    "HealthRollup",
    "Health",
    "BootProgress",
    "LastState",
    "LastResetTime",
    "Members",
    "@odata.id",
    "Links",
    "Chassis",
    "Parameters",
    "Name",
    "AllowableValues",
    "ResetType@Redfish.AllowableValues",
    "error",
    "@Message.ExtendedInfo",
    "Message",
    "MessageId",
    "message",
    "code",
];

fn any_text() -> impl Strategy<Value = String> {
    let known =
        ["Off", "On", "PoweringOff", "off", "OFF", "Off ", "Null", "AlwaysOff", "/redfish/v1/X", "//evil/x", "https://h/p", ""];
    prop_oneof![Just(known).prop_flat_map(|known| proptest::sample::select(known.to_vec()).prop_map(str::to_owned)), ".{0,40}"]
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop_oneof![4 => proptest::sample::select(KEYS.to_vec()).prop_map(str::to_owned), 1 => ".{0,12}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6).prop_map(|pairs| Value::Object(Map::from_iter(pairs))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn views_are_total_and_only_off_is_off(value in any_json()) {
        let off = value.get("PowerState") == Some(&json!("Off"));
        prop_assert_eq!(power(&value) == PowerState::Off, off);
        let always_off = value.get("PowerRestorePolicy") == Some(&json!("AlwaysOff"));
        prop_assert_eq!(restore_policy(&value) == RestorePolicy::AlwaysOff, always_off);
        for told in [health(&value), boot_progress(&value), time(&value, "LastResetTime"), text(&value, "UUID")].into_iter().flatten() {
            prop_assert!(!told.is_empty() && told.chars().count() <= limits::TEXT_MAX && !told.chars().any(char::is_control));
        }
        let who = identity(&value);
        prop_assert!(who.uuid.chars().count() <= limits::TEXT_MAX && who.serial.chars().count() <= limits::TEXT_MAX);
        for path in members(&value).into_iter().chain(links(Some(&value))).chain(link(&value)) {
            prop_assert!(path.starts_with('/') && !path.starts_with("//") && path.len() <= limits::PATH_MAX);
        }
        prop_assert!(allowable(&value, "ResetType").is_none_or(|list| !list.is_empty() && list.len() <= limits::ALLOWABLE_MAX));
        prop_assert!(action_info(&value, "ResetType").is_none_or(|list| !list.is_empty()));
        prop_assert!(explanation(&value).is_none_or(|text| text.chars().count() <= limits::EXPLANATION_MAX));
    }

    #[test]
    fn no_link_leads_to_another_host(link in "[ -~]{0,60}") {
        if let Some(path) = path(&link) {
            let url = reqwest::Url::parse(&format!("https://192.0.2.1:8443{path}")).unwrap();
            prop_assert_eq!(url.host_str(), Some("192.0.2.1"));
            prop_assert_eq!(url.port(), Some(8443));
            prop_assert_eq!(url.path(), path);
        }
    }
}

#[test]
fn power_states_are_read_exactly() {
    for (said, state) in [
        (json!("On"), PowerState::On),
        (json!("Off"), PowerState::Off),
        (json!("PoweringOn"), PowerState::PoweringOn),
        (json!("PoweringOff"), PowerState::PoweringOff),
        (json!("Paused"), PowerState::Paused),
        (json!("off"), PowerState::Unknown),
        (json!("Off "), PowerState::Unknown),
        (json!(null), PowerState::Unknown),
        (json!(0), PowerState::Unknown),
        (json!(["Off"]), PowerState::Unknown),
    ] {
        assert_eq!(power(&json!({ "PowerState": said })), state, "{said}");
    }
    assert_eq!(power(&json!({})), PowerState::Unknown);
    assert_eq!(power(&json!(null)), PowerState::Unknown);
}

#[test]
fn factory_fillers_are_no_identity() {
    let of = |uuid: &str, serial: &str| identity(&json!({ "UUID": uuid, "SerialNumber": serial }));
    for (uuid, serial) in [
        ("00000000-0000-0000-0000-000000000000", "To Be Filled By O.E.M."),
        ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "0123456789"),
        ("03000200-0400-0500-0006-000700080009", "N/A"),
        ("", "  "),
    ] {
        assert_eq!(of(uuid, serial), Identity { uuid: String::new(), serial: String::new() }, "{uuid} {serial}");
    }
    let lab = of("00000000-0000-4000-8000-00000000000A", " LAB0001 ");
    assert_eq!(lab, Identity { uuid: "00000000-0000-4000-8000-00000000000a".into(), serial: "LAB0001".into() });
}

#[test]
fn times_without_a_clock_are_not_told() {
    let of = |text: &str| time(&json!({ "LastResetTime": text }), "LastResetTime");
    assert_eq!(of("0000-00-00T00:00:00+00:00"), None);
    assert_eq!(of("1970-01-01T00:02:17+00:00"), None);
    assert_eq!(of("soon"), None);
    assert_eq!(of("2024-08-23T17:25:40+00:00").as_deref(), Some("2024-08-23T17:25:40+00:00"));
}

#[test]
fn an_error_body_is_explained() {
    let body =
        json!({ "error": { "code": "Base.1.0.GeneralError", "@Message.ExtendedInfo": [{ "Message": "No\u{7} such thing." }] } });
    assert_eq!(explanation(&body).as_deref(), Some("No such thing."));
    assert_eq!(explanation(&json!({ "error": { "message": "x" } })).as_deref(), Some("x"));
    assert_eq!(explanation(&json!("oops")), None);
}
