//! What a BMC says it can do with its system, read from what discovery has fetched anyway; each lack with a word why.
//! Total over any JSON. Must never ask the BMC anything, and never call able what it does not list.

use serde_json::Value;
use vocabulary::power::BootTarget;

use super::power::Reset;
use super::{boot, view};
use crate::findings::{Ability, name};
use crate::limits;

const TARGET: &str = "BootSourceOverrideTarget";
const ENABLED: &str = "BootSourceOverrideEnabled";
const POLICY: &str = "PowerRestorePolicy";

/// Power, boot and restore policy of a system; `resets` are the reset types of its ActionInfo resource, where it has one, `attribute` is the
/// BIOS attribute that this platform's record names as its restore policy.
pub fn of(system: &Value, resets: Option<&[String]>, attribute: Option<&str>) -> Vec<Ability> {
    let resets = [(name::POWER_OFF, Reset::ForceOff), (name::POWER_ON, Reset::On), (name::SHUT_DOWN, Reset::GracefulShutdown)]
        .map(|(name, reset)| power(system, resets, name, reset));
    let boots = [(name::BOOT_PXE, BootTarget::Pxe), (name::BOOT_HTTP, BootTarget::UefiHttp)]
        .map(|(name, target)| next_boot(system, name, target));
    resets.into_iter().chain(boots).chain([stay_off(system, attribute)]).collect()
}

fn power(system: &Value, resets: Option<&[String]>, name: &'static str, reset: Reset) -> Ability {
    let action = system.get("Actions").and_then(|actions| actions.get("#ComputerSystem.Reset"));
    let Some(action) = action else { return Ability::no(name, "this system has no reset action") };
    let inline = view::allowable(action, "ResetType");
    listed(name, inline.as_deref().or(resets), reset.word(), "reset types")
}

fn next_boot(system: &Value, name: &'static str, target: BootTarget) -> Ability {
    let Some(boot) = system.get("Boot").filter(|boot| boot.is_object()) else {
        return Ability::no(name, "this system has no boot override");
    };
    let once = view::allowable(boot, ENABLED);
    if once.as_ref().is_some_and(|list| !list.iter().any(|one| one == "Once")) {
        return Ability::no(name, "its boot override cannot be set for one boot only");
    }
    listed(name, view::allowable(boot, TARGET).as_deref(), boot::word(target), "boot targets")
}

fn stay_off(system: &Value, attribute: Option<&str>) -> Ability {
    if system.get(POLICY).is_none_or(Value::is_null) {
        if let Some(attribute) = attribute.filter(|_| system.get("Bios").and_then(view::link).is_some()) {
            let text =
                format!("by the BIOS attribute {attribute}, which is looked at when it is set, and active after the next start");
            return Ability::untold(name::STAY_OFF, text);
        }
        return Ability::no(name::STAY_OFF, "it tells no restore policy, so the machine may return by itself");
    }
    let list = view::allowable(system, POLICY);
    match list {
        Some(_) => listed(name::STAY_OFF, list.as_deref(), "AlwaysOff", "restore policies"),
        None => Ability::yes(name::STAY_OFF, "it has a restore policy"),
    }
}

fn listed(name: &'static str, list: Option<&[String]>, value: &str, what: &str) -> Ability {
    let shown = |list: &[String]| view::clean(&list.join(", "), limits::EXPLANATION_MAX);
    match list {
        Some(list) if list.iter().any(|one| one == value) => Ability::yes(name, format!("{value}, of: {}", shown(list))),
        Some(list) => Ability::no(name, format!("{value} is none of its {what}: {}", shown(list))),
        None => Ability::untold(name, format!("it lists no {what}; {value} is tried when it is needed")),
    }
}

/// Whether there is a second source that says Off: the chassis that this platform's record names.
pub fn rail(chassis: Option<&str>) -> Ability {
    match chassis {
        Some(path) => Ability::yes(name::RAIL, format!("the host's power rail is {path}")),
        None => {
            Ability::no(name::RAIL, "no record of this platform names the host's power rail; the storage proof is needed too")
        }
    }
}

/// Whether it tells changes by itself: where it offers an event stream, and a session on which to listen.
pub fn tells(events: Option<&str>, kept: bool) -> Ability {
    match events {
        Some(path) if kept => {
            Ability::yes(name::TELLS, format!("its event stream is {path}; what it says is never believed, only looked at"))
        }
        Some(_) => Ability::no(name::TELLS, "it offers an event stream, but gives no session on which to listen"),
        None => Ability::no(name::TELLS, "it offers no event stream; it is asked at the estate's interval"),
    }
}

/// Which system is the host, of how many.
pub fn host(system: &Value, path: &str, behind: usize) -> Ability {
    let which = if behind == 1 { format!("{path}, the only one") } else { format!("{path}, one of {behind}") };
    let resets = system.get("Actions").is_some_and(|actions| actions.get("#ComputerSystem.Reset").is_some());
    if resets {
        Ability::yes(name::HOST, which)
    } else {
        Ability::no(name::HOST, format!("{which}, has no reset action, so it is no host"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Can;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;
    use serde_json::json;

    fn cans(system: &Value, resets: Option<&[String]>) -> Vec<Can> {
        of(system, resets, None).iter().map(|ability| ability.can).collect()
    }

    #[test]
    fn what_is_listed_is_able_what_is_not_is_told_why_and_no_list_tells_nothing() {
        assert_eq!(cans(&json!({}), None), [Can::No; 6]);
        let plain = json!({
            "Actions": { "#ComputerSystem.Reset": {} },
            "Boot": {},
            "PowerRestorePolicy": "LastState",
        });
        assert_eq!(cans(&plain, None), [Can::Untold, Can::Untold, Can::Untold, Can::Untold, Can::Untold, Can::Yes]);
        let rich = json!({
            "Actions": { "#ComputerSystem.Reset": { "ResetType@Redfish.AllowableValues": ["On", "ForceOff"] } },
            "Boot": { "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe"] },
            "PowerRestorePolicy": "LastState",
            "PowerRestorePolicy@Redfish.AllowableValues": ["AlwaysOn", "LastState"],
        });
        assert_eq!(cans(&rich, None), [Can::Yes, Can::Yes, Can::No, Can::Yes, Can::No, Can::No]);
        assert_eq!((host(&rich, "/s", 2).can, host(&json!({}), "/s", 1).can), (Can::Yes, Can::No));
        let http = &of(&rich, None, None)[4];
        assert_eq!(http.detail, "UefiHttp is none of its boot targets: None, Pxe");
        let always = json!({ "Boot": { "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Continuous"] } });
        assert_eq!(of(&always, None, None)[3].can, Can::No);
        let bios = json!({ "Bios": { "@odata.id": "/redfish/v1/Systems/1/Bios" } });
        assert_eq!((of(&bios, None, Some("AcPwrRcvry"))[5].can, of(&bios, None, None)[5].can), (Can::Untold, Can::No));
        assert_eq!(of(&json!({}), None, Some("AcPwrRcvry"))[5].can, Can::No);
        assert_eq!(cans(&plain, Some(&["ForceOff".to_owned()]))[..3], [Can::Yes, Can::No, Can::No]);
    }

    proptest! {
        #[test]
        fn reading_is_total(system in any_json()) {
            prop_assert!(of(&system, None, None).iter().all(|ability| !ability.detail.is_empty()));
        }
    }
}
