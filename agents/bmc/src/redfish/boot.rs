//! The next boot's device: one PATCH, then read back where it becomes visible. What really boots is known by the boot service's contact,
//! never from here.
//! Must never set more than the next boot, never take a PATCH's 200 for the setting, and never let the machine boot by HTTP from
//! where somebody else has told it to.

use serde_json::{Map, Value, json};
use vocabulary::boot::Firmware;
use vocabulary::power::BootTarget;

use super::command::{self, Sent};
use super::http::Via;
use super::trouble::Trouble;
use super::view::{self, Mode};
use super::{Link, Redfish};

const TARGET: &str = "BootSourceOverrideTarget";
const ENABLED: &str = "BootSourceOverrideEnabled";
const MODE: &str = view::BOOT_MODE;
const URI: &str = "HttpBootUri";
/// The only one that is ever set: of platforms that refuse `Continuous` (Lenovo XCC) nothing is lost.
const ONCE: &str = "Once";

/// In the words of the protocol.
pub fn word(target: BootTarget) -> &'static str {
    match target {
        BootTarget::Pxe => "Pxe",
        BootTarget::UefiHttp => "UefiHttp",
    }
}

/// How an override reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reads {
    /// The next boot, and only that, uses the target in the wanted mode.
    Set,
    /// The same, but in the other mode than this one, which is wanted.
    Flipped(Mode),
    /// Otherwise.
    Otherwise(String),
}

/// Sets the override: target, `Once`, and the mode where the platform has one. The mode is always sent along (Supermicro forgets what is
/// not; others change it with the device), and left out only where that is refused.
pub async fn set(bmc: &Redfish, link: &Link, target: BootTarget) -> Result<Sent, Trouble> {
    let system = bmc.identified(link, Via::Hand).await?;
    let boot = system.body.get("Boot").filter(|boot| boot.is_object());
    let boot = boot.ok_or_else(|| Trouble::Unsupported("this system has no boot override; nothing was sent".into()))?;
    let list = |key: &str| view::allowable(boot, key);
    command::allowed(list(TARGET).as_deref(), word(target), "boot target")?;
    command::allowed(list(ENABLED).as_deref(), ONCE, "boot override")?;
    let mode = wanted_mode(boot, target, bmc.firmware);
    if let Some(mode) = mode {
        command::allowed(list(MODE).as_deref(), mode.word(), "boot mode")?;
    }
    let places = places(&system.body, link);
    let sent = command::patch(bmc, link, &places, &bodies(boot, target, mode)).await?;
    Ok(Sent { mode, ..sent })
}

/// Sets the mode again, alone: setting the device has changed it (seen by OpenStack's Ironic on BMCs of several makes).
pub async fn correct(bmc: &Redfish, link: &Link, at: &str, mode: Mode) -> Result<(), Trouble> {
    let body = json!({ "Boot": { MODE: mode.word() } });
    command::patch(bmc, link, &[at.to_owned()], &[body]).await.map(drop)
}

/// The forms of the PATCH: all of it; only what changes (there are BMCs that refuse a value which is in force already, Ironic says); without
/// the mode; with a null for the address. The first that is taken counts, and what is read back decides.
fn bodies(boot: &Value, target: BootTarget, mode: Option<Mode>) -> Vec<Value> {
    let mut whole = Map::new();
    whole.insert(TARGET.into(), json!(word(target)));
    whole.insert(ENABLED.into(), json!(ONCE));
    if let Some(mode) = mode {
        whole.insert(MODE.into(), json!(mode.word()));
    }
    if target == BootTarget::UefiHttp && stale_uri(boot).is_some() {
        whole.insert(URI.into(), json!(""));
    }
    let mut changes = whole.clone();
    changes.retain(|key, value| boot.get(key.as_str()) != Some(value));
    let mut without_mode = whole.clone();
    without_mode.remove(MODE);
    let mut with_null = whole.clone();
    if let Some(uri) = with_null.get_mut(URI) {
        *uri = Value::Null;
    }
    let mut forms = vec![whole];
    for form in [changes, without_mode, with_null] {
        if !form.is_empty() && !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms.into_iter().map(|form| json!({ "Boot": form })).collect()
}

/// The mode to send: UEFI where the target needs it; the machine's only one; else the present one, since setting a device alone flips it
/// on some platforms. None where the platform tells none.
fn wanted_mode(boot: &Value, target: BootTarget, only: Option<Firmware>) -> Option<Mode> {
    let present = view::boot_mode(boot)?;
    Some(match (target, only) {
        (BootTarget::UefiHttp, _) | (_, Some(Firmware::Uefi)) => Mode::Uefi,
        (_, Some(Firmware::Bios)) => Mode::Legacy,
        (_, None) => present,
    })
}

/// The address that the firmware would boot from by HTTP, whatever DHCP says.
///
/// An order names a target and no address: where to boot from is said by the boot service's own answers, which carry the token of this one
/// boot. So no address is ever written here; one that is found is somebody else's, goes before DHCP's, and is taken away. Where it stays,
/// the target counts as not set.
fn stale_uri(boot: &Value) -> Option<String> {
    view::text(boot, URI)
}

/// Where the override is written, the likelier place first: the system, or the settings resource that it names where this platform's
/// record says that the system's own does not count. Where the system refuses it, the settings resource is the second place.
fn places(system: &Value, link: &Link) -> Vec<String> {
    let settings = view::settings(system);
    match settings {
        Some(settings) if link.layout.quirks.takes_boot_override_at_settings() => vec![settings],
        settings => std::iter::once(link.layout.system.clone()).chain(settings).collect(),
    }
}

/// How the override reads now, where it was written. At a settings resource that is what the firmware takes at the next start: an
/// override is for no other time.
pub async fn read_back(bmc: &Redfish, link: &Link, system: &Value, target: BootTarget, sent: &Sent) -> Result<Reads, Trouble> {
    let elsewhere = Some(sent.at.as_str()).filter(|at| *at != link.layout.system);
    let holder = match elsewhere {
        Some(path) => super::layout::optional(&bmc.http, Some(path), &link.session.credential).await?,
        None => system.clone(),
    };
    Ok(reads(holder.get("Boot").unwrap_or(&Value::Null), target, sent.mode))
}

pub(super) fn reads(boot: &Value, target: BootTarget, mode: Option<Mode>) -> Reads {
    let is = |key: &str, value: &str| boot.get(key).and_then(Value::as_str) == Some(value);
    let uri = stale_uri(boot).filter(|_| target == BootTarget::UefiHttp);
    if !is(TARGET, word(target)) || !is(ENABLED, ONCE) || uri.is_some() {
        return Reads::Otherwise(shown(boot, uri));
    }
    // a platform that tells no mode, or none any more, has none to be wrong
    match (mode, view::boot_mode(boot)) {
        (Some(wanted), Some(told)) if wanted != told => Reads::Flipped(wanted),
        _ => Reads::Set,
    }
}

/// The override for people.
fn shown(boot: &Value, uri: Option<String>) -> String {
    let text = |key: &str| view::text(boot, key).unwrap_or_else(|| "nothing".into());
    let from = uri.map(|uri| format!(", from {uri}, which is somebody else's")).unwrap_or_default();
    format!("target {}, enabled {}{from}", text(TARGET), text(ENABLED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_back_is_total(boot in any_json()) {
            let set = reads(&boot, BootTarget::Pxe, Some(Mode::Uefi)) == Reads::Set;
            prop_assert!(!set || boot["BootSourceOverrideTarget"] == "Pxe");
            prop_assert!(!bodies(&boot, BootTarget::UefiHttp, wanted_mode(&boot, BootTarget::UefiHttp, None)).is_empty());
        }
    }

    #[test]
    fn the_mode_is_sent_where_the_platform_has_one() {
        let legacy = json!({ "BootSourceOverrideMode": "Legacy" });
        let of = |boot: &Value, target, only| wanted_mode(boot, target, only);
        assert_eq!(of(&legacy, BootTarget::Pxe, None), Some(Mode::Legacy));
        assert_eq!(of(&legacy, BootTarget::Pxe, Some(Firmware::Uefi)), Some(Mode::Uefi));
        assert_eq!(of(&legacy, BootTarget::UefiHttp, Some(Firmware::Bios)), Some(Mode::Uefi));
        assert_eq!(of(&json!({}), BootTarget::Pxe, Some(Firmware::Uefi)), None);
    }

    #[test]
    fn the_forms_begin_with_all_of_it_and_none_is_there_twice() {
        let whole = json!({ TARGET: "Pxe", ENABLED: "Once", MODE: "UEFI" });
        let plain = json!({ "Boot": { TARGET: "Pxe", ENABLED: "Once" } });
        let forms = bodies(&json!({ MODE: "UEFI" }), BootTarget::Pxe, Some(Mode::Uefi));
        assert_eq!(forms, [json!({ "Boot": whole }), plain.clone()], "what changes is all but the mode");
        assert_eq!(bodies(&json!({}), BootTarget::Pxe, None), [plain]);
        assert_eq!(bodies(&whole, BootTarget::Pxe, Some(Mode::Uefi)).len(), 2, "nothing changes: that is no form");
        let foreign = json!({ URI: "http://192.0.2.1/x", ENABLED: "Once" });
        let forms = bodies(&foreign, BootTarget::UefiHttp, None);
        assert_eq!(forms[0]["Boot"][URI], "");
        assert_eq!(forms[1], json!({ "Boot": { TARGET: "UefiHttp", URI: "" } }));
        assert_eq!(forms[2]["Boot"][URI], Value::Null);
        assert_eq!(bodies(&foreign, BootTarget::Pxe, None)[0]["Boot"].get(URI), None, "PXE does not ask for it");
    }

    #[test]
    fn only_once_in_the_wanted_mode_counts_as_set() {
        let of = |enabled: &str, mode: &str| json!({ TARGET: "Pxe", ENABLED: enabled, MODE: mode });
        let set = |boot: &Value, mode| reads(boot, BootTarget::Pxe, mode);
        assert_eq!(set(&of("Once", "Legacy"), None), Reads::Set);
        assert_eq!(set(&of("Once", "Legacy"), Some(Mode::Legacy)), Reads::Set);
        assert_eq!(set(&of("Once", "Legacy"), Some(Mode::Uefi)), Reads::Flipped(Mode::Uefi));
        assert_eq!(set(&json!({ TARGET: "Pxe", ENABLED: "Once" }), Some(Mode::Uefi)), Reads::Set);
        for otherwise in [of("Continuous", "Legacy"), of("Disabled", "Legacy"), Value::Null] {
            assert!(matches!(set(&otherwise, None), Reads::Otherwise(_)));
        }
    }

    #[test]
    fn an_address_of_somebody_else_is_not_booted_from() {
        let of = |target: &str, uri: Value| json!({ TARGET: target, ENABLED: "Once", URI: uri });
        let foreign = json!("http://192.0.2.1/x");
        assert!(matches!(reads(&of("UefiHttp", foreign.clone()), BootTarget::UefiHttp, None), Reads::Otherwise(_)));
        assert_eq!(reads(&of("UefiHttp", json!("")), BootTarget::UefiHttp, None), Reads::Set);
        assert_eq!(reads(&of("UefiHttp", Value::Null), BootTarget::UefiHttp, None), Reads::Set);
        assert_eq!(reads(&of("Pxe", foreign), BootTarget::Pxe, None), Reads::Set);
    }
}
