//! What a booting machine is told: iPXE scripts and the claim. Pure: a permit in, text out. Only `san_login` and `claim` hold a secret;
//! whoever sends one of them has used up the boot's token first.

use crate::limits::STORAGE;
use crate::permits::{key_of, provisioning, provisioning_address};
use minijinja::{Environment, UndefinedBehavior, context};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use vocabulary::boot::{BootMethod, Permit};

/// How long a machine waits after a failed boot before it begins again, in seconds.
const PAUSE_SECONDS: u32 = 5;
const KERNEL: &str = include_str!("../templates/kernel.ipxe");
const SAN: &str = include_str!("../templates/san.ipxe");
const SAN_LOGIN: &str = include_str!("../templates/san-login.ipxe");

/// The script that iPXE runs first. `url` is the service's address with this boot's token. Holds no secret but the token.
pub fn first(permit: &Permit, url: &str) -> Result<String, String> {
    match permit.method {
        BootMethod::Kernel => {
            let nic = provisioning(permit).ok_or("no provisioning NIC")?;
            let (ip, prefix) = provisioning_address(permit).ok_or("no provisioning address")?;
            let values = context! {
                url, pause => PAUSE_SECONDS,
                server => permit.server.as_str(), machine => permit.machine.as_str(), epoch => permit.epoch.0,
                mac => nic.mac.to_string(), address => format!("{ip}/{prefix}"), arguments => permit.arguments.as_str(),
            };
            rendered(KERNEL, values)
        }
        BootMethod::San => {
            let storage = permit.nics.iter().find(|(role, _)| role.as_str() == STORAGE).map(|(_, nic)| nic);
            let storage = storage.and_then(|nic| match nic.address?.address {
                IpAddr::V4(ip) => Some(context! {
                    mac => nic.mac.to_string(), ip => ip.to_string(), netmask => netmask(nic.address?.prefix).to_string(), mtu => nic.mtu,
                }),
                IpAddr::V6(_) => None,
            });
            let values = context! {
                url, pause => PAUSE_SECONDS, storage,
                server => permit.server.as_str(), machine => permit.machine.as_str(), epoch => permit.epoch.0,
            };
            rendered(SAN, values)
        }
    }
}

/// The script that logs in to the volume and boots it. Holds the CHAP secret.
pub fn san_login(permit: &Permit) -> Result<String, String> {
    let root = &permit.root;
    let values = context! {
        initiator => root.initiator.0.as_str(), user => root.user.as_str(),
        secret => root.secret.expose(), target => root.path.target.as_str(),
        portal => root.path.portal.ip().to_string(), port => root.path.portal.port(),
        // iPXE reads a logical unit number as hexadecimal
        lun => format!("{:x}", root.path.lun),
    };
    rendered(SAN_LOGIN, values)
}

/// The claim: everything that the server's initrd must know, as `KEY=value` lines. Holds the CHAP secret.
pub fn claim(permit: &Permit) -> String {
    let root = &permit.root;
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{key}={value}");
    };
    line("SERVER", &permit.server);
    line("EPOCH", &permit.epoch.0);
    line("INITIATOR", &root.initiator);
    line("CHAP_USER", &root.user);
    line("CHAP_PASSWORD", &root.secret.expose());
    line("PORTAL", &root.path.portal);
    line("TARGET", &root.path.target);
    line("LUN", &root.path.lun);
    for (role, nic) in &permit.nics {
        let key = key_of(role);
        line(&format!("NIC_{key}_MAC"), &nic.mac);
        if let Some(address) = nic.address {
            line(&format!("NIC_{key}_ADDRESS"), &address);
        }
        if let Some(mtu) = nic.mtu {
            line(&format!("NIC_{key}_MTU"), &mtu);
        }
    }
    text
}

fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}

/// Renders with strict names: a template that asks for what is not there is a fault and never an empty word.
fn rendered(template: &str, values: minijinja::Value) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // the error names the line of the template and no value
    let text = environment.render_str(template, values).map_err(|error| format!("script template: {error}"))?;
    // the engine takes the last line break off; iPXE runs only lines that end
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::permit;

    const URL: &str = "http://10.10.0.1/0123456789abcdef0123456789abcdef";

    #[test]
    fn the_kernel_script_names_everything_by_this_boots_token_and_no_secret() {
        let text = first(&permit(1, "web1", 5), URL).unwrap();
        assert!(text.starts_with("#!ipxe\n"), "{text}");
        let kernel = text.lines().find(|line| line.starts_with("kernel ")).unwrap();
        assert_eq!(
            kernel,
            format!(
                "kernel {URL}/kernel initrd=initrd understudy.claim={URL}/claim understudy.mac=52:54:00:0c:01:01 \
                 understudy.ip=10.10.0.11/24 console=ttyS0 quiet panic=-1 || goto failed"
            )
        );
        assert!(text.contains(&format!("\ninitrd {URL}/initrd ||")) && text.contains("\nboot ||") && text.ends_with("reboot\n"));
        assert!(!text.contains("chap-secret") && !text.contains('?'));
    }

    #[test]
    fn the_san_script_opens_the_storage_nic_and_only_its_second_part_holds_the_secret() {
        let mut given = permit(3, "web1", 6);
        given.method = BootMethod::San;
        given.root.path.lun = 10;
        let text = first(&given, URL).unwrap();
        for line in [
            "iseq ${net${idx}/mac} 52:54:00:0c:03:02 && goto found ||",
            "set net${idx}/ip 10.30.0.11",
            "set net${idx}/netmask 255.255.255.0",
            "set net${idx}/mtu 9000",
            "set keep-san 1",
            &format!("chain --autofree {URL}/san.ipxe || goto failed"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(!text.contains("chap-secret"));
        assert_eq!(
            san_login(&given).unwrap(),
            "#!ipxe\nset initiator-iqn iqn.2026-01.org.understudy:web1.e6\nset username web1\nset password chap-secret-0001\n\
             sanboot iscsi:10.30.0.1::3260:a:iqn.2026-01.lab.understudy:web1-root\n"
        );
        given.nics.retain(|role, _| role.as_str() != STORAGE);
        let text = first(&given, URL).unwrap();
        assert!(!text.contains("netmask") && text.contains("chain"), "no storage NIC: the provisioning one is up already");
    }

    #[test]
    fn the_claim_is_key_value_lines() {
        let text = claim(&permit(1, "web1", 5));
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "SERVER=web1",
                "EPOCH=5",
                "INITIATOR=iqn.2026-01.org.understudy:web1.e5",
                "CHAP_USER=web1",
                "CHAP_PASSWORD=chap-secret-0001",
                "PORTAL=10.30.0.1:3260",
                "TARGET=iqn.2026-01.lab.understudy:web1-root",
                "LUN=1",
                "NIC_PRODUCTION_MAC=52:54:00:0c:01:03",
                "NIC_PRODUCTION_ADDRESS=10.20.0.11/24",
                "NIC_PROVISIONING_MAC=52:54:00:0c:01:01",
                "NIC_PROVISIONING_ADDRESS=10.10.0.11/24",
                "NIC_STORAGE_MAC=52:54:00:0c:01:02",
                "NIC_STORAGE_ADDRESS=10.30.0.11/24",
                "NIC_STORAGE_MTU=9000",
            ]
        );
    }

    #[test]
    fn a_name_that_a_template_lacks_is_a_fault() {
        assert!(rendered("a {{ absent }} b", context! {}).is_err());
    }
}
