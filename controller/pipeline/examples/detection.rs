//! `detection`: the core's eyes in the noise of many machine-years. Real failures in the middle of noise must become verdicts in time; reboots, crash
//! dumps, firmware updates, BMC resets, slow BMCs and links that flap must not, ever. Machines are looked at one by one: what they share is the
//! guard's matter, and shown elsewhere. It must never tell the core anything that a machine would not show.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program that measures says by panicking what must not be"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the ban is for the core; this is a program, which asks the time and prints"
)]

#[path = "../tests/small_world/common/mod.rs"]
mod common;

use common::{World, id};
use pipeline::event::{Event, Observation, What};
use pipeline::record::{Fact, Record};
use pipeline::{Effect, State, step};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant as Clock;
use vocabulary::boot::{BootContact, BootStep};
use vocabulary::check::CheckOutcome;
use vocabulary::estate::{Detection, Estate, Kdump};
use vocabulary::power::{Identity, MachineReading, PowerState, RestorePolicy};
use vocabulary::storage::VolumeReading;
use vocabulary::*;

/// A connection needs two packets, and a lost one comes again too late for a check's deadline of 1 s: 5 % of packets, 9.75 % of checks.
const CHECKS_LOST_PPM: u64 = 97_500;
/// A BMC's answer takes longer by so much for each packet that is lost on the way.
const RETRANSMITTED_MS: u64 = 300;
/// Packets of one conversation with a BMC.
const POLL_PACKETS: u64 = 6;
/// Packets that are lost.
const LOST_PPM: u64 = 50_000;
/// A BMC that takes longer has not answered: the engine's deadline for a poll.
const POLL_PATIENCE_MS: u64 = 8_000;
/// How long it is well before and after each episode.
const WELL_MS: u64 = 60_000;
/// `UnexpectedOff` is a verdict within this time of the fact, everything else within `HUNG_MS`.
const OFF_MS: u64 = 15_000;
/// See `OFF_MS`.
const HUNG_MS: u64 = 30_000;
/// The engine's pace after a change of power.
const CLOSE_GAP_MS: u64 = 1_000;
/// See `CLOSE_GAP_MS`.
const CLOSE_LOOKS: u64 = 10;
/// Core wake-ups are as the core asks for them.
const TICK_MS: u64 = 250;

/// Dice of one episode.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }
    fn happens(&mut self, ppm: u64) -> bool {
        self.next() % 1_000_000 < ppm
    }
}

/// What befalls a machine, with how often a year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Noise {
    /// Somebody restarts it from inside, in order.
    Reboot,
    /// Its kernel panics and restarts at once.
    PanicRestart,
    /// Its kernel panics and writes its memory away; its document says how that is waited for.
    Kdump,
    /// Firmware is updated: BMC and machine restart, and the machine is off for a moment.
    Firmware,
    /// Its BMC restarts.
    BmcReset,
    /// Its BMC is slow for a while.
    BmcSlow,
    /// One vantage point does not reach it.
    OneLink,
    /// No vantage point does, while its storage goes on.
    Production,
    /// All its links are down, and come back.
    AllLinks,
    /// Its storage target does not answer for its counters.
    Counters,
}

/// How often a year.
const NOISE: [(Noise, u64); 10] = [
    (Noise::Reboot, 12),
    (Noise::PanicRestart, 2),
    (Noise::Kdump, 1),
    (Noise::Firmware, 2),
    (Noise::BmcReset, 6),
    (Noise::BmcSlow, 12),
    (Noise::OneLink, 20),
    (Noise::Production, 6),
    (Noise::AllLinks, 6),
    (Noise::Counters, 12),
];

/// A real failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Failure {
    /// Its power is gone; its BMC has standby power.
    Off,
    /// It hangs with its power on.
    Hang,
    /// Machine and BMC are gone together.
    Feed,
}

/// From, until.
type Time = (u64, u64);

/// What a machine shows, when: the truth, of which the core gets only what passes.
#[derive(Default)]
struct Truth {
    wrong: Vec<Time>,
    silent: Vec<Time>,
    dumping: Vec<Time>,
    off: Vec<Time>,
    no_bmc: Vec<Time>,
    slow_bmc: Vec<(Time, u64)>,
    unreached: [Vec<Time>; 2],
    uncounted: Vec<Time>,
    still: Vec<Time>,
    resets: Vec<u64>,
    contacts: Vec<u64>,
    /// How often its system writes when it does nothing else.
    writes_every_ms: u64,
    ends: u64,
}

fn within(times: &[Time], at: u64) -> bool {
    times.iter().any(|(from, until)| (*from..*until).contains(&at))
}

impl Truth {
    /// Its service is away from `from`: it stops, is reset, tests itself and boots, all of which its record knows as `usual`.
    fn boots(&mut self, dice: &mut Dice, from: u64, usual: u64) -> u64 {
        let reset = from + dice.between(500, 4_000);
        self.resets.push(reset);
        // as long as it usually takes, give or take a tenth
        let takes = usual * dice.between(90, 110) / 100;
        self.contacts.push(reset + takes * 7 / 10);
        let back = reset + takes;
        self.silent.push((from, back));
        self.still.push((from, back - takes / 10));
        back
    }

    fn of(noise: Noise, dice: &mut Dice, usual: u64) -> Truth {
        let mut truth = Truth { writes_every_ms: dice.between(200, 40_000), ..Truth::default() };
        let begins = WELL_MS + dice.between(0, 10_000);
        let s = |dice: &mut Dice, least: u64, most: u64| dice.between(least * 1_000, most * 1_000);
        let ends = match noise {
            Noise::Reboot => {
                let stopped = begins + s(dice, 2, 40);
                truth.wrong.push((begins, stopped));
                truth.boots(dice, stopped, usual)
            }
            Noise::PanicRestart => {
                let restarts = begins + s(dice, 1, 10);
                truth.silent.push((begins, restarts));
                truth.still.push((begins, restarts));
                truth.boots(dice, restarts, usual)
            }
            Noise::Kdump => {
                let tells = begins + s(dice, 5, 45);
                let done = tells + s(dice, 20, 540);
                truth.silent.push((begins, done));
                truth.still.push((begins, done));
                truth.dumping.push((tells, done));
                truth.boots(dice, done, usual)
            }
            Noise::Firmware => {
                let stopped = begins + s(dice, 2, 40);
                truth.wrong.push((begins, stopped));
                let back = truth.boots(dice, stopped, usual);
                let off = stopped + s(dice, 5, 30);
                truth.off.push((off, off + s(dice, 1, 6)));
                // after the machine was reset: before it nobody could tell that from a feed that is lost
                let bmc = stopped + s(dice, 15, 60);
                truth.no_bmc.push((bmc, bmc + s(dice, 30, 180)));
                back
            }
            Noise::BmcReset => {
                let back = begins + s(dice, 30, 180);
                truth.no_bmc.push((begins, back));
                back
            }
            Noise::BmcSlow => {
                let (back, by) = (begins + s(dice, 60, 600), s(dice, 1, 9));
                truth.slow_bmc.push(((begins, back), by));
                back
            }
            Noise::OneLink => {
                let back = begins + s(dice, 1, 120);
                truth.unreached[usize::from(dice.happens(500_000))].push((begins, back));
                back
            }
            Noise::Production => {
                // a longer one is no flap: an idle server that nobody has reached for a whole window is taken for hung
                let back = begins + s(dice, 1, 20);
                truth.unreached.iter_mut().for_each(|link| link.push((begins, back)));
                back
            }
            Noise::AllLinks => {
                let back = begins + s(dice, 1, 20);
                truth.unreached.iter_mut().for_each(|link| link.push((begins, back)));
                truth.still.push((begins, back));
                back
            }
            Noise::Counters => {
                let back = begins + s(dice, 10, 600);
                truth.uncounted.push((begins, back));
                back
            }
        };
        truth.ends = ends + WELL_MS;
        truth
    }

    fn failure(failure: Failure, dice: &mut Dice) -> (Truth, u64) {
        let mut truth = Truth { writes_every_ms: dice.between(200, 40_000), ..Truth::default() };
        let dies = WELL_MS + dice.between(0, 10_000);
        let ever = (dies, u64::MAX);
        truth.silent.push(ever);
        truth.still.push(ever);
        match failure {
            Failure::Off => truth.off.push(ever),
            Failure::Hang => {}
            Failure::Feed => truth.no_bmc.push(ever),
        }
        if dice.happens(200_000) {
            truth.slow_bmc.push(((0, u64::MAX), dice.between(500, 1_000)));
        }
        truth.ends = dies + 5 * WELL_MS;
        (truth, dies)
    }
}

/// The core, with one server on one machine.
struct Eyes {
    state: Option<State>,
    now: u64,
    verdict: Option<(u64, String)>,
}

/// With what every episode begins.
struct Begun {
    records: Vec<Record>,
    estate: Estate,
}

impl Begun {
    fn new() -> Begun {
        let mut world = World::new(3);
        world.start_servers();
        let mut estate = world.estate.clone();
        estate.settings.detection = Detection::default();
        Begun { records: world.records, estate }
    }

    /// A core whose machine usually takes so long to boot.
    fn eyes(&self, usual: u64, kdump: bool) -> Eyes {
        let mut estate = self.estate.clone();
        estate.servers.values_mut().for_each(|server| server.kdump = kdump.then(Kdump::default));
        let mut eyes = Eyes { state: Some(State::new()), now: 0, verdict: None };
        let server: ServerId = id("web1");
        let (machine, vantages) = (id::<MachineId>("m1"), vec![id("controller"), id("sw1")]);
        let heard = Fact::Heard {
            server,
            machine,
            last_reset: Some("0".to_owned()),
            vantages,
            boot_ms: Some(usual),
            post_ms: None,
            stop_ms: None,
        };
        let heard = Record { at: self.records.last().unwrap().at, fact: heard };
        for record in self.records.iter().chain([&heard]) {
            eyes.tell(What::Replayed(Box::new(record.clone())));
        }
        eyes.verdict = None;
        eyes.tell(What::EstateLoaded(Arc::new(estate)));
        eyes.tell(What::Started {
            key: Secret::new("0123456789abcdef"),
            lab: true,
            controller: vocabulary::ControllerLife::default(),
            lineage: vocabulary::Lineage("0".into()),
        });
        eyes
    }
}

impl Eyes {
    fn tell(&mut self, what: What) {
        let event = Event { now: Instant(self.now), wall: WallTime(1_000_000_000 + self.now), what };
        let (state, effects) = step(self.state.take().unwrap(), event);
        self.state = Some(state);
        for effect in effects {
            if let Effect::Record(record) = effect
                && let Fact::Verdict { symptom, .. } = record.fact
            {
                self.verdict.get_or_insert((self.now, symptom));
            }
        }
    }
}

/// What is under way to the core, by the time at which it arrives.
struct Line {
    due: BTreeMap<(u64, u64), What>,
    number: u64,
}

impl Line {
    fn add(&mut self, at: u64, what: Observation) {
        self.number += 1;
        self.due.insert((at, self.number), What::Observed(what));
    }
}

/// When each thing is looked at next.
struct Paces {
    poll: u64,
    checks: [u64; 2],
    volume: u64,
    tick: u64,
    contact: usize,
    /// How it was read last, and how many looks are to follow quickly.
    closely: (bool, u64),
}

/// Plays a truth until its end, or until there is a verdict.
fn play(begun: &Begun, truth: &Truth, usual: u64, kdump: bool, dice: &mut Dice) -> Option<(u64, String)> {
    let mut eyes = begun.eyes(usual, kdump);
    let mut line = Line { due: BTreeMap::new(), number: 0 };
    let mut paces = Paces {
        poll: dice.between(0, 5_000),
        checks: [dice.between(0, 2_000), dice.between(0, 2_000)],
        volume: dice.between(0, 5_000),
        tick: TICK_MS,
        contact: 0,
        closely: (false, 0),
    };
    while eyes.verdict.is_none() {
        let looks = paces.poll.min(paces.checks[0]).min(paces.checks[1]).min(paces.volume).min(paces.tick);
        let arrives = line.due.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        let contact = truth.contacts.get(paces.contact).copied().unwrap_or(u64::MAX);
        let now = looks.min(arrives).min(contact);
        if now >= truth.ends {
            break;
        }
        eyes.now = now;
        if now == arrives {
            let (_, what) = line.due.pop_first().unwrap();
            eyes.tell(what);
        } else if now == contact {
            paces.contact += 1;
            let sequence = paces.contact as u64;
            let contact = BootContact { sequence, machine: id("m1"), step: BootStep::Dhcp, epoch: None, at: WallTime(now) };
            eyes.tell(What::Observed(Observation::Contact { service: id("boot1"), contact }));
        } else {
            look(&mut eyes, &mut line, &mut paces, truth, dice);
        }
    }
    eyes.verdict
}

fn look(eyes: &mut Eyes, line: &mut Line, paces: &mut Paces, truth: &Truth, dice: &mut Dice) {
    let now = eyes.now;
    if now == paces.tick {
        paces.tick += TICK_MS;
        eyes.tell(What::Tick);
    } else if now == paces.poll {
        let (arrives, reading) = poll(truth, now, dice);
        // as the shell does it: a machine that is off and was not is looked at closely
        paces.closely.1 = paces.closely.1.saturating_sub(1);
        if let Ok(reading) = &reading
            && reading.all_off() != paces.closely.0
        {
            paces.closely = (reading.all_off(), CLOSE_LOOKS);
        }
        let gap = if paces.closely.1 > 0 && reading.is_ok() { CLOSE_GAP_MS } else { dice.between(4_500, 5_500) };
        line.add(arrives, Observation::Machine { machine: id("m1"), reading });
        // the next one is asked for when this one has told, at its pace
        paces.poll = (now + gap).max(arrives + 1);
    } else if now == paces.volume {
        let uncounted = within(&truth.uncounted, now);
        let reading = if uncounted { Err(unreachable("the target does not answer")) } else { Ok(counted(truth, now)) };
        line.add(now + dice.between(5, 100), Observation::Volume { volume: volume(), reading });
        paces.volume = now + dice.between(4_500, 5_500);
    } else {
        let which = usize::from(now == paces.checks[1]);
        let vantage = id(["controller", "sw1"][which]);
        let (takes, outcome) = check(truth, which, now, dice);
        line.add(now + takes, Observation::Check { server: id("web1"), vantage, outcome });
        paces.checks[which] = now + dice.between(1_900, 2_100).max(takes + 1);
    }
}

fn unreachable(reason: &str) -> vocabulary::request::AgentError {
    vocabulary::request::AgentError::Unreachable { reason: reason.to_owned() }
}

fn volume() -> VolumeId {
    VolumeId { storage: id("store1"), volume: id("web1-root") }
}

fn poll(truth: &Truth, now: u64, dice: &mut Dice) -> (u64, Result<MachineReading, vocabulary::request::AgentError>) {
    let lost = (0..POLL_PACKETS).filter(|_| dice.happens(LOST_PPM)).count() as u64;
    let slow = truth.slow_bmc.iter().find(|(time, _)| within(&[*time], now)).map_or(0, |(_, by)| *by);
    let takes = dice.between(20, 300) + slow + lost * RETRANSMITTED_MS;
    if within(&truth.no_bmc, now) || takes >= POLL_PATIENCE_MS {
        return (now + POLL_PATIENCE_MS, Err(unreachable("the BMC does not answer")));
    }
    let power = if within(&truth.off, now) { PowerState::Off } else { PowerState::On };
    let reading = MachineReading {
        session: 1,
        identity: Identity { uuid: "u-m1".into(), serial: "S-m1".into() },
        certificate: Some("c".into()),
        system_power: power,
        chassis_power: Some(power),
        last_reset: Some(truth.resets.iter().filter(|at| **at <= now).count().to_string()),
        boot_progress: None,
        bmc_started: Some("b".into()),
        restore_policy: RestorePolicy::AlwaysOff,
        health: None,
        read_at: WallTime(now),
    };
    (now + takes, Ok(reading))
}

fn check(truth: &Truth, which: usize, now: u64, dice: &mut Dice) -> (u64, CheckOutcome) {
    let silence = |what: &str| (1_000, CheckOutcome::Silent(what.to_owned()));
    if within(&truth.unreached[which], now) || dice.happens(CHECKS_LOST_PPM) {
        return silence("no connection");
    }
    if within(&truth.dumping, now) {
        return (1_000, CheckOutcome::Dumping("its kernel has crashed".to_owned()));
    }
    if within(&truth.silent, now) {
        return silence("no connection");
    }
    let takes = dice.between(1, 50);
    match within(&truth.wrong, now) {
        true => (takes, CheckOutcome::Wrong("connection refused".to_owned())),
        false => (takes, CheckOutcome::Healthy),
    }
}

/// The counter: every write that its system made while it could.
fn counted(truth: &Truth, now: u64) -> VolumeReading {
    let stood: u64 = truth.still.iter().map(|(from, until)| now.min(*until).saturating_sub(*from)).sum();
    VolumeReading {
        volume: volume(),
        allowed: Vec::new(),
        open_to_others: false,
        sessions: Vec::new(),
        in_flight: Some(0),
        exports: 1,
        operations: Some(now.saturating_sub(stood) / truth.writes_every_ms),
        persistent: true,
        read_at: WallTime(now),
    }
}

/// What came of it all.
#[derive(Default)]
struct Sum {
    episodes: BTreeMap<Noise, u64>,
    wrong: Vec<String>,
    took: BTreeMap<Failure, Vec<u64>>,
    missed: Vec<String>,
}

/// One failure or one episode of noise; what it is follows from its number and the first seed.
fn one(begun: &Begun, from: u64, seed: u64, failures: u64, sum: &Mutex<Sum>) {
    let mut dice = Dice(from.wrapping_add(seed));
    // four to twenty minutes
    let usual = dice.between(240_000, 1_200_000);
    if seed < failures {
        let failure = [Failure::Off, Failure::Hang, Failure::Feed][dice.between(0, 2) as usize];
        let (truth, dies) = Truth::failure(failure, &mut dice);
        let verdict = play(begun, &truth, usual, false, &mut dice);
        let mut sum = sum.lock().unwrap();
        match verdict {
            Some((at, _)) if at >= dies => sum.took.entry(failure).or_default().push(at - dies),
            other => sum.missed.push(format!("seed {seed}: {failure:?} at {dies} ms: {other:?}")),
        }
        return;
    }
    let weights: u64 = NOISE.iter().map(|(_, often)| often).sum();
    let mut drawn = dice.between(0, weights - 1);
    let noise = NOISE.iter().find(|(_, often)| {
        let this = drawn < *often;
        drawn = drawn.wrapping_sub(*often);
        this
    });
    let noise = noise.unwrap().0;
    let truth = Truth::of(noise, &mut dice, usual);
    let verdict = play(begun, &truth, usual, noise == Noise::Kdump, &mut dice);
    let mut sum = sum.lock().unwrap();
    *sum.episodes.entry(noise).or_default() += 1;
    if let Some((at, symptom)) = verdict {
        sum.wrong.push(format!("seed {seed}: {noise:?} became {symptom} at {at} ms"));
    }
}

fn number(option: &str, otherwise: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != option);
    arguments.nth(1).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{option} takes a whole number")))
}

fn main() -> ExitCode {
    let (years, failures) = (number("--machine-years", 10), number("--failures", 1_000));
    let a_year: u64 = NOISE.iter().map(|(_, often)| often).sum();
    let (from, all) = (number("--from", 0), failures + years * a_year);
    let (begun, clock, next, sum) = (Begun::new(), Clock::now(), AtomicU64::new(0), Mutex::new(Sum::default()));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..number("--workers", workers as u64) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= all {
                        break;
                    }
                    one(&begun, from, seed, failures, &sum);
                }
            });
        }
    });
    told(sum.into_inner().unwrap(), years, clock.elapsed().as_secs_f64())
}

fn told(sum: Sum, years: u64, seconds: f64) -> ExitCode {
    let mut late = 0;
    for (failure, mut took) in sum.took {
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        let limit = if failure == Failure::Off { OFF_MS } else { HUNG_MS };
        late += took.iter().filter(|took| **took > limit).count();
        let (count, median, most) = (took.len(), at(50), at(100));
        println!(
            "{failure:?}: {count} failures, verdict after {median} ms (median), {} ms (99 %), {most} ms (all); goal {limit} ms",
            at(99)
        );
    }
    for (noise, count) in &sum.episodes {
        println!("{count:>9} {noise:?}");
    }
    for line in sum.missed.iter().chain(&sum.wrong).take(20) {
        println!("{line}");
    }
    println!(
        "{years} machine-years of noise: {} false verdicts; {} failures missed, {late} late; {seconds:.1} s",
        sum.wrong.len(),
        sum.missed.len()
    );
    let good = sum.wrong.is_empty() && sum.missed.is_empty() && late == 0;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
