//! Deeds that are never drawn yet: each is written down, played, and the world really does what it says.

use contract::wire::enrol::Authority;
use simulator::hall::Hall;
use simulator::play::Play;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use vocabulary::{EstateUuid, Lineage, MachineId};

static AUTHORITY: LazyLock<Arc<Authority>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(Authority::open(folder.path(), EstateUuid("e".into()), Lineage("l".into())).unwrap())
});

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn machine(name: &str) -> MachineId {
    name.parse().unwrap()
}

fn run(world: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(world);
}

/// A world in which every server runs.
async fn up(seed: u64, hall: Hall) -> Play {
    let mut play = Play::raise(seed, hall, AUTHORITY.clone()).await.unwrap();
    play.begin().await.unwrap();
    serves(&play, "web1", "m1").await;
    play
}

/// Does what a line tells, which is read back first.
async fn act(play: &mut Play, line: &str) {
    let deed: simulator::deed::Deed = line.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(deed.to_string(), line);
    play.act(&deed).await;
}

/// Waits until this machine serves it.
async fn serves(play: &Play, server: &str, on: &str) {
    let until = tokio::time::Instant::now() + s(900);
    while tokio::time::Instant::now() < until {
        let service = play.site.stands[&machine(on)].machine.service();
        if service.is_some_and(|service| service.server == server) {
            return tokio::time::sleep(s(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let story: String =
        play.site.store.entries().iter().map(|entry| format!("{} {:?}\n", entry.number, entry.record.fact)).collect();
    panic!("{server} is not served on {on}:\n{story}");
}

/// All mishaps end, every server comes to rest, and nothing was broken.
async fn ends_well(play: &mut Play) {
    play.calm().await;
    assert_eq!(play.rest().await, [], "{:#?}", play.story);
    assert_eq!(play.judged(), [], "{:#?}", play.story);
}

fn told(play: &Play) -> Vec<&str> {
    play.story.iter().map(|(_, line)| line.as_str()).collect()
}

fn on(play: &Play, name: &str) -> bool {
    play.site.stands[&machine(name)].machine.is_on()
}

/// What the unit says of this machine's first outlet: on, and watts.
async fn reads(play: &Play, name: &str) -> (bool, u32) {
    let socket = play.site.stands[&machine(name)].sockets[0].clone();
    let reading = socket.unit.read(socket.number).await.unwrap();
    (reading.on, reading.watts)
}

#[test]
fn an_outlet_takes_a_machine_s_power_and_its_server_goes_elsewhere() {
    run(async {
        let mut play = up(1, Hall::with(3, 1)).await;
        serves(&play, "web3", "m3").await;
        assert_eq!(reads(&play, "m3").await, (true, 240));
        act(&mut play, "outlet m3 takes 4000ms").await;
        act(&mut play, "outlet m3 off").await;
        tokio::time::sleep(s(3)).await;
        assert!(on(&play, "m3"), "a yes is no relay that has moved");
        tokio::time::sleep(s(2)).await;
        assert_eq!((on(&play, "m3"), reads(&play, "m3").await), (false, (false, 0)));
        assert!(!play.site.stands[&machine("m3")].bmc.state().supply, "its BMC is dark too");
        serves(&play, "web3", "m4").await;
        // its BMC finds it, and the controller does not let it back
        act(&mut play, "outlet m3 on").await;
        tokio::time::sleep(s(60)).await;
        assert!(play.site.stands[&machine("m3")].bmc.state().supply);
        ends_well(&mut play).await;
    });
}

#[test]
fn a_machine_with_two_cords_goes_dark_with_the_last() {
    run(async {
        let mut play = up(2, Hall::with(2, 1)).await;
        serves(&play, "web2", "m2").await;
        act(&mut play, "outlet m2/1 off").await;
        tokio::time::sleep(s(5)).await;
        assert_eq!((on(&play, "m2"), reads(&play, "m2").await), (true, (false, 0)));
        let second = play.site.stands[&machine("m2")].sockets[1].clone();
        assert_eq!(second.unit.read(second.number).await.unwrap().watts, 240, "the other cord carries all");
        // the breaker before it stands for both, whatever the outlets are
        act(&mut play, "machine m2 dark").await;
        act(&mut play, "outlet m2/1 on").await;
        assert_eq!((on(&play, "m2"), reads(&play, "m2").await), (false, (true, 0)));
        act(&mut play, "outlet m2 off").await;
        act(&mut play, "machine m2 lit").await;
        tokio::time::sleep(s(5)).await;
        assert!(!play.site.stands[&machine("m2")].supplies.have_power(), "a closed breaker behind dead outlets");
        ends_well(&mut play).await;
        assert!(play.site.stands[&machine("m2")].supplies.have_power());
    });
}

#[test]
fn an_outlet_can_refuse_ignore_mistake_and_lie() {
    run(async {
        let mut play = up(3, Hall::with(3, 1)).await;
        act(&mut play, "outlet m3 has refuses").await;
        act(&mut play, "outlet m3 off").await;
        assert_eq!(told(&play).last(), Some(&"pdu1 3: the unit refused"));
        act(&mut play, "outlet m3 well").await;
        act(&mut play, "outlet m3 has ignores").await;
        act(&mut play, "outlet m3 off").await;
        assert_eq!((told(&play).last(), reads(&play, "m3").await), (Some(&"outlet m3 off"), (true, 240)));
        act(&mut play, "outlet m3 has reads-wish").await;
        act(&mut play, "outlet m3 has reads-zero").await;
        assert_eq!((on(&play, "m3"), reads(&play, "m3").await), (true, (false, 0)), "off and at zero watts, and it serves");
        act(&mut play, "outlet m2 has another").await;
        act(&mut play, "outlet m2 off").await;
        tokio::time::sleep(s(5)).await;
        assert!(!on(&play, "m3") && play.site.stands[&machine("m2")].supplies.have_power(), "another one's outlet");
        act(&mut play, "outlet m1 has late 600000ms").await;
        act(&mut play, "outlet m1 off").await;
        assert_eq!(told(&play).last(), Some(&"pdu2 1: no answer yet"));
        ends_well(&mut play).await;
        assert!(play.site.stands.values().all(|stand| stand.supplies.have_power()), "what was late was overtaken");
    });
}

#[test]
fn another_estate_at_the_same_devices_is_refused_by_their_agents() {
    run(async {
        let mut play = up(4, Hall::with(1, 1)).await;
        let before: Vec<_> = play.site.bridge.ports().iter().map(|port| play.site.bridge.running(port)).collect();
        act(&mut play, "serve another-estate").await;
        tokio::time::sleep(s(300)).await;
        let after: Vec<_> = play.site.bridge.ports().iter().map(|port| play.site.bridge.running(port)).collect();
        let records: Vec<String> =
            play.others[0].store.entries().iter().map(|entry| format!("{:?}", entry.record.fact)).collect();
        let has = |what: &str| records.iter().any(|record| record.contains(what));
        assert!(has("AgentEnrolled") && has("Overruled"), "it learns that they know more than it does: {records:#?}");
        assert!(!has("Sealed") && !has("Owned("), "{records:#?}");
        assert_eq!(before, after);
        // an estate that has drawn more epochs than ours; a gate that obeyed it would refuse ours from then on
        for agent in ["sw1", "store1", "boot1"] {
            act(&mut play, &format!("agent {agent} asked-by-another-estate")).await;
            assert_eq!(told(&play).last(), Some(&format!("agent {agent} asked-by-another-estate").as_str()));
        }
        tokio::time::sleep(s(30)).await;
        let after: Vec<_> = play.site.bridge.ports().iter().map(|port| play.site.bridge.running(port)).collect();
        assert_eq!(before, after);
        assert_eq!(play.site.judge.violations(), [], "{records:#?}");
        // and ours goes on as if it were alone
        act(&mut play, "machine m1 dies").await;
        serves(&play, "web1", "m2").await;
        ends_well(&mut play).await;
    });
}

/// m1 dies, and the plan of web1's failover is open.
async fn fails_over(play: &mut Play) {
    act(play, "machine m1 dies").await;
    for _ in 0..600 {
        let opened = |record: &str| record.contains("Failover") && record.contains("Sealed");
        if play.site.store.entries().iter().any(|entry| opened(&format!("{:?}", entry.record.fact))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no plan was sealed: {:#?}", play.site.store.entries());
}

#[test]
fn documents_that_move_nothing_are_taken_up_in_mid_plan() {
    run(async {
        let mut play = up(5, Hall::with(1, 1)).await;
        fails_over(&mut play).await;
        act(&mut play, "operator edits-estate contacts").await;
        act(&mut play, "serve killed").await;
        act(&mut play, "serve started").await;
        assert!(play.controller.is_some(), "{:#?}", play.story);
        let revisions =
            play.site.store.entries().iter().filter(|entry| format!("{:?}", entry.record.fact).contains("Estate {")).count();
        assert_eq!(revisions, 2, "the new documents are in force");
        serves(&play, "web1", "m2").await;
        ends_well(&mut play).await;
    });
}

#[test]
fn documents_that_move_what_a_plan_works_on_are_refused_until_they_are_put_back() {
    run(async {
        let mut play = up(6, Hall::with(1, 1)).await;
        fails_over(&mut play).await;
        act(&mut play, "operator edits-estate cabling m1").await;
        act(&mut play, "serve killed").await;
        act(&mut play, "serve started").await;
        assert!(play.controller.is_none());
        assert!(told(&play).iter().any(|line| line.contains("does not start") && line.contains("m1-nic9")), "{:#?}", play.story);
        tokio::time::sleep(s(60)).await;
        act(&mut play, "operator edits-estate back").await;
        act(&mut play, "serve started").await;
        serves(&play, "web1", "m2").await;
        ends_well(&mut play).await;
    });
}

#[test]
fn a_failover_that_waits_hours_for_a_person_is_done_when_one_comes() {
    run(async {
        let mut play = up(7, Hall::with(1, 1)).await;
        act(&mut play, "operator sets-mode approve").await;
        tokio::time::sleep(s(1)).await;
        act(&mut play, "machine m1 dies").await;
        tokio::time::sleep(s(3 * 3_600)).await;
        assert!(play.site.stands.values().all(|stand| stand.machine.service().is_none()), "nobody has said yes");
        let held = |record: String| record.contains("F0204");
        assert!(play.site.store.entries().iter().any(|entry| held(format!("{:?}", entry.record.fact))));
        act(&mut play, "operator moves web1").await;
        serves(&play, "web1", "m2").await;
        ends_well(&mut play).await;
    });
}
