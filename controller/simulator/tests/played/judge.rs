//! The judge of a simulated world: whole failovers are judged without a violation, and each thing that must not be is caught under its name.

use boot::desk::Desk;
use contract::wire::enrol::Authority;
use oracle::judge::Clause;
use pipeline::event::Intent;
use simulator::disk::Shelf;
use simulator::hall::Hall;
use simulator::images::Images;
use simulator::judge::Violation;
use simulator::life::Life;
use simulator::link::Weather;
use simulator::permits::Permits;
use simulator::site::{Controller, Site};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use vocabulary::boot::BootMethod;
use vocabulary::estate::Mode;
use vocabulary::{EstateUuid, Lineage, MachineId, ServerId};
use world::bridge::{Call, Membership, Setting};
use world::machine::Accident;

static AUTHORITY: LazyLock<Arc<Authority>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(Authority::open(folder.path(), EstateUuid("e".into()), Lineage("l".into())).unwrap())
});

const OBJECT: &str = "/volumes/web1-root";

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn machine(name: &str) -> MachineId {
    name.parse().unwrap()
}

fn web1() -> ServerId {
    "web1".parse().unwrap()
}

async fn intent(controller: &Controller, intent: Intent) {
    controller.handle.intent("uid 0".into(), intent.clone()).await.unwrap_or_else(|fault| panic!("{intent:?}: {fault}"));
}

/// Two servers and two spares.
fn hall() -> Hall {
    Hall { method: BootMethod::San, ..Hall::with(2, 2) }
}

/// Everything enrolled, every server started, and web1 at work for a minute.
async fn up(seed: u64, hall: Hall) -> (Site, Controller) {
    let mut site = Site::raise(seed, hall, AUTHORITY.clone()).await.unwrap();
    let controller = site.start_controller().unwrap();
    tokio::time::sleep(s(5)).await;
    intent(&controller, Intent::SetTierMode { tier: "gold".parse().unwrap(), mode: Mode::Auto }).await;
    for agent in site.hosts.keys().cloned().collect::<Vec<_>>() {
        intent(&controller, Intent::EnrolAgent { agent }).await;
    }
    for machine in site.estate.machines.keys().cloned().collect::<Vec<_>>() {
        intent(&controller, Intent::EnrolMachine { machine }).await;
    }
    // outlets are tried, those of one machine after the other
    let tried = site.estate.machines.values().filter(|machine| !machine.outlets.is_empty()).count();
    tokio::time::sleep(s(60) + s(60) * u32::try_from(tried).unwrap()).await;
    for server in site.estate.servers.keys().cloned().collect::<Vec<_>>() {
        intent(&controller, Intent::StartServer { server }).await;
    }
    for server in site.estate.servers.keys() {
        serves(&site, server.as_str(), None).await;
    }
    tokio::time::sleep(s(60)).await;
    assert_eq!(site.judge.violations(), []);
    (site, controller)
}

/// Waits until a machine serves it, another one than this.
async fn serves(site: &Site, server: &str, but: Option<&MachineId>) -> MachineId {
    let until = tokio::time::Instant::now() + s(900);
    while tokio::time::Instant::now() < until {
        let serves = |machine: &MachineId| site.stands[machine].machine.service().is_some_and(|service| service.server == server);
        if let Some(found) = site.stands.keys().find(|machine| Some(*machine) != but && serves(machine)) {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let story: String = site.store.entries().iter().map(|entry| format!("{} {:?}\n", entry.number, entry.record.fact)).collect();
    panic!("{server} is not served:\n{story}");
}

/// web1's machine dies, and another one serves it for a while.
async fn failed_over(site: &Site) -> (MachineId, MachineId) {
    let old = serves(site, "web1", None).await;
    site.stands[&old].machine.befall(Accident::Die);
    let new = serves(site, "web1", Some(&old)).await;
    tokio::time::sleep(s(30)).await;
    (old, new)
}

fn names(violations: &[Violation]) -> BTreeSet<&'static str> {
    violations.iter().map(|violation| violation.invariant).collect()
}

fn run<T>(world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(world)
}

#[test]
fn whole_failovers_are_judged_without_a_violation() {
    for seed in 1..=20 {
        run(async {
            let (site, _controller) = up(seed, Hall::of(seed)).await;
            let (old, new) = failed_over(&site).await;
            assert_eq!(site.judge.end(), [], "seed {seed}");
            assert_eq!(site.judge.foreign(), [], "seed {seed}");
            let told: BTreeSet<String> =
                site.fabric.told().into_iter().map(|told| told.line).filter(|line| line.starts_with("web1 ")).collect();
            let writes = &site.judge.writes()[&web1()];
            let acknowledged = u64::try_from(told.len()).unwrap();
            assert!(acknowledged > 20, "seed {seed}: {acknowledged}");
            assert_eq!((writes.acknowledged, writes.recovered), (acknowledged, acknowledged), "seed {seed}");
            // the story: first the one, then the other, and never both
            let spans = site.judge.spans(&web1());
            let last = |machine: &MachineId| spans.iter().rfind(|span| span.machine == machine.as_str()).unwrap();
            assert!(last(&old).until_ns.unwrap() <= last(&new).from_ns, "seed {seed}: {spans:?}");
            assert!(last(&new).until_ns.is_none() && last(&new).by == [Clause::Volume, Clause::Boot, Clause::Running].into());
            assert!(site.judge.changes() > 30, "seed {seed}: {}", site.judge.changes());
        });
    }
}

/// Binds web2's initiator, which m2 knows, to web1's target.
fn binding(site: &Site) -> Vec<String> {
    let name = site.fabric.served()[&machine("m2")].1.0.clone();
    let shown = site.target.by_hand(&["--lld", "iscsi", "--op", "show", "--mode", "target"]).printed;
    let line = shown.lines().find(|line| line.starts_with("Target") && line.ends_with(":web1")).unwrap();
    let tid = line.split([' ', ':']).nth(1).unwrap();
    ["--lld", "iscsi", "--op", "bind", "--mode", "target", "--tid", tid, "--initiator-name", &name].map(str::to_owned).into()
}

#[test]
fn a_second_initiator_that_another_machine_knows_is_a_second_writer() {
    run(async {
        let (mut site, _controller) = up(1, hall()).await;
        let binding = binding(&site);
        let binding: Vec<&str> = binding.iter().map(String::as_str).collect();
        // a foreign hand, and an agent that mends it
        assert_eq!(site.target.by_hand(&binding).code, Some(0));
        assert_eq!(site.judge.effective(&web1()).len(), 2);
        tokio::time::sleep(s(6)).await;
        assert_eq!(site.judge.violations(), [], "mended in time");
        let counted: BTreeSet<_> = site.judge.foreign().iter().map(|overlap| overlap.invariant).collect();
        assert_eq!(counted, ["I1", "I3"].into());
        // and nobody who mends it
        site.hosts.get_mut(&"store1".parse().unwrap()).unwrap().kill();
        assert_eq!(site.target.by_hand(&binding).code, Some(0));
        tokio::time::sleep(s(4)).await;
        assert_eq!(site.judge.violations(), []);
        tokio::time::sleep(s(2)).await;
        let found = site.judge.violations();
        assert_eq!(names(&found), ["I1", "I3"].into(), "{found:?}");
        assert!(found.iter().all(|violation| violation.subject == "web1"), "{found:?}");
    });
    run(async {
        // no foreign hand: at once
        let (site, _controller) = up(1, hall()).await;
        let binding = binding(&site);
        let binding: Vec<&str> = binding.iter().map(String::as_str).collect();
        assert_eq!(site.target.tgtadm(&binding).await.code, Some(0));
        assert_eq!(names(&site.judge.violations()), ["I1", "I3"].into());
    });
}

/// web1's machine hangs where its BMC is out of reach, is fenced by storage and network alone, and lives on when another one serves web1.
async fn left_alive(site: &Site) -> MachineId {
    let old = serves(site, "web1", None).await;
    site.management.set_weather(site.estate.machines[&old].bmc.address, Weather { cut: true, ..Weather::FAIR });
    site.stands[&old].machine.freeze().unwrap();
    serves(site, "web1", Some(&old)).await;
    site.stands[&old].machine.thaw().unwrap();
    tokio::time::sleep(s(10)).await;
    assert!(site.stands[&old].machine.is_on());
    assert_eq!(site.judge.violations(), []);
    old
}

#[test]
fn a_port_put_back_while_the_server_runs_elsewhere_is_an_overlap() {
    run(async {
        let (mut site, _controller) = up(1, hall()).await;
        let old = left_alive(&site).await;
        let port = site.estate.machines[&old].nics[2].port.to_string();
        site.bridge.set_by_hand(&port, &Setting::access(20));
        assert_eq!(site.judge.effective(&web1()).len(), 2);
        tokio::time::sleep(s(6)).await;
        assert_eq!(site.judge.violations(), [], "the agent mends it in time");
        let counted: BTreeSet<_> = site.judge.foreign().iter().map(|overlap| overlap.invariant).collect();
        assert_eq!(counted, ["I1", "I8"].into());
        site.hosts.get_mut(&"sw1".parse().unwrap()).unwrap().kill();
        site.bridge.set_by_hand(&port, &Setting::access(20));
        tokio::time::sleep(s(4)).await;
        assert_eq!(site.judge.violations(), []);
        tokio::time::sleep(s(2)).await;
        let found = site.judge.violations();
        assert_eq!(names(&found), ["I1", "I8"].into(), "{found:?}");
    });
}

#[test]
fn a_forged_permit_is_a_second_boot() {
    run(async {
        let (site, _controller) = up(1, hall()).await;
        let host = &site.hosts[&"boot1".parse().unwrap()];
        // a copy of the boot service's disk, with m1's permit once more for m3
        let shelf = Shelf { disk: host.disk.copy(), owner: "boot1".into(), life: Life::default() };
        let permit = String::from_utf8(shelf.disk.read("boot1/permits/m1").unwrap().unwrap()).unwrap();
        let forged = permit.replace("\"m1\"", "\"m3\"").replace("52:54:00:0c:01:", "52:54:00:0c:03:");
        assert_ne!(forged, permit);
        shelf.disk.replace("boot1/permits/m3", forged.as_bytes()).unwrap();
        let outside = boot::Outside {
            disk: Arc::new(Permits(shelf)),
            shelf: Arc::new(Images),
            since_boot: Arc::new(|| 0),
            host_boot: "forged".into(),
            wall: Arc::new(|| vocabulary::WallTime(1)),
            random: Arc::new(|bytes: &mut [u8]| bytes.fill(7)),
        };
        let desk = Arc::new(Desk::open_with(site.fabric.desk().unwrap().config().clone(), outside).unwrap());
        desk.heard().await;
        site.fabric.serve(Life::default(), desk);
        site.judge.look_at_permits();
        // m3 is told by it how to log in, and that initiator is admitted
        assert_eq!(names(&site.judge.violations()), ["I1", "I3", "I7"].into());
        // now it can reach that service, and boots
        let talk = site.bridge.converse().unwrap();
        for (nic, vlan) in site.estate.machines[&machine("m3")].nics.iter().zip([10, 30, 20]) {
            let index = talk.interface(nic.port.as_str()).await.unwrap().index;
            talk.change(Call::Join(index, vec![(vlan, vlan, Membership::NATIVE)])).await.unwrap();
            talk.change(Call::Put(index, true)).await.unwrap();
        }
        // it lives whether or not anybody waits for its end
        drop(site.stands[&machine("m3")].machine.start(None, Arc::new(())).unwrap());
        let effective = site.judge.effective(&web1());
        assert!(effective["m3"].iter().any(|reason| reason.clause == Clause::Boot), "{effective:?}");
        serves(&site, "web1", Some(&machine("m1"))).await;
        let effective = site.judge.effective(&web1());
        assert!(effective["m3"].iter().any(|reason| reason.clause == Clause::Running), "{effective:?}");
    });
}

#[test]
fn a_record_that_is_gone_and_one_of_the_past_are_seen() {
    run(async {
        let (site, _controller) = up(1, hall()).await;
        failed_over(&site).await;
        let gone = *site.target.content(OBJECT).keys().nth(100).unwrap();
        assert_eq!(site.judge.end(), []);
        site.target.set_by_hand(OBJECT, gone, None);
        let found = site.judge.end();
        assert_eq!(names(&found), ["I10"].into(), "{found:?}");
        assert!(found[0].sentence.contains(&format!("the first is {gone} of incarnation")), "{found:?}");
    });
    run(async {
        let (site, _controller) = up(1, hall()).await;
        let (_, new) = failed_over(&site).await;
        site.stands[&new].machine.freeze().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let content = site.target.content(OBJECT);
        let (last, first) = (*content.keys().next_back().unwrap(), *content.values().next().unwrap());
        site.target.set_by_hand(OBJECT, last + 1, Some(first));
        let found = site.judge.end();
        assert_eq!(names(&found), ["I3"].into(), "{found:?}");
    });
}

#[test]
fn who_mounts_without_the_last_records_is_seen() {
    run(async {
        let (site, _controller) = up(1, hall()).await;
        let old = serves(&site, "web1", None).await;
        site.stands[&old].machine.befall(Accident::Die);
        tokio::time::sleep(s(1)).await;
        // of the last one no client may know
        let last = *site.target.content(OBJECT).keys().next_back().unwrap();
        [last, last - 1].into_iter().for_each(|record| site.target.set_by_hand(OBJECT, record, None));
        serves(&site, "web1", Some(&old)).await;
        let found = site.judge.violations();
        assert_eq!(names(&found), ["I10"].into(), "{found:?}");
    });
}

#[test]
fn a_change_is_judged_in_microseconds() {
    run(async {
        let (site, _controller) = up(1, hall()).await;
        let port = site.estate.machines[&machine("m1")].nics[2].port.to_string();
        let toggle = |times: u32| {
            let begun = std::time::Instant::now();
            for turn in 0..times {
                let vlan = if turn % 2 == 0 { 21 } else { 20 };
                site.bridge.set_by_hand(&port, &Setting::access(vlan));
            }
            begun.elapsed() / times
        };
        let before = site.judge.changes();
        toggle(1_000);
        let judged = toggle(10_000);
        assert_eq!(site.judge.changes() - before, 11_000);
        site.bridge.observe(Arc::new(|_| {}));
        let unjudged = toggle(10_000);
        println!("a change: {judged:?} with a judge, {unjudged:?} without");
        // a bound for the slowest machine; what it takes is printed
        assert!(judged.saturating_sub(unjudged) < Duration::from_micros(200));
    });
}
