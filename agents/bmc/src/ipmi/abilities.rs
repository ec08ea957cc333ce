//! What can be known of a BMC's abilities over IPMI without changing anything, which is little; each lack with a word why.
//! Must never ask the BMC anything.

use ipmi_rs_core::app::DeviceId;
use vocabulary::estate::IpmiPrivilege;
use vocabulary::power::RestorePolicy;

use super::handshake::Role;
use super::session::Spoken;
use crate::findings::{Ability, Findings, ONLY_WATCHED, name};

/// Everything that is known after a reading and the answer to Get Device ID.
pub fn of(device: &DeviceId, spoken: Option<Spoken>, privilege: IpmiPrivilege, policy: RestorePolicy) -> Findings {
    let (major, minor) = (device.major_fw_revision, device.minor_fw_revision);
    let suite =
        spoken.map_or_else(|| "cipher suite unknown".to_owned(), |spoken| format!("cipher suite {}", spoken.suite.number()));
    let odd = spoken.and_then(|spoken| match spoken.role {
        Role::AsAsked => None,
        Role::AsOpened => Some("hashes the privilege as the session was opened".to_owned()),
        Role::OfAccount(_) => Some("hashes the highest privilege of the account".to_owned()),
    });
    Findings {
        platform: format!("manufacturer {}, product {}, firmware {major}.{minor:02}", device.manufacturer_id, device.product_id),
        quirks: odd.into_iter().collect(),
        session: format!("{suite}, privilege {}", word(privilege)),
        abilities: abilities(privilege, policy),
    }
}

fn abilities(privilege: IpmiPrivilege, policy: RestorePolicy) -> Vec<Ability> {
    let command = |name| match privilege {
        IpmiPrivilege::User => Ability::no(name, ONLY_WATCHED),
        IpmiPrivilege::Operator | IpmiPrivilege::Administrator => {
            Ability::untold(name, "IPMI lists no such thing; it is tried when it is needed, and read back")
        }
    };
    let stay_off = match policy {
        RestorePolicy::Unknown => Ability::no(name::STAY_OFF, "it tells no restore policy, so the machine may return by itself"),
        RestorePolicy::AlwaysOff | RestorePolicy::AlwaysOn | RestorePolicy::LastState => command(name::STAY_OFF),
    };
    let commands = [name::POWER_OFF, name::POWER_ON, name::SHUT_DOWN, name::BOOT_PXE].map(command);
    let rest = [
        Ability::no(name::BOOT_HTTP, "IPMI has no such boot target; use PXE, or Redfish"),
        stay_off,
        Ability::no(name::RAIL, "IPMI tells the host's power from one source; the storage proof is needed too"),
        Ability::no(name::TELLS, "over IPMI it is asked, at the estate's interval"),
        Ability::yes(name::HOST, "the only one that IPMI addresses"),
    ];
    commands.into_iter().chain(rest).collect()
}

fn word(privilege: IpmiPrivilege) -> &'static str {
    match privilege {
        IpmiPrivilege::User => "user",
        IpmiPrivilege::Operator => "operator",
        IpmiPrivilege::Administrator => "administrator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Can;

    #[test]
    fn an_account_that_only_watches_can_do_nothing_and_a_silent_policy_is_a_lack() {
        let cans = |privilege, policy| -> Vec<Can> { abilities(privilege, policy).iter().map(|ability| ability.can).collect() };
        let operator = cans(IpmiPrivilege::Operator, RestorePolicy::LastState);
        assert_eq!(
            operator,
            [Can::Untold, Can::Untold, Can::Untold, Can::Untold, Can::No, Can::Untold, Can::No, Can::No, Can::Yes]
        );
        let watcher = cans(IpmiPrivilege::User, RestorePolicy::LastState);
        assert_eq!(watcher[..8], [Can::No; 8]);
        assert_eq!(cans(IpmiPrivilege::Operator, RestorePolicy::Unknown)[5], Can::No);
    }
}
