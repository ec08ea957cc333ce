//! What the tests share: a client that trusts one certificate, and waiting with a deadline. Must never retry a request by itself.

use std::time::{Duration, Instant};

use bmc_sim::{Handle, MachineConfig, Simulator};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

pub const SYSTEM: &str = "/redfish/v1/Systems/System-1";
pub const CHASSIS: &str = "/redfish/v1/Chassis/Enclosure-1";
pub const MANAGER: &str = "/redfish/v1/Managers/Bmc-1";
pub const RESET: &str = "/redfish/v1/Systems/System-1/Actions/ComputerSystem.Reset";
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const SOON: Duration = Duration::from_secs(30);

pub struct Rig {
    pub simulator: Handle,
    pub client: Client,
}

/// A client that trusts this certificate and has patience enough for a busy machine.
pub fn client(pem: &str) -> Client {
    client_within(pem, Duration::from_secs(20))
}

/// A client that trusts this certificate and gives up after that time.
pub fn client_within(pem: &str, patience: Duration) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]).timeout(patience).build().unwrap()
}

pub async fn rig() -> Rig {
    rig_with(MachineConfig::for_test("m1")).await
}

pub async fn rig_with(machine: MachineConfig) -> Rig {
    let simulator = Simulator::start_one(machine).await.unwrap();
    let client = client(&simulator.certificate_pem);
    Rig { simulator, client }
}

impl Rig {
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.simulator.address)
    }

    pub async fn try_get(&self, path: &str) -> reqwest::Result<Response> {
        self.client.get(self.url(path)).basic_auth("controller", Some("lab")).send().await
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.try_get(path).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "GET {path}");
        response.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.client.post(self.url(path)).basic_auth("controller", Some("lab")).json(&body).send().await.unwrap()
    }

    pub async fn patch(&self, body: Value) -> Response {
        self.client.patch(self.url(SYSTEM)).basic_auth("controller", Some("lab")).json(&body).send().await.unwrap()
    }

    pub async fn reset(&self, kind: &str) -> StatusCode {
        self.post(RESET, json!({ "ResetType": kind })).await.status()
    }

    pub async fn power(&self) -> Value {
        self.get(SYSTEM).await["PowerState"].clone()
    }

    pub async fn rail(&self) -> Value {
        self.get(CHASSIS).await["PowerState"].clone()
    }

    pub async fn quirk(&self, quirks: Value) {
        self.simulator.control.set_quirks("m1", quirks).await.unwrap();
    }

    pub fn pid(&self) -> Option<i32> {
        self.simulator.control.pid("m1").unwrap()
    }

    /// Reads PowerState until it is this, at most half a minute.
    pub async fn until_power(&self, wanted: &str) {
        let end = Instant::now() + SOON;
        while self.power().await != wanted {
            assert!(Instant::now() < end, "PowerState never became {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// True while the pid names a process, zombies included.
pub fn exists(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// The message key of an error body.
pub async fn key(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    let id = body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap().to_owned();
    id.rsplit('.').next().unwrap().to_owned()
}
