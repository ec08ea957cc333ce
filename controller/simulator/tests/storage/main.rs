//! The storage agent's own code above a simulated target: it conforms, and in a storm of commands, foreign hands, restarts, hanging calls and
//! servers that never give up no write of an older placement is acknowledged or done after a confirmed revocation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod judge;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use contract::conformance::{self, StorageFixture};
use contract::storage::{Admission, Storage};
use contract::{Action, AgentError, Answer};
use judge::{Known, Tally, judge, look};
use servers::{server, stranger};
use simulator::disk::Shelf;
use simulator::life::Life;
use simulator::storage::SimulatedHost;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::tgt::{Export, Tgt, TgtConfig};
use storage::{Kept, StorageDevice};
use support::{Agent, DRIFT_ENDS, Trace, pause, short, world};
use vocabulary::request::Holder;
use vocabulary::storage::InitiatorName;
use vocabulary::{Epoch, PlanId, Secret, VolumeId, VolumeName};
use world::clock::now;
use world::disk::Disk;
use world::target::{Ended, Initiator, Target, Trouble, Weather};
use world::{Dice, Wall};

const VOLUMES: [&str; 2] = ["a", "b"];
const UNIT: u64 = 1;
const BYTES: u64 = 1 << 50;
const STRANGER: &str = "iqn.2026-01.org.stranger:x";
/// Somebody else's account, made by hand.
const FOREIGN: (&str, &str) = ("foreign", "foreign-secret");
/// The target that a foreign hand makes for an object that has one.
const SECOND: &str = "iqn.2026-01.org.stranger:second";

fn file(volume: &str) -> String {
    format!("/srv/{volume}.img")
}

fn target_name(volume: &str) -> String {
    format!("iqn.2026-01.org.understudy:{volume}")
}

fn initiator_name(epoch: u64) -> String {
    format!("iqn.2026-01.org.understudy:web1.e{epoch}")
}

fn admission(epoch: u64) -> Admission {
    Admission {
        initiator: InitiatorName(initiator_name(epoch)),
        user: format!("web1.e{epoch}"),
        secret: Secret::new(format!("secret-of-e{epoch}")),
    }
}

fn target(seed: u64) -> Target {
    let target = Target::start(Dice::of(seed, "target"));
    for volume in VOLUMES {
        target.add_object(&file(volume), BYTES);
        target.add_alias(&format!("/srv/alias-of-{volume}"), &file(volume));
    }
    target
}

fn driver(target: &Target, wall: &Wall, shelf: &Shelf) -> Arc<Tgt> {
    let volumes = VOLUMES.map(|volume| {
        let export = Export { target: target_name(volume), lun: UNIT, file: file(volume).into() };
        (volume.parse().unwrap(), export)
    });
    let config = TgtConfig { tgtadm: "tgtadm".into(), control_port: 0, environment: BTreeMap::new(), volumes: volumes.into() };
    let host = SimulatedHost { target: target.clone(), wall: wall.clone() };
    Arc::new(Tgt::open_on("store1".parse().unwrap(), config, Box::new(shelf.clone()), Arc::new(host)).unwrap())
}

fn shelf() -> Shelf {
    Shelf { disk: Disk::default(), owner: "store1".into(), life: Life::default() }
}

fn hand(target: &Target, line: &str) -> Ended {
    target.by_hand(&line.split(' ').collect::<Vec<_>>())
}

/// The number of a target, as a foreign hand would look it up.
fn number(target: &Target, name: &str) -> Option<String> {
    let shown = hand(target, "--mode target --op show").printed;
    let line = shown.lines().find(|line| line.starts_with("Target ") && line.ends_with(name))?.to_owned();
    Some(line.trim_start_matches("Target ").split(':').next()?.to_owned())
}

fn machine(name: &str, isid: u64) -> Initiator {
    Initiator { name: name.to_owned(), address: "10.30.0.11".parse().unwrap(), isid, alias: "none".to_owned() }
}

struct Fixture {
    target: Target,
    driver: Arc<Tgt>,
}

#[async_trait::async_trait]
impl StorageFixture for Fixture {
    fn storage(&self) -> &dyn Storage {
        &*self.driver
    }
    fn volume(&self) -> VolumeName {
        "a".parse().unwrap()
    }
    fn no_such_volume(&self) -> VolumeName {
        "nope".parse().unwrap()
    }
    async fn log_in(&self, volume: &VolumeName, who: &Admission) -> Option<bool> {
        let chap = Some((who.user.as_str(), who.secret.expose()));
        let name = target_name(volume.as_str());
        Some(self.target.log_in(&name, &machine(&who.initiator.0, 1), chap).await.is_ok())
    }
    async fn admit(&self, volume: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>> {
        let tid = number(&self.target, &target_name(volume.as_str()))?;
        let ended = hand(&self.target, &format!("--mode target --op bind --tid {tid} --initiator-name {}", initiator.0));
        Some(if ended.code == Some(0) { Ok(()) } else { Err(ended.said) })
    }
}

#[test]
fn it_conforms() {
    world(async {
        let target = target(1);
        let driver = driver(&target, &simulator::first_day(), &shelf());
        conformance::storage(&Fixture { target, driver }).await.unwrap();
    });
}

/// Each trouble befalls each call of a revocation and of a grant, one after the other: what is answered is true, and the next round by the
/// clock brings the target to what was decided.
#[test]
fn each_call_may_fare_ill() {
    let second = Duration::from_secs(1);
    let troubles = [
        Trouble::Refused,
        Trouble::Garbled,
        Trouble::Ended,
        Trouble::Freezes(9 * second),
        Trouble::Late(9 * second),
        Trouble::Dies(true),
    ];
    for (trouble, call) in troubles.iter().flat_map(|trouble| (0..14).map(move |call| (*trouble, call))) {
        world(async {
            let (target, wall, shelf) = (target(1), simulator::first_day(), shelf());
            let (driver, volume) = (driver(&target, &wall, &shelf), "a".parse().unwrap());
            driver.grant(&volume, &admission(1)).await.unwrap();
            let chap = (&*"web1.e1".to_owned(), &*"secret-of-e1".to_owned());
            let old = target.log_in(&target_name("a"), &machine(&initiator_name(1), 1), Some(chap)).await.unwrap();
            let fair = || std::iter::repeat_n(Trouble::Late(Duration::ZERO), call);
            target.order(fair().chain([trouble]));
            let revoked = driver.revoke(&volume, None).await;
            let cut = !target.connected(old) && target.writers(&file("a")).is_empty();
            assert!(revoked.is_err() || cut, "{trouble:?} at call {call}: {revoked:?}");
            target.calm();
            pause(10 * second).await;
            driver.restore().await.unwrap();
            assert!(!target.connected(old), "{trouble:?} at call {call}: decided, and brought about by the clock");
            target.order(fair().chain([trouble]));
            let granted = driver.grant(&volume, &admission(2)).await;
            target.calm();
            pause(10 * second).await;
            driver.restore().await.unwrap();
            let (name, chap) = (initiator_name(2), Some(("web1.e2", "secret-of-e2")));
            let enters = target.log_in(&target_name("a"), &machine(&name, 1), chap).await;
            assert_eq!(enters.is_ok(), granted.is_ok(), "{trouble:?} at call {call}: half an admission is none: {granted:?}");
        });
    }
}

struct Storm {
    dice: Dice,
    target: Target,
    wall: Wall,
    shelf: Shelf,
    trace: Trace,
    agent: Option<Agent<StorageDevice>>,
    life: u32,
    epoch: u64,
    known: Arc<Mutex<Known>>,
    command: Option<tokio::task::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    seed: u64,
    /// For the negative control: revocations by hand that leave sessions alone.
    careless: bool,
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Storm {
    async fn begin(seed: u64, careless: bool) -> Storm {
        let (target, trace, known) = (target(seed), Trace::begin(), Arc::<Mutex<Known>>::default());
        let tasks = vec![
            tokio::spawn(judge(target.clone(), known.clone(), trace.clone())),
            tokio::spawn(stranger(target.clone(), Dice::of(seed, "stranger"))),
        ];
        let mut storm = Storm {
            dice: Dice::of(seed, "storm"),
            target,
            wall: simulator::first_day(),
            shelf: shelf(),
            trace,
            agent: None,
            life: 0,
            epoch: 0,
            known,
            command: None,
            tasks,
            seed,
            careless,
        };
        storm.start_agent().await;
        storm
    }

    async fn start_agent(&mut self) {
        self.settled().await;
        self.agent = None;
        self.life += 1;
        let driver = driver(&self.target, &self.wall, &self.shelf);
        let device = Arc::new(StorageDevice::new("store1".parse().unwrap(), driver));
        let keep = async |device: Arc<StorageDevice>| device.keep().await;
        self.agent = Some(Agent::start("store1", &self.shelf, self.life, device, keep).await);
    }

    async fn settled(&mut self) {
        if let Some(command) = self.command.take() {
            command.await.unwrap();
        }
    }

    fn volume(&self) -> String {
        (*self.dice.pick(&VOLUMES).unwrap()).to_owned()
    }

    fn serve(&mut self, volume: &str, epoch: u64) {
        self.known.lock().unwrap().granted.insert(epoch, volume.to_owned());
        let dice = Dice::of(self.seed, &format!("server {volume} {epoch}"));
        let server = server(self.target.clone(), dice, volume.to_owned(), epoch, self.known.clone());
        self.tasks.push(tokio::spawn(server));
    }

    async fn revoke(&mut self, volume: &str, keep: Option<u64>) {
        self.settled().await;
        self.epoch += 1;
        let (epoch, id) = (self.epoch, VolumeId { storage: "store1".parse().unwrap(), volume: volume.parse().unwrap() });
        let kept = keep.map(|epoch| InitiatorName(initiator_name(epoch)));
        let asked = self.agent.as_ref().unwrap().command(epoch, 1, Action::RevokeVolume { volume: id, keep: kept });
        let (trace, known, volume) = (self.trace.clone(), self.known.clone(), volume.to_owned());
        self.command = Some(tokio::spawn(async move {
            let outcome = asked.await;
            trace.tell(format!("e{epoch} revokes {volume} but for {keep:?}: {}", short(&outcome)));
            let mut known = known.lock().unwrap();
            match outcome {
                Ok(Answer::Volume(reading)) => {
                    // the gate keeps only whom this plan granted to: what it kept is what the reading says
                    let kept = keep.filter(|epoch| reading.allowed.iter().any(|name| name.0 == initiator_name(*epoch)));
                    known.decided.entry(volume.clone()).or_insert_with(now);
                    known.revoked.entry(volume).or_default().push((now(), epoch, kept));
                    known.tally.confirmed += 1;
                }
                _ => known.tally.failed += 1,
            }
        }));
    }

    /// As a person without the agent's knowledge does it: the admission goes, the sessions stay.
    async fn revoke_carelessly(&mut self, volume: &str) {
        self.settled().await;
        self.agent = None;
        self.epoch += 1;
        let Some(tid) = number(&self.target, &target_name(volume)) else { return };
        for epoch in 1..self.epoch {
            hand(&self.target, &format!("--mode target --op unbind --tid {tid} --initiator-name {}", initiator_name(epoch)));
        }
        // long enough that nobody can put it down to a hand
        pause(2 * DRIFT_ENDS).await;
        {
            let mut known = self.known.lock().unwrap();
            known.decided.entry(volume.to_owned()).or_insert_with(now);
            known.revoked.entry(volume.to_owned()).or_default().push((now(), self.epoch, None));
        }
        pause(DRIFT_ENDS).await;
    }

    async fn grant(&mut self, volume: &str) {
        self.settled().await;
        self.epoch += 1;
        let (epoch, id) = (self.epoch, VolumeId { storage: "store1".parse().unwrap(), volume: volume.parse().unwrap() });
        let Admission { initiator, user, secret } = admission(epoch);
        let holder = Holder { server: "web1".parse().unwrap(), machine: "m1".parse().unwrap(), plan: PlanId(Epoch(epoch)) };
        let action = Action::GrantVolume { volume: id, initiator, user, secret, holder };
        // a server may have its names before its admission stands, and even if that fails
        self.serve(volume, epoch);
        let asked = self.agent.as_ref().unwrap().command(epoch, 1, action);
        let (trace, known, volume) = (self.trace.clone(), self.known.clone(), volume.to_owned());
        self.command = Some(tokio::spawn(async move {
            let outcome = asked.await;
            trace.tell(format!("e{epoch} is granted {volume}: {}", short(&outcome)));
            let mut known = known.lock().unwrap();
            if outcome.is_ok() {
                known.decided.entry(volume).or_insert_with(now);
                known.tally.confirmed += 1;
            } else {
                known.tally.failed += 1;
            }
        }));
    }

    fn hands(&self) {
        let volume = self.volume();
        let Some(tid) = number(&self.target, &target_name(&volume)) else { return };
        let old = initiator_name(self.dice.between(1, self.epoch.max(1)));
        let account = format!("--mode account --op new --user {} --password {}", FOREIGN.0, FOREIGN.1);
        let lines = match self.dice.between(0, 7) {
            0 => vec![format!("--mode target --op bind --tid {tid} --initiator-name {old}")],
            1 => vec![format!("--mode target --op bind --tid {tid} --initiator-address ALL")],
            2 => vec![
                account,
                format!("--mode account --op bind --tid {tid} --user {}", FOREIGN.0),
                format!("--mode target --op bind --tid {tid} --initiator-name {STRANGER}"),
            ],
            3 => vec![
                format!("--mode target --op new --tid 90000 --targetname {SECOND}"),
                format!("--mode logicalunit --op new --tid 90000 --lun 1 --backing-store /srv/alias-of-{volume}"),
                "--mode target --op bind --tid 90000 --initiator-address 10.0.0.0/8".to_owned(),
            ],
            4 => vec![format!("--mode target --op delete --tid {tid}")],
            5 => vec![format!("--mode logicalunit --op delete --tid {tid} --lun 1")],
            6 => vec![format!("--mode account --op delete --user web1.e{}", self.epoch)],
            // an empty place before a full one: the daemon dies at its next listing
            _ => vec![
                account,
                format!("--mode account --op bind --tid {tid} --user {}", FOREIGN.0),
                format!("--mode account --op unbind --tid {tid} --user web1.e{}", self.epoch),
            ],
        };
        for line in lines {
            let ended = hand(&self.target, &line);
            self.trace.tell(format!("a hand: {line}: {}", ended.said.trim()));
        }
    }

    fn weather(&self) {
        let stormy = self.dice.in_a_million(500_000);
        let odds = |most: u64| if stormy { u32::try_from(self.dice.between(0, most)).unwrap() } else { 0 };
        self.target.weather(Weather {
            freezes: odds(10_000),
            freezes_most: Duration::from_secs(8),
            refused: odds(20_000),
            garbled: odds(20_000),
            ended: odds(20_000),
            late: odds(20_000),
            late_most: Duration::from_secs(8),
            dies: odds(4_000),
        });
    }

    async fn run(&mut self, steps: u32) {
        for step in 0..steps {
            let volume = self.volume();
            match self.dice.between(0, 11) {
                0..=2 => self.revoke(&volume, None).await,
                3 => self.revoke(&volume, Some(self.epoch)).await,
                4..=6 => self.grant(&volume).await,
                7 => self.hands(),
                8 => self.weather(),
                9 => {
                    let (least, most) = (Duration::from_millis(10), Duration::from_secs(10));
                    let span = self.dice.duration(least, most);
                    self.trace.tell(format!("trouble for {span:?}"));
                    match self.dice.between(0, 2) {
                        0 => self.target.restart(span),
                        1 => self.target.freeze(span),
                        _ => self.target.stall(span),
                    }
                }
                10 if self.dice.in_a_million(300_000) => {
                    self.trace.tell("the agent starts again");
                    self.start_agent().await;
                }
                _ => {}
            }
            if self.careless && step == steps / 2 {
                self.revoke_carelessly(&volume).await;
                return;
            }
            pause(self.dice.duration(Duration::from_millis(1), Duration::from_secs(6))).await;
        }
        self.settled().await;
    }

    /// When the storm is over everything works again, and every acknowledged write is there.
    async fn calm(&mut self) {
        self.target.calm();
        pause(Duration::from_secs(30)).await;
        for volume in VOLUMES {
            self.revoke(volume, None).await;
            self.grant(volume).await;
            self.settled().await;
            let (name, user, secret) =
                (initiator_name(self.epoch), format!("web1.e{}", self.epoch), format!("secret-of-e{}", self.epoch));
            let session = self.target.log_in(&target_name(volume), &machine(&name, 99), Some((&user, &secret))).await;
            let session = session.unwrap_or_else(|error| panic!("{error:?}\n{}", self.trace.story()));
            self.target.write(session, UNIT, 1, 1, Duration::from_millis(1)).await.unwrap();
            let content = self.target.content(&file(volume));
            for ((_, epoch), places) in self.known.lock().unwrap().kept.iter().filter(|((at, _), _)| at == volume) {
                let lost: BTreeSet<u64> = places.iter().copied().filter(|place| content.get(place) != Some(place)).collect();
                assert!(lost.is_empty(), "acknowledged writes of e{epoch} at {volume} are gone: {lost:?}");
            }
        }
    }
}

fn storm(seed: u64, careless: bool) -> (Tally, Vec<String>) {
    world(async {
        let mut storm = Storm::begin(seed, careless).await;
        storm.run(60).await;
        if !careless {
            storm.calm().await;
        }
        look(&storm.target, &mut storm.known.lock().unwrap(), &storm.trace);
        let tally = storm.known.lock().unwrap().tally;
        if !careless {
            assert_eq!(tally.broken, 0, "seed {seed}: {tally:?}\n{}", storm.trace.story());
        }
        (tally, storm.trace.lines())
    })
}

const SEEDS: u64 = 40;

#[test]
fn a_revoked_placement_writes_nothing_more_and_one_at_most_can_write() {
    let mut all = Tally::default();
    for seed in 0..SEEDS {
        let tally = storm(seed, false).0;
        all.confirmed += tally.confirmed;
        all.failed += tally.failed;
        all.landed += tally.landed;
        all.acknowledged += tally.acknowledged;
        all.foreign += tally.foreign;
        all.refused += tally.refused;
    }
    println!("{all:?}");
    let busy = all.confirmed > 300 && all.failed > 50 && all.acknowledged > 1_000 && all.foreign > 20 && all.refused > 1_000;
    assert!(busy, "a vacuous storm: {all:?}");
}

/// The judge can see what it is there to see: an admission that is taken back while the session stands is found out.
#[test]
fn a_revocation_that_leaves_sessions_alone_is_found_out() {
    assert!((0..10).any(|seed| storm(seed, true).0.broken > 0));
}

#[test]
fn one_seed_tells_one_story() {
    for seed in [3, 4] {
        assert_eq!(storm(seed, false), storm(seed, false));
    }
    assert_ne!(storm(3, false).1, storm(4, false).1);
}

#[test]
fn an_answer_of_a_daemon_that_died_is_none() {
    world(async {
        let target = target(1);
        let driver = driver(&target, &simulator::first_day(), &shelf());
        let volume = "a".parse().unwrap();
        driver.grant(&volume, &admission(1)).await.unwrap();
        target.order([Trouble::Dies(true)]);
        let read = driver.read(&volume).await;
        assert!(matches!(read, Err(AgentError::Unreachable { .. })), "an empty list of a dying daemon is no list: {read:?}");
    });
}
