//! The laws, each a function that says what it saw instead.

use super::lab::{Lab, SYSTEM, TCP};
use super::wire::Wire;
use async_trait::async_trait;
use contract::conformance::{self, SwitchFixture, Verdict};
use contract::switch::Switch;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::open_vswitch::{OpenVswitch, OpenVswitchConfig};
use switch::{Kept, SwitchDevice};
use vocabulary::network::PortReading;
use vocabulary::request::{GateEntry, Resource};
use vocabulary::{Epoch, PlanId, PortId, PortName, PortSetting, VlanId};

const VLANS: [VlanId; 3] = [VlanId::constant(10), VlanId::constant(20), VlanId::constant(30)];
const QUARANTINE: VlanId = VlanId::constant(99);
/// Configured, and not in the database.
const ABSENT: &str = "absent0";
/// A third port of the bridge, which the agent does not own: a trunk of everything, as an uplink is.
const UPLINK: &str = "up0";
/// Within this drift at a barred port must end; a busy host may stand still for longer.
const DRIFT_ENDS: Duration = Duration::from_secs(5);
/// So long a frame may take through the switch; it usually takes 1 ms.
const PASSAGE: Duration = Duration::from_millis(300);
/// How often the daemon looks through the flows that it has cached, if nobody has set that.
const ROUND: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: u32 = 5;
/// Changes by a hand that runs beside.
const HANDS: u32 = 100;

/// The driver and the switch under it.
pub struct Bench {
    lab: Lab,
    ports: [PortName; 2],
    driver: Arc<OpenVswitch>,
}

fn ensure(holds: bool, law: &str, seen: impl std::fmt::Debug) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{law}; seen: {seen:?}")) }
}

fn told<T>(what: &str, result: Result<T, impl std::fmt::Display>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn name(text: &str) -> PortName {
    #[expect(clippy::expect_used, reason = "a constant that is a name")]
    text.parse().expect("a name")
}

fn config(folder: &Path) -> OpenVswitchConfig {
    OpenVswitchConfig {
        bridge: "br0".to_owned(),
        ports: ["p1", "p2", ABSENT].map(name).into(),
        run_dir: folder.to_owned(),
        database: None,
        system_id: Some(SYSTEM.to_owned()),
    }
}

fn open(config: OpenVswitchConfig) -> Result<Arc<OpenVswitch>, String> {
    told("open", OpenVswitch::open(told("id", "sw1".parse())?, config)).map(Arc::new)
}

impl Bench {
    /// Starts the switch and opens the driver.
    pub fn open(packages: &Path, folder: &Path) -> Result<Bench, String> {
        // what the host says by itself on its interfaces would be taken for machines
        let own = "/proc/sys/net/ipv6/conf";
        for which in ["all", "default"] {
            let _ = std::fs::write(format!("{own}/{which}/disable_ipv6"), "1");
        }
        told("lo", std::process::Command::new(packages.join("usr/sbin/ip")).args(["link", "set", "lo", "up"]).status())?;
        let lab = Lab::start(packages, folder, &["p1", "p2", UPLINK])?;
        lab.by_hand(&format!("clear port {UPLINK} tag -- clear port {UPLINK} vlan_mode"))?;
        lab.by_rule(&format!("mod-port br0 {UPLINK} up"))?;
        Ok(Bench { lab, ports: ["p1", "p2"].map(name), driver: open(config(folder))? })
    }

    fn id(port: &PortName) -> Result<PortId, String> {
        Ok(PortId { switch: told("id", "sw1".parse())?, port: port.clone() })
    }

    async fn read(&self, port: &PortName) -> Result<PortReading, String> {
        told("read", self.driver.read(port).await)
    }

    async fn set(&self, port: &PortName, setting: &PortSetting) -> Result<PortReading, String> {
        told("set", self.driver.set(port, setting).await)
    }

    fn wires(&self) -> Result<[Wire; 3], String> {
        let [one, other] = &self.ports;
        let open = |port: &str, machine| told(port, Wire::open(port, machine));
        Ok([open(one.as_str(), 1)?, open(other.as_str(), 2)?, open(UPLINK, 3)?])
    }

    fn device(&self) -> Result<Arc<SwitchDevice>, String> {
        let driver: Arc<dyn Kept> = self.driver.clone();
        Ok(Arc::new(SwitchDevice::new(told("id", "sw1".parse())?, driver)))
    }

    fn bar(port: &PortName) -> Result<Action, String> {
        Ok(Action::BarPort { port: Bench::id(port)?, quarantine: QUARANTINE })
    }

    /// Waits until the driver can read a port again.
    async fn back(&self, port: &PortName) -> Result<PortReading, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.driver.read(port).await {
                Ok(reading) => return Ok(reading),
                Err(error) if Instant::now() > until => return Err(format!("the port cannot be read again: {error}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
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
        name(ABSENT)
    }
    fn vlans(&self) -> [VlanId; 3] {
        VLANS
    }
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Verdict> {
        Some(self.lab.by_hand(&format!("set port {port} vlan_mode=native-untagged trunks={vlan}")).map(drop))
    }
    fn tells(&self) -> bool {
        true
    }
}

fn nothing() -> PortSetting {
    PortSetting { native: None, tagged: BTreeSet::new(), mtu: None }
}

/// True if a frame that one end sends, in this VLAN or without a tag, comes out at the other within that time.
async fn comes(from: &Wire, vlan: Option<u16>, to: &Wire, patience: Duration) -> bool {
    to.heard();
    from.send(vlan, 7);
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if to.heard().contains(&7) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// For a frame that must not come.
async fn passes(from: &Wire, vlan: Option<u16>, to: &Wire) -> bool {
    comes(from, vlan, to, PASSAGE).await
}

/// For a frame that must come: it is waited for as long as a busy host may stand still.
async fn arrives(from: &Wire, vlan: Option<u16>, to: &Wire) -> bool {
    comes(from, vlan, to, PATIENCE).await
}

async fn isolation(bench: &mut Bench) -> Verdict {
    let [one, other] = &bench.ports;
    let [a, b, uplink] = bench.wires()?;
    let access = |vlan| PortSetting::access(vlan);
    bench.set(one, &access(VLANS[0])).await?;
    bench.set(other, &access(VLANS[0])).await?;
    ensure(arrives(&a, None, &b).await && arrives(&b, None, &a).await, "ports of one VLAN hear each other", "silence")?;
    ensure(!passes(&a, Some(20), &uplink).await, "a frame with a tag does not enter by an access port", "it came")?;
    bench.set(one, &access(QUARANTINE)).await?;
    ensure(!passes(&a, None, &b).await && !passes(&b, None, &a).await, "ports of two VLANs do not", "a frame")?;
    ensure(arrives(&a, None, &uplink).await, "what carries everything hears a port in quarantine", "silence")?;
    let trunk = PortSetting { native: Some(VLANS[1]), tagged: BTreeSet::from([VLANS[0]]), mtu: None };
    bench.set(one, &trunk).await?;
    ensure(
        arrives(&a, Some(10), &b).await && !passes(&a, None, &b).await,
        "a tagged VLAN passes with its tag alone",
        "otherwise",
    )?;
    ensure(!passes(&a, Some(30), &uplink).await, "and no other does", "VLAN 30")?;
    let shut = told("shut", bench.driver.shut(one).await)?;
    ensure(!shut.admin_up && !shut.link_up && shut.setting == nothing() && shut.saved, "a port that is shut is down", &shut)?;
    for vlan in [None, Some(10), Some(20), Some(99)] {
        ensure(!passes(&a, vlan, &uplink).await && !passes(&uplink, vlan, &a).await, "and nothing passes", vlan)?;
    }
    bench.lab.by_rule(&format!("mod-port br0 {one} up"))?;
    for vlan in [None, Some(10), Some(20), Some(99)] {
        ensure(!passes(&a, vlan, &uplink).await && !passes(&uplink, vlan, &a).await, "nor if it is put up by hand", vlan)?;
    }
    let empty = bench.set(one, &nothing()).await?;
    ensure(empty.admin_up && empty.setting == nothing() && !empty.leaks, "a port may be up and carry nothing", empty)
}

/// A machine that talks all the time is in the daemon's cache of flows: once a change is answered, no frame of it goes the old way.
async fn cached_flows(bench: &mut Bench) -> Verdict {
    let [one, other] = &bench.ports;
    let [a, b, _] = bench.wires()?;
    bench.set(other, &PortSetting::access(VLANS[0])).await?;
    for _ in 0..3 {
        bench.set(one, &PortSetting::access(VLANS[0])).await?;
        b.heard();
        let mut number = 1000;
        let mut talk = |count: u32| {
            for _ in 0..count {
                number += 1;
                a.send(None, number);
            }
            number
        };
        talk(50);
        ensure(arrives(&a, None, &b).await, "a machine that talks is heard", "silence")?;
        let quarantine = PortSetting::access(QUARANTINE);
        let change = bench.driver.set(one, &quarantine);
        let mut change = std::pin::pin!(change);
        let last = loop {
            tokio::select! {
                done = &mut change => { told("set", done)?; break talk(0); }
                () = tokio::time::sleep(Duration::from_micros(500)) => { talk(1); }
            }
        };
        // at once: what was sent before is told apart by its number
        talk(200);
        tokio::time::sleep(PASSAGE).await;
        let late: Vec<u32> = b.heard().into_iter().filter(|number| *number > last).collect();
        ensure(late.is_empty(), "no frame that is sent after a bar was answered passes", (last, late))?;
    }
    Ok(())
}

/// The documentation's way to a change in less than half a second, and from here on the way of this bench.
async fn quick_rounds(bench: &mut Bench) -> Verdict {
    let [port, _] = &bench.ports;
    bench.lab.by_hand("set Open_vSwitch . other_config:max-revalidator=100")?;
    bench.set(port, &PortSetting::access(VLANS[0])).await?;
    let mut fastest = PATIENCE;
    for vlan in VLANS.into_iter().cycle().take(20) {
        let begun = Instant::now();
        bench.set(port, &PortSetting::access(vlan)).await?;
        fastest = fastest.min(begun.elapsed());
        if fastest < ROUND {
            break;
        }
    }
    ensure(fastest < ROUND, "with ten rounds a second a change takes less than one round of before", fastest)
}

async fn leaks(bench: &mut Bench) -> Verdict {
    let [port, _] = &bench.ports;
    for hand in [
        "clear port p1 tag -- clear port p1 vlan_mode -- clear port p1 trunks",
        "set port p1 vlan_mode=trunk trunks=[]",
        "set port p1 vlan_mode=native-untagged tag=10 trunks=[]",
        "set port p1 vlan_mode=native-tagged tag=10 trunks=10",
        "set port p1 vlan_mode=dot1q-tunnel tag=10",
        "set port p1 vlan_mode=access tag=0",
        "set port p1 vlan_mode=trunk trunks=0,10",
        "-- --id=@p get port p1 -- --id=@m create mirror name=m select_all=true output_port=@p -- set bridge br0 mirrors=@m",
    ] {
        bench.lab.by_hand(hand)?;
        let seen = bench.read(port).await?;
        ensure(seen.leaks, "a leak is seen", (hand, &seen.setting.native))?;
        bench.lab.by_hand("clear bridge br0 mirrors")?;
        let mended = bench.set(port, &PortSetting::access(VLANS[1])).await?;
        ensure(!mended.leaks && mended.setting == PortSetting::access(VLANS[1]), "and mended", (hand, mended))?;
    }
    Ok(())
}

/// Where rules decide, or another hand's mirror, the VLANs of a port mean nothing.
async fn unfit(bench: &mut Bench) -> Verdict {
    let ([port, _], folder) = (&bench.ports, bench.lab.folder().to_owned());
    let rejected = |outcome: &Result<PortReading, AgentError>, word: &str| matches!(outcome, Err(AgentError::Rejected { reason }) if reason.contains(word));
    bench.lab.by_rule("add-flow br0 in_port=1,actions=output:2")?;
    let (read, set) = (bench.driver.read(port).await, bench.driver.set(port, &PortSetting::access(VLANS[2])).await);
    let unconfirmed = |outcome: &Result<PortReading, AgentError>, word: &str| matches!(outcome, Err(AgentError::Unconfirmed { reason }) if reason.contains(word));
    ensure(rejected(&read, "OpenFlow rules") && unconfirmed(&set, "OpenFlow rules"), "a foreign rule is seen", (read, set))?;
    bench.lab.by_rule("--strict del-flows br0 in_port=1")?;
    let kept = bench.read(port).await?;
    ensure(kept.setting == PortSetting::access(VLANS[2]), "and the VLANs were set all the same, for what they are worth", kept)?;
    bench.back(port).await?;
    for (hand, undo, word) in [
        ("set-controller br0 tcp:127.0.0.1:1", "del-controller br0", "controller"),
        ("set bridge br0 fail_mode=secure", "clear bridge br0 fail_mode", "secure"),
        (
            "-- --id=@m create mirror name=m output_vlan=20 -- set bridge br0 mirrors=@m",
            "clear bridge br0 mirrors",
            "into a VLAN",
        ),
    ] {
        bench.lab.by_hand(hand)?;
        let (read, set) = (bench.driver.read(port).await, bench.driver.set(port, &PortSetting::access(VLANS[2])).await);
        bench.lab.by_hand(undo)?;
        ensure(
            rejected(&read, "") && unconfirmed(&set, word),
            "unfit equipment is not read, and a change unconfirmed",
            (word, read, set),
        )?;
        let kept = bench.read(port).await?;
        ensure(kept.setting == PortSetting::access(VLANS[2]), "but it was made", (word, kept))?;
        bench.back(port).await?;
    }
    bench.lab.by_hand("set bridge br0 protocols=OpenFlow13")?;
    let read = bench.driver.read(port).await;
    bench.lab.by_hand("clear bridge br0 protocols")?;
    ensure(read.is_err(), "a bridge that does not speak OpenFlow 1.0 cannot be read", read)?;
    bench.back(port).await?;
    for (wrong, word) in [
        (OpenVswitchConfig { system_id: Some("other".into()), ..config(&folder) }, "another switch"),
        (OpenVswitchConfig { bridge: "br7".into(), ..config(&folder) }, "br7"),
    ] {
        let before = bench.lab.by_hand("get Open_vSwitch . next_cfg")?;
        let outcome = open(wrong)?.read(port).await;
        let after = bench.lab.by_hand("get Open_vSwitch . next_cfg")?;
        ensure(before == after, "and nothing is written to its database", (before, after))?;
        ensure(outcome.is_err(), "another switch is no switch of ours", (word, &outcome))?;
        ensure(outcome.is_err_and(|error| error.to_string().contains(word)), "and is told as that", word)?;
    }
    let by_tcp = open(OpenVswitchConfig { database: Some(format!("tcp:{TCP}")), ..config(&folder) })?;
    told("by TCP", by_tcp.read(port).await).map(drop)
}

async fn mtu(bench: &mut Bench) -> Verdict {
    let [port, _] = &bench.ports;
    let small = PortSetting { mtu: Some(1400), ..PortSetting::access(VLANS[0]) };
    let answered = bench.set(port, &small).await?;
    ensure(answered.setting == small && answered.saved, "an MTU is set, read back and saved", answered)?;
    let absurd = PortSetting { mtu: Some(67), ..PortSetting::access(VLANS[1]) };
    let refused = bench.driver.set(port, &absurd).await;
    ensure(matches!(refused, Err(AgentError::Rejected { .. })), "an MTU that cannot be set is rejected", refused)?;
    let after = bench.read(port).await?;
    ensure(after.setting == small && after.saved, "and nothing was done", after)?;
    let usual = PortSetting { mtu: Some(1500), ..PortSetting::access(VLANS[0]) };
    bench.set(port, &usual).await.map(drop)
}

async fn signs_of_life(bench: &mut Bench) -> Verdict {
    let [port, _] = &bench.ports;
    bench.set(port, &PortSetting::access(VLANS[0])).await?;
    let before = bench.read(port).await?;
    let [a, ..] = bench.wires()?;
    a.send(None, 1);
    let until = Instant::now() + PATIENCE;
    let mut after = bench.read(port).await?;
    while after.frames_in == before.frames_in && Instant::now() < until {
        after = bench.read(port).await?;
    }
    ensure(after.frames_in == before.frames_in + 1, "a frame is counted", (before.frames_in, after.frames_in))?;
    // a frame that goes by a cached flow teaches its address with the daemon's next look through the cache
    let until = Instant::now() + PATIENCE;
    while after.learnt.is_empty() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = bench.read(port).await?;
    }
    ensure(after.learnt.len() == 1 && after.link_up, "and its sender is learnt", &after)?;
    let moved = bench.set(port, &PortSetting::access(VLANS[0])).await?;
    ensure(moved.learnt.is_empty(), "a setting that changes nothing flushes as well", moved)
}

/// The daemon dies, or hangs, while the database lives on.
async fn dead_daemon(bench: &mut Bench) -> Verdict {
    let [one, other] = bench.ports.clone();
    let device = bench.device()?;
    told("bar", device.perform(&Bench::bar(&one)?).await)?;
    bench.set(&other, &PortSetting::access(VLANS[0])).await?;
    for hang in [true, false] {
        if hang {
            bench.lab.hold_daemon(true)?
        } else {
            bench.lab.kill_daemon()
        }
        let begun = Instant::now();
        let read = bench.driver.read(&one).await;
        ensure(matches!(read, Err(AgentError::Unreachable { .. })), "no reading without a daemon", (hang, read))?;
        let vlan = if hang { VLANS[1] } else { VLANS[2] };
        let set = bench.driver.set(&other, &PortSetting::access(vlan)).await;
        ensure(matches!(set, Err(AgentError::Unconfirmed { .. })), "no change is believed without it", (hang, set))?;
        ensure(begun.elapsed() < PATIENCE, "and both are told in time", begun.elapsed())?;
        if hang {
            bench.lab.hold_daemon(false)?
        } else {
            bench.lab.start_daemon()?
        }
        let (barred, changed) = (bench.back(&one).await?, bench.back(&other).await?);
        ensure(barred.setting == PortSetting::access(QUARANTINE) && !barred.leaks, "the bar stands afterwards", barred)?;
        ensure(changed.setting == PortSetting::access(vlan), "and the database holds what was asked for", changed)?;
    }
    let mended = bench.set(&one, &PortSetting::access(QUARANTINE)).await?;
    ensure(mended.admin_up, "a port that the daemon's end has put down is put up again", mended)
}

async fn dead_database(bench: &mut Bench) -> Verdict {
    let [one, _] = bench.ports.clone();
    bench.set(&one, &PortSetting::access(VLANS[0])).await?;
    bench.lab.kill_database();
    let read = bench.driver.read(&one).await;
    ensure(matches!(read, Err(AgentError::Unreachable { .. })), "no reading without a database", read)?;
    let set = bench.driver.set(&one, &PortSetting::access(VLANS[1])).await;
    ensure(matches!(set, Err(AgentError::Unreachable { .. } | AgentError::Unconfirmed { .. })), "and no change", set)?;
    bench.lab.start_database()?;
    let again = bench.back(&one).await?;
    ensure(again.setting == PortSetting::access(VLANS[0]) && again.saved, "what was saved is there again", again)?;
    let told_of = tokio::time::timeout(PATIENCE, async {
        loop {
            let port = bench.driver.changed();
            let hand = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                bench.lab.by_hand("set port p1 tag=30")
            };
            let (port, _) = tokio::join!(port, hand);
            if port.port == one {
                break;
            }
        }
    });
    ensure(told_of.await.is_ok(), "foreign changes are told again", "silence")
}

async fn restart(bench: &mut Bench) -> Verdict {
    let [one, other] = bench.ports.clone();
    for port in [&one, &other] {
        bench.set(port, &PortSetting::access(VLANS[0])).await?;
    }
    told("shut", bench.driver.shut(&one).await)?;
    bench.lab.kill_daemon();
    bench.lab.kill_database();
    bench.lab.start_database()?;
    bench.lab.start_daemon()?;
    let (shut, set) = (bench.back(&one).await?, bench.back(&other).await?);
    ensure(shut.setting == nothing() && !shut.leaks && shut.saved, "a shut port carries nothing after a restart", shut)?;
    ensure(set.setting == PortSetting::access(VLANS[0]), "a setting is there after a restart", set)?;
    let device = bench.device()?;
    let barred = GateEntry {
        resource: Resource::Port(Bench::id(&other)?),
        epoch: Epoch(1),
        plan: Some(PlanId(Epoch(1))),
        holder: None,
        barred: Some(Epoch(1)),
        done: Some(0),
    };
    let _ = device.restore(&[Standing { entry: barred, action: Some(Bench::bar(&other)?) }]).await;
    let (unknown, barred) = (bench.read(&one).await?, bench.read(&other).await?);
    ensure(!unknown.admin_up && unknown.setting == nothing(), "an unknown port stays shut", unknown)?;
    ensure(barred.setting == PortSetting::access(QUARANTINE) && barred.admin_up, "a bar is put back", barred)?;
    let answer = device.perform(&Action::ReadPort { port: Bench::id(&other)? }).await;
    ensure(matches!(&answer, Ok(Answer::Port(reading)) if reading.saved), "and it is saved", answer)
}

async fn drift(bench: &mut Bench) -> Verdict {
    let [one, _] = &bench.ports;
    let device = bench.device()?;
    let _ = device.restore(&[]).await;
    told("bar", device.perform(&Bench::bar(one)?).await)?;
    let keeper = tokio::spawn({
        let device = device.clone();
        async move { device.keep().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure(bench.driver.watch_period() * 2 < DRIFT_ENDS, "drift is found by the clock in time", bench.driver.watch_period())?;
    let mut slowest = Duration::ZERO;
    for hand in [
        "clear port p1 tag -- clear port p1 vlan_mode",
        "set port p1 tag=20",
        "set port p1 vlan_mode=trunk trunks=[]",
        "set port p1 vlan_mode=native-untagged trunks=20,30",
    ] {
        let begun = Instant::now();
        bench.lab.by_hand(hand)?;
        loop {
            let seen = bench.read(one).await?;
            if seen.setting == PortSetting::access(QUARANTINE) && !seen.leaks {
                break;
            }
            ensure(begun.elapsed() < PATIENCE, "a barred port is barred again", (hand, seen))?;
        }
        slowest = slowest.max(begun.elapsed());
    }
    keeper.abort();
    println!("     drift on a barred port ended after {slowest:?} at most");
    Ok(())
}

/// Another hand changes the same port all the time: what is answered with a yes is what was read, and whatever it comes to, no try leaves
/// the port a trunk of everything.
async fn races(bench: &mut Bench) -> Verdict {
    let [one, _] = bench.ports.clone();
    let hands = bench.lab.hands();
    let hand = tokio::task::spawn_blocking(move || {
        for round in 0..HANDS {
            let tag = if round % 2 == 0 { VLANS[1] } else { VLANS[2] };
            hands.by_hand(&format!("--no-wait set port p1 vlan_mode=access tag={tag}"))?;
        }
        Ok::<(), String>(())
    });
    let (mut done, mut failed) = (0, 0);
    while !hand.is_finished() {
        match bench.driver.set(&one, &PortSetting::access(VLANS[0])).await {
            Ok(answered) => {
                done += 1;
                ensure(answered.setting == PortSetting::access(VLANS[0]) && !answered.leaks, "a yes is what was read", answered)?;
            }
            Err(AgentError::Unconfirmed { .. } | AgentError::Unreachable { .. }) => failed += 1,
            Err(other) => return Err(format!("a change that another hand meets is unconfirmed or not done; seen: {other}")),
        }
        if let Ok(seen) = bench.driver.read(&one).await {
            ensure(!seen.leaks && seen.setting.tagged.is_empty(), "no hand makes it carry more than one VLAN", seen)?;
        }
    }
    told("the hand", told("the hand", hand.await)?)?;
    println!("     beside {HANDS} changes by hand {done} were confirmed and {failed} were not");
    bench.set(&one, &PortSetting::access(VLANS[0])).await.map(drop)
}

async fn timing(bench: &mut Bench) -> Verdict {
    let [port, _] = &bench.ports;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        bench.read(port).await?;
    }
    let read = begun.elapsed() / ROUNDS;
    let begun = Instant::now();
    for round in 0..ROUNDS {
        bench.set(port, &PortSetting::access(if round % 2 == 0 { VLANS[0] } else { VLANS[1] })).await?;
    }
    println!("     one reading {read:?}, one move with its reading {:?}", begun.elapsed() / ROUNDS);
    let tagged: BTreeSet<VlanId> = (100..=4094).filter_map(VlanId::new).collect();
    let trunk = PortSetting { native: Some(VLANS[0]), tagged, mtu: None };
    let begun = Instant::now();
    let answered = bench.set(port, &trunk).await?;
    println!("     {} tagged VLANs were set in {:?}", trunk.tagged.len(), begun.elapsed());
    ensure(answered.setting == trunk && !answered.leaks, "very many VLANs are carried exactly", answered.setting.tagged.len())?;
    bench.set(port, &PortSetting::access(VLANS[2])).await.map(drop)
}

/// All of them. True if all hold.
pub async fn run(bench: &mut Bench) -> bool {
    let mut all = true;
    let mut begun = Instant::now();
    let mut note = |law: &str, verdict: Verdict| {
        all &= verdict.is_ok();
        let (took, now) = (begun.elapsed(), Instant::now());
        begun = now;
        match verdict {
            Ok(()) => println!("PASS {law} ({took:?})"),
            Err(reason) => println!("FAIL {law}: {reason}"),
        }
    };
    note("conformance", conformance::switch(bench).await);
    note("isolation", isolation(bench).await);
    note("cached flows", cached_flows(bench).await);
    note("quick rounds", quick_rounds(bench).await);
    note("leaks", leaks(bench).await);
    note("unfit equipment", unfit(bench).await);
    note("MTU", mtu(bench).await);
    note("signs of life", signs_of_life(bench).await);
    note("dead daemon", dead_daemon(bench).await);
    note("dead database", dead_database(bench).await);
    note("restart", restart(bench).await);
    note("drift", drift(bench).await);
    note("races", races(bench).await);
    note("timing", timing(bench).await);
    all
}
