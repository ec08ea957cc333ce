//! A failover with its fence, and the same without: the process must tell one from the other by what it sees alone.

use std::process::Child;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::stage::{Stage, acknowledgement, in_namespace, login, reply, until};

const OLD: &str = "iqn.2026-01.org.understudy:web1.e5";
const NEW: &str = "iqn.2026-01.org.understudy:web1.e8";
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const WEB1: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 20, 0, 11);

fn end(stage: &Stage, mut oracle: Child) -> Value {
    kill(Pid::from_raw(i32::try_from(oracle.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(oracle.wait().unwrap().success());
    let text = std::fs::read(stage.file("verdict.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn acknowledged(stage: &Stage, count: u64) {
    until(&format!("{count} acknowledgements"), || {
        stage.ask(&json!({"ask": "now"}))["servers"]["web1"]["acknowledged"] == json!(count)
    });
}

/// web1 runs on m1 and acknowledges two records.
fn run_on_m1(stage: &mut Stage) {
    stage.ports(&[("p1", 10), ("p2", 30), ("p3", 20)]);
    stage.target(&[OLD], &[]);
    stage.power("m1", "on");
    stage.permit("m1", Some(OLD));
    stage.wait_effective(&["m1"]);
    stage.console("m1", "claimed: web1 epoch 5");
    stage.storage.send((1, 2), IPV4, &login(OLD));
    stage.target(&[OLD], &[(1, OLD)]);
    stage.production.wait_for_probe(WEB1);
    stage.production.send((1, 3), ARP, &reply(1));
    for number in [1, 2] {
        stage.production.send((1, 3), IPV4, &acknowledgement("aa", number));
    }
    acknowledged(stage, 2);
}

#[test]
fn a_fenced_failover_is_clean() {
    if !in_namespace("process::a_fenced_failover_is_clean") {
        return;
    }
    let mut stage = Stage::set("web1 aa 1\nweb1 aa 2\nweb1 bb 3\n");
    let oracle = stage.start_oracle();
    run_on_m1(&mut stage);
    stage.target(&[], &[]);
    stage.permit("m1", None);
    stage.ports(&[("p1", 99), ("p2", 99), ("p3", 99)]);
    stage.wait_effective(&[]);
    stage.ports(&[("p1", 99), ("p2", 99), ("p3", 99), ("p7", 10), ("p8", 30), ("p9", 20)]);
    stage.permit("m3", Some(NEW));
    stage.power("m3", "on");
    stage.target(&[NEW], &[]);
    stage.wait_effective(&["m3"]);
    stage.storage.send((3, 2), IPV4, &login(NEW));
    stage.target(&[NEW], &[(2, NEW)]);
    stage.production.send((3, 3), ARP, &reply(3));
    stage.production.send((3, 3), IPV4, &acknowledgement("bb", 3));
    acknowledged(&stage, 3);
    let verdict = end(&stage, oracle);
    let web1 = &verdict["servers"]["web1"];
    assert_eq!(verdict["violations"], json!([]), "{verdict:#}");
    assert_eq!(verdict["blind"], json!([]), "{verdict:#}");
    assert_eq!((&web1["effective_max"], &web1["acknowledged"], &web1["recovered"]), (&json!(1), &json!(3), &json!(3)));
    assert!(verdict["samples_per_s"].as_f64().unwrap() >= 10.0, "{verdict:#}");
    let machines: Vec<_> = web1["macs"].as_array().unwrap().iter().map(|mac| mac["machine"].clone()).collect();
    assert_eq!(machines, [json!("m1"), json!("m3")]);
}

#[test]
fn a_failover_without_its_fence_is_caught() {
    if !in_namespace("process::a_failover_without_its_fence_is_caught") {
        return;
    }
    let mut stage = Stage::set("web1 aa 1\nweb1 aa 2\nweb1 bb 3\nweb1 aa 4\n");
    let oracle = stage.start_oracle();
    run_on_m1(&mut stage);
    stage.ports(&[("p1", 10), ("p2", 30), ("p3", 20), ("p7", 10), ("p8", 30), ("p9", 20)]);
    // the hand uses m1's own name for the spare: who logs in is seen on the wire
    stage.power("m3", "on");
    stage.storage.send((3, 2), IPV4, &login(OLD));
    stage.target(&[OLD], &[(1, OLD), (2, OLD)]);
    stage.wait_effective(&["m1", "m3"]);
    stage.production.send((3, 3), IPV4, &acknowledgement("bb", 3));
    for machine in [3, 1, 3, 1] {
        stage.production.wait_for_probe(WEB1);
        stage.production.send((machine, 3), ARP, &reply(machine));
        thread::sleep(Duration::from_millis(20));
    }
    stage.production.send((1, 3), IPV4, &acknowledgement("aa", 3));
    acknowledged(&stage, 4);
    let asked = stage.ask(&json!({"ask": "verdict", "before_ms": 0}));
    let verdict = end(&stage, oracle);
    for verdict in [&asked, &verdict] {
        let web1 = &verdict["servers"]["web1"];
        assert_eq!((&verdict["effective_max"], &web1["possible_max"]), (&json!(2), &json!(2)), "{verdict:#}");
        assert_eq!((&web1["interleaved"], &web1["contested"]), (&json!(true), &json!(true)), "{verdict:#}");
        assert_eq!((&web1["acknowledged"], &web1["recovered"]), (&json!(4), &json!(3)), "{verdict:#}");
        assert!(web1["overlaps"][0]["machines"]["m3"].is_array());
    }
    assert_eq!(asked["servers"]["web1"]["acknowledged_before"], json!(0));
}
