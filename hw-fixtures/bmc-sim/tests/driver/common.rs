//! A simulated BMC over real TLS sockets and a door to it. Must never assert anything itself: tests do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bmc::{Door, Driver, Patience};
use bmc_sim::{Handle, MachineConfig, Request, Simulator};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcProtocol, SecretReference};
use vocabulary::power::Identity;
use vocabulary::request::AgentError;

pub const NAME: &str = "m1";
pub const UUID: &str = "00000000-0000-4000-8000-000000000001";
pub const SERIAL: &str = "LAB0001";

/// One simulated machine and the way to it.
pub struct Bench {
    pub sim: Handle,
    pub door: Door,
}

/// How long a command that was taken may go on.
const SETTLES: std::time::Duration = std::time::Duration::from_secs(10);

/// Starts a machine that is off, with these quirks.
pub async fn bench(quirks: Value) -> Bench {
    let mut machine = MachineConfig::for_test(NAME);
    machine.uuid = UUID.to_uppercase();
    machine.serial = SERIAL.into();
    let bench = bench_of(machine).await;
    bench.quirks(quirks).await;
    bench
}

/// Starts this machine.
pub async fn bench_of(machine: MachineConfig) -> Bench {
    let sim = Simulator::start_one(machine).await.unwrap();
    let pin = Some(fingerprint(&sim.certificate_pem));
    Bench { door: door(sim.address, pin), sim }
}

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

impl Bench {
    pub fn open(&self) -> Arc<dyn Driver> {
        bmc::open(&self.door).unwrap()
    }

    pub async fn quirks(&self, quirks: Value) {
        self.sim.control.set_quirks(NAME, quirks).await.unwrap();
    }

    pub async fn perform(&self, request: Request) {
        self.sim.control.perform(request).await.unwrap();
    }

    pub async fn switch_on(&self) {
        self.perform(Request::PowerOn { name: NAME.into() }).await;
    }

    pub async fn lose_sessions(&self) {
        self.perform(Request::LoseSessions { name: NAME.into() }).await;
    }

    pub async fn state(&self) -> Value {
        self.sim.control.state(NAME).await.unwrap()
    }

    pub async fn requests(&self) -> u64 {
        self.state().await["requests"].as_u64().unwrap()
    }

    pub fn runs(&self) -> bool {
        self.sim.control.pid(NAME).unwrap().is_some()
    }

    /// Requests of a method that reached the BMC, with their reset type and status.
    pub async fn sent(&self, method: &str) -> Vec<(Option<String>, u64)> {
        let state = self.state().await;
        let recent = state["recent"].as_array().unwrap();
        let of_method = recent.iter().filter(|r| r["method"] == method);
        of_method
            .filter(|r| r["path"].as_str().is_some_and(|path| path.contains("/Systems/")))
            .map(|r| (r["reset_type"].as_str().map(str::to_owned), r["status"].as_u64().unwrap()))
            .collect()
    }

    /// Waits until the machine is as wanted: a BMC goes on with a command whose client has given up.
    pub async fn settles(&self, key: &str, wanted: &str) {
        let settled = async {
            while self.state().await[key] != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SETTLES, settled).await.unwrap_or_else(|_| panic!("{key} did not become {wanted}"));
    }

    /// The same for a number.
    pub async fn settles_at(&self, key: &str, wanted: u64) {
        let settled = async {
            while self.state().await[key] != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SETTLES, settled).await.unwrap_or_else(|_| panic!("{key} did not become {wanted}"));
    }

    /// Resets that reached the BMC.
    pub async fn resets(&self, kind: &str) -> usize {
        self.sent("POST").await.iter().filter(|(sent, _)| sent.as_deref() == Some(kind)).count()
    }
}

/// Commands that change something, as a bare count: none must have reached a box that is not the machine.
pub async fn nothing_was_sent(bench: &Bench) -> bool {
    bench.sent("POST").await.is_empty() && bench.sent("PATCH").await.is_empty()
}

pub fn is_unreachable<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Unreachable { .. }))
}

pub fn is_rejected<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Rejected { .. }))
}

pub fn is_unconfirmed<T>(outcome: &Result<T, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Unconfirmed { .. }))
}

pub fn honest() -> Value {
    json!({})
}
