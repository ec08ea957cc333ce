//! What this BMC says over Redfish, as the corpus from which hostile bytes for the client's decoders begin. Tests alone.
//! Must never hold anything but what a client is told.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use world::bmc::redfish::Connection;
use world::bmc::{Bmc, Entry, Mishap, Ports, Secrets, Surroundings};
use world::{Dice, Wall};

use crate::config::MachineConfig;
use crate::process::Process;
use crate::simulator::surroundings;

/// `controller:secret`.
const BASIC: &str = "Basic Y29udHJvbGxlcjpzZWNyZXQ=";

fn device() -> Arc<Bmc> {
    let machine = MachineConfig::for_test("m1");
    let secrets = Secrets { password: "secret".into(), key: None };
    let (described, changes) = (machine.described(), broadcast::Sender::new(1));
    let given = surroundings(Process::new(machine, None), Ports::default(), changes);
    // the same at each run
    let wall = Wall::with(|| UNIX_EPOCH + Duration::from_secs(1_767_225_600));
    Bmc::new(described, secrets, Surroundings { wall, dice: Dice::of(1, "corpus"), ..given })
}

/// An answer as over the wire (status, headers, empty line, body), and its body alone.
async fn asked(bmc: &Arc<Bmc>, path: &str, as_who: Option<&str>, post: Option<Value>) -> (Vec<u8>, Vec<u8>) {
    let mut request = Request::builder().uri(path).method(if post.is_some() { "POST" } else { "GET" });
    if let Some(account) = as_who {
        request = request.header("authorization", account);
    }
    let body = post.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = Connection::new(bmc).answer(request).await.unwrap();
    let headers: String = answer.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    let head = format!("{}\n{headers}\n", answer.status().as_u16()).into_bytes();
    let body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
    ([head, body.clone()].concat(), body)
}

#[tokio::test]
async fn documents_for_the_clients_corpus() {
    let bmc = device();
    let mut inputs: Vec<(&str, Vec<u8>)> = Vec::new();
    bmc.state().device.log.write(Entry::PowerOff, 1_767_225_601, false);
    bmc.state().device.log.write(Entry::Mishap(Mishap::SystemPanic), 1_767_225_602, false);
    let honest = bmc.state().quirks.clone();
    let older = honest.changed(&json!({ "redfish": { "inventory": "older" } })).unwrap();
    let (system, chassis) = ("/redfish/v1/Systems/System-1", "/redfish/v1/Chassis/Enclosure-1");
    for (name, path, quirks) in [
        ("root", "/redfish/v1/", &honest),
        ("systems", "/redfish/v1/Systems", &honest),
        ("system", system, &honest),
        ("action_info", &format!("{system}/ResetActionInfo"), &honest),
        ("chassis", chassis, &honest),
        ("manager", "/redfish/v1/Managers/Bmc-1", &honest),
        ("log", &format!("{system}/LogServices/SEL/Entries"), &honest),
        ("thermal", &format!("{chassis}/Thermal"), &older),
        ("thermal_metrics", &format!("{chassis}/ThermalSubsystem/ThermalMetrics"), &honest),
        ("power", &format!("{chassis}/Power"), &older),
        ("log_service", &format!("{system}/LogServices/SEL"), &honest),
    ] {
        bmc.set_quirks(quirks.clone());
        let (whole, body) = asked(&bmc, path, Some(BASIC), None).await;
        assert!(whole.starts_with(b"200\n"), "{path}: {}", String::from_utf8_lossy(&whole));
        inputs.push((name, body));
    }
    bmc.set_quirks(honest.clone());
    let account = || Some(json!({ "UserName": "controller", "Password": "secret" }));
    let sessions = "/redfish/v1/SessionService/Sessions";
    inputs.push(("answer-system", asked(&bmc, system, Some(BASIC), None).await.0));
    inputs.push(("answer-session", asked(&bmc, sessions, None, account()).await.0));
    bmc.set_quirks(honest.changed(&json!({ "session_cap": 0 })).unwrap());
    inputs.push(("answer-full", asked(&bmc, sessions, None, account()).await.0));
    inputs.push(("answer-refused", asked(&bmc, system, None, None).await.0));
    for ((name, status), input) in [("session", "201"), ("full", "503"), ("refused", "401")].iter().zip(&inputs[12..]) {
        assert!(input.0.ends_with(name) && input.1.starts_with(status.as_bytes()), "{}: {:?}", input.0, &input.1[..3]);
    }
    inputs.push(("time", b"2026-01-01T02:00:01.5+02:00".to_vec()));
    inputs.push(("link", b"https://bmc.example/redfish/v1/Systems/1".to_vec()));
    // a tree that grows into a system that is off
    inputs.push(("grown", vec![0x4f, 0, 3, 1, 5, 3, 39]));
    ::hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/bmc/tests/corpus/redfish"), &inputs);
}
