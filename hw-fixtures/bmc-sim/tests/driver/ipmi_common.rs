//! A simulated BMC that speaks Redfish and IPMI, and a door to it by IPMI. Must never assert anything itself: tests do.

use std::net::SocketAddr;

use bmc::Door;
use bmc_sim::{Handle, MachineConfig, Simulator};
use serde_json::Value;
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcProtocol, CipherSuite, IpmiAccess, IpmiPrivilege, SecretReference};

use crate::common::{Bench, NAME, SERIAL, UUID, identity};

/// Any free port of loopback.
pub fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Starts a machine that is off, with these quirks and perhaps a BMC key.
pub async fn bench_with(quirks: Value, key: Option<&str>) -> Bench {
    let mut machine = MachineConfig::for_test(NAME);
    machine.uuid = UUID.to_uppercase();
    machine.serial = SERIAL.into();
    machine.ipmi = Some(anywhere());
    machine.ipmi_key = key.map(Into::into);
    bench_of(machine, quirks, key).await
}

/// Starts a machine that is off, whose account has this password, which the door knows.
pub async fn bench_under(password: &str, quirks: Value) -> Bench {
    let mut machine = MachineConfig::for_test(NAME);
    (machine.uuid, machine.serial, machine.ipmi) = (UUID.to_uppercase(), SERIAL.into(), Some(anywhere()));
    machine.password = Some(password.into());
    let mut bench = bench_of(machine, quirks, None).await;
    bench.door.password = Secret::new(password);
    bench
}

async fn bench_of(machine: MachineConfig, quirks: Value, key: Option<&str>) -> Bench {
    let sim = Simulator::start_one(machine).await.unwrap();
    let mut door = door(&sim);
    door.key = key.map(Secret::new);
    let bench = Bench { sim, door };
    bench.quirks(quirks).await;
    bench
}

pub async fn bench(quirks: Value) -> Bench {
    bench_with(quirks, None).await
}

pub fn door(sim: &Handle) -> Door {
    let bmc = Address {
        protocol: BmcProtocol::Ipmi,
        address: sim.ipmi_address_of(NAME).unwrap(),
        user: "controller".into(),
        password: SecretReference("file:unused".into()),
        agent: None,
        certificate: "enrol".into(),
        access: vocabulary::estate::BmcAccess::Command,
        ipmi: None,
    };
    Door::new(bmc, identity(UUID, ""), Secret::new("lab"), None)
}

/// The same door with other rights and another weakest suite.
pub fn access(bench: &Bench, privilege: IpmiPrivilege, weakest_suite: CipherSuite) -> Door {
    let mut door = bench.door.clone();
    door.bmc.ipmi = Some(IpmiAccess { weakest_suite, privilege, key: None });
    door
}

/// How often a command of IPMI reached the BMC, with what it was told.
pub async fn commands(bench: &Bench, name: &str) -> Vec<(Option<String>, u64)> {
    let state = bench.state().await;
    let recent = state["recent"].as_array().unwrap().iter().filter(|r| r["method"] == "IPMI" && r["path"] == name);
    recent.map(|r| (r["reset_type"].as_str().map(str::to_owned), r["status"].as_u64().unwrap())).collect()
}

/// How often the chassis was commanded so.
pub async fn controls(bench: &Bench, word: &str) -> usize {
    commands(bench, "chassis_control").await.iter().filter(|(told, _)| told.as_deref() == Some(word)).count()
}
