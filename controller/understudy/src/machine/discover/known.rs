//! Machines that the estate's files name already, and what a BMC tells otherwise than they do.
//! Must never take two machines for one because both tell nothing.

use crate::exit::{Exit, Failure};
use bmc::discover::Bmc;
use catalogue::draft::{Draft, NicDraft, Part};
use catalogue::{KnownMachine, codes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use vocabulary::Fault;
use vocabulary::network::Mac;

/// What the folders hold.
#[derive(Debug, Default)]
pub struct Known {
    machines: Vec<KnownMachine>,
    /// Switches of the estate.
    pub switches: BTreeSet<String>,
    /// Something there could not be read.
    pub holes: bool,
}

/// A difference between a document and what the BMC tells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Which field.
    pub field: String,
    /// What the document says; `null`: nothing.
    pub document: Option<String>,
    /// What the BMC tells.
    pub told: String,
}

impl Known {
    /// Reads the estate, and the folder of drafts where it is there already.
    pub fn read(estate: Option<&Path>, drafts: Option<&Path>) -> Result<Known, Failure> {
        if let Some(folder) = estate.filter(|folder| !folder.is_dir()) {
            let message = format!("{} is no folder", folder.display());
            let remedy = "name the folder of the estate's files, or leave --estate out";
            return Err(Failure::new(Exit::No, Fault::new(codes::UNREADABLE, message, remedy)));
        }
        let whole = |folder: &Path| std::fs::canonicalize(folder).ok();
        let inside =
            drafts.and_then(whole).zip(estate.and_then(whole)).is_some_and(|(drafts, estate)| drafts.starts_with(estate));
        let drafts = drafts.filter(|folder| !inside && folder.is_dir());
        let mut known = Known::default();
        for folder in estate.into_iter().chain(drafts) {
            let read = catalogue::machines(folder);
            known.machines.extend(read.machines);
            known.switches.extend(read.switches);
            known.holes |= read.holes;
        }
        Ok(known)
    }

    /// The names that are taken.
    pub fn names(&self) -> BTreeSet<String> {
        self.machines.iter().map(|machine| machine.draft.name.to_string()).collect()
    }

    /// The machine that a BMC belongs to: by UUID, else by serial, else by the BMC's address.
    pub fn machine(&self, bmc: &Bmc) -> Option<&KnownMachine> {
        let told = bmc.identity();
        let is = |text: &str, part: &Part<String>| {
            !text.is_empty() && part.value.as_ref().is_some_and(|known| known.trim().eq_ignore_ascii_case(text))
        };
        let addresses: BTreeSet<IpAddr> = bmc.also.iter().copied().chain([bmc.address]).collect();
        let at = |draft: &Draft| draft.bmc.address.value.is_some_and(|address| addresses.contains(&address.ip()));
        let find = |fits: &dyn Fn(&Draft) -> bool| self.machines.iter().find(|machine| fits(&machine.draft));
        find(&|draft| is(&told.uuid, &draft.uuid))
            .or_else(|| find(&|draft| is(&told.serial, &draft.serial)))
            .or_else(|| find(&at))
    }
}

/// What differs between a document and what was told, and what the document does not say yet. What was not told does not differ.
pub fn differences(document: &Draft, told: &Draft) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut field = |name: &str, document: Option<String>, told: Option<String>| {
        let same = |told: &String| document.as_ref().is_some_and(|document| document.trim().eq_ignore_ascii_case(told));
        if let Some(told) = told.filter(|told| !same(told)) {
            all.push(Difference { field: name.to_owned(), document, told });
        }
    };
    field("serial", document.serial.value.clone(), told.serial.value.clone());
    field("uuid", document.uuid.value.clone(), told.uuid.value.clone());
    field("bmc.address", shown(&document.bmc.address), shown(&told.bmc.address));
    // one that is pinned at enrolment differs from none
    let pinned = document.bmc.certificate.as_ref().and_then(|part| part.value.clone()).filter(|text| text != "enrol");
    let certificate = told.bmc.certificate.as_ref().filter(|_| pinned.is_some()).and_then(|part| part.value.clone());
    field("bmc.certificate", pinned, certificate);
    let (one, two) = (&document.hardware, &told.hardware);
    field("hardware.architecture", one.architecture.value.clone(), two.architecture.value.clone());
    field("hardware.level", shown(&one.level), shown(&two.level));
    field("hardware.memory", shown(&one.memory), shown(&two.memory));
    field("hardware.threads", shown(&one.threads), shown(&two.threads));
    cabling(document, told, &mut field);
    all
}

fn shown<T: ToString>(part: &Part<T>) -> Option<String> {
    part.value.as_ref().map(ToString::to_string)
}

/// Ports by their address: missing here, missing there, or cabled elsewhere. A BMC that tells no ports says nothing of any.
fn cabling(document: &Draft, told: &Draft, field: &mut impl FnMut(&str, Option<String>, Option<String>)) {
    let by_mac = |draft: &Draft| -> BTreeMap<Mac, Option<String>> {
        let nics = draft.nics.value.iter().flatten();
        let cable = |nic: &NicDraft| Some(format!("{}/{}", nic.switch.value.as_ref()?, nic.port.value.as_ref()?));
        nics.filter_map(|nic| Some((nic.mac.value?, cable(nic)))).collect()
    };
    let (known, seen) = (by_mac(document), by_mac(told));
    if seen.is_empty() {
        return;
    }
    for mac in known.keys().chain(seen.keys()).collect::<BTreeSet<_>>() {
        let name = format!("nic {mac}");
        match (known.get(mac), seen.get(mac)) {
            (Some(known), Some(seen)) => field(&name, known.clone(), seen.clone()),
            (known, _) => {
                let word = |here: bool| if here { "there" } else { "not there" }.to_owned();
                field(&name, known.map(|_| word(true)), Some(word(known.is_none())));
            }
        }
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
