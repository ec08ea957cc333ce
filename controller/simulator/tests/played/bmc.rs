//! The BMC drivers over the simulated management network: the contract's laws in virtual time, and the same story twice for one seed.

use async_trait::async_trait;
use bmc::{Door, Driver};
use contract::conformance::{self, BmcFixture};
use simulator::host::Board;
use simulator::life::Life;
use simulator::link::Weather;
use simulator::management::Management;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use vocabulary::Secret;
use vocabulary::estate::{Bmc as Address, BmcAccess, BmcProtocol, SecretReference};
use vocabulary::power::{Identity, PowerState};
use world::bmc::{self as sim, Bmc, Ports, PowerReading, Quirks, Reach, Secrets, Surroundings};
use world::machine::{BootDevice, Build, Cables, Login, LoginError, Lost, Mac, Machine, Page, Root, Session, Source, Times};
use world::{Dice, Ticks};

const UUID: &str = "00000000-0000-4000-8000-000000000001";
const SERIAL: &str = "S-m1";

/// Cables on which nobody is.
struct Nobody;

#[async_trait]
impl Cables for Nobody {
    fn link(&self, _: Mac, _: bool) {}
    fn send(&self, _: Mac, _: Vec<u8>) {}
    async fn receive(&self, _: Mac) -> Vec<u8> {
        std::future::pending().await
    }
    async fn get(&self, _: Source, _: SocketAddrV4, _: &str) -> Result<Page, Lost> {
        Err(Lost)
    }
    async fn log_in(&self, _: Source, _: SocketAddrV4, _: &Login) -> Result<Session, LoginError> {
        Err(LoginError::Lost)
    }
    async fn root(&self, _: Session) -> Result<Option<Root>, Lost> {
        Err(Lost)
    }
    async fn read(&self, _: Session, _: u64) -> Result<u64, Lost> {
        Err(Lost)
    }
    async fn write(&self, _: Session, _: u64, _: u64) -> Result<(), Lost> {
        Err(Lost)
    }
    async fn log_out(&self, _: Session) {}
}

fn address(protocol: BmcProtocol) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 254, 0, 11), if protocol == BmcProtocol::Ipmi { 623 } else { 443 }))
}

struct Bench {
    management: Management,
    protocol: BmcProtocol,
    machine: Machine,
    bmc: Arc<Bmc>,
    stranger: Arc<Bmc>,
    driver: Arc<dyn Driver>,
    life: Life,
}

fn made(seed: u64, name: &str, uuid: &str) -> (Machine, Arc<Bmc>) {
    let build = Build {
        name: name.into(),
        nics: vec![[2, 0, 0, 0, 0, 1]],
        order: vec![BootDevice::Network],
        local_disk: false,
        times: Times { falls: (Duration::ZERO, Duration::from_millis(300)), ..Times::default() },
    };
    let machine = Machine::new(build, Dice::of(seed, name), Arc::new(Nobody));
    let surroundings = Surroundings {
        host: Arc::new(Board(machine.clone())),
        wall: simulator::first_day(),
        ticks: Ticks::from_now(),
        dice: Dice::of(seed, &format!("BMC of {name}")),
        ports: Ports::default(),
        changes: broadcast::Sender::new(64),
    };
    let config = sim::Machine { serial: format!("S-{name}"), ..sim::Machine::new(name, uuid) };
    (machine, Bmc::new(config, Secrets { password: "secret".into(), key: None }, surroundings))
}

fn bench(seed: u64, protocol: BmcProtocol) -> Bench {
    let management = Management::new(Dice::of(seed, "management"));
    let (machine, bmc) = made(seed, "m1", UUID);
    let (_, stranger) = made(seed, "m2", "00000000-0000-4000-8000-000000000002");
    management.plug(address(protocol), &bmc);
    let document = Address {
        protocol,
        address: address(protocol),
        user: "controller".into(),
        password: SecretReference("env:X".into()),
        agent: None,
        certificate: "enrol".into(),
        access: BmcAccess::Command,
        ipmi: None,
    };
    let identity = Identity { uuid: UUID.into(), serial: SERIAL.into() };
    let door = Door::new(document, identity, Secret::new("secret"), None);
    let life = Life::default();
    let driver = bmc::open_in(&management.outside(&life, &simulator::first_day()), &door).unwrap();
    Bench { management, protocol, machine, bmc, stranger, driver, life }
}

impl Bench {
    fn quirks(&self, change: impl FnOnce(&mut Quirks)) -> bool {
        let mut quirks = Quirks::default();
        change(&mut quirks);
        self.bmc.set_quirks(quirks);
        true
    }

    fn commands(&self) -> u64 {
        let told = |method: &str, path: &str, reset: Option<&str>| match self.protocol {
            BmcProtocol::Redfish => method == "POST" && reset.is_some(),
            BmcProtocol::Ipmi => path == "chassis control",
        };
        let state = self.bmc.state();
        let count = state.recent.iter().filter(|one| told(&one.method, &one.path, one.reset_type.as_deref())).count();
        u64::try_from(count).unwrap()
    }
}

#[async_trait]
impl BmcFixture for Bench {
    fn bmc(&self) -> &dyn contract::bmc::Bmc {
        self.driver.as_ref()
    }
    fn identity(&self) -> Identity {
        // the GUID tells machines apart; the serial is asked for only where it does not
        let serial = if self.protocol == BmcProtocol::Ipmi { String::new() } else { SERIAL.into() };
        Identity { uuid: UUID.into(), serial }
    }
    async fn truth(&self) -> Option<PowerState> {
        Some(if self.machine.is_on() { PowerState::On } else { PowerState::Off })
    }
    async fn power_commands(&self) -> Option<u64> {
        Some(self.commands())
    }
    async fn swap_box(&self) -> bool {
        self.management.plug(address(self.protocol), &self.stranger);
        true
    }
    async fn tell_no_power(&self) -> bool {
        match self.protocol {
            BmcProtocol::Redfish => self.quirks(|quirks| quirks.power_state = PowerReading::Null),
            // there is no third answer in it
            BmcProtocol::Ipmi => false,
        }
    }
    async fn lose_next_reply(&self) -> bool {
        self.quirks(|quirks| quirks.drop_reply = true)
    }
    async fn cut_off(&self) -> bool {
        self.quirks(|quirks| quirks.reach = Reach::Unreachable)
    }
    async fn mend(&self) {
        self.management.plug(address(self.protocol), &self.bmc);
        self.quirks(|_| {});
    }
    fn patience(&self) -> Duration {
        bmc::limits::BMC_EARLY + Duration::from_secs(5)
    }
}

const PROTOCOLS: [BmcProtocol; 2] = [BmcProtocol::Redfish, BmcProtocol::Ipmi];

#[tokio::test(start_paused = true)]
async fn both_drivers_keep_the_laws_of_the_contract() {
    for protocol in PROTOCOLS {
        let bench = bench(7, protocol);
        conformance::bmc(&bench).await.unwrap_or_else(|broken| panic!("{protocol:?}: {broken}"));
    }
}

/// A machine is switched on and off and looked at, in bad weather; what was answered when.
async fn story(seed: u64, protocol: BmcProtocol) -> Vec<String> {
    let bench = bench(seed, protocol);
    let (begun, mut story) = (world::clock::now(), Vec::new());
    let mut tell = |what: &str, outcome: String| {
        story.push(format!("{} ms {what}: {outcome}", world::clock::since(begun).as_millis()));
    };
    let bad = Weather { least: Duration::from_millis(1), most: Duration::from_millis(900), lost: 30_000, cut: false };
    bench.management.set_weather(address(protocol), bad);
    for turn in 0..20 {
        tell("read", format!("{:?}", bench.driver.read().await));
        let outcome = if turn % 2 == 0 { bench.driver.power_on().await } else { bench.driver.power_off().await };
        tell("power", format!("{outcome:?}"));
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    tell("truth", format!("{:?}", bench.truth().await));
    story
}

#[test]
fn a_seed_tells_one_story() {
    let told = |seed, protocol| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(story(seed, protocol))
    };
    let begun = Instant::now();
    for protocol in PROTOCOLS {
        let first = told(1, protocol);
        assert_eq!(first, told(1, protocol));
        assert_ne!(first, told(2, protocol));
        assert!(first.iter().any(|line| line.contains("Unreachable") || line.contains("Unconfirmed")), "{first:#?}");
    }
    println!("{:?} for six stories", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_commands_nothing_more() {
    for protocol in PROTOCOLS {
        let bench = bench(3, protocol);
        bench.driver.read().await.unwrap();
        let slow = Weather { least: Duration::from_secs(1), most: Duration::from_secs(1), ..Weather::FAIR };
        bench.management.set_weather(address(protocol), slow);
        let driver = bench.driver.clone();
        let ordering = tokio::spawn(async move { driver.power_on().await });
        // the identity is asked for, nothing is ordered yet
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        bench.life.kill();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(bench.commands() == 0 && !bench.machine.is_on(), "{protocol:?}");
        ordering.abort();
    }
}
