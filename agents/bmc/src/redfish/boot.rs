//! The next boot's device: one PATCH, then read back. What really boots is known by the boot service's contact, never from here.
//! Must never set more than the next boot, and never take a PATCH's 200 for the setting.

use serde_json::{Map, Value, json};
use vocabulary::power::BootTarget;

use super::command::{self, Verdict};
use super::http::Via;
use super::trouble::Trouble;
use super::{Link, Redfish, view};

const ONCE: &str = "Once";
const UEFI: &str = "UEFI";

/// In the words of the protocol.
pub fn word(target: BootTarget) -> &'static str {
    match target {
        BootTarget::Pxe => "Pxe",
        BootTarget::UefiHttp => "UefiHttp",
    }
}

/// Sets the override: target, `Once`, and the mode where the platform has one (left out if it refuses that).
pub async fn set(bmc: &Redfish, link: &Link, target: BootTarget) -> Result<Verdict, Trouble> {
    let system = bmc.identified(link, Via::Hand).await?;
    let settings = settings_of(&system.body, link);
    let boot = system.body.get("Boot").filter(|boot| boot.is_object());
    let boot = boot.ok_or_else(|| Trouble::Unsupported("this system has no boot override; nothing was sent".into()))?;
    let list = |key: &str| view::allowable(boot, key);
    command::allowed(list("BootSourceOverrideTarget").as_deref(), word(target), "boot target")?;
    command::allowed(list("BootSourceOverrideEnabled").as_deref(), ONCE, "boot override")?;
    let mode = mode(boot, target);
    if let Some(mode) = &mode {
        command::allowed(list("BootSourceOverrideMode").as_deref(), mode, "boot mode")?;
    }
    command::patch(bmc, link, settings.as_deref(), &bodies(target, mode)).await
}

/// The forms of the PATCH, the fuller one first.
fn bodies(target: BootTarget, mode: Option<String>) -> Vec<Value> {
    let mut boot = Map::new();
    boot.insert("BootSourceOverrideTarget".into(), json!(word(target)));
    boot.insert("BootSourceOverrideEnabled".into(), json!(ONCE));
    let plain = json!({ "Boot": boot.clone() });
    match mode {
        Some(mode) => {
            boot.insert("BootSourceOverrideMode".into(), json!(mode));
            vec![json!({ "Boot": boot }), plain]
        }
        None => vec![plain],
    }
}

/// The mode to send: the present one, since setting a device alone flips it on some platforms; UEFI where the target needs it.
/// None where the platform tells none.
fn mode(boot: &Value, target: BootTarget) -> Option<String> {
    let present = view::text(boot, "BootSourceOverrideMode")?;
    Some(if target == BootTarget::UefiHttp { UEFI.to_owned() } else { present })
}

/// Where the override is written instead of the system, on platforms that want it so.
fn settings_of(system: &Value, link: &Link) -> Option<String> {
    let object = system.get("@Redfish.Settings")?.get("SettingsObject")?;
    view::link(object).filter(|_| link.layout.quirks.takes_boot_override_at_settings())
}

/// What the override reads now, where it was written; null if it cannot be read.
pub async fn read_back(bmc: &Redfish, link: &Link, system: &Value) -> Result<Value, Trouble> {
    let holder = match settings_of(system, link) {
        Some(path) => super::layout::optional(&bmc.http, Some(&path), &link.session.credential).await?,
        None => system.clone(),
    };
    Ok(holder.get("Boot").cloned().unwrap_or_default())
}

/// True if the next boot, and only that, will use the target.
pub fn is_set(boot: &Value, target: BootTarget) -> bool {
    let reads = |key: &str, value: &str| boot.get(key).and_then(Value::as_str) == Some(value);
    let mode_fits = target != BootTarget::UefiHttp || view::text(boot, "BootSourceOverrideMode").is_none_or(|mode| mode == UEFI);
    reads("BootSourceOverrideTarget", word(target)) && reads("BootSourceOverrideEnabled", ONCE) && mode_fits
}

/// The override for people.
pub fn shown(boot: &Value) -> String {
    let text = |key: &str| view::text(boot, key).unwrap_or_else(|| "nothing".into());
    format!("target {}, enabled {}", text("BootSourceOverrideTarget"), text("BootSourceOverrideEnabled"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_back_is_total(boot in any_json()) {
            let set = is_set(&boot, BootTarget::Pxe);
            prop_assert!(!set || boot["BootSourceOverrideTarget"] == "Pxe");
            let _ = (shown(&boot), mode(&boot, BootTarget::UefiHttp));
        }
    }

    #[test]
    fn the_mode_is_sent_where_the_platform_has_one() {
        let legacy = json!({ "BootSourceOverrideMode": "Legacy" });
        assert_eq!(mode(&legacy, BootTarget::Pxe).as_deref(), Some("Legacy"));
        assert_eq!(mode(&legacy, BootTarget::UefiHttp).as_deref(), Some("UEFI"));
        assert_eq!(mode(&json!({}), BootTarget::UefiHttp), None);
        assert_eq!(bodies(BootTarget::Pxe, None).len(), 1);
        let forms = bodies(BootTarget::Pxe, Some("UEFI".into()));
        assert_eq!(forms[0]["Boot"]["BootSourceOverrideMode"], "UEFI");
        assert_eq!(forms[1], json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } }));
    }

    #[test]
    fn only_once_counts_as_set() {
        let of = |enabled: &str| json!({ "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": enabled });
        assert!(is_set(&of("Once"), BootTarget::Pxe));
        assert!(!is_set(&of("Continuous"), BootTarget::Pxe) && !is_set(&of("Disabled"), BootTarget::Pxe));
        assert!(!is_set(&of("Once"), BootTarget::UefiHttp) && !is_set(&Value::Null, BootTarget::Pxe));
        let http = |mode: &str| json!({ "BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": mode });
        assert!(is_set(&http("UEFI"), BootTarget::UefiHttp) && !is_set(&http("Legacy"), BootTarget::UefiHttp));
    }
}
