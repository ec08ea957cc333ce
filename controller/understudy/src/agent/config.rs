//! `understudy agent config`: the configuration of an agent that owns BMCs, made from the estate's files. It asks no controller, and writes
//! references to secrets, never a secret.

use crate::exit::{Exit, Failure};
use crate::out;
use serde_json::{Map, Value, json};
use std::path::Path;
use vocabulary::estate::{BmcProtocol, Machine, SecretReference};
use vocabulary::{AgentId, Fault, MachineId};

/// Where an agent is installed that nobody has asked to be elsewhere.
const BUNDLE: &str = "/etc/understudy-agent/bundle.json";
const STATE: &str = "/var/lib/understudy-agent";
/// What stands for a certificate where none is pinned yet.
const UNPINNED: &str = "enrol";
/// How many machines one complaint names; of the others only the number is told.
const NAMED: usize = 5;

/// Prints it.
pub fn config(agent: &AgentId, folder: &Path) -> Result<(), Failure> {
    let told = |code, message: String, remedy: &str| Failure::new(Exit::No, Fault::new(code, message, remedy));
    let loaded = catalogue::load(folder);
    let errors = loaded.errors();
    let estate = loaded.estate.ok_or_else(|| {
        let remedy = "`understudy estate check` shows all of them with their remedies";
        told(57, format!("the estate in {} has {errors} faults", folder.display()), remedy)
    })?;
    let Some(document) = estate.bmc_agents.get(agent) else {
        let names: Vec<&str> = estate.bmc_agents.keys().map(AgentId::as_str).collect();
        let message = format!(
            "the estate has no `bmc-agent: {agent}`; it has {}",
            if names.is_empty() { "none".into() } else { names.join(", ") }
        );
        let remedy = "write its document first; the configurations of other agents are written by hand, as docs/outlets.md, docs/storage.md and docs/drivers.md show";
        return Err(Failure::new(Exit::NotFound, Fault::new(1003, message, remedy)));
    };
    let owned: Vec<(&MachineId, &Machine)> =
        estate.machines.iter().filter(|(_, machine)| machine.bmc.agent.as_ref() == Some(agent)).collect();
    if let Some(message) = without_pin(&owned) {
        let remedy = "`understudy machine probe` shows the certificate's SHA-256: compare it with what the BMC itself shows, and write it into \
                      `bmc.certificate`";
        return Err(told(1020, message, remedy));
    }
    out::json(&json!({
        "bundle": BUNDLE, "listen": document.agent, "state_dir": STATE,
        "devices": {"bmcs": bmcs(&owned, folder)},
    }))
}

/// An agent remembers no certificate that it only saw, so each must stand in the documents.
fn without_pin(owned: &[(&MachineId, &Machine)]) -> Option<String> {
    let unpinned = |machine: &Machine| machine.bmc.protocol == BmcProtocol::Redfish && machine.bmc.certificate == UNPINNED;
    let names: Vec<&str> = owned.iter().filter(|(_, machine)| unpinned(machine)).map(|(name, _)| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("the certificate of {shown}{more} is not pinned"))
}

fn bmcs(owned: &[(&MachineId, &Machine)], folder: &Path) -> Map<String, Value> {
    let one = |machine: &Machine| {
        let mut bmc = machine.bmc.clone();
        bmc.password = absolute(&bmc.password, folder);
        if let Some(ipmi) = &mut bmc.ipmi {
            ipmi.key = ipmi.key.as_ref().map(|key| absolute(key, folder));
        }
        json!({"serial": machine.serial, "uuid": machine.uuid, "firmware": machine.hardware.firmware, "bmc": bmc})
    };
    owned.iter().map(|(name, machine)| (name.to_string(), one(machine))).collect()
}

/// A file's path in a document counts from the estate's folder, and in an agent's configuration from nowhere.
fn absolute(reference: &SecretReference, folder: &Path) -> SecretReference {
    let Some(path) = reference.0.strip_prefix("file:") else { return reference.clone() };
    let whole = std::path::absolute(folder.join(path)).unwrap_or_else(|_| folder.join(path));
    SecretReference(format!("file:{}", whole.display()))
}
