//! The BMCs that the agent owns, as its configuration tells them: each as the estate's document of its machine does, but that the secrets
//! are looked up here. Must never take whatever certificate a BMC shows first: a life of the agent remembers none of the one before.

use bmc::{Door, Fleet};
use outlet::secrets;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vocabulary::MachineId;
use vocabulary::boot::Firmware;
use vocabulary::estate::{Bmc, BmcProtocol};
use vocabulary::power::Identity;

/// What stands for a certificate where none is pinned yet.
const UNPINNED: &str = "enrol";

/// One machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// Its serial number.
    pub serial: String,
    /// Its system UUID.
    pub uuid: String,
    /// The firmware modes in which it can boot.
    #[serde(default)]
    pub firmware: BTreeSet<Firmware>,
    /// The way to its BMC. `agent` is left out, or says what the document says; `certificate` is a pin.
    pub bmc: Bmc,
}

/// A BMC that cannot be owned.
#[derive(Debug, thiserror::Error)]
#[error("the BMC of {machine}: {reason}")]
pub struct OpenError {
    machine: MachineId,
    reason: String,
}

/// All of them behind one device. Talks to nobody yet.
pub fn open(owned: &BTreeMap<MachineId, Owned>) -> Result<Arc<Fleet>, OpenError> {
    let fleet = Arc::new(Fleet::new());
    for (machine, one) in owned {
        let failed = |reason: String| OpenError { machine: machine.clone(), reason };
        let door = door(one).map_err(failed)?;
        fleet.admit(machine.clone(), &door).map_err(|error| failed(error.to_string()))?;
    }
    Ok(fleet)
}

fn door(one: &Owned) -> Result<Door, String> {
    if one.bmc.protocol == BmcProtocol::Redfish && one.bmc.certificate == UNPINNED {
        return Err(
            "an agent outlives no certificate that it only saw: write the SHA-256 of the BMC's as `certificate`; `understudy machine \
             probe` shows it"
                .to_owned(),
        );
    }
    let identity = Identity { uuid: one.uuid.clone(), serial: one.serial.clone() };
    let key = one.bmc.ipmi.as_ref().and_then(|ipmi| ipmi.key.as_ref()).map(secrets::resolve).transpose()?;
    // named as the pin, so that one that is misspelt is refused and not left out
    let pin = (one.bmc.protocol == BmcProtocol::Redfish).then(|| one.bmc.certificate.clone());
    let door = Door::new(one.bmc.clone(), identity, secrets::resolve(&one.bmc.password)?, pin);
    Ok(Door { key, firmware: one.firmware.clone(), ..door })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(certificate: &str, password: &str) -> BTreeMap<MachineId, Owned> {
        let text = format!(
            r#"{{"m1": {{"serial": "S1", "uuid": "00000000-0000-4000-8000-000000000001", "firmware": ["uefi"], "bmc": {{
                "protocol": "redfish", "address": "127.0.0.1:1", "user": "understudy", "password": "{password}",
                "certificate": "{certificate}"}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_is_a_pin_and_a_secret_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        let password = format!("file:{}", file.display());
        let pin = "ab".repeat(32);
        let machines = open(&owned(&pin, &password)).unwrap().machines();
        assert_eq!(machines, ["m1".parse().unwrap()]);
        for (wrong, says) in [
            (owned(UNPINNED, &password), "machine probe"),
            (owned("no pin", &password), "certificate"),
            (owned(&pin, "file:/nowhere/password"), "/nowhere/password"),
        ] {
            let told = open(&wrong).err().unwrap().to_string();
            assert!(told.contains("the BMC of m1") && told.contains(says), "{told}");
        }
    }
}
