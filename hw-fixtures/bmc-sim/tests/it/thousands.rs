//! Thousands of BMCs that speak IPMI alone, in one process, each read by the project's own driver: what they cost, and that they are told apart.
//! `BMC_SIM_THOUSANDS=10` asks for more than the usual. Must never pass because nobody asked them anything: each answers twice.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bmc::{Door, Driver, Patience};
use futures::StreamExt as _;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcProtocol, SecretReference};
use vocabulary::power::Identity;

/// Thousands of them unless the environment says otherwise.
const THOUSANDS: usize = 2;
/// The process without any, KiB; and what one may cost, with its session.
const BASE_KIB: usize = 16 * 1024;
const EACH_KIB: usize = 16;
/// Asked at once.
const AT_ONCE: usize = 100;
const PORT: u16 = 6623;

/// Kills what it holds.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(n: usize) -> String {
    format!("127.{}.{}.{}:{PORT}", 100 + n / 50_000, n / 250 % 200, n % 250 + 1)
}

fn uuid(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time used, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn door(n: usize) -> Door {
    let bmc = Address {
        protocol: BmcProtocol::Ipmi,
        address: address(n).parse().unwrap(),
        user: "controller".into(),
        password: SecretReference("file:unused".into()),
        agent: None,
        certificate: "enrol".into(),
        access: vocabulary::estate::BmcAccess::Command,
        ipmi: None,
    };
    let mut door = Door::new(bmc, Identity { uuid: uuid(n), serial: String::new() }, Secret::new("lab"), None);
    door.patience = Patience { connect: Duration::from_secs(30), request: Duration::from_secs(30), ..Patience::default() };
    door.patience.reading = Duration::from_secs(60);
    door
}

async fn round(drivers: &[Arc<dyn Driver>]) {
    let readings = futures::stream::iter(drivers.iter().enumerate())
        .map(|(n, driver)| async move { (n, driver.read().await) })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    assert_eq!(readings.len(), drivers.len());
    for (n, reading) in readings {
        assert_eq!(reading.unwrap().identity.uuid, uuid(n));
    }
}

#[tokio::test]
async fn thousands_cost_little_and_are_told_apart() {
    let asked = std::env::var("BMC_SIM_THOUSANDS").ok().and_then(|text| text.parse().ok());
    let count = asked.unwrap_or(THOUSANDS) * 1000;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "lab\n").unwrap();
    let machine = |n| {
        json!({ "name": format!("n{n}"), "listen": "127.0.0.1:0", "redfish": false, "ipmi": address(n), "uuid": uuid(n),
            "serial": format!("S{n}"), "password_file": &password, "argv": ["sleep", "infinity"] })
    };
    let config = json!({ "machines": (0..count).map(machine).collect::<Vec<_>>() });
    let file = folder.path().join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bmc-sim"));
    let mut process = Process(command.arg("--config").arg(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let out = tokio::process::ChildStdout::from_std(process.0.stdout.take().unwrap()).unwrap();
    let mut line = String::new();
    let mut out = tokio::io::BufReader::new(out);
    let ready = out.read_line(&mut line);
    tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap().unwrap();
    assert_eq!(line.trim(), "ready");
    let (started, empty) = (begun.elapsed(), resident_kib(process.0.id()));

    let drivers: Vec<_> = (0..count).map(|n| bmc::open(&door(n)).unwrap()).collect();
    round(&drivers).await;
    let (before, begun, full) = (ticks(process.0.id()), Instant::now(), resident_kib(process.0.id()));
    round(&drivers).await;
    let (used, took) = ((ticks(process.0.id()) - before) * 10, begun.elapsed());
    println!("{count} BMCs: ready after {started:?}, {empty} KiB, with a session each {full} KiB");
    println!("reading all once more: {took:?}, {used} ms of the simulator's processor time");
    assert!(full < BASE_KIB + EACH_KIB * count, "{full} KiB for {count}");
}
