//! The contract's suite for BMCs, against `ipmi_sim` with everything staged that can be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bmc::Driver;
use bmc::findings::{Can, name};
use contract::bmc::Bmc;
use contract::conformance::{self, BmcFixture};
use vocabulary::boot::Firmware;
use vocabulary::power::{BootTarget, Identity, PowerState};

use crate::proxy::Proxy;
use crate::sim::{OTHER_UUID, SERIAL, Sim, door, identity};

struct Fixture {
    sim: Sim,
    stranger: Sim,
    proxy: Proxy,
    driver: Arc<dyn Driver>,
}

impl Fixture {
    async fn new() -> Fixture {
        let (sim, stranger) = (Sim::start(crate::sim::UUID), Sim::start(OTHER_UUID));
        let proxy = Proxy::start(sim.address).await;
        let driver = bmc::open(&door(proxy.address)).unwrap();
        Fixture { sim, stranger, proxy, driver }
    }
}

#[async_trait]
impl BmcFixture for Fixture {
    fn bmc(&self) -> &dyn Bmc {
        &*self.driver
    }
    fn identity(&self) -> Identity {
        identity()
    }
    async fn truth(&self) -> Option<PowerState> {
        Some(if self.sim.is_on() { PowerState::On } else { PowerState::Off })
    }
    async fn power_commands(&self) -> Option<u64> {
        Some(self.sim.commands() + self.stranger.commands())
    }
    async fn swap_box(&self) -> bool {
        self.proxy.with(|orders| orders.to = Some(self.stranger.address));
        true
    }
    async fn tell_no_power(&self) -> bool {
        self.sim.mute(true);
        true
    }
    async fn lose_next_reply(&self) -> bool {
        let log = self.sim.folder.path().join("commands");
        let count = move || std::fs::read_to_string(&log).unwrap().lines().count() as u64;
        self.proxy.with(|orders| orders.lose_after = Some((count(), Box::new(count))));
        true
    }
    async fn cut_off(&self) -> bool {
        self.proxy.with(|orders| orders.cut = true);
        true
    }
    async fn mend(&self) {
        self.sim.mute(false);
        self.proxy.with(|orders| {
            orders.cut = false;
            orders.to = Some(self.sim.address);
        });
    }
    fn patience(&self) -> Duration {
        // what is staged breaks sessions, and after that an Off is not believed for a while
        bmc::limits::BMC_EARLY + Duration::from_secs(5)
    }
}

#[tokio::test]
async fn the_driver_keeps_the_laws() {
    let fixture = Fixture::new().await;
    conformance::bmc(&fixture).await.unwrap();
    assert_eq!(fixture.stranger.commands(), 0);
}

#[tokio::test]
async fn ipmitool_sees_what_the_driver_did() {
    let sim = Sim::start(crate::sim::UUID);
    let driver = bmc::open(&door(sim.address)).unwrap();
    driver.power_on().await.unwrap();
    assert_eq!(sim.ipmitool(&["chassis", "power", "status"]), "Chassis Power is on");
    driver.power_off().await.unwrap();
    assert_eq!(sim.ipmitool(&["chassis", "power", "status"]), "Chassis Power is off");
    assert_eq!(sim.commands(), 2);
    driver.close().await;
}

#[tokio::test]
async fn boot_flags_that_do_not_read_back_as_set_are_unconfirmed() {
    // this simulator keeps the device, but neither the mark that the flags are valid nor the one of a UEFI boot
    let sim = Sim::start(crate::sim::UUID);
    let mut door = door(sim.address);
    door.firmware = BTreeSet::from([Firmware::Uefi]);
    let driver = bmc::open(&door).unwrap();
    let outcome = driver.set_boot_target(BootTarget::Pxe).await;
    assert!(matches!(outcome, Err(contract::AgentError::Unconfirmed { .. })), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(sim.folder.path().join("boot")).unwrap().trim(), "pxe");
    let http = driver.set_boot_target(BootTarget::UefiHttp).await;
    assert!(matches!(http, Err(contract::AgentError::Rejected { .. })), "{http:?}");
}

#[tokio::test]
async fn a_probe_tells_who_is_there_and_changes_nothing() {
    let sim = Sim::start(OTHER_UUID);
    let found = bmc::probe(&door(sim.address), bmc::Scope::Facts).await.unwrap();
    assert_eq!((found.matches, found.reading.identity.uuid.as_str()), (false, OTHER_UUID));
    let findings = &found.findings;
    assert!(findings.platform.contains("firmware 9.08") && sim.commands() == 0, "{findings:?}");
    assert!(findings.session.contains("cipher suite 3") && findings.quirks.is_empty(), "{findings:?}");
    let can = |name| findings.abilities.iter().find(|ability| ability.name == name).unwrap().can;
    assert_eq!((can(name::POWER_OFF), can(name::BOOT_HTTP), can(name::RAIL)), (Can::Untold, Can::No, Can::No));
    let told =
        |name: &str| found.survey.facts.iter().find(|fact| fact.name == name).unwrap_or_else(|| panic!("{:?}", found.survey));
    assert_eq!(told("product").value, format!("OpenIPMI Simulator, serial {SERIAL}"));
    assert_eq!(found.reading.identity.serial, SERIAL);
    assert_eq!(told("sensor Air Inlet").value, "16 °C");
    assert!(sim.ipmitool(&["sdr", "list"]).contains("Air Inlet        | 16 degrees C"), "{}", sim.ipmitool(&["sdr", "list"]));
    assert!(sim.ipmitool(&["fru", "print"]).contains("Product Serial        : SIM0042"));
    let driver = bmc::open(&door(sim.address)).unwrap();
    assert_eq!(driver.found(), None, "nobody was asked yet");
}
