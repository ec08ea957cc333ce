//! The configuration for a lab of `understudy-lab`: its fixed names, and the files of its run folder.
//!
//! It chooses nothing; who raises a lab in another way writes a configuration of their own.

use std::net::Ipv4Addr;
use std::path::Path;

use lab::agents::{folder, target};
use lab::names::{BOOT_SERVICE, Machine, PORTAL, ROLES, SERVERS, TGT_CONTROL, production_address, server};
use lab::qemu::machine_files;
use lab::volumes::volume_file;
use vocabulary::Role;

use crate::config::{Config, Interface, Sources, Tool};
use crate::roster::{MachineConfig, NicConfig, Roster, ServerConfig, VolumeConfig};

/// The configuration's file name in a run folder.
pub const CONFIG: &str = "oracle.json";
/// The socket for questions in a run folder.
pub const QUERY: &str = "oracle.sock";
/// The log of facts and judgements in a run folder.
pub const LOG: &str = "oracle.jsonl";
/// The verdict in a run folder.
pub const VERDICT: &str = "verdict.json";
/// Where acknowledgements arrive: `guest::workload::COLLECTOR`.
const SERVICES_PRODUCTION: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);
const SERVICES_STORAGE: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 1);
const BOOT_VLAN: u16 = 10;

/// Why the lab's names do not fit.
#[derive(Debug, thiserror::Error)]
#[error("the lab's {what} `{text}` cannot be used: {reason}")]
pub struct NameError {
    what: &'static str,
    text: String,
    reason: String,
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(what: &'static str, text: &str) -> Result<T, NameError> {
    text.parse().map_err(|error: T::Err| NameError { what, text: text.to_owned(), reason: error.to_string() })
}

/// The configuration for a run folder with so many machines.
pub fn config(run: &Path, machines: u8) -> Result<Config, NameError> {
    let role = |role: lab::names::Role| parsed::<Role>("role", role.name());
    let mut servers = std::collections::BTreeMap::new();
    for number in SERVERS {
        let address = production_address(number);
        let address = parsed("address", address.split('/').next().unwrap_or(&address))?;
        let vlans = ROLES.iter().map(|one| Ok((role(*one)?, one.vlan()))).collect::<Result<_, NameError>>()?;
        let volume = VolumeConfig {
            target: target(number),
            image: volume_file(run, number),
            records: Some(guest::records::LOG.to_owned()),
        };
        servers.insert(parsed("server", &server(number))?, ServerConfig { address, vlans, volumes: vec![volume] });
    }
    let mut all = std::collections::BTreeMap::new();
    for machine in (1..=machines).map(Machine) {
        let nic = |one: lab::names::Role| {
            let mac = parsed("MAC address", &machine.mac(one))?;
            Ok((role(one)?, NicConfig { mac, port: format!("p{}", machine.port(one)) }))
        };
        let nics = ROLES.iter().map(|one| nic(*one)).collect::<Result<_, NameError>>()?;
        let console = Some(machine_files(run, machine).serial);
        all.insert(parsed("machine", &machine.name())?, MachineConfig { nics, console });
    }
    Ok(Config {
        roster: Roster { servers, machines: all, boot_vlans: [BOOT_VLAN].into() },
        sources: sources(run)?,
        query: run.join(QUERY),
        debugfs: Tool::default(),
    })
}

fn sources(run: &Path) -> Result<Sources, NameError> {
    let portal: std::net::SocketAddrV4 = parsed("portal", PORTAL)?;
    Ok(Sources {
        lab: run.join(lab::client::SOCKET),
        bmc: lab::bmc::control_socket(run),
        target: Path::new("/run/tgtd").join(format!("socket.{TGT_CONTROL}")),
        permits: folder(run, BOOT_SERVICE).join("permits"),
        acks: guest::workload::COLLECTOR,
        production: Interface { name: "prod".to_owned(), address: SERVICES_PRODUCTION },
        storage: Interface { name: "stor".to_owned(), address: SERVICES_STORAGE },
        portal_port: portal.port(),
        switch_console: Some(run.join("logs/switch.console.log")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::names::UPLINKS;

    #[test]
    fn the_lab_fits_and_the_file_reads_back() {
        let config = config(Path::new("/r"), 4).unwrap();
        config.roster.check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        let web2 = &config.roster.servers[&"web2".parse().unwrap()];
        assert_eq!(
            (web2.address, web2.vlans.values().copied().collect::<Vec<_>>()),
            (Ipv4Addr::new(10, 20, 0, 12), vec![20, 10, 30])
        );
        let m4 = &config.roster.machines[&"m4".parse().unwrap()];
        assert_eq!(m4.nics[&"production".parse().unwrap()].port, "p12");
        assert_eq!(config.sources.permits, Path::new("/r/agents/boot1/permits"));
    }

    #[test]
    fn interfaces_and_addresses_are_the_labs() {
        let config = config(Path::new("/r"), 3).unwrap();
        for own in [&config.sources.production, &config.sources.storage] {
            let uplink = UPLINKS.iter().find(|uplink| uplink.tap == own.name).unwrap();
            assert_eq!(uplink.address, format!("{}/24", own.address));
        }
        assert_eq!(*config.sources.acks.ip(), config.sources.production.address);
        assert_eq!(config.sources.portal_port, 3260);
    }
}
