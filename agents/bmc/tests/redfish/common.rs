//! A door to a scripted BMC, and short questions about outcomes. Must never assert anything itself: tests do.

use std::net::SocketAddr;
use std::time::Duration;

use bmc::{Door, Patience};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcProtocol, SecretReference};
use vocabulary::power::Identity;
use vocabulary::request::AgentError;

pub const UUID: &str = "00000000-0000-4000-8000-000000000001";
pub const SERIAL: &str = "LAB0001";

pub fn door(address: SocketAddr, pin: Option<String>) -> Door {
    let bmc = Address {
        protocol: BmcProtocol::Redfish,
        address,
        user: "controller".into(),
        password: SecretReference("file:unused".into()),
        agent: None,
        certificate: "enrol".into(),
        access: vocabulary::estate::BmcAccess::Command,
        ipmi: None,
    };
    Door::new(bmc, identity(UUID, SERIAL), Secret::new("lab"), pin)
}

pub fn identity(uuid: &str, serial: &str) -> Identity {
    Identity { uuid: uuid.into(), serial: serial.into() }
}

/// For tests in which something must time out.
pub fn impatient() -> Patience {
    Patience {
        connect: Duration::from_millis(400),
        request: Duration::from_millis(600),
        command_request: Duration::from_millis(600),
        ..Patience::default()
    }
}

pub fn fingerprint(pem: &str) -> String {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn is_unreachable<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Unreachable { .. }))
}

pub fn is_rejected<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Rejected { .. }))
}
