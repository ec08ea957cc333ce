//! What a search found, as `--output json` prints it. Fields are only ever added.
//! Must never hold a password.

use super::draft::{self, Credential};
use super::known::{Difference, Known, differences};
use crate::exit::{Exit, Failure};
use bmc::discover::{Bmc, Found, Search};
use bmc::inventory::{Inventory, Nic};
use catalogue::Draft;
use serde::Serialize;
use std::collections::BTreeSet;
use vocabulary::boot::Firmware;
use vocabulary::network::Mac;
use vocabulary::power::PowerState;
use vocabulary::quantity::{Bytes, Speed};
use vocabulary::{Fault, MachineId};

/// The whole.
#[derive(Debug, Serialize)]
pub struct DiscoverView {
    /// Addresses to ask.
    pub addresses: usize,
    /// Addresses that were asked.
    pub asked: usize,
    /// It was interrupted.
    pub stopped: bool,
    /// Addresses that could not be asked because of this host, and why.
    pub unasked: Option<UnaskedView>,
    /// The BMCs, each once.
    pub bmcs: Vec<BmcView>,
}

/// Addresses that nobody was able to ask.
#[derive(Debug, Serialize)]
pub struct UnaskedView {
    /// How many.
    pub addresses: usize,
    /// The last reason.
    pub reason: String,
}

/// One BMC and its machine. Texts are empty, and values null, where it does not tell.
#[derive(Debug, Serialize)]
pub struct BmcView {
    pub address: String,
    /// Where it answers as well.
    pub also: Vec<String>,
    /// `redfish`, `ipmi`.
    pub protocols: Vec<&'static str>,
    /// Make and model of the machine; those of the BMC's service where the machine's are not told.
    pub make: String,
    /// SHA-256 in hex, where the protocol has one. Nobody has verified it.
    pub certificate: Option<String>,
    /// What its answers tell of the BMC itself.
    pub platform: String,
    pub serial: String,
    pub uuid: String,
    pub power: Option<PowerState>,
    #[serde(flatten)]
    pub hardware: HardwareView,
    /// Why it told nothing to the account.
    pub trouble: Option<Fault>,
    /// The search ended before its hardware was read: no draft of it is written.
    pub unread: bool,
    /// The machine of the estate that it is.
    pub known: Option<KnownView>,
    /// The draft of a machine that is new.
    pub draft: Option<DraftView>,
}

/// What a machine is made of.
#[derive(Debug, Serialize)]
pub struct HardwareView {
    pub processor: String,
    pub architecture: Option<&'static str>,
    pub level: Option<u8>,
    pub threads: Option<u32>,
    pub memory: Option<Bytes>,
    pub firmware: BTreeSet<Firmware>,
    pub power_supplies: Option<usize>,
    pub nics: Vec<NicView>,
    /// Why there may be more than was told.
    pub incomplete: Option<String>,
}

/// One port.
#[derive(Debug, Serialize)]
pub struct NicView {
    pub name: String,
    pub mac: Mac,
    pub speed: Option<Speed>,
    pub link: Option<bool>,
    pub neighbour: Option<NeighbourView>,
}

/// The other end of its cable, by LLDP.
#[derive(Debug, Serialize)]
pub struct NeighbourView {
    pub system: String,
    pub chassis: String,
    pub port: String,
    pub address: String,
}

/// A machine whose document stands already.
#[derive(Debug, Serialize)]
pub struct KnownView {
    pub machine: MachineId,
    /// File and line.
    pub document: String,
    /// What the BMC tells otherwise.
    pub differs: Vec<Difference>,
}

/// A draft.
#[derive(Debug, Serialize)]
pub struct DraftView {
    pub machine: MachineId,
    /// What is missing in it, by path.
    pub gaps: Vec<String>,
    /// The document.
    pub yaml: String,
    /// The file that was written.
    pub file: Option<String>,
    /// The file that stood there already and was left alone.
    pub left: Option<String>,
}

impl DiscoverView {
    /// Names what is known, and drafts what is new.
    pub fn of(search: &Search, found: &Found, known: &Known, credential: Option<&Credential>) -> Result<DiscoverView, Failure> {
        let mut names = known.names();
        let bmcs = found.bmcs.iter().map(|bmc| view(bmc, search, known, credential, &mut names));
        Ok(DiscoverView {
            addresses: found.progress.addresses,
            asked: found.progress.asked,
            stopped: found.stopped,
            unasked: found.unasked.clone().map(|(addresses, reason)| UnaskedView { addresses, reason }),
            bmcs: bmcs.collect::<Result<_, _>>()?,
        })
    }

    /// The drafts.
    pub fn drafts(&self) -> impl Iterator<Item = &DraftView> {
        self.bmcs.iter().filter_map(|bmc| bmc.draft.as_ref())
    }
}

fn view(
    bmc: &Bmc,
    search: &Search,
    known: &Known,
    credential: Option<&Credential>,
    names: &mut BTreeSet<String>,
) -> Result<BmcView, Failure> {
    let of = |name: MachineId| draft::of(name, bmc, search, credential, &known.switches);
    let (standing, new) = match known.machine(bmc) {
        Some(machine) => {
            let name = machine.draft.name.clone();
            let differs = differences(&machine.draft, &of(name.clone()));
            (Some(KnownView { machine: name, document: machine.place.clone(), differs }), None)
        }
        None => (None, draft::name(bmc, names).map(|name| drafted(&of(name))).transpose()?),
    };
    let identity = bmc.identity();
    let seen = bmc.inspection.as_ref();
    let protocols = [(bmc.redfish.is_some(), "redfish"), (bmc.ipmi, "ipmi")];
    Ok(BmcView {
        address: bmc.address.to_string(),
        also: bmc.also.iter().map(ToString::to_string).collect(),
        protocols: protocols.into_iter().filter(|(speaks, _)| *speaks).map(|(_, name)| name).collect(),
        make: draft::make(bmc),
        certificate: bmc.redfish.as_ref().map(|greeting| greeting.certificate.clone()),
        platform: seen.map(|seen| seen.probe.findings.platform.clone()).unwrap_or_default(),
        serial: identity.serial,
        uuid: identity.uuid,
        power: seen.map(|seen| seen.probe.reading.system_power),
        hardware: hardware(&seen.map(|seen| seen.inventory.clone()).unwrap_or_default()),
        trouble: bmc.trouble.clone(),
        unread: search.account.is_some() && seen.is_none() && bmc.trouble.is_none(),
        known: standing,
        draft: new,
    })
}

fn drafted(draft: &Draft) -> Result<DraftView, Failure> {
    let yaml = draft.to_yaml().map_err(|fault| Failure::new(Exit::Bug, fault))?;
    Ok(DraftView { machine: draft.name.clone(), gaps: draft.gaps(), yaml, file: None, left: None })
}

fn hardware(inventory: &Inventory) -> HardwareView {
    let nic = |nic: &Nic| NicView {
        name: nic.name.clone(),
        mac: nic.mac,
        speed: nic.speed,
        link: nic.link,
        neighbour: nic.neighbour.clone().map(|one| NeighbourView {
            system: one.system,
            chassis: one.chassis,
            port: one.port,
            address: one.address,
        }),
    };
    HardwareView {
        processor: inventory.processor.clone(),
        architecture: inventory.architecture,
        level: inventory.level,
        threads: inventory.threads,
        memory: inventory.memory,
        firmware: inventory.firmware.clone(),
        power_supplies: inventory.power_supplies,
        nics: inventory.nics.iter().map(nic).collect(),
        incomplete: inventory.incomplete.clone(),
    }
}
