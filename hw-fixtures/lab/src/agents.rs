//! Configurations of the product's own parts in the lab: the agents of the switch and of the storage, the boot service.
//!
//! They say what is where, and hold no secret: bundles come later, from `understudy agent enroll`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bmc::password_file;
use crate::names::{
    self, BMC_USER, BMCS, BOOT_SERVICE, IMAGE, Machine, OVS_BRIDGE, OVS_FOLDER, OVS_SYSTEM, PDU, PDU_ADDRESS, PDU_SERIAL, PORTAL,
    Role, SERVERS, STORAGE_AGENT, SWITCH_AGENT, TGT_CONTROL, volume,
};
use crate::packages::{PackageError, Packages};
use crate::services::{Ready, Service};
use crate::volumes::volume_file;

/// Where the storage agent listens.
pub const STORAGE_LISTEN: &str = "127.0.0.1:7444";
/// Where the boot service's agent listens.
pub const BOOT_LISTEN: &str = "127.0.0.1:7445";
/// Where the agent of the power distribution unit listens.
pub const PDU_LISTEN: &str = "127.0.0.1:7447";
/// Where the agent of the BMCs listens.
pub const BMCS_LISTEN: &str = "127.0.0.1:7448";
/// Where the switch's agent listens.
pub const SWITCH_LISTEN: &str = "10.255.0.2:7443";
/// The switch's own interface and address in the production network, from which it checks services.
pub const SWITCH_VANTAGE: (&str, &str) = ("svi20", "10.20.0.2");

/// The folder of an agent: its configuration, its bundle, its memory.
#[must_use]
pub fn folder(run: &Path, agent: &str) -> PathBuf {
    run.join("agents").join(agent)
}

/// Where an agent of the services' side wants its bundle.
#[must_use]
pub fn bundle(run: &Path, agent: &str) -> PathBuf {
    folder(run, agent).join("bundle.json")
}

/// The target under which a volume is exported.
#[must_use]
pub fn target(number: u8) -> String {
    format!("iqn.2026-01.lab.understudy:{}", volume(number))
}

/// The configuration of the switch's agent.
#[must_use]
pub fn switch(machines: u8) -> Value {
    let ports: Vec<_> = names::machine_ports(machines).map(|(_, port)| port).collect();
    json!({
        "bundle": guest::switch::BUNDLE, "listen": SWITCH_LISTEN, "state_dir": guest::switch::STATE,
        "devices": {
            "switch": {"switch": SWITCH_AGENT, "driver": {"linux-bridge": {"bridge": guest::switch::BRIDGE, "ports": ports}}},
            "vantage": true, "vantage_source": {"interface": SWITCH_VANTAGE.0, "address": SWITCH_VANTAGE.1},
        },
    })
}

/// The configuration of the switch's agent beside Open vSwitch.
#[must_use]
pub fn switch_beside(run: &Path, machines: u8) -> Value {
    let ports: Vec<_> = names::machine_ports(machines).map(|(_, port)| port).collect();
    let driver = json!({"bridge": OVS_BRIDGE, "ports": ports, "run-dir": OVS_FOLDER, "system-id": OVS_SYSTEM});
    json!({
        "bundle": bundle(run, SWITCH_AGENT), "listen": SWITCH_LISTEN, "state_dir": folder(run, SWITCH_AGENT),
        "devices": {
            "switch": {"switch": SWITCH_AGENT, "driver": {"open-vswitch": driver}},
            "vantage": true, "vantage_source": {"interface": SWITCH_VANTAGE.0, "address": SWITCH_VANTAGE.1},
        },
    })
}

/// The configuration of the storage agent.
pub fn storage(run: &Path, packages: &Packages) -> Result<Value, PackageError> {
    let exports: serde_json::Map<String, Value> = SERVERS
        .iter()
        .map(|number| (volume(*number), json!({"target": target(*number), "lun": 1, "file": volume_file(run, *number)})))
        .collect();
    let environment: serde_json::Map<String, Value> =
        packages.environment().into_iter().map(|(key, value)| (key, json!(value))).collect();
    let control: u16 = TGT_CONTROL.parse().unwrap_or_default();
    let driver = json!({
        "tgtadm": packages.path(&["sbin/tgtadm"])?, "control_port": control, "environment": environment, "volumes": exports,
    });
    Ok(json!({
        "bundle": bundle(run, STORAGE_AGENT), "listen": STORAGE_LISTEN, "state_dir": folder(run, STORAGE_AGENT),
        "devices": {"storage": {"storage": STORAGE_AGENT, "driver": {"tgt": driver}}},
    }))
}

/// The configuration of the agent of the power distribution unit.
#[must_use]
pub fn outlets(run: &Path, machines: u8) -> Value {
    let password = format!("file:{}", password_file(run).display());
    let access = json!({"v3": {
        "user": BMC_USER, "authentication": "sha256", "authentication-password": password, "privacy": "aes128", "privacy-password": password,
    }});
    let snmp = json!({"address": SocketAddr::from(PDU_ADDRESS), "table": "apc-rpdu2", "access": access});
    let numbers: Vec<u8> = (1..=machines).flat_map(names::outlets).collect();
    json!({
        "bundle": bundle(run, PDU), "listen": PDU_LISTEN, "state_dir": folder(run, PDU),
        "devices": {"outlets": {"pdu": PDU, "outlets": numbers, "serial": PDU_SERIAL, "driver": {"snmp": snmp}}},
    })
}

/// The configuration of the boot service.
pub fn boot(run: &Path, packages: &Packages, machines: u8) -> Result<Value, PackageError> {
    let known: serde_json::Map<String, Value> = (1..=machines)
        .map(Machine)
        .map(|machine| (machine.name(), json!({"provisioning_mac": machine.mac(Role::Provisioning)})))
        .collect();
    let (image, kernel, initrd) = IMAGE;
    let mut images = serde_json::Map::new();
    images.insert(image.to_owned(), json!({"kernel": kernel, "initrd": initrd}));
    let ipxe = |name: &str| packages.path(&[&format!("lib/ipxe/{name}")]);
    Ok(json!({
        "bundle": bundle(run, BOOT_SERVICE), "listen": BOOT_LISTEN, "state_dir": folder(run, BOOT_SERVICE),
        "interface": "prov", "address": "10.10.0.1/24", "machines": known, "images_dir": run.join("images"), "images": images,
        "ipxe": {"bios": ipxe("undionly.kpxe")?, "uefi": ipxe("snponly.efi")?, "uefi_san": ipxe("ipxe.efi")?},
    }))
}

/// The rows of the process table for the agents beside the switch's; a caller starts those that it needs once their bundles are there.
#[must_use]
pub fn services(run: &Path, bin_dir: &Path) -> Vec<Service> {
    let agents = [
        (STORAGE_AGENT, "understudy-agent", STORAGE_LISTEN),
        (BOOT_SERVICE, "understudy-boot", BOOT_LISTEN),
        (PDU, "understudy-agent", PDU_LISTEN),
        (BMCS, "understudy-agent", BMCS_LISTEN),
    ];
    agents
        .iter()
        .map(|(name, program, listen)| {
            let config = folder(run, name).join("agent.json");
            let argv =
                [bin_dir.join(program).as_path(), Path::new("--config"), &config].map(|word| word.to_string_lossy().into_owned());
            let ready = listen.parse().ok().map(Ready::Tcp);
            Service { name: (*name).to_owned(), argv: argv.to_vec(), ready, ..Service::default() }
        })
        .collect()
}

/// What a caller needs to know to enrol the agents.
#[must_use]
pub fn about(run: &Path) -> Value {
    json!({
        SWITCH_AGENT: {"listen": SWITCH_LISTEN, "bundle": null},
        STORAGE_AGENT: {"listen": STORAGE_LISTEN, "bundle": bundle(run, STORAGE_AGENT), "portal": PORTAL},
        BOOT_SERVICE: {"listen": BOOT_LISTEN, "bundle": bundle(run, BOOT_SERVICE)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> (tempfile::TempDir, Packages) {
        let root = tempfile::tempdir().unwrap();
        for file in ["usr/sbin/tgtadm", "usr/lib/ipxe/undionly.kpxe", "usr/lib/ipxe/snponly.efi", "usr/lib/ipxe/ipxe.efi"] {
            std::fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let packages = Packages::open(root.path()).unwrap();
        (root, packages)
    }

    #[test]
    fn the_switchs_agent_owns_every_machine_port_and_no_uplink() {
        let config = switch(3);
        let ports = config["devices"]["switch"]["driver"]["linux-bridge"]["ports"].as_array().unwrap().clone();
        assert_eq!(ports.len(), 9);
        assert!(ports.contains(&json!("p9")) && !ports.contains(&json!("u10")));
        assert_eq!(config["bundle"], "/var/lib/understudy/bundle.json");
        let beside = switch_beside(Path::new("/r"), 3);
        assert_eq!(beside["devices"]["switch"]["driver"]["open-vswitch"]["ports"], json!(ports));
        assert_eq!((&beside["listen"], &beside["bundle"]), (&config["listen"], &json!("/r/agents/sw1/bundle.json")));
    }

    #[test]
    fn the_storage_agent_knows_every_volume_by_the_estates_names() {
        let (_root, packages) = packages();
        let config = storage(Path::new("/r"), &packages).unwrap();
        let tgt = &config["devices"]["storage"]["driver"]["tgt"];
        assert_eq!(tgt["volumes"]["web1-root"]["target"], "iqn.2026-01.lab.understudy:web1-root");
        assert_eq!(tgt["volumes"]["web2-root"]["file"], "/r/volumes/web2-root.img");
        assert_eq!(tgt["control_port"], 7);
    }

    #[test]
    fn the_boot_service_knows_machines_and_the_image() {
        let (_root, packages) = packages();
        let config = boot(Path::new("/r"), &packages, 3).unwrap();
        assert_eq!(config["machines"]["m3"]["provisioning_mac"], "52:54:00:0c:03:01");
        assert_eq!(config["images"]["web-kernel"], json!({"kernel": "vmlinuz", "initrd": "server.cpio"}));
        assert_eq!(
            services(Path::new("/r"), Path::new("/b"))[1].argv,
            ["/b/understudy-boot", "--config", "/r/agents/boot1/agent.json"]
        );
    }
}
