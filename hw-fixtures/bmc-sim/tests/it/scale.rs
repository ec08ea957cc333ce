//! Many BMCs in one process. Must never pass because nobody asked them anything: each answers once.

use bmc_sim::{Config, MachineConfig, Simulator};

use crate::support::{SYSTEM, client};

const BMCS: usize = 300;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn hundreds_of_bmcs_need_no_thread_each() {
    let machines = (0..BMCS).map(|n| MachineConfig::for_test(&format!("m{n}"))).collect();
    let simulator = Simulator::start(Config { machines, ..Config::default() }).await.unwrap();
    for n in 0..BMCS {
        let name = format!("m{n}");
        let client = client(&simulator.certificate_of(&name).unwrap());
        let url = format!("https://{}{SYSTEM}", simulator.address_of(&name).unwrap());
        let system: serde_json::Value =
            client.get(url).basic_auth("controller", Some("lab")).send().await.unwrap().json().await.unwrap();
        assert_eq!(system["SerialNumber"], format!("TEST-m{n}"));
    }
    // Other tests run beside this one and have threads of their own, but nowhere near one a BMC.
    let now = threads();
    assert!(now < BMCS / 3, "{now} threads");
}
