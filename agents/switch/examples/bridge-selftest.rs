//! Proves the bridge driver on a real VLAN-filtering bridge: the conformance suite, the isolation trap, restarts, drift, timing.
//! Runs inside the lab's switch machine (`bridge-selftest BRIDGE PORT PORT [PEER-ADDRESS]`), prints a line a law, exits 0 if all hold.
//! It changes the two ports it is given and nothing else.
#![expect(clippy::print_stdout, reason = "its lines are its result")]

use async_trait::async_trait;
use contract::conformance::{self, SwitchFixture, Verdict};
use contract::switch::Switch;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::linux_bridge::kernel::Kernel;
use switch::linux_bridge::netlink::Netlink;
use switch::linux_bridge::{LinuxBridge, LinuxBridgeConfig};
use switch::vlans::{Membership, Run};
use switch::{Kept, SwitchDevice};
use vocabulary::network::PortReading;
use vocabulary::request::{GateEntry, Holder, Resource};
use vocabulary::{Epoch, PlanId, PortId, PortName, PortSetting, VlanId};

const VLANS: [VlanId; 3] = [VlanId::constant(10), VlanId::constant(20), VlanId::constant(30)];
const PARKING: VlanId = VlanId::constant(98);
const QUARANTINE: VlanId = VlanId::constant(99);
const NATIVE: Membership = Membership { pvid: true, untagged: true };
const TAGGED: Membership = Membership { pvid: false, untagged: false };
/// A port that is configured, but whose interface does not exist.
const ABSENT: &str = "absent0";
const DRIFT_ENDS: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 50;

struct Bench {
    bridge: String,
    ports: [PortName; 2],
    peer: Option<Ipv4Addr>,
    driver: Arc<LinuxBridge>,
}

fn ensure(holds: bool, law: &str, seen: impl std::fmt::Debug) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{law}; seen: {seen:?}")) }
}

fn told<T>(what: &str, result: Result<T, impl std::fmt::Display>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

impl Bench {
    fn open(bridge: &str, ports: [PortName; 2], peer: Option<Ipv4Addr>) -> Result<Bench, String> {
        let absent: PortName = told("absent", ABSENT.parse())?;
        let all = ports.iter().cloned().chain([absent]).collect();
        let config = LinuxBridgeConfig { bridge: bridge.to_owned(), ports: all };
        let driver = Arc::new(told("open", LinuxBridge::open(told("id", "sw1".parse())?, config))?);
        Ok(Bench { bridge: bridge.to_owned(), ports, peer, driver })
    }

    fn id(&self, port: &PortName) -> Result<PortId, String> {
        Ok(PortId { switch: told("id", "sw1".parse())?, port: port.clone() })
    }

    /// A foreign hand: adds VLANs past the driver.
    async fn by_hand(&self, port: &PortName, vlan: VlanId, membership: Membership) -> Verdict {
        let talk = told("talk", Netlink.talk().await)?;
        let index = told("link", talk.link(port.as_str()).await)?.index;
        told("set", talk.set_vlans(index, &[Run { first: vlan.get(), last: vlan.get(), membership }]).await)
    }

    async fn put(&self, port: &PortName, up: bool) -> Verdict {
        let talk = told("talk", Netlink.talk().await)?;
        let index = told("link", talk.link(port.as_str()).await)?.index;
        told("put", talk.put(index, up).await)
    }

    async fn read(&self, port: &PortName) -> Result<PortReading, String> {
        told("read", self.driver.read(port).await)
    }

    fn device(&self) -> Result<Arc<SwitchDevice>, String> {
        let driver: Arc<dyn Kept> = self.driver.clone();
        Ok(Arc::new(SwitchDevice::new(told("id", "sw1".parse())?, driver)))
    }

    fn standing(&self, port: &PortName, barred: bool, action: Option<Action>) -> Result<Standing, String> {
        let entry = GateEntry {
            resource: Resource::Port(self.id(port)?),
            epoch: Epoch(1),
            plan: Some(PlanId(Epoch(1))),
            holder: None,
            barred: barred.then_some(Epoch(1)),
            done: Some(0),
        };
        Ok(Standing { entry, action })
    }

    fn join(&self, port: &PortName, vlan: VlanId) -> Result<Action, String> {
        let holder = Holder { server: told("id", "web1".parse())?, machine: told("id", "m1".parse())?, plan: PlanId(Epoch(1)) };
        Ok(Action::JoinPort { port: self.id(port)?, setting: PortSetting::access(vlan), holder })
    }

    fn bar(&self, port: &PortName) -> Result<Action, String> {
        Ok(Action::BarPort { port: self.id(port)?, quarantine: QUARANTINE })
    }
}

#[async_trait]
impl SwitchFixture for Bench {
    fn switch(&self) -> &dyn Switch {
        &*self.driver
    }
    fn ports(&self) -> [PortName; 2] {
        self.ports.clone()
    }
    fn no_such_port(&self) -> PortName {
        // configured, but not there; a port that is not configured is the second kind, asked for below
        #[expect(clippy::expect_used, reason = "a constant that is a name")]
        ABSENT.parse().expect("a name")
    }
    fn vlans(&self) -> [VlanId; 3] {
        VLANS
    }
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Result<(), String>> {
        Some(self.by_hand(port, vlan, TAGGED).await)
    }
    fn tells(&self) -> bool {
        true
    }
}

/// Two plain sets, as many scripts do them, leave the port a member of three VLANs without a tag.
async fn isolation_trap(bench: &Bench) -> Verdict {
    let [port, _] = &bench.ports;
    told("set", bench.driver.set(port, &PortSetting::access(VLANS[0])).await)?;
    bench.by_hand(port, VLANS[1], NATIVE).await?;
    let seen = bench.read(port).await?;
    ensure(seen.leaks && seen.setting.native == Some(VLANS[1]) && seen.setting.carries(VLANS[0]), "the leak is seen", &seen)?;
    let mended = told("set", bench.driver.set(port, &PortSetting::access(VLANS[1])).await)?;
    ensure(!mended.leaks && mended.setting == PortSetting::access(VLANS[1]), "the leak is mended", mended)
}

async fn many_vlans(bench: &Bench) -> Verdict {
    let [port, _] = &bench.ports;
    let tagged: BTreeSet<VlanId> = (100..=1099).chain([2000, 2002, 4094]).filter_map(VlanId::new).collect();
    let trunk = PortSetting { native: Some(VLANS[0]), tagged, mtu: None };
    let start = Instant::now();
    let answered = told("set", bench.driver.set(port, &trunk).await)?;
    println!("     1003 tagged VLANs were set in {:?}", start.elapsed());
    ensure(answered.setting == trunk && !answered.leaks, "1003 tagged VLANs are carried exactly", answered.setting.tagged.len())?;
    let back = told("set", bench.driver.set(port, &PortSetting::access(VLANS[2])).await)?;
    ensure(back.setting == PortSetting::access(VLANS[2]), "and none stays behind", back)
}

async fn mtu(bench: &Bench) -> Verdict {
    let [port, _] = &bench.ports;
    let small = PortSetting { mtu: Some(1400), ..PortSetting::access(VLANS[0]) };
    let answered = told("set", bench.driver.set(port, &small).await)?;
    ensure(answered.setting == small, "an MTU is set and read back", answered)?;
    let absurd = PortSetting { mtu: Some(67), ..PortSetting::access(VLANS[1]) };
    let refused = bench.driver.set(port, &absurd).await;
    ensure(matches!(refused, Err(AgentError::Rejected { .. })), "an MTU that cannot be set is rejected", refused)?;
    let after = bench.read(port).await?;
    ensure(after.setting == small, "and nothing was done", after)?;
    let usual = PortSetting { mtu: Some(1500), ..PortSetting::access(VLANS[0]) };
    told("set", bench.driver.set(port, &usual).await).map(drop)
}

async fn restart(bench: &Bench) -> Verdict {
    let [one, other] = &bench.ports;
    for port in &bench.ports {
        told("set", bench.driver.set(port, &PortSetting::access(VLANS[0])).await)?;
        bench.by_hand(port, VLANS[2], TAGGED).await?;
        bench.put(port, false).await?;
    }
    let device = bench.device()?;
    let standing =
        [bench.standing(one, true, Some(bench.bar(one)?))?, bench.standing(other, false, Some(bench.join(other, VLANS[1])?))?];
    let restored = device.restore(&standing).await;
    ensure(matches!(restored, Err(AgentError::Rejected { .. })), "a port whose interface is missing is told", restored)?;
    let (barred, joined) = (bench.read(one).await?, bench.read(other).await?);
    ensure(barred.setting == PortSetting::access(QUARANTINE) && !barred.leaks, "a bar is put back", barred)?;
    ensure(
        joined.setting == PortSetting::access(VLANS[1]) && joined.admin_up,
        "a setting is put back, then the port goes up",
        joined,
    )?;
    let answer = device.perform(&Action::ReadPort { port: bench.id(other)? }).await;
    ensure(matches!(&answer, Ok(Answer::Port(reading)) if reading.saved), "it is saved, since it is put back", answer)?;

    bench.by_hand(one, VLANS[2], TAGGED).await?;
    bench.put(one, false).await?;
    let _ = bench.device()?.restore(&[]).await;
    let (down, up) = (bench.read(one).await?, bench.read(other).await?);
    ensure(
        !down.admin_up && down.setting.native.is_none() && down.setting.tagged.is_empty(),
        "an unknown port stays down",
        down,
    )?;
    ensure(up.admin_up && up.setting == PortSetting::access(VLANS[1]), "an unknown port that is up is left alone", up)?;
    let _ = bench.device()?.restore(&[bench.standing(other, true, None)?]).await;
    let shut = bench.read(other).await?;
    ensure(!shut.admin_up && shut.setting.native.is_none(), "a bar without a known quarantine shuts the port", shut)
}

async fn drift(bench: &Bench) -> Verdict {
    let [one, other] = &bench.ports;
    let device = bench.device()?;
    let _ = device.restore(&[]).await;
    told("bar", device.perform(&bench.bar(one)?).await)?;
    told("park", device.perform(&Action::ParkPort { port: bench.id(other)?, parking: PARKING }).await)?;
    let keeper = tokio::spawn({
        let device = device.clone();
        async move { device.keep().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut slowest = Duration::ZERO;
    for (vlan, membership) in [(VLANS[1], TAGGED), (VLANS[1], NATIVE), (VLANS[2], NATIVE)] {
        let start = Instant::now();
        bench.by_hand(one, vlan, membership).await?;
        loop {
            let seen = bench.read(one).await?;
            if seen.setting == PortSetting::access(QUARANTINE) && !seen.leaks {
                break;
            }
            ensure(start.elapsed() < DRIFT_ENDS, "a barred port is barred again within 5 s", seen)?;
        }
        slowest = slowest.max(start.elapsed());
    }
    bench.by_hand(other, VLANS[1], TAGGED).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let answer = device.perform(&Action::ReadPort { port: bench.id(other)? }).await;
    let honest = matches!(&answer, Ok(Answer::Port(reading)) if reading.setting.carries(VLANS[1]) && !reading.saved);
    keeper.abort();
    ensure(honest, "a foreign VLAN on a port without a bar is told, and is not saved", answer)?;
    println!("     drift on a barred port ended after {slowest:?} at most");
    Ok(())
}

async fn signs_of_life(bench: &Bench) -> Verdict {
    let (Some(peer), [port, _]) = (bench.peer, &bench.ports) else { return Ok(()) };
    told("set", bench.driver.set(port, &PortSetting::access(VLANS[0])).await)?;
    let before = bench.read(port).await?;
    let [a, b, c, _] = peer.octets();
    let socket = told("socket", UdpSocket::bind((peer, 0)))?;
    let mut after = before.clone();
    for host in 100..150 {
        // an unknown neighbour: the peer asks for it by ARP, and the switch learns the peer
        let _ = socket.send_to(b"x", (Ipv4Addr::new(a, b, c, host), 9));
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = bench.read(port).await?;
        if !after.learnt.is_empty() {
            break;
        }
    }
    ensure(after.learnt.len() == 1 && after.frames_in > before.frames_in, "a machine's frames are a sign of life", after)
}

async fn timing(bench: &Bench) -> Verdict {
    let [port, _] = &bench.ports;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        bench.read(port).await?;
    }
    let read = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for round in 0..ROUNDS {
        let vlan = if round % 2 == 0 { VLANS[0] } else { VLANS[1] };
        told("set", bench.driver.set(port, &PortSetting::access(vlan)).await)?;
    }
    println!("     one reading {read:?}, one move with its reading {:?}", start.elapsed() / ROUNDS);
    Ok(())
}

async fn unfit(bench: &Bench) -> Verdict {
    let [port, other] = &bench.ports;
    let config = LinuxBridgeConfig { bridge: port.as_str().to_owned(), ports: [other.clone()].into() };
    let wrong = told("open", LinuxBridge::open(told("id", "sw1".parse())?, config))?;
    let read = wrong.read(other).await;
    ensure(
        matches!(&read, Err(AgentError::Rejected { reason }) if reason.contains("vlan_filtering")),
        "no bridge, no reading",
        read,
    )?;
    let unknown = bench.driver.read(&told("name", "p77".parse())?).await;
    ensure(matches!(unknown, Err(AgentError::Rejected { .. })), "a port that is not ours is rejected", unknown)?;
    ensure(!bench.bridge.is_empty(), "the bridge has a name", &bench.bridge)
}

async fn run(bench: &Bench) -> bool {
    let mut all = true;
    let mut note = |law: &str, verdict: Verdict| {
        all &= verdict.is_ok();
        match verdict {
            Ok(()) => println!("PASS {law}"),
            Err(reason) => println!("FAIL {law}: {reason}"),
        }
    };
    note("conformance", conformance::switch(bench).await);
    note("isolation trap", isolation_trap(bench).await);
    note("many VLANs", many_vlans(bench).await);
    note("MTU", mtu(bench).await);
    note("restart", restart(bench).await);
    note("drift", drift(bench).await);
    note("signs of life", signs_of_life(bench).await);
    note("unfit equipment", unfit(bench).await);
    note("timing", timing(bench).await);
    all
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (bridge, one, other, peer) = match arguments.as_slice() {
        [bridge, one, other] => (bridge, one.parse(), other.parse(), None),
        [bridge, one, other, peer] => (bridge, one.parse(), other.parse(), peer.parse().ok()),
        _ => {
            println!("usage: bridge-selftest BRIDGE PORT PORT [PEER-ADDRESS]");
            return ExitCode::from(2);
        }
    };
    let (Ok(one), Ok(other)) = (one, other) else {
        println!("these are no ports: {arguments:?}");
        return ExitCode::from(2);
    };
    let all = match Bench::open(bridge, [one, other], peer) {
        Ok(bench) => run(&bench).await,
        Err(reason) => {
            println!("FAIL open: {reason}");
            false
        }
    };
    println!("SELFTEST {}", if all { "PASS" } else { "FAIL" });
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
