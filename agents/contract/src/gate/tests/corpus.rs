//! What goes over the wire and onto the disk in a plan's life, as the corpus from which hostile bytes begin. Must never be made by hand.

use super::shelf::*;
use crate::agent::{Client, Readopt};
use vocabulary::Epoch;
use vocabulary::request::{Action, AgentError, Request};

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// As the wire writes it.
fn reply<T: serde::Serialize>(answer: &Result<T, AgentError>) -> Vec<u8> {
    json(&match answer {
        Ok(answer) => serde_json::json!({ "ok": answer }),
        Err(error) => serde_json::json!({ "error": error }),
    })
}

#[tokio::test]
async fn a_plans_life_for_the_corpus() {
    let bench = Bench::new();
    let mut inputs: Vec<(String, Vec<u8>)> = Vec::new();
    let token = bench.token(3, 1);
    // one that is refused is as good as one that is done
    for (name, token, action) in [
        ("hello", None, Action::Hello),
        ("read-machine", None, Action::ReadMachine { machine: machine("m1") }),
        ("read-volume", None, Action::ReadVolume { volume: volume() }),
        ("advance", Some(bench.token(3, 1)), advance(&[machine_1(), port_1(), volume_1(), permit_1()])),
        ("power-off", Some(bench.token(3, 2)), power_off()),
        ("bar-port", Some(bench.token(3, 3)), bar_port()),
        ("revoke-volume", Some(bench.token(3, 4)), revoke_volume(None)),
        ("grant-volume", Some(bench.token(3, 5)), grant_volume("m2", 3)),
        ("grant-permit", Some(bench.token(3, 6)), grant_permit(3)),
        ("refused", Some(bench.token(2, 1)), join_port(2)),
    ] {
        let request = Request { token, action };
        inputs.push((format!("request-{name}"), json(&request)));
        inputs.push((format!("answer-{name}"), reply(&bench.gate.call(request).await)));
    }
    let file = bench.disk.content.lock().unwrap().clone();
    inputs.push(("gate-body".into(), file.splitn(3, |byte| *byte == b'\n').nth(1).unwrap().to_vec()));
    inputs.push(("gate-file".into(), file));
    let entries = bench.gate.entries();
    let ledger =
        Readopt { estate: estate(), lineage: token.lineage, controller: None, floor: Epoch(9), entries, ports: vec![bar_port()] };
    inputs.push(("ledger".into(), json(&ledger)));
    inputs.push(("ledger-answer".into(), reply(&bench.gate.readopt(ledger).await)));
    let inputs: Vec<(&str, Vec<u8>)> = inputs.iter().map(|(name, input)| (name.as_str(), input.clone())).collect();
    hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/agents_wire"), &inputs);
}
