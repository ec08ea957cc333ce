//! One port, one NIC; one outlet, one power supply; one MAC, serial, UUID and BMC address, one machine; one agent, one device (F0012-F0014, F0036, F0037, F0041).
//! What is doubled here would make Understudy cut off, or power on, the wrong machine.

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::BTreeMap;
use vocabulary::estate::INSIDE;

pub fn check(desk: &mut Desk<'_>) {
    nics(desk);
    outlets(desk);
    identities(desk);
    bmcs(desk);
    agents(desk);
}

fn nics(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut ports = BTreeMap::new();
    let mut macs = BTreeMap::new();
    for (name, machine) in &estate.machines {
        for (index, nic) in machine.nics.iter().enumerate() {
            let path = item("nics", index, "port");
            if let Some((other, first)) = ports.insert(nic.port_id(), (name, index)) {
                let at = desk.line_of(Kind::Machine, other.as_str(), &item("nics", first, "port"));
                let message = format!("port {} is cabled already, to {other} ({at})", nic.port_id());
                let remedy = "one cable ends in one port: look at the switch, and correct the one that is wrong";
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::PORT_TWICE, message, remedy));
            }
            let path = item("nics", index, "mac");
            if let Some((other, first)) = macs.insert(nic.mac, (name, index)) {
                let at = desk.line_of(Kind::Machine, other.as_str(), &item("nics", first, "mac"));
                let message = format!("MAC {} belongs already to {other} ({at})", nic.mac);
                let remedy = "copy each NIC's burned-in address from the machine itself";
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::MAC, message, remedy));
            }
            let group_address = nic.mac.0.first().is_some_and(|byte| byte & 1 == 1);
            if group_address || nic.mac.0 == [0; 6] {
                let message =
                    format!("MAC {} is no NIC's address: it is {}", nic.mac, if group_address { "a group's" } else { "empty" });
                let remedy = "copy each NIC's burned-in address from the machine itself";
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::MAC, message, remedy));
            }
        }
    }
}

fn outlets(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut seen = BTreeMap::new();
    for (name, machine) in &estate.machines {
        for (index, outlet) in machine.outlets.iter().enumerate() {
            let path = item("outlets", index, "outlet");
            if let Some((other, first)) = seen.insert(outlet, (name, index)) {
                let at = desk.line_of(Kind::Machine, other.as_str(), &item("outlets", first, "outlet"));
                let message = format!("outlet {outlet} bears a power supply of {other} already ({at})");
                let remedy = "one cord ends in one outlet: look at the unit, and correct the one that is wrong";
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::OUTLET_TWICE, message, remedy));
            }
        }
    }
}

fn identities(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for (name, machine) in &estate.machines {
        let uuid = uuid::Uuid::parse_str(&machine.uuid).ok().filter(|uuid| !uuid.is_nil() && !uuid.is_max());
        for (key, text, canonical) in [
            ("serial", &machine.serial, Some(machine.serial.trim().to_ascii_lowercase()).filter(|serial| !serial.is_empty())),
            ("uuid", &machine.uuid, uuid.map(|uuid| uuid.to_string())),
        ] {
            let path = [field(key)];
            let Some(canonical) = canonical else {
                let message = format!("{key} `{}` identifies no machine", crate::complaint::shortened(text));
                let remedy = format!("copy the {key} as the machine's BMC tells it");
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::IDENTITY, message, remedy));
                continue;
            };
            if let Some(other) = seen.insert((key, canonical), name.as_str()) {
                let at = desk.line_of(Kind::Machine, other, &path);
                let message = format!("{key} {} belongs already to {other} ({at})", crate::complaint::shortened(text));
                let remedy =
                    format!("copy the {key} as each machine's BMC tells it: it is how Understudy knows whose power it reads");
                desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::IDENTITY, message, remedy));
            }
        }
    }
}

fn bmcs(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut seen = BTreeMap::new();
    for (name, machine) in &estate.machines {
        let path = [field("bmc"), field("address")];
        if let Some(other) = seen.insert(machine.bmc.address, name) {
            let at = desk.line_of(Kind::Machine, other.as_str(), &path);
            let message = format!("BMC address {} is {other}'s already ({at})", machine.bmc.address);
            let remedy = "give each machine its own BMC's address: a power command must reach one machine only";
            desk.tell(Kind::Machine, name.as_str(), &path, Word::error(codes::BMC_TWICE, message, remedy));
        }
        let key = machine.bmc.ipmi.as_ref().and_then(|ipmi| ipmi.key.as_ref());
        for (secret, path) in [
            (Some(&machine.bmc.password), vec![field("bmc"), field("password")]),
            (key, vec![field("bmc"), field("ipmi"), field("key")]),
        ] {
            if let Some(file) = secret.and_then(|secret| crate::secrets::open_to_everyone(secret, &desk.places.folder)) {
                let message = format!("{} can be read by everyone on this machine", file.display());
                let remedy = format!("run: chmod 600 {}", file.display());
                desk.tell(Kind::Machine, name.as_str(), &path, Word::warning(codes::SECRET_OPEN, message, remedy));
            }
        }
    }
}

fn agents(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let switches = estate.switches.iter().map(|(name, it)| (Kind::Switch, name.as_str(), it.agent));
    let storages = estate.storages.iter().map(|(name, it)| (Kind::Storage, name.as_str(), it.agent));
    let services = estate.boot_services.iter().map(|(name, it)| (Kind::Boot, name.as_str(), it.agent));
    let pdus = estate.pdus.iter().map(|(name, it)| (Kind::Pdu, name.as_str(), it.agent));
    let mut addresses = BTreeMap::new();
    let mut names = BTreeMap::new();
    let bmcs = estate.bmc_agents.iter().map(|(name, it)| (Kind::BmcAgent, name.as_str(), it.agent));
    for (kind, name, address) in switches.chain(storages).chain(services).chain(pdus).chain(bmcs).collect::<Vec<_>>() {
        if name == INSIDE {
            let message = format!("`{INSIDE}` is the name of the agent inside the controller");
            desk.tell(kind, name, &[] as &[Step], Word::error(codes::AGENT_TWICE, message, "give it another name"));
        }
        if let Some((other_kind, other)) = addresses.insert(address, (kind, name)) {
            let message = format!("the agent at {address} is {other_kind} {other}'s already");
            let remedy = "give each device an agent of its own: one device, one agent instance";
            desk.tell(kind, name, &[field("agent")], Word::error(codes::AGENT_TWICE, message, remedy));
        }
        if let Some(other_kind) = names.insert(name, kind) {
            let message = format!("{other_kind} and {kind} have one name, {name}, and agents bear their device's name");
            desk.tell(kind, name, &[] as &[Step], Word::error(codes::AGENT_TWICE, message, "rename one of the two"));
        }
    }
}
