//! What was found, as a draft of a machine's document: what the BMC told is a value, everything else a gap with a word what belongs there.
//! Must never guess: a value that a person has to vouch for is a gap.

use bmc::discover::{Bmc, Search};
use bmc::fault::Kind;
use bmc::inventory::{Inventory, Neighbour, Nic};
use catalogue::draft::{BmcDraft, Draft, HardwareDraft, NicDraft, Part};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use vocabulary::estate::{BmcAccess, BmcProtocol, IpmiAccess, SecretReference};
use vocabulary::power::Identity;
use vocabulary::{MachineId, PortName, SwitchId};

/// Longest name.
const NAME_MAX: usize = vocabulary::ids::NAME_LENGTH_MAX;

/// The account that a draft names.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Name.
    pub user: String,
    /// Where the password is, seen from the estate.
    pub password: SecretReference,
    /// Where the BMC key is, if one was given.
    pub key: Option<SecretReference>,
}

/// A secret's file as the estate in a folder would name it: relative where it lies inside, else as a whole path.
pub fn from_estate(reference: &SecretReference, home: Option<&Path>) -> SecretReference {
    let Some(path) = reference.0.strip_prefix("file:") else { return reference.clone() };
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let home = home.and_then(|home| std::fs::canonicalize(home).ok());
    let inside = home.and_then(|home| path.strip_prefix(home).map(Path::to_owned).ok()).unwrap_or(path);
    SecretReference(format!("file:{}", inside.display()))
}

/// A name that no other machine has: by serial, else UUID, else address.
pub fn name(bmc: &Bmc, taken: &mut BTreeSet<String>) -> Option<MachineId> {
    let Identity { serial, uuid } = bmc.identity();
    let candidates = [serial, uuid, format!("bmc-{}", bmc.address)];
    let base = candidates.iter().map(|text| slug(text)).find(|text| !text.is_empty())?;
    let numbered = (2..).map(|number: u32| {
        let suffix = format!("-{number}");
        format!("{}{suffix}", base.chars().take(NAME_MAX - suffix.len()).collect::<String>())
    });
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name))?;
    taken.insert(free.clone());
    free.parse().ok()
}

fn slug(text: &str) -> String {
    let plain = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit(), "-");
    let cut: String = plain.trim_matches('-').chars().take(NAME_MAX).collect();
    cut.trim_end_matches('-').to_owned()
}

/// The draft. `switches` are those of the estate, empty where there is none.
pub fn of(name: MachineId, bmc: &Bmc, search: &Search, credential: Option<&Credential>, switches: &BTreeSet<String>) -> Draft {
    let Identity { serial, uuid } = bmc.identity();
    let told = |text: String| Some(text).filter(|text| !text.is_empty());
    let nothing = Inventory::default();
    let inventory = bmc.inspection.as_ref().map_or(&nothing, |inspection| &inspection.inventory);
    let by_guid = bmc.redfish.is_none() && !uuid.is_empty();
    let uuid = Part::known(told(uuid), "the system's UUID, as its BMC tells it");
    let nics: Vec<NicDraft> = inventory.nics.iter().map(|nic| nic_draft(nic, switches)).collect();
    Draft {
        name,
        remarks: remarks(bmc, inventory),
        serial: Part::known(told(serial), "the serial number, as its BMC tells it"),
        uuid: if by_guid { uuid.remarked("out of IPMI's GUID, whose order of bytes makers differ in: compare") } else { uuid },
        site: Part::gap("the site where it stands"),
        rack: Part::gap("the rack"),
        feeds: Part::gap(match inventory.power_supplies {
            Some(1) => "what feeds it, as a list; it has 1 power supply".to_owned(),
            Some(number) => format!("what feeds it, as a list; it has {number} power supplies"),
            None => "what feeds it, as a list".to_owned(),
        }),
        bmc: bmc_draft(bmc, search, credential),
        nics: if nics.is_empty() { Part::gap("all of its ports: role, mac, switch and port of each") } else { Part::of(nics) },
        outlets: Vec::new(),
        hardware: hardware(inventory),
    }
}

fn remarks(bmc: &Bmc, inventory: &Inventory) -> Vec<String> {
    let mut remarks = vec![
        "A draft by `understudy machine discover`. A key without a value is a gap; `understudy estate check` names each."
            .to_owned(),
    ];
    let platform = || bmc.inspection.as_ref().map(|inspection| inspection.probe.findings.platform.clone());
    let make = make(bmc);
    remarks.push(if make.is_empty() { platform().unwrap_or_default() } else { make });
    if !inventory.processor.is_empty() {
        remarks.push(format!("Processor: {}", inventory.processor));
    }
    if !bmc.also.is_empty() {
        let also: Vec<String> = bmc.also.iter().map(ToString::to_string).collect();
        remarks.push(format!("Its BMC also answers at {}", also.join(", ")));
    }
    if let Some(trouble) = &bmc.trouble {
        remarks.push(format!("Nothing more was told: {trouble}"));
    }
    if let Some(why) = &inventory.incomplete {
        remarks.push(format!("There may be more hardware than was told: {why}"));
    }
    remarks
}

/// Make and model; empty where nobody told.
pub fn make(bmc: &Bmc) -> String {
    let of_machine = bmc.inspection.as_ref().map(|seen| [&seen.inventory.manufacturer, &seen.inventory.model]);
    let of_service = bmc.redfish.as_ref().map(|greeting| [&greeting.vendor, &greeting.product]);
    let words = |pair: [&String; 2]| pair.map(String::as_str).join(" ").trim().to_owned();
    [of_machine, of_service].into_iter().flatten().map(words).find(|text| !text.is_empty()).unwrap_or_default()
}

fn bmc_draft(bmc: &Bmc, search: &Search, credential: Option<&Credential>) -> BmcDraft {
    let (protocol, port) = match bmc.redfish {
        Some(_) => (BmcProtocol::Redfish, search.redfish_port),
        None => (BmcProtocol::Ipmi, search.ipmi_port),
    };
    let credential = credential.filter(|_| !is_refused(bmc));
    let key = credential.and_then(|one| one.key.clone()).filter(|_| protocol == BmcProtocol::Ipmi);
    let certificate = bmc.redfish.as_ref().map(|greeting| {
        Part::of(greeting.certificate.clone())
            .remarked("taken at first sight, verified by nobody: compare it with what the BMC itself shows")
    });
    BmcDraft {
        protocol: Part::of(protocol),
        address: Part::of(SocketAddr::new(bmc.address, port)),
        user: Part::known(credential.map(|one| one.user.clone()), "the account's name"),
        password: Part::known(
            credential.map(|one| one.password.clone()),
            "a reference to its password: file:PATH, env:NAME or credential:NAME",
        ),
        certificate,
        agent: None,
        ipmi: key.map(|key| IpmiAccess { key: Some(key), ..IpmiAccess::default() }),
        access: BmcAccess::default(),
    }
}

/// True where the BMC did not take the account: then it is not entered.
fn is_refused(bmc: &Bmc) -> bool {
    let refusals = [Kind::WrongPassword, Kind::CutPassword, Kind::AccountRefused, Kind::TooFewRights].map(Kind::code);
    bmc.trouble.as_ref().is_some_and(|trouble| refusals.contains(&trouble.code))
}

fn nic_draft(nic: &Nic, switches: &BTreeSet<String>) -> NicDraft {
    let link = match nic.link {
        Some(true) => "link up",
        Some(false) => "link down",
        None => "",
    };
    let about: Vec<&str> = [nic.name.as_str(), link].into_iter().filter(|text| !text.is_empty()).collect();
    let (switch, port) = nic.neighbour.as_ref().map_or_else(
        || (Part::gap("the switch that it is cabled to"), Part::gap("the port there")),
        |neighbour| (switch(neighbour, switches), port(neighbour)),
    );
    NicDraft {
        remark: about.join(", "),
        role: Part::gap("what for: provisioning, storage, production"),
        mac: Part::of(nic.mac),
        switch,
        port,
        speed: nic.speed,
    }
}

/// The switch that LLDP named, if the estate has it, or if there is no estate to ask.
fn switch(neighbour: &Neighbour, switches: &BTreeSet<String>) -> Part<SwitchId> {
    let Neighbour { system, chassis, address, .. } = neighbour;
    let label = system.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let who: Vec<String> = [("", system), ("chassis ", chassis), ("at ", address)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(mark, text)| format!("{mark}{text}"))
        .collect();
    let heard = format!("by LLDP: {}", who.join(", "));
    match label.parse() {
        Ok(switch) if switches.is_empty() || switches.contains(&label) => Part::of(switch).remarked(heard),
        Ok(_) => Part::gap(format!("{heard}, which is no switch of the estate")),
        Err(_) => Part::gap(heard),
    }
}

fn port(neighbour: &Neighbour) -> Part<PortName> {
    let heard = format!("by LLDP: {}", neighbour.port);
    match neighbour.port.to_ascii_lowercase().parse() {
        Ok(port) => Part::of(port).remarked(heard),
        Err(_) if neighbour.port.is_empty() => Part::gap("the port there"),
        Err(_) => Part::gap(format!("{heard}; as its agent names it")),
    }
}

fn hardware(inventory: &Inventory) -> HardwareDraft {
    let level = match (inventory.level, inventory.architecture) {
        (Some(0), _) => Part::of(0),
        (Some(level), _) => Part::of(level).remarked("what the processor can do; its firmware may have switched parts of it off"),
        (None, Some(_)) => Part::gap("x86-64 level, 1 to 4: this processor is not known here"),
        (None, None) => Part::gap("x86-64 level, 1 to 4; 0 on another architecture"),
    };
    let firmware = Some(inventory.firmware.clone()).filter(|modes| !modes.is_empty());
    HardwareDraft {
        architecture: Part::known(inventory.architecture.map(str::to_owned), "x86_64 or aarch64"),
        level,
        memory: Part::known(inventory.memory, "such as 64GiB"),
        threads: Part::known(inventory.threads, "processor threads"),
        firmware: Part::known(firmware, "modes in which it can boot: a list of bios, uefi"),
        unrevocable_storage: Part::gap(
            "true if a server keeps data on disks that no agent can take away: local, SAS, FC; else false",
        ),
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
