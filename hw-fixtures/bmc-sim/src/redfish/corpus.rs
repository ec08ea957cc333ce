//! What this BMC says over Redfish, as the corpus from which hostile bytes for the client's decoders begin. Tests alone.
//! Must never hold anything but what a client is told.

use tokio::sync::broadcast;

use super::*;
use crate::bmc::{Faces, Secrets};
use crate::config::MachineConfig;
use crate::device::{Entry, Mishap};

/// As over the wire: status, headers, empty line, body.
fn answered(answer: Answer) -> Vec<u8> {
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let body = answer.body.map(|body| body.to_string()).unwrap_or_default();
    format!("{}\n{headers}\n{body}", answer.status.as_u16()).into_bytes()
}

#[test]
fn documents_for_the_clients_corpus() {
    let machine = MachineConfig::for_test("m1");
    let secrets = Secrets { password: "secret".into(), key: None };
    let faces = Faces { redfish: machine.listen, identity: None, ipmi: None };
    let bmc = Bmc::new(machine, secrets, None, faces, broadcast::Sender::new(1));
    let mut inputs: Vec<(&str, Vec<u8>)> = Vec::new();
    bmc.state().device.log.write(Entry::PowerOff, 1_767_225_601, false);
    bmc.state().device.log.write(Entry::Mishap(Mishap::SystemPanic), 1_767_225_602, false);
    for (name, route) in [
        ("root", Route::Root),
        ("systems", Route::Systems),
        ("system", Route::System),
        ("action_info", Route::SystemActionInfo),
        ("chassis", Route::Chassis),
        ("manager", Route::Manager),
        ("log", Route::Log(log::Part::Entries(0))),
        ("thermal", Route::Part(hardware::Part::Sensed(sensors::Sensed::Thermal))),
        ("thermal_metrics", Route::Part(hardware::Part::Sensed(sensors::Sensed::ThermalMetrics))),
        ("power", Route::Part(hardware::Part::Power)),
        ("log_service", Route::Log(log::Part::Service)),
    ] {
        let body = view::view(&bmc, &route).unwrap();
        inputs.push((name, body.to_string().into_bytes()));
    }
    let body = view::view(&bmc, &Route::System).unwrap();
    inputs.push(("answer-system", answered(Answer::new(StatusCode::OK, body).with("etag", "W/\"0123\""))));
    let full = message::error(StatusCode::SERVICE_UNAVAILABLE, "SessionLimitExceeded", &[]);
    let session = Answer::new(StatusCode::CREATED, view::session_body("1", "controller", "2026-01-01T00:00:00Z"));
    let session = session.with("x-auth-token", "0123456789abcdef").with("location", "/redfish/v1/SessionService/Sessions/1");
    inputs.extend([("answer-full", answered(full)), ("answer-session", answered(session))]);
    inputs.push(("answer-refused", answered(message::error(StatusCode::UNAUTHORIZED, "NoValidSession", &[]))));
    inputs.push(("time", b"2026-01-01T02:00:01.5+02:00".to_vec()));
    inputs.push(("link", b"https://bmc.example/redfish/v1/Systems/1".to_vec()));
    // a tree that grows into a system that is off
    inputs.push(("grown", vec![0x4f, 0, 3, 1, 5, 3, 39]));
    ::hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/bmc/tests/corpus/redfish"), &inputs);
}
